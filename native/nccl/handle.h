// The 128 bytes that NCCL carries from a listener to its sender: which connection, and the
// listener's address packed to fit. An address has room to spare elsewhere, here every byte counts:
// of the host that shared memory wants, a hash is enough (the sender fills in its own, if equal);
// of UDP addresses as many go along as fit, IPv4 first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/address.h"
#include "nccl/abi.h"

namespace weft::nccl {

struct Handle {
    std::uint16_t magic = kMagic;
    std::uint16_t length = 0;   // of the address
    std::uint32_t attempt = 0;  // the sender's note to itself, 0 before its first call
    std::uint64_t group = 0;    // the listener's
    char address[abi::kHandleBytes - 16] = {};

    static constexpr std::uint16_t kMagic = 0x6577;

    // Throws Error(INVALID) when listen() did not make it.
    static Handle read(std::span<const std::byte, abi::kHandleBytes> bytes);
    void write(std::span<std::byte, abi::kHandleBytes> bytes) const;

    // Throws Error(RESOURCES) when not even one UDP address fits.
    void pack(const engine::Address& listener);
    // For the process with the address `own`. Throws Error(INVALID).
    engine::Address unpack(const engine::Address& own) const;
};
static_assert(sizeof(Handle) == abi::kHandleBytes);

}  // namespace weft::nccl
