#include "datapath/shm/doorbell.h"

#include <sys/eventfd.h>

namespace weft::datapath::shm {

void ring_doorbell(int event_fd) noexcept {
    const std::uint64_t one = 1;
    // A full counter (EAGAIN) is as readable as it gets; with any other error the peer's own clock
    // wakes it.
    [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
}

void drain_doorbell(int event_fd) noexcept {
    std::uint64_t count;
    [[maybe_unused]] const auto got = ::read(event_fd, &count, sizeof count);
}

}  // namespace weft::datapath::shm
