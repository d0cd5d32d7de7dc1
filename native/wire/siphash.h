// SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012): the keyed hash of the connection handshake.
//
// Why it suffices: it is a pseudo-random function under a 128-bit key, made for short inputs;
// whoever lacks the key cannot produce the proof over a challenge he has not seen answered, and
// each side contributes a fresh 64-bit random id to the challenge, so that old answers are worth
// nothing. A 64-bit proof leaves a blind forger one chance in 2^64 per try, and a try costs him a
// packet.
//
// What it does not protect: anything after the handshake. Payload is neither encrypted nor
// authenticated; packets are bound to a connection by its 64-bit id alone, so whoever can read the
// network can also write to it. The secret keeps strangers and stray jobs out of a group; against
// an adversary on the path use a network that encrypts (IPsec, WireGuard, MACsec). Keys of little
// entropy can be searched off-line by such a reader.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace weft::wire {

std::uint64_t siphash(const std::array<std::uint8_t, 16>& key, std::span<const std::uint8_t> bytes);

}  // namespace weft::wire
