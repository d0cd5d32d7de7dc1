// CRC-32C (Castagnoli; RFC 3720 section 12.1, polynomial 0x1EDC6F41): the optional checksum of a
// packet. UDP's own 16-bit sum lets one corruption in 65536 through, and offloads skip it
// altogether.
#pragma once

#include <cstdint>
#include <span>

namespace weft::wire {

// CRC of `bytes`, continuing from the CRC of what came before them (0 at the start), so that header
// and payload may lie apart: crc32c(crc32c(0, a), b) == crc32c(0, ab).
std::uint32_t crc32c(std::uint32_t before, std::span<const std::uint8_t> bytes);

// The same by table only; what processors without the instruction run, and the oracle in tests.
std::uint32_t crc32c_portable(std::uint32_t before, std::span<const std::uint8_t> bytes);

}  // namespace weft::wire
