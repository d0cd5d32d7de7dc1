// The border that no exception crosses, and NCCL's logger, through which all errors are told.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "datapath/error.h"
#include "nccl/abi.h"

namespace weft::nccl {

void set_logger(abi::Logger logger) noexcept;
void inform(const std::string& text) noexcept;
// Tells NCCL's log, and returns the class of error that NCCL knows.
abi::Result refuse(const ErrorInfo& error) noexcept;

// Runs f(); its errors become results.
template <typename F>
abi::Result guarded(F&& f) noexcept {
    try {
        f();
        return abi::Result::kSuccess;
    } catch (const Error& error) {
        return refuse(*error.info());
    } catch (const std::bad_alloc&) {
        return refuse({.status = WEFT_ERR_RESOURCES, .message = "out of memory"});
    } catch (const std::exception& error) {
        return refuse({.message = error.what()});
    }
}

// Throws Error(INVALID) naming the argument.
inline void need(bool good, const char* what) {
    if (!good) {
        throw Error(WEFT_ERR_INVALID, what);
    }
}

}  // namespace weft::nccl
