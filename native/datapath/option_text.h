// Options of datapaths, read from text. Every function throws Error(INVALID) naming the key, the
// value and what would do.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/error.h"

namespace weft::datapath::option_text {

[[noreturn]] inline void refuse(const std::string& key, const std::string& value,
                                const std::string& wanted) {
    throw Error(WEFT_ERR_INVALID, "transport option " + key + "=" + value + ": must be " + wanted);
}

template <typename Int>
Int integer(const std::string& key, const std::string& value, Int low, Int high) {
    std::int64_t number = 0;
    const auto [end, status] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (status != std::errc() || end != value.data() + value.size() || number < std::int64_t{low} ||
        number > std::int64_t{high}) {
        refuse(key, value,
               "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<Int>(number);
}

inline bool choice(const std::string& key, const std::string& value, const char* no,
                   const char* yes) {
    if (value != no && value != yes) {
        refuse(key, value, std::string("'") + no + "' or '" + yes + "'");
    }
    return value == yes;
}

inline double real(const std::string& key, const std::string& value) {
    double number = 0;
    const auto [end, status] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (status != std::errc() || end != value.data() + value.size() || !std::isfinite(number)) {
        refuse(key, value, "a number");
    }
    return number;
}

// Items between separators, without the spaces around them.
inline std::vector<std::string> split(std::string_view text, char separator = ',') {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(separator), text.size());
        std::string_view part = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
        while (part.starts_with(' ')) {
            part.remove_prefix(1);
        }
        while (part.ends_with(' ')) {
            part.remove_suffix(1);
        }
        if (!part.empty()) {
            parts.emplace_back(part);
        }
    }
    return parts;
}

}  // namespace weft::datapath::option_text
