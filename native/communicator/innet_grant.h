// What a group and the controller of an aggregation switch (weft.p4.aggregation.controller) say to
// each other over TCP. Rank 0 asks for slots, naming where all members' packets come from, and
// keeps the connection open for as long as the group wants them. Three lines:
//
//   weft-controller nonce=0123456789abcdef
//   weft-innet 2 slots=128 workers=10.0.0.1:40001,10.0.0.2:40001 nonce=... proof=...
//   granted job=3 epoch=305419896 slots=128 values=256 switch=10.0.1.254:22353 proof=...
//
// or, for the last, "refused 128 slots are wanted, 12 are free proof=...".
//
// A proof is SipHash, under a key derived from the group's secret, of who speaks, both nonces, and
// the line up to it: whoever lacks the secret gets no slots and grants none, and what was said once
// is worth nothing later (wire/siphash.h says what it does not protect).
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
    // The reason as text that may stand in JSON.
    std::string why() const;
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
    std::optional<sockaddr_in> resolve() const;
    // A UDP socket bound to the address that faces the controller.
    InnetSocket open_socket(InnetPlace& place) const;
};

// Under which a talk with the controller is proved.
std::uint64_t innet_proof(std::string_view secret, std::string_view speaker,
                          std::uint64_t controller_nonce, std::uint64_t caller_nonce,
                          std::string_view line);

// Rank 0's part of the talk, without sockets. Trusts nothing that it hears.
class InnetTalk {
  public:
    static constexpr std::size_t kLongestLine = 512;

    InnetTalk(std::string secret, std::uint64_t nonce, const std::vector<InnetPlace>& members);

    // Takes the controller's next line, without its end; returns what to answer, end and all.
    std::string hear(std::string_view line);
    // What has come of it: a grant, or a refusal; nothing before the last line.
    const std::optional<InnetGrant>& outcome() const noexcept { return outcome_; }

  private:
    void refuse(std::string_view why);

    const std::string secret_;
    const std::uint64_t nonce_;
    std::string request_;
    std::optional<std::uint64_t> controller_nonce_;
    std::optional<InnetGrant> outcome_;
};

// What the controller's line means; anything unexpected is a refusal.
InnetGrant parse_grant(std::string_view line);

}  // namespace weft::communicator
