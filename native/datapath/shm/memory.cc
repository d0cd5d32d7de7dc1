#include "datapath/shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "datapath/error.h"

namespace weft::datapath::shm {
namespace {

std::string mebibytes(std::size_t bytes) {
    return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB";
}

}  // namespace

Mapping::Mapping(int fd, std::size_t size, Access access) : size_(size) {
    const int protection = access == Access::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
    void* const at = mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        throw Error(errno == ENOMEM ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                    "cannot map " + mebibytes(size) + " of shared memory: " + std::strerror(errno) +
                        "; look at the limits on address space (ulimit -v) and vm.max_map_count");
    }
    data_ = static_cast<std::byte*>(at);
}

Mapping::~Mapping() {
    munmap(data_, size_);
}

UniqueFd create_memory(const char* label, std::size_t size) {
    UniqueFd fd(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
        throw Error(WEFT_ERR_RESOURCES,
                    std::string("cannot create shared memory (memfd_create): ") +
                        std::strerror(errno) + "; raise the limit on open files (ulimit -n)");
    }
    if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
        throw Error(WEFT_ERR_RESOURCES, "cannot size shared memory to " + mebibytes(size) + ": " +
                                            std::strerror(errno) +
                                            "; raise the limit on file size (ulimit -f)");
    }
    return fd;
}

void reserve_memory(int fd, std::size_t offset, std::size_t size, const std::string& purpose) {
    int result;
    do {
        result = fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        throw Error(
            WEFT_ERR_RESOURCES,
            "out of shared memory: " + std::to_string(size) + " bytes for " + purpose +
                " were refused (" + std::strerror(errno) +
                "); free memory, raise the container's memory limit, or leave `shm` out of the "
                "`datapaths` option");
    }
}

void seal_memory(int fd, bool peers_read_only) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
#ifdef F_SEAL_FUTURE_WRITE  // Linux 5.1
    if (peers_read_only) {
        // Older kernels refuse the whole set; there, peers are trusted as members of the group.
        if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE) == 0) {
            return;
        }
    }
#endif
    if (fcntl(fd, F_ADD_SEALS, seals) != 0) {
        throw Error(
            WEFT_ERR_SYSTEM,
            std::string("cannot seal shared memory (fcntl F_ADD_SEALS): ") + std::strerror(errno));
    }
}

std::size_t sealed_size(int fd) noexcept {
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat info{};
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &info) != 0 || info.st_size <= 0) {
        return 0;
    }
    return static_cast<std::size_t>(info.st_size);
}

}  // namespace weft::datapath::shm
