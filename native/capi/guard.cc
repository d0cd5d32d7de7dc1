#include "capi/guard.h"

#include <algorithm>
#include <cstring>

namespace weft::capi {
namespace {

thread_local ErrorPtr last_error;

}  // namespace

weft_status set_last_error(const ErrorPtr& error) noexcept {
    last_error = error;
    return error->status;
}

void fill(weft_error* out, const ErrorInfo* info) noexcept {
    std::memset(out, 0, sizeof *out);
    out->peer_rank = WEFT_NO_RANK;
    if (info != nullptr) {
        out->status = info->status;
        out->peer_rank = info->peer_rank;
        out->peer_id = info->peer_id;
        info->message.copy(out->message, sizeof out->message - 1);
    }
}

void hand_out(const std::string& bytes, bool terminated, void* out, std::size_t* length) {
    need(length, "length");
    const std::size_t room = *length;
    *length = bytes.size() + (terminated ? 1 : 0);
    if (out == nullptr || room < *length) {
        throw Error(WEFT_ERR_INVALID, "the buffer has room for " +
                                          std::to_string(out == nullptr ? 0 : room) + " bytes, " +
                                          std::to_string(*length) +
                                          " are needed (*length says so, too)");
    }
    std::memcpy(out, bytes.data(), bytes.size());
    if (terminated) {
        static_cast<char*>(out)[bytes.size()] = '\0';
    }
}

}  // namespace weft::capi

void weft_last_error(weft_error* error) {
    if (error != nullptr) {
        weft::capi::fill(error, weft::capi::last_error.get());
    }
}

const char* weft_version(void) {
#define WEFT_TEXT_OF(x) #x
#define WEFT_TEXT(x) WEFT_TEXT_OF(x)
    return WEFT_TEXT(WEFT_VERSION_MAJOR) "." WEFT_TEXT(WEFT_VERSION_MINOR) "." WEFT_TEXT(
        WEFT_VERSION_PATCH);
}

const char* weft_status_name(weft_status status) {
    switch (status) {
        case WEFT_OK:
            return "WEFT_OK";
        case WEFT_IN_PROGRESS:
            return "WEFT_IN_PROGRESS";
        case WEFT_ERR_INVALID:
            return "WEFT_ERR_INVALID";
        case WEFT_ERR_STATE:
            return "WEFT_ERR_STATE";
        case WEFT_ERR_UNSUPPORTED:
            return "WEFT_ERR_UNSUPPORTED";
        case WEFT_ERR_RESOURCES:
            return "WEFT_ERR_RESOURCES";
        case WEFT_ERR_SYSTEM:
            return "WEFT_ERR_SYSTEM";
        case WEFT_ERR_TIMEOUT:
            return "WEFT_ERR_TIMEOUT";
        case WEFT_ERR_PEER_DEAD:
            return "WEFT_ERR_PEER_DEAD";
        case WEFT_ERR_UNREACHABLE:
            return "WEFT_ERR_UNREACHABLE";
        case WEFT_ERR_MISMATCH:
            return "WEFT_ERR_MISMATCH";
        case WEFT_ERR_AUTH:
            return "WEFT_ERR_AUTH";
        case WEFT_ERR_ABORTED:
            return "WEFT_ERR_ABORTED";
        case WEFT_ERR_SCHEDULE:
            return "WEFT_ERR_SCHEDULE";
        case WEFT_ERR_INTERNAL:
            return "WEFT_ERR_INTERNAL";
    }
    return "unknown status";
}

std::size_t weft_dtype_size(weft_dtype dtype) {
    switch (dtype) {
        case WEFT_U8:
        case WEFT_I8:
        case WEFT_BOOL:
        case WEFT_F8_E4M3:
        case WEFT_F8_E5M2:
            return 1;
        case WEFT_I16:
        case WEFT_F16:
        case WEFT_BF16:
            return 2;
        case WEFT_I32:
        case WEFT_F32:
            return 4;
        case WEFT_I64:
        case WEFT_F64:
        case WEFT_C64:
            return 8;
        case WEFT_C128:
            return 16;
    }
    return 0;
}
