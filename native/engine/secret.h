// What is drawn at random, and what is derived from a job's secret.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weft::engine {

// From the kernel, never 0. Throws Error(SYSTEM).
std::uint64_t random_word();

// A key for one purpose: two hashes of the secret under fixed keys of the purpose's own (four
// letters), so that no key tells anything of another.
std::array<std::uint8_t, 16> derive_key(std::string_view secret, const char (&purpose)[5]);

}  // namespace weft::engine
