// What an aggregation switch's controller answers, and what users give as its address: any text is
// a grant that makes sense, a refusal, or a typed error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "communicator/innet_grant.h"
#include "datapath/error.h"

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const std::string& line : {std::string(text), "granted " + std::string(text)}) {
        const auto grant = weft::communicator::parse_grant(line);
        require(grant.reason[sizeof grant.reason - 1] == '\0');
        require(grant.granted == 0 || (grant.slots > 0 && grant.values >= 16));
    }
    try {
        const auto controller = weft::communicator::InnetController::parse(text);
        require(controller.port != 0 && !controller.host.empty());
    } catch (const weft::Error& error) {
        require(error.info()->status == WEFT_ERR_INVALID);
    }
    return 0;
}
