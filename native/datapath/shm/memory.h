// Shared memory without a name: a sealed memfd and its mapping.
//
// Invariant: the file can neither shrink nor grow once it is shared, and every page that is touched
// was reserved before, so that no access can raise SIGBUS, whatever the peer does and however short
// memory gets.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "datapath/shm/fd.h"

namespace weft::datapath::shm {

enum class Access { kReadOnly, kReadWrite };

class Mapping {
  public:
    // Maps the whole file. Throws Error: SYSTEM.
    Mapping(int fd, std::size_t size, Access access);
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

  private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

// A new file of this size, not yet sealed and without memory. Throws Error: RESOURCES.
UniqueFd create_memory(const char* label, std::size_t size);

// Takes memory for a range; throws Error RESOURCES naming `purpose`, the size and the mend.
void reserve_memory(int fd, std::size_t offset, std::size_t size, const std::string& purpose);

// Fixes the size for good; `peers_read_only`: mappings made from now on cannot be written through.
void seal_memory(int fd, bool peers_read_only);

// Size of a file that a peer gave us; 0 unless it is a memfd that can no longer shrink.
std::size_t sealed_size(int fd) noexcept;

}  // namespace weft::datapath::shm
