// Cross-memory attach: reading a peer's memory with process_vm_readv, one copy and no help from the
// peer.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace weft::datapath::shm {

// Reads exactly `size` bytes at `address` of process `pid`. 0, or the errno (EPERM: the kernel
// forbids it, ESRCH: no such process, EFAULT: not readable there).
int read_peer(pid_t pid, std::uint64_t address, std::byte* destination, std::size_t size) noexcept;

}  // namespace weft::datapath::shm
