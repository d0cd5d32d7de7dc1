// Statistics are JSON objects, put together member by member.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace weft::datapath {

// A number as the next member of an object that is being written, or of its members alone.
inline void add_number(std::string& json, std::string_view key, std::integral auto value) {
    if (!json.empty() && json.back() != '{') {
        json += ',';
    }
    json += '"';
    json += key;
    json += "\":";
    json += std::to_string(value);
}

}  // namespace weft::datapath
