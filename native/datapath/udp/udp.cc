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

namespace udp {

UdpChannel::UdpChannel(std::shared_ptr<Core> core, Edge& edge)
    : core_(std::move(core)), edge_(edge) {
    edge.attach(*this);
}
std::string_view UdpChannel::datapath() const noexcept {
    return core_->name();
}
UdpChannel::~UdpChannel() {
    edge_.channel_gone();
}
PeerId UdpChannel::peer() const noexcept {
    return edge_.peer();
}
Channel::State UdpChannel::state() const noexcept {
    return edge_.state();
}
std::uint16_t UdpChannel::paths() const noexcept {
    return edge_.paths();
}

const ErrorPtr& UdpChannel::error() const noexcept {
    return edge_.error();
}
void UdpChannel::send(Transfer& transfer) {
    edge_.send(transfer);
}
void UdpChannel::recv(Transfer& transfer) {
    edge_.recv(transfer);
}
void UdpChannel::cancel(Transfer& transfer) {
    edge_.cancel(transfer);
}
void UdpChannel::forget_group(std::uint64_t group) {
    edge_.forget_group(group);
}
void UdpChannel::watch(bool on) {
    edge_.watch(on);
}
void UdpChannel::close() {
    edge_.close();
}
std::string UdpChannel::stats_json() const {
    return edge_.stats_json();
}

}  // namespace udp
}  // namespace weft::datapath
