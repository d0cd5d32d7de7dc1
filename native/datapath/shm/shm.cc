#include "datapath/shm/shm.h"

#include "datapath/shm/core.h"

namespace weft::datapath {

using shm::Core;
using shm::Edge;
using shm::ShmAddress;
using shm::ShmChannel;

ShmDatapath::ShmDatapath(const Identity& identity, Acceptor& acceptor, const ShmOptions& options)
    : core_(std::make_unique<Core>(identity, acceptor, options)) {}

ShmDatapath::~ShmDatapath() {
    core_->shut_down();
}

std::string ShmDatapath::address() const {
    return core_->address().encode();
}

std::string ShmDatapath::host_of(std::string_view address) {
    return std::string(address.substr(0, address.rfind('/')));
}

bool ShmDatapath::reaches(std::string_view peer_address) const {
    ShmAddress peer;
    return ShmAddress::decode(peer_address, peer) && peer.host == core_->address().host &&
           peer.network == core_->address().network;
}

std::unique_ptr<Channel> ShmDatapath::connect(PeerId peer, std::string_view peer_address,
                                              ChannelOwner& owner, Time deadline) {
    ShmAddress address;
    if (!ShmAddress::decode(peer_address, address)) {
        throw Error(WEFT_ERR_INVALID,
                    "not a shared-memory address: \"" + std::string(peer_address) + "\"", peer);
    }
    return std::make_unique<ShmChannel>(core_->connect(peer, address, owner, deadline));
}

bool ShmDatapath::progress(Time now) {
    return core_->progress(now);
}
Time ShmDatapath::next_wakeup() const noexcept {
    return core_->next_wakeup();
}
bool ShmDatapath::arm() {
    return core_->arm();
}
void ShmDatapath::disarm() {
    core_->disarm();
}
std::vector<int> ShmDatapath::wait_fds() const {
    return {core_->wait_fd()};
}
void ShmDatapath::abandon() noexcept {
    core_->abandon();
}
std::string ShmDatapath::stats_json() const {
    return core_->stats_json();
}

shm::Board ShmDatapath::allocate_board(std::size_t bytes) {
    return shm::Board(core_->segment(), core_->segment()->allocate_board(bytes), bytes);
}

std::shared_ptr<const std::byte> ShmDatapath::peer_memory(PeerId peer, std::uint64_t offset,
                                                          std::size_t bytes) const {
    const Edge* const edge = core_->open_edge(peer);
    const std::byte* const at = edge != nullptr ? edge->segment()->at(offset, bytes) : nullptr;
    return at != nullptr ? std::shared_ptr<const std::byte>(edge->segment(), at) : nullptr;
}

void ShmDatapath::nudge(PeerId peer) noexcept {
    if (Edge* const edge = core_->open_edge(peer)) {
        edge->nudge();
    }
}

}  // namespace weft::datapath
