#include "engine/rendezvous.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/secret.h"
#include "wire/siphash.h"

namespace weft::engine {
namespace {

constexpr std::uint32_t kLongestBlob = 1 << 16;

// ---------------------------------------------------------------- the environment

std::optional<std::string> variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

std::int64_t number(const char* name, const std::string& text, std::int64_t low,
                    std::int64_t high) {
    char* end = nullptr;
    errno = 0;
    const long long value = std::strtoll(text.c_str(), &end, 10);
    if (errno != 0 || end == text.c_str() || *end != '\0' || value < low || value > high) {
        throw Error(WEFT_ERR_INVALID, std::string(name) + "=\"" + text + "\" is not a number in " +
                                          std::to_string(low) + ".." + std::to_string(high));
    }
    return value;
}

struct Launcher {
    const char* rank;
    const char* size;
};
constexpr std::array kLaunchers = {
    Launcher{"RANK", "WORLD_SIZE"}, Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    Launcher{"PMI_RANK", "PMI_SIZE"}, Launcher{"SLURM_PROCID", "SLURM_NTASKS"}};

// ---------------------------------------------------------------- sockets with a deadline

class Descriptor {
  public:
    explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    int get() const noexcept { return fd_; }

  private:
    int fd_;
};

// Thrown inside this file only, for a caller that is not one of us or breaks off.
struct BadCaller {
    const char* why;
};

bool wait_for(int fd, short events, Time deadline) {
    for (;;) {
        const Time left = deadline - clock_now();
        if (left <= 0) {
            return false;
        }
        pollfd entry{.fd = fd, .events = events, .revents = 0};
        const int ready =
            poll(&entry, 1, static_cast<int>(std::min<Time>(left / kMillisecond + 1, 1000)));
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

void write_all(int fd, const void* data, std::size_t length, Time deadline) {
    const auto* bytes = static_cast<const char*>(data);
    while (length > 0) {
        const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes += sent;
            length -= static_cast<std::size_t>(sent);
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(fd, POLLOUT, deadline)) {
            throw BadCaller{"broke off while being written to"};
        }
    }
}

void read_all(int fd, void* data, std::size_t length, Time deadline) {
    auto* bytes = static_cast<char*>(data);
    while (length > 0) {
        const ssize_t got = recv(fd, bytes, length, MSG_DONTWAIT);
        if (got > 0) {
            bytes += got;
            length -= static_cast<std::size_t>(got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR) ||
                   !wait_for(fd, POLLIN, deadline)) {
            throw BadCaller{"broke off"};
        }
    }
}

void write_blob(int fd, const std::string& blob, Time deadline) {
    const auto length = static_cast<std::uint32_t>(blob.size());
    write_all(fd, &length, sizeof length, deadline);
    write_all(fd, blob.data(), blob.size(), deadline);
}

std::string read_blob(int fd, Time deadline) {
    std::uint32_t length = 0;
    read_all(fd, &length, sizeof length, deadline);
    if (length > kLongestBlob) {
        throw BadCaller{"sent nonsense"};
    }
    std::string blob(length, '\0');
    read_all(fd, blob.data(), length, deadline);
    return blob;
}

// ---------------------------------------------------------------- the proof

std::uint64_t proof(const std::string& secret, const char* role, std::uint64_t caller,
                    std::uint64_t listener) {
    const std::string words =
        std::string(role) + " " + std::to_string(caller) + " " + std::to_string(listener);
    return wire::siphash(derive_key(secret, "meet"),
                         {reinterpret_cast<const std::uint8_t*>(words.data()), words.size()});
}

// True when both have proved that they know the secret.
bool prove(int fd, const std::string& secret, bool calling, Time deadline) {
    const std::uint64_t mine = random_word();
    std::uint64_t theirs = 0;
    write_all(fd, &mine, sizeof mine, deadline);
    read_all(fd, &theirs, sizeof theirs, deadline);
    const std::uint64_t caller = calling ? mine : theirs;
    const std::uint64_t listener = calling ? theirs : mine;
    const std::uint64_t own_proof =
        proof(secret, calling ? "caller" : "listener", caller, listener);
    std::uint64_t their_proof = 0;
    write_all(fd, &own_proof, sizeof own_proof, deadline);
    read_all(fd, &their_proof, sizeof their_proof, deadline);
    return their_proof == proof(secret, calling ? "listener" : "caller", caller, listener);
}

// ---------------------------------------------------------------- addresses

struct Resolved {
    explicit Resolved(const Rendezvous& place, bool passive) {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = passive ? AI_PASSIVE : 0;
        const int code =
            getaddrinfo(place.host.c_str(), std::to_string(place.port).c_str(), &hints, &list);
        if (code != 0) {
            throw Error(WEFT_ERR_INVALID,
                        "rendezvous: \"" + place.host + "\" is no address: " + gai_strerror(code));
        }
    }
    ~Resolved() { freeaddrinfo(list); }
    Resolved(const Resolved&) = delete;
    Resolved& operator=(const Resolved&) = delete;
    addrinfo* list = nullptr;
};

Descriptor listen_at(const Rendezvous& place) {
    const Resolved resolved(place, true);
    Descriptor listener(
        socket(resolved.list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener.get() < 0 ||
        bind(listener.get(), resolved.list->ai_addr, resolved.list->ai_addrlen) != 0 ||
        listen(listener.get(), 1024) != 0) {
        throw Error(WEFT_ERR_RESOURCES, "rendezvous: rank 0 cannot listen at " + place.host +
                                            " port " + std::to_string(place.port) + ": " +
                                            std::strerror(errno) +
                                            "; choose another with WEFT_RENDEZVOUS=host:port");
    }
    return listener;
}

Descriptor call(const Rendezvous& place, Time deadline) {
    const Resolved resolved(place, false);
    for (;;) {
        Descriptor caller(socket(resolved.list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (connect(caller.get(), resolved.list->ai_addr, resolved.list->ai_addrlen) == 0) {
            const int on = 1;
            setsockopt(caller.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return caller;
        }
        if (clock_now() >= deadline) {
            throw Error(WEFT_ERR_UNREACHABLE, "rendezvous: rank 0 does not listen at " +
                                                  place.host + " port " +
                                                  std::to_string(place.port) + " (" +
                                                  std::strerror(errno) + "): was it started?");
        }
        const timespec pause{.tv_sec = 0, .tv_nsec = 20 * kMillisecond};
        nanosleep(&pause, nullptr);
    }
}

// ---------------------------------------------------------------- the two sides

Meeting host_meeting(const Rendezvous& place, const std::string& secret, const std::string& own,
                     Time deadline) {
    const Descriptor listener = listen_at(place);
    std::vector<std::string> blobs(static_cast<std::size_t>(place.size));
    std::vector<Descriptor> callers(static_cast<std::size_t>(place.size));
    blobs[0] = own;
    std::string rejected;
    for (std::int32_t present = 1; present < place.size;) {
        if (!wait_for(listener.get(), POLLIN, deadline)) {
            std::string missing;
            for (std::int32_t rank = 1; rank < place.size; ++rank) {
                if (blobs[static_cast<std::size_t>(rank)].empty()) {
                    missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
                }
            }
            throw Error(WEFT_ERR_UNREACHABLE,
                        "rendezvous: rank " + missing + " never came" + rejected);
        }
        Descriptor caller(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (caller.get() < 0) {
            continue;
        }
        try {
            // A caller that dawdles must not hold up the others for long.
            const Time patience = std::min(deadline, clock_now() + 2 * kSecond);
            if (!prove(caller.get(), secret, false, patience)) {
                rejected = " (a caller was turned away: it knows another secret)";
                continue;
            }
            std::int32_t numbers[2];
            read_all(caller.get(), numbers, sizeof numbers, patience);
            if (numbers[0] < 1 || numbers[0] >= place.size || numbers[1] != place.size) {
                throw Error(WEFT_ERR_MISMATCH, "rendezvous: somebody came as rank " +
                                                   std::to_string(numbers[0]) + " of " +
                                                   std::to_string(numbers[1]) + ", this job has " +
                                                   std::to_string(place.size) + " ranks");
            }
            const auto index = static_cast<std::size_t>(numbers[0]);
            if (!blobs[index].empty()) {
                throw Error(WEFT_ERR_MISMATCH, "rendezvous: two processes claim to be rank " +
                                                   std::to_string(numbers[0]));
            }
            blobs[index] = read_blob(caller.get(), patience);
            callers[index] = std::move(caller);
            ++present;
        } catch (const BadCaller& bad) {
            rejected = std::string(" (a caller ") + bad.why + ")";
        }
    }
    Meeting meeting{.group = random_word() | kFirstGroup, .members = {}};
    for (const std::string& blob : blobs) {
        meeting.members.push_back(Address::decode(blob));
    }
    for (std::size_t rank = 1; rank < callers.size(); ++rank) {
        try {
            write_all(callers[rank].get(), &meeting.group, sizeof meeting.group, deadline);
            for (const std::string& blob : blobs) {
                write_blob(callers[rank].get(), blob, deadline);
            }
        } catch (const BadCaller& bad) {
            throw Error(WEFT_ERR_PEER_DEAD,
                        "rendezvous: rank " + std::to_string(rank) + " " + bad.why);
        }
    }
    return meeting;
}

Meeting visit_meeting(const Rendezvous& place, const std::string& secret, const std::string& own,
                      Time deadline) {
    const Descriptor caller = call(place, deadline);
    const std::string where = place.host + " port " + std::to_string(place.port);
    try {
        if (!prove(caller.get(), secret, true, deadline)) {
            throw Error(WEFT_ERR_AUTH,
                        "rendezvous: rank 0 at " + where + " knows another secret (WEFT_SECRET)");
        }
        const std::int32_t numbers[2] = {place.rank, place.size};
        write_all(caller.get(), numbers, sizeof numbers, deadline);
        write_blob(caller.get(), own, deadline);
        Meeting meeting;
        read_all(caller.get(), &meeting.group, sizeof meeting.group, deadline);
        for (std::int32_t rank = 0; rank < place.size; ++rank) {
            meeting.members.push_back(Address::decode(read_blob(caller.get(), deadline)));
        }
        return meeting;
    } catch (const BadCaller&) {
        throw Error(WEFT_ERR_UNREACHABLE,
                    "rendezvous: rank 0 at " + where +
                        " broke off: it may know another secret, expect another number of ranks, "
                        "or wait in vain for a rank");
    }
}

}  // namespace

Rendezvous Rendezvous::from_environment() {
    Rendezvous place;
    bool found = false;
    for (const Launcher& launcher : kLaunchers) {
        const auto rank = variable(launcher.rank);
        const auto size = variable(launcher.size);
        if (rank && size) {
            place.size = static_cast<std::int32_t>(number(launcher.size, *size, 1, 1 << 20));
            place.rank = static_cast<std::int32_t>(number(launcher.rank, *rank, 0, place.size - 1));
            found = true;
            break;
        }
    }
    if (!found) {
        throw Error(WEFT_ERR_INVALID,
                    "rendezvous: no rank in the environment: start the program with torchrun, "
                    "mpirun or srun, or set RANK and WORLD_SIZE");
    }
    if (const auto where = variable("WEFT_RENDEZVOUS")) {
        const std::size_t colon = where->rfind(':');
        if (colon == std::string::npos) {
            throw Error(WEFT_ERR_INVALID,
                        "WEFT_RENDEZVOUS=\"" + *where + "\" is not of the form host:port");
        }
        place.host = where->substr(0, colon);
        if (place.host.size() > 2 && place.host.front() == '[') {
            place.host = place.host.substr(1, place.host.size() - 2);  // [::1]:29500
        }
        place.port = static_cast<std::uint16_t>(
            number("WEFT_RENDEZVOUS", where->substr(colon + 1), 1, 65535));
    } else if (const auto address = variable("MASTER_ADDR"), port = variable("MASTER_PORT");
               address && port) {
        place.host = *address;
        place.port = static_cast<std::uint16_t>(number("MASTER_PORT", *port, 1, 65535));
    } else if (place.size > 1) {
        throw Error(WEFT_ERR_INVALID,
                    "rendezvous: set WEFT_RENDEZVOUS=host:port (where rank 0 shall listen), or "
                    "MASTER_ADDR and MASTER_PORT");
    }
    return place;
}

Meeting Rendezvous::meet(Context& context, Time timeout) const {
    const Time deadline =
        deadline_after(clock_now(), timeout > 0 ? timeout : context.options().connect_timeout);
    const std::string own = context.address();
    if (size == 1) {
        return {.group = random_word() | kFirstGroup, .members = {Address::decode(own)}};
    }
    return rank == 0 ? host_meeting(*this, context.options().secret, own, deadline)
                     : visit_meeting(*this, context.options().secret, own, deadline);
}

}  // namespace weft::engine
