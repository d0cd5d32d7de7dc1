// The doors of the datapath: UdpDatapath and UdpChannel hand everything to the core and the edges.
#include "datapath/udp/udp.h"

#include "datapath/udp/core.h"

namespace weft::datapath {

UdpDatapath::UdpDatapath(const Identity& identity, Acceptor& acceptor, UdpOptions options)
    : UdpDatapath(std::make_shared<udp::Core>(
          identity, acceptor, std::move(options), [](const UdpOptions& checked) {
              return std::make_unique<udp::Carrier>(checked,
                                                    udp::usable_interfaces(checked.interfaces));
          })) {}

UdpDatapath::UdpDatapath(std::shared_ptr<udp::Core> core) : core_(std::move(core)) {}

UdpDatapath::~UdpDatapath() {
    core_->shut_down();
}

std::string_view UdpDatapath::name() const noexcept {
    return core_->name();
}
bool UdpDatapath::set_policies(const transport::PolicyChange& change) {
    core_->set_policies(change);
    return true;
}
std::string UdpDatapath::address() const {
    return core_->address();
}
bool UdpDatapath::reaches(std::string_view peer_address) const {
    return core_->reaches(peer_address);
}
std::unique_ptr<Channel> UdpDatapath::connect(PeerId peer, std::string_view peer_address,
                                              ChannelOwner& owner, Time deadline) {
    return core_->connect(peer, peer_address, owner, deadline);
}
bool UdpDatapath::progress(Time now) {
    return core_->progress(now);
}
Time UdpDatapath::next_wakeup() const noexcept {
    return core_->next_wakeup();
}
bool UdpDatapath::arm() {
    return core_->arm();
}
void UdpDatapath::disarm() {}
std::vector<int> UdpDatapath::wait_fds() const {
    return {core_->wait_fd()};
}
void UdpDatapath::abandon() noexcept {
    core_->abandon();
}
std::string UdpDatapath::stats_json() const {
    return core_->stats_json();
}

}  // namespace weft::datapath
