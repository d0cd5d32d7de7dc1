// What everything of an open device shares: the library, the device's context and its protection
// domain; and how a call into the library that failed is reported.
//
// Invariant: whatever is made of a device holds it (OpenedPtr) and names it before what it owns, so
// that the device closes last.
#pragma once

#include <memory>
#include <string>

#include "datapath/verbs/ibv_abi.h"

namespace weft::datapath::verbs {

struct Library {
    ibv::Functions call{};
};

using LibraryPtr = std::shared_ptr<const Library>;

// Owned pointers of the library.
template <typename T>
using Owned = std::unique_ptr<T, int (*)(T*)>;

struct Opened {  // a device that is open, as long as anything of it lives
    LibraryPtr library;
    std::string name;
    Owned<ibv::Context> context;
    Owned<ibv::Pd> pd;
    const ibv::Functions& call() const { return library->call; }
};
using OpenedPtr = std::shared_ptr<const Opened>;

// The call failed with this errno: throws Error (RESOURCES, SYSTEM).
[[noreturn]] void refuse(const std::string& device, const char* call, int error,
                         const char* mend = "");

// Calls that return an error number, or -1 with errno.
void check(int result, const std::string& device, const char* call, const char* mend = "");

inline constexpr const char* kMemlock = "; raise the limit on locked memory (ulimit -l unlimited)";

// From now on the descriptor does not block. False, with errno, where that fails.
bool never_blocks(int fd);

}  // namespace weft::datapath::verbs
