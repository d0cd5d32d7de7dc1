#include "communicator/innet_grant.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>

#include "datapath/error.h"
#include "engine/secret.h"
#include "innet/packet.h"
#include "wire/siphash.h"

namespace weft::communicator {
namespace {

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

std::string hex(std::uint64_t word) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(word));
    return text;
}

// Of a line that ends in " NAME=" and 16 hexadecimal digits: cuts that off and returns it.
std::optional<std::uint64_t> take_last(std::string_view& line, std::string_view name) {
    constexpr std::size_t kDigits = 16;
    const std::string key = " " + std::string(name) + "=";
    if (line.size() < key.size() + kDigits) {
        return std::nullopt;
    }
    const std::string_view rest = line.substr(0, line.size() - kDigits);
    std::uint64_t word = 0;
    const std::string_view digits = line.substr(rest.size());
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), word, 16);
    if (!rest.ends_with(key) || error != std::errc{} || end != digits.data() + digits.size()) {
        return std::nullopt;
    }
    line = rest.substr(0, rest.size() - key.size());
    return word;
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

std::string InnetGrant::why() const {
    std::string text(reason, strnlen(reason, sizeof reason));
    for (char& letter : text) {
        letter = letter == '"' ? '\'' : letter == '\\' || letter < ' ' ? '/' : letter;
    }
    return text;
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

std::optional<sockaddr_in> InnetController::resolve() const {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    addrinfo* list = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) {
        return std::nullopt;
    }
    sockaddr_in address{};
    std::memcpy(&address, list->ai_addr, sizeof address);
    freeaddrinfo(list);
    address.sin_port = htons(port);
    return address;
}

InnetSocket InnetController::open_socket(InnetPlace& place) const {
    place = {};
    const auto controller = resolve();
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

std::uint64_t innet_proof(std::string_view secret, std::string_view speaker,
                          std::uint64_t controller_nonce, std::uint64_t caller_nonce,
                          std::string_view line) {
    const std::string words = std::string(speaker) + " " + hex(controller_nonce) + " " +
                              hex(caller_nonce) + " " + std::string(line);
    return wire::siphash(engine::derive_key(secret, "innt"),
                         {reinterpret_cast<const std::uint8_t*>(words.data()), words.size()});
}

InnetTalk::InnetTalk(std::string secret, std::uint64_t nonce,
                     const std::vector<InnetPlace>& members)
    : secret_(std::move(secret)), nonce_(nonce) {
    request_ = "weft-innet " + std::to_string(innet::kVersion) +
               " slots=" + std::to_string(kSlotsWanted) + " workers";
    char separator = '=';
    for (const InnetPlace& member : members) {
        request_ += separator + dotted(member.ip) + ":" + std::to_string(member.port);
        separator = ',';
    }
    request_ += " nonce=" + hex(nonce_);
}

std::string InnetTalk::hear(std::string_view line) {
    if (outcome_) {
        return "";
    }
    if (!controller_nonce_) {
        controller_nonce_ = take_last(line, "nonce");
        if (!controller_nonce_ || line != "weft-controller") {
            refuse("no controller of an aggregation switch answers there");
            return "";
        }
        const std::uint64_t proof =
            innet_proof(secret_, "caller", *controller_nonce_, nonce_, request_);
        return request_ + " proof=" + hex(proof) + "\n";
    }
    const auto proof = take_last(line, "proof");
    if (!proof || *proof != innet_proof(secret_, "controller", *controller_nonce_, nonce_, line)) {
        refuse("the controller does not know this group's secret (WEFT_SECRET)");
    } else {
        outcome_ = parse_grant(line);
    }
    return "";
}

void InnetTalk::refuse(std::string_view why) {
    outcome_.emplace().refuse(why);
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
