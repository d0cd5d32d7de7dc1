#include "datapath/shm/pull.h"

#include <sys/uio.h>

#include <cerrno>

namespace weft::datapath::shm {

int read_peer(pid_t pid, std::uint64_t address, std::byte* destination, std::size_t size) noexcept {
    std::size_t done = 0;
    while (done < size) {
        const iovec local{destination + done, size - done};
        const iovec remote{reinterpret_cast<void*>(static_cast<std::uintptr_t>(address + done)),
                           size - done};
        const ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
        if (got < 0) {
            return errno;
        }
        if (got == 0) {
            return EFAULT;
        }
        done += static_cast<std::size_t>(got);
    }
    return 0;
}

}  // namespace weft::datapath::shm
