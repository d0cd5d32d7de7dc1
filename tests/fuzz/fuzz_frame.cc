// The frames of the AF_XDP datapath: any bytes are read without harm, what is accepted lies within
// the frame, and what is written comes back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "datapath/xdp/frame.h"

namespace {

using namespace weft::datapath::xdp;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint8_t> bytes(data, data + size);  // of exactly this size: see ASan
    Datagram datagram;
    if (parse(bytes, false, datagram) == Verdict::kOk) {
        require(datagram.payload.data() >= bytes.data());
        require(datagram.payload.data() + datagram.payload.size() <= bytes.data() + size);
        // Its own headers, written anew, are good with their sums.
        const Envelope envelope({}, {}, datagram.from, datagram.to);
        std::vector<std::uint8_t> again(envelope.size() + datagram.payload.size());
        const std::uint64_t total = copy_and_sum(again.data() + envelope.size(), datagram.payload);
        envelope.write(again.data(), datagram.payload.size(), total);
        Datagram back;
        require(parse(again, true, back) == Verdict::kOk);
        require(back.from == datagram.from && back.to == datagram.to);
        require(std::ranges::equal(back.payload, datagram.payload));
    }
    parse(bytes, true, datagram);
    return 0;
}
