#include "torch/errors.h"

#include "torch/torch_api.h"

namespace weft::torch_backend {

std::exception_ptr make_exception(const weft_error& error, const std::string& operation) {
    std::string message = error.message;
    if (error.peer_rank != WEFT_NO_RANK) {
        message += " [peer: rank " + std::to_string(error.peer_rank) + "]";
    }
    return make_exception(error.status, message, operation);
}

std::exception_ptr make_exception(weft_status status, const std::string& message,
                                  const std::string& operation) {
    const c10::SourceLocation here{__func__, __FILE__, __LINE__};
    const char* failed =
        status == WEFT_ERR_TIMEOUT ? " ran into its timeout and failed: " : " failed: ";
    const std::string text =
        "weft: " + operation + failed + message + " (" + weft_status_name(status) + ")";
    switch (status) {
        case WEFT_ERR_INVALID:
            return std::make_exception_ptr(c10::ValueError(here, text));
        case WEFT_ERR_UNSUPPORTED:
            return std::make_exception_ptr(c10::NotImplementedError(here, text));
        default:
            return std::make_exception_ptr(c10::DistBackendError(here, text));
    }
}

void check(weft_status status, const std::string& operation) {
    if (status >= WEFT_OK) {
        return;
    }
    weft_error error{};
    weft_last_error(&error);
    if (error.status !=
        status) {  // the status counts; a call that left no message must not borrow an older one
        std::rethrow_exception(make_exception(status, weft_status_name(status), operation));
    }
    std::rethrow_exception(make_exception(error, operation));
}

}  // namespace weft::torch_backend
