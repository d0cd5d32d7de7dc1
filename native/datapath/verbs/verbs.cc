// The door of the datapath: everything goes to the core.
#include "datapath/verbs/verbs.h"

#include "datapath/verbs/core.h"

namespace weft::datapath {

VerbsDatapath::VerbsDatapath(const Identity& identity, Acceptor& acceptor, VerbsOptions options,
                             std::shared_ptr<verbs::Provider> provider)
    : core_(std::make_shared<verbs::Core>(identity, acceptor, std::move(options),
                                          std::move(provider))) {}
VerbsDatapath::~VerbsDatapath() {
    core_->shut_down();
}
std::string VerbsDatapath::address() const {
    return core_->address();
}
bool VerbsDatapath::reaches(std::string_view peer_address) const {
    return core_->reaches(peer_address);
}
std::unique_ptr<Channel> VerbsDatapath::connect(PeerId peer, std::string_view peer_address,
                                                ChannelOwner& owner, Time deadline) {
    return core_->connect(peer, peer_address, owner, deadline);
}
bool VerbsDatapath::progress(Time now) {
    return core_->progress(now);
}
Time VerbsDatapath::next_wakeup() const noexcept {
    return core_->next_wakeup();
}
bool VerbsDatapath::arm() {
    return core_->arm();
}
std::vector<int> VerbsDatapath::wait_fds() const {
    return {core_->wait_fd()};
}
bool VerbsDatapath::set_policies(const transport::PolicyChange& change) {
    core_->set_policies(change);
    return true;
}

void VerbsDatapath::abandon() noexcept {
    core_->abandon();
}
std::string VerbsDatapath::stats_json() const {
    return core_->stats_json();
}
void VerbsDatapath::add_dmabuf(int fd, std::uint64_t offset, std::byte* address, std::size_t size) {
    core_->registry().add_dmabuf(fd, offset, address, size);
}
void VerbsDatapath::forget_memory(const std::byte* data, std::size_t size) {
    core_->registry().forget(data, size);
}

}  // namespace weft::datapath
