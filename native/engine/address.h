// The opaque blob that tells others how to reach this process: its peer id and, per datapath in
// order of preference, that datapath's own address.
//
// Layout (little-endian): "WEFT", u8 version, u64 peer id, u8 count, then per datapath: u8 length,
// name, u16 length, address.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "datapath/channel.h"

namespace weft::engine {

struct Address {
    struct Entry {
        std::string datapath;
        std::string address;
    };

    datapath::PeerId peer = 0;
    std::vector<Entry> entries;

    std::string encode() const;
    // Throws Error(INVALID) on anything that encode() did not write.
    static Address decode(std::string_view blob);
    // nullptr when this process does not have that datapath.
    const std::string* find(std::string_view datapath) const noexcept;
};

}  // namespace weft::engine
