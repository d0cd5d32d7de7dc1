#include "engine/secret.h"

#include <sys/random.h>

#include <span>

#include "datapath/error.h"
#include "wire/siphash.h"

namespace weft::engine {

std::uint64_t random_word() {
    std::uint64_t word = 0;
    while (word == 0) {
        if (getrandom(&word, sizeof word, 0) != static_cast<ssize_t>(sizeof word)) {
            throw Error(WEFT_ERR_SYSTEM, "getrandom failed: the system gives no random numbers");
        }
    }
    return word;
}

std::array<std::uint8_t, 16> derive_key(std::string_view secret, const char (&purpose)[5]) {
    std::array<std::uint8_t, 16> under{}, key{};
    for (std::size_t i = 0; i < 4; ++i) {
        under[i] = static_cast<std::uint8_t>(purpose[i]);
    }
    const std::span text(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size());
    for (std::uint8_t half = 0; half < 2; ++half) {
        under[4] = half;
        const std::uint64_t hash = wire::siphash(under, text);
        for (std::size_t i = 0; i < 8; ++i) {
            key[half * 8u + i] = static_cast<std::uint8_t>(hash >> (8 * i));
        }
    }
    return key;
}

}  // namespace weft::engine
