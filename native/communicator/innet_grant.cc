#include "communicator/innet_grant.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>

#include "datapath/error.h"
#include "innet/packet.h"

namespace weft::communicator {
namespace {

constexpr std::size_t kLongestLine = 512;
constexpr int kSlotsWanted = 128;

template <typename Number>
std::optional<Number> number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value)
                                                                    : std::nullopt;
}

std::string dotted(std::uint32_t ip) {
    const in_addr address{.s_addr = htonl(ip)};
    char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, &address, text, sizeof text);
}

std::optional<sockaddr_in> resolve(const InnetController& controller) {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    addrinfo* list = nullptr;
    if (getaddrinfo(controller.host.c_str(), nullptr, &hints, &list) != 0) {
        return std::nullopt;
    }
    sockaddr_in address{};
    std::memcpy(&address, list->ai_addr, sizeof address);
    freeaddrinfo(list);
    address.sin_port = htons(controller.port);
    return address;
}

// Waits until the socket can be read or written; false at the deadline.
bool ready(int fd, short events, engine::Time deadline) {
    for (;;) {
        const engine::Time left = deadline - engine::clock_now();
        if (left <= 0) {
            return false;
        }
        pollfd entry{.fd = fd, .events = events, .revents = 0};
        const int timeout =
            static_cast<int>(std::min<engine::Time>(left / engine::kMillisecond + 1, 1000));
        const int found = ::poll(&entry, 1, timeout);
        if (found > 0) {
            return true;
        }
        if (found < 0 && errno != EINTR) {
            return false;
        }
    }
}

// The controller's first line, or nothing.
std::string converse(int fd, const sockaddr_in& address, const std::string& request,
                     engine::Time deadline) {
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        (errno != EINPROGRESS || !ready(fd, POLLOUT, deadline))) {
        return "";
    }
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
        return "";
    }
    std::string line;
    while (line.size() < kLongestLine && ready(fd, POLLIN, deadline)) {
        char letter = 0;
        if (recv(fd, &letter, 1, 0) != 1) {
            return "";
        }
        if (letter == '\n') {
            return line;
        }
        line += letter;
    }
    return "";
}

}  // namespace

InnetSocket::~InnetSocket() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

void InnetGrant::refuse(std::string_view why) noexcept {
    *this = {};
    why.copy(reason, sizeof reason - 1);
}

InnetController InnetController::parse(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const auto port = colon == std::string_view::npos
                          ? std::nullopt
                          : number<std::uint16_t>(text.substr(colon + 1));
    if (!port || *port == 0 || colon == 0) {
        throw Error(WEFT_ERR_INVALID,
                    "innet: \"" + std::string(text) +
                        "\" is not host:port of an aggregation switch's controller");
    }
    return {std::string(text.substr(0, colon)), *port};
}

InnetSocket InnetController::open_socket(InnetPlace& place) const {
    place = {};
    const auto controller = resolve(*this);
    // A throw-away socket says which of our addresses faces the controller.
    const InnetSocket scout(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    InnetSocket made(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in own{};
    socklen_t length = sizeof own;
    if (!controller ||
        connect(scout.get(), reinterpret_cast<const sockaddr*>(&*controller), sizeof *controller) !=
            0 ||
        getsockname(scout.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) {
        return made;
    }
    own.sin_port = 0;
    if (bind(made.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0 &&
        getsockname(made.get(), reinterpret_cast<sockaddr*>(&own), &length) == 0) {
        const int bytes = 4 << 20;  // the kernel takes what it allows
        setsockopt(made.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        setsockopt(made.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        place = {ntohl(own.sin_addr.s_addr), ntohs(own.sin_port)};
    }
    return made;
}

InnetGrant InnetController::ask(const std::vector<InnetPlace>& members, engine::Time deadline,
                                InnetSocket& lease) const {
    InnetGrant grant;
    std::string request =
        "weft-innet " + std::to_string(innet::kVersion) + " slots=" + std::to_string(kSlotsWanted);
    char separator = '=';
    request += " workers";
    for (std::size_t rank = 0; rank < members.size(); ++rank) {
        if (members[rank].ip == 0) {
            grant.refuse("rank " + std::to_string(rank) + " has no way to " + host);
            return grant;
        }
        request += separator + dotted(members[rank].ip) + ":" + std::to_string(members[rank].port);
        separator = ',';
    }
    const auto address = resolve(*this);
    lease = InnetSocket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const std::string line =
        address ? converse(lease.get(), *address, request + "\n", deadline) : "";
    if (line.empty()) {
        grant.refuse("no controller answers at " + host + ":" + std::to_string(port));
        return grant;
    }
    return parse_grant(line);
}

InnetGrant parse_grant(std::string_view line) {
    InnetGrant grant;
    const auto take_word = [&line] {
        const std::size_t end = std::min(line.find(' '), line.size());
        const std::string_view word = line.substr(0, end);
        line.remove_prefix(std::min(end + 1, line.size()));
        return word;
    };
    const std::string_view verdict = take_word();
    if (verdict == "refused") {
        grant.refuse(line);
        return grant;
    }
    std::map<std::string_view, std::string_view> words;
    while (!line.empty()) {
        const std::string_view word = take_word();
        const std::size_t equals = std::min(word.find('='), word.size());
        words[word.substr(0, equals)] = word.substr(std::min(equals + 1, word.size()));
    }
    const auto job = number<std::uint16_t>(words["job"]);
    const auto epoch = number<std::uint32_t>(words["epoch"]);
    const auto slots = number<std::uint16_t>(words["slots"]);
    const auto values = number<std::uint16_t>(words["values"]);
    const std::string place(words["switch"]);
    const std::size_t colon = std::min(place.find(':'), place.size());
    const auto port =
        number<std::uint16_t>(std::string_view(place).substr(std::min(colon + 1, place.size())));
    in_addr ip{};
    const bool right = verdict == "granted" && job && epoch && slots && values && port &&
                       *slots >= 1 && *values >= 16 && *values <= innet::kMaxValues &&
                       inet_pton(AF_INET, place.substr(0, colon).c_str(), &ip) == 1;
    if (!right) {
        grant.refuse("the controller's answer makes no sense");
        return grant;
    }
    grant = {.granted = 1,
             .epoch = *epoch,
             .job = *job,
             .slots = *slots,
             .values = *values,
             .port = *port,
             .ip = ntohl(ip.s_addr)};
    return grant;
}

}  // namespace weft::communicator
