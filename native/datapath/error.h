// The one error type of the native core: a status of the public API, a text for people, and the
// peer at fault.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "weft/weft.h"

namespace weft {

struct ErrorInfo {
    weft_status status = WEFT_ERR_INTERNAL;
    std::string message;        // names the thing, the place and the mend
    std::uint64_t peer_id = 0;  // 0: nobody in particular
    std::int32_t peer_rank =
        WEFT_NO_RANK;  // filled in by the communicator, which alone knows ranks
};

// Shared, since one dead peer fails many operations.
using ErrorPtr = std::shared_ptr<const ErrorInfo>;

inline ErrorPtr make_error(weft_status status, std::string message, std::uint64_t peer_id = 0) {
    return std::make_shared<const ErrorInfo>(
        ErrorInfo{status, std::move(message), peer_id, WEFT_NO_RANK});
}

// Thrown by constructors and by calls with bad arguments, caught at the doors (capi, python, torch)
// and nowhere else.
class Error : public std::runtime_error {
  public:
    explicit Error(ErrorPtr info) : std::runtime_error(info->message), info_(std::move(info)) {}
    Error(weft_status status, const std::string& message, std::uint64_t peer_id = 0)
        : Error(make_error(status, message, peer_id)) {}
    const ErrorPtr& info() const noexcept { return info_; }

  private:
    ErrorPtr info_;
};

}  // namespace weft
