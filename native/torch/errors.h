// Errors of the C API as the exceptions that torch turns into Python's: ValueError for a bad
// argument, NotImplementedError for what this build cannot do, torch.distributed.DistBackendError
// for all that went wrong between ranks.
#pragma once

#include <exception>
#include <string>

#include "weft/weft.h"

namespace weft::torch_backend {

// The exception for `error`; `operation` says what failed ("all_reduce #7 of group 0, rank 1 of
// 4").
std::exception_ptr make_exception(const weft_error& error, const std::string& operation);

// The same, of an error that Weft's torch door found by itself.
std::exception_ptr make_exception(weft_status status, const std::string& message,
                                  const std::string& operation);

// Throws the calling thread's last error if `status` is one.
void check(weft_status status, const std::string& operation);

}  // namespace weft::torch_backend
