// How a group comes by slots in an aggregation switch: rank 0 asks the switch's controller
// (weft.p4.aggregation.controller) over TCP, naming where all members' packets come from, and keeps
// the connection open for as long as the group wants them. One line each way:
//
//   weft-innet 2 slots=128 workers=10.0.0.1:40001,10.0.0.2:40001
//   granted job=3 epoch=305419896 slots=128 values=256 switch=10.0.1.254:22353
//   refused 128 slots are wanted, 12 are free
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/clock.h"

namespace weft::communicator {

// Rank 0 tells it to all (little-endian, fixed size).
struct InnetGrant {
    std::uint32_t granted = 0;  // else `reason` says why not
    std::uint32_t epoch = 0;
    std::uint16_t job = 0;
    std::uint16_t slots = 0;
    std::uint16_t values = 0;
    std::uint16_t port = 0;  // of the switch, host byte order
    std::uint32_t ip = 0;    // of the switch, host byte order
    char reason[108] = {};

    void refuse(std::string_view why) noexcept;
};

// A file descriptor that is closed at the end.
class InnetSocket {
  public:
    explicit InnetSocket(int fd = -1) noexcept : fd_(fd) {}
    InnetSocket(InnetSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    InnetSocket& operator=(InnetSocket&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~InnetSocket();
    int get() const noexcept { return fd_; }

  private:
    int fd_;
};

// Where a member's packets come from; ip 0: it has no way to the controller.
struct InnetPlace {
    std::uint32_t ip = 0;  // host byte order
    std::uint32_t port = 0;
};

// "host:port" of a controller. Throws Error(INVALID).
struct InnetController {
    std::string host;
    std::uint16_t port = 0;

    static InnetController parse(std::string_view text);

    // A UDP socket bound to the address that faces the controller; throws Error(UNREACHABLE).
    InnetSocket open_socket(InnetPlace& place) const;
    // Never throws: what goes wrong is a refusal. `lease` holds the slots.
    InnetGrant ask(const std::vector<InnetPlace>& members, engine::Time deadline,
                   InnetSocket& lease) const;
};

// What the controller's line means; anything unexpected is a refusal.
InnetGrant parse_grant(std::string_view line);

}  // namespace weft::communicator
