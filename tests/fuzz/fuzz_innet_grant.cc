// What an aggregation switch's controller says, and what users give as its address: any text is a
// grant that makes sense, a refusal, or a typed error; and nothing is a grant that was not proved.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "communicator/innet_grant.h"
#include "datapath/error.h"

using weft::communicator::InnetTalk;

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// Lines as they come; then the same ones as a controller would prove them.
void talk(std::string_view text, bool proved) {
    constexpr std::uint64_t kNonce = 7;
    InnetTalk talk("secret", kNonce, {{0x0a000001, 40001}, {0x0a000002, 40001}});
    std::uint64_t controller = 0;
    if (proved) {
        const std::string asked = talk.hear("weft-controller nonce=00000000000000ff");
        require(asked.starts_with("weft-innet ") && asked.ends_with("\n"));
        controller = 0xff;
    }
    while (!text.empty() && !talk.outcome()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (proved) {
            char proof[32];
            std::snprintf(proof, sizeof proof, " proof=%016llx",
                          static_cast<unsigned long long>(weft::communicator::innet_proof(
                              "secret", "controller", controller, kNonce, line)));
            line += proof;
        }
        static_cast<void>(talk.hear(line));
    }
    require(proved || !talk.outcome() || talk.outcome()->granted == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const std::string& line : {std::string(text), "granted " + std::string(text)}) {
        const auto grant = weft::communicator::parse_grant(line);
        require(grant.reason[sizeof grant.reason - 1] == '\0');
        require(grant.granted == 0 || (grant.slots > 0 && grant.values >= 16));
    }
    talk(text, false);
    talk(text, true);
    talk("granted " + std::string(text), true);
    try {
        const auto controller = weft::communicator::InnetController::parse(text);
        require(controller.port != 0 && !controller.host.empty());
    } catch (const weft::Error& error) {
        require(error.info()->status == WEFT_ERR_INVALID);
    }
    return 0;
}
