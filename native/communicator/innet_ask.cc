#include "communicator/innet_ask.h"

#include <sys/socket.h>

#include <cerrno>

#include "communicator/communicator.h"
#include "engine/secret.h"

namespace weft::communicator {
namespace {

constexpr engine::Time kLookAgain = 2 * engine::kMillisecond;  // until the connection stands

}  // namespace

InnetAsk::InnetAsk(std::shared_ptr<Communicator> group, engine::Time deadline,
                   const InnetController& controller, const std::vector<InnetPlace>& members)
    : GroupOperation(std::move(group), deadline),
      controller_(controller),
      talk_(this->group().context().options().secret, engine::random_word(), members),
      lease_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    grant_.refuse("no controller answers at " + controller_.host + ":" +
                  std::to_string(controller_.port));
    const auto address = controller_.resolve();
    if (!address ||
        connect(lease_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
        if (!address || errno != EINPROGRESS) {
            lease_ = InnetSocket();
        }
    }
}

InnetAsk::~InnetAsk() = default;

std::string InnetAsk::describe() const {
    return "asking the controller of the switch for slots";
}

void InnetAsk::start(engine::Engine& engine) {
    enter();
    if (finished()) {
        return;
    }
    if (lease_.get() < 0) {
        leave(nullptr);
        return;
    }
    engine.add_poller(*this, lease_.get());
    poll();
}

void InnetAsk::expire() {
    end(nullptr);
}

void InnetAsk::fail(const ErrorPtr& error) {
    end(error);
}

void InnetAsk::end(ErrorPtr error) {
    group().context().engine().remove_poller(*this, lease_.get());
    if (grant_.granted == 0) {
        lease_ = InnetSocket();
    }
    leave(std::move(error));
}

bool InnetAsk::poll() {
    if (!connected() || exchange()) {
        return false;
    }
    const auto keep = shared_from_this();
    if (talk_.outcome()) {
        grant_ = *talk_.outcome();
    }
    end(nullptr);
    return true;
}

engine::Time InnetAsk::next_wakeup() const noexcept {
    return connected_ ? engine::kNever : engine::clock_now() + kLookAgain;
}

bool InnetAsk::connected() {
    if (!connected_) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(lease_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
        sockaddr_in peer{};
        length = sizeof peer;
        connected_ = error != 0 ||
                     getpeername(lease_.get(), reinterpret_cast<sockaddr*>(&peer), &length) == 0;
    }
    return connected_;
}

// Says and hears what there is; false once all is said, or nothing more can be.
bool InnetAsk::exchange() {
    for (;;) {
        while (!unsent_.empty()) {
            const ssize_t sent = send(lease_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
            if (sent < 0) {
                return errno == EAGAIN || errno == EINTR;
            }
            unsent_.erase(0, static_cast<std::size_t>(sent));
        }
        char letter = 0;
        const ssize_t got = recv(lease_.get(), &letter, 1, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        if (got <= 0 || heard_.size() > InnetTalk::kLongestLine) {
            return false;
        }
        if (letter != '\n') {
            heard_ += letter;
            continue;
        }
        unsent_ = talk_.hear(heard_);
        heard_.clear();
        if (talk_.outcome()) {
            return false;
        }
    }
}

}  // namespace weft::communicator
