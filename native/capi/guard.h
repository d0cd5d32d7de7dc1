// The border that no exception crosses.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "datapath/error.h"

namespace weft::capi {

// Remembers the error for weft_last_error and returns its status.
weft_status set_last_error(const ErrorPtr& error) noexcept;
void fill(weft_error* out, const ErrorInfo* info) noexcept;

// Runs f(), which returns weft_status or nothing.
template <typename F>
weft_status guarded(F&& f) noexcept {
    try {
        if constexpr (std::is_void_v<decltype(f())>) {
            f();
            return WEFT_OK;
        } else {
            return f();
        }
    } catch (const Error& error) {
        return set_last_error(error.info());
    } catch (const std::bad_alloc&) {
        return set_last_error(make_error(WEFT_ERR_RESOURCES, "out of memory"));
    } catch (const std::exception& error) {
        return set_last_error(
            make_error(WEFT_ERR_INTERNAL, std::string("unexpected: ") + error.what()));
    }
}

// Throws Error(INVALID) naming the argument.
inline void need(const void* argument, const char* name) {
    if (argument == nullptr) {
        throw Error(WEFT_ERR_INVALID, std::string("the argument `") + name + "` is NULL");
    }
}

// The protocol of functions that hand out text or bytes: *length is the room on entry, what is
// needed on return.
void hand_out(const std::string& bytes, bool terminated, void* out, std::size_t* length);

}  // namespace weft::capi
