#include "nccl/log.h"

#include <atomic>

namespace weft::nccl {
namespace {

std::atomic<abi::Logger> logger{nullptr};

abi::Result result_of(weft_status status) noexcept {
    switch (status) {
        case WEFT_OK:
        case WEFT_IN_PROGRESS:
            return abi::Result::kSuccess;
        case WEFT_ERR_INVALID:
            return abi::Result::kInvalidArgument;
        case WEFT_ERR_STATE:
        case WEFT_ERR_UNSUPPORTED:
        case WEFT_ERR_MISMATCH:
            return abi::Result::kInvalidUsage;
        case WEFT_ERR_RESOURCES:
        case WEFT_ERR_SYSTEM:
            return abi::Result::kSystemError;
        case WEFT_ERR_TIMEOUT:
        case WEFT_ERR_PEER_DEAD:
        case WEFT_ERR_UNREACHABLE:
        case WEFT_ERR_AUTH:
        case WEFT_ERR_ABORTED:
            return abi::Result::kRemoteError;
        case WEFT_ERR_SCHEDULE:
        case WEFT_ERR_INTERNAL:
            return abi::Result::kInternalError;
    }
    return abi::Result::kInternalError;
}

}  // namespace

void set_logger(abi::Logger given) noexcept {
    if (given != nullptr) {
        logger.store(given);
    }
}

void inform(const std::string& text) noexcept {
    if (const abi::Logger log = logger.load()) {
        log(abi::kLogInfo, abi::kLogNet, __FILE__, __LINE__, "NET/Weft: %s", text.c_str());
    }
}

abi::Result refuse(const ErrorInfo& error) noexcept {
    if (const abi::Logger log = logger.load()) {
        log(abi::kLogWarn, abi::kLogNet, __FILE__, __LINE__, "NET/Weft: %s: %s",
            weft_status_name(error.status), error.message.c_str());
    }
    return result_of(error.status);
}

}  // namespace weft::nccl
