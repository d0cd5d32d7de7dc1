#include "engine/mesh.h"

#include <algorithm>

namespace weft::engine {
namespace {

using datapath::Channel;
using datapath::hex;
using datapath::PeerId;

constexpr std::size_t kMostEarly =
    4096;  // messages remembered for groups not made yet; more are found when received by name

}  // namespace

Address Mesh::address() const {
    Address address{.peer = self_, .entries = {}};
    for (const auto& datapath : engine_.datapaths()) {
        address.entries.push_back({std::string(datapath->protocol()), datapath->address()});
    }
    return address;
}

Peer& Mesh::make(PeerId id) {
    return *(peers_[id] = std::make_unique<Peer>(id));
}

Peer* Mesh::find(PeerId id) noexcept {
    const auto it = peers_.find(id);
    return it == peers_.end() ? nullptr : it->second.get();
}

Peer& Mesh::want(const Address& address, Time deadline, bool call_anyway) {
    Peer* peer = find(address.peer);
    if (peer == nullptr) {
        peer = &make(address.peer);
    }
    if (!peer->claimed_) {
        peer->claimed_ = true;
        std::erase(unclaimed_, peer->id_);
    }
    peer->address_ = address;
    peer->deadline_ = std::max(deadline, peer->deadline_ == kNever ? deadline : peer->deadline_);
    if (peer->state_ == Peer::State::kConnecting && !peer->calling_ &&
        (call_anyway || self_ < peer->id_)) {
        peer->calling_ = true;
        peer->next_entry_ = 0;
        call_next(*peer, nullptr);
    }
    return *peer;
}

// Tries this process's datapaths in its order of preference.
void Mesh::call_next(Peer& peer, ErrorPtr last_error) {
    const auto& datapaths = engine_.datapaths();
    while (peer.next_entry_ < datapaths.size()) {
        datapath::Datapath& datapath = *datapaths[peer.next_entry_++];
        const std::string* address = peer.address_.find(datapath.protocol());
        if (address != nullptr && datapath.reaches(*address)) {
            if (peer.channel_) {
                retired_.push_back(std::move(peer.channel_));
            }
            peer.channel_ = datapath.connect(peer.id_, *address, *this, peer.deadline_);
            if (peer.channel_->state() == Channel::State::kOpen) {
                channel_open(*peer.channel_);
            }
            if (peer.channel_->state() != Channel::State::kFailed) {
                return;
            }
            last_error = peer.channel_->error();
        }
    }
    peer.state_ = Peer::State::kFailed;
    peer.error_ = last_error ? last_error
                             : make_error(WEFT_ERR_UNREACHABLE,
                                          "no datapath reaches peer " + hex(peer.id_) +
                                              ": the two processes have none in common that works "
                                              "between them (see the `datapaths` option)",
                                          peer.id_);
    changed();
}

void Mesh::give_up(Peer& peer) {
    if (peer.state_ != Peer::State::kConnecting || !watchers_.empty()) {
        return;  // settled, or others may be waiting for it too
    }
    if (peer.channel_) {
        peer.channel_->close();
        retired_.push_back(std::move(peer.channel_));
    }
    peers_.erase(peer.id_);  // a later attempt begins anew
}

Peer* Mesh::next_unclaimed() {
    while (!unclaimed_.empty()) {
        Peer* peer = find(unclaimed_.front());
        unclaimed_.pop_front();
        if (peer != nullptr && peer->state_ == Peer::State::kOpen) {
            peer->claimed_ = true;
            return peer;
        }
    }
    return nullptr;
}

void Mesh::add_group(std::uint64_t group, GroupHandler& handler) {
    groups_[group] = &handler;
    if (auto node = early_.extract(group)) {
        for (const Early& early : node.mapped()) {
            if (Peer* peer = find(early.peer);
                peer != nullptr && peer->state_ == Peer::State::kOpen) {
                handler.message_unmatched(*peer, early.tag, early.signature, early.size);
            }
        }
    }
}

void Mesh::remove_group(std::uint64_t group) {
    groups_.erase(group);
    early_.erase(group);
    for (auto& [id, peer] : peers_) {
        if (peer->state_ == Peer::State::kOpen) {
            peer->channel_->forget_group(group);
        }
    }
}

void Mesh::changed() {
    const auto watchers = watchers_;  // they may come and go meanwhile
    for (const auto& [key, changed] : watchers) {
        changed();
    }
}

void Mesh::count_local_processes() {
    int local = 1;
    for (const auto& [id, peer] : peers_) {
        local += peer->state_ == Peer::State::kOpen && peer->channel_->datapath() == "shm";
    }
    engine_.set_local_processes(local);
}

void Mesh::close() {
    closed_ = true;
    for (auto& [id, peer] : peers_) {
        if (peer->channel_ && peer->state_ != Peer::State::kFailed) {
            peer->channel_->close();
        }
    }
}

std::string Mesh::stats_json() const {
    std::string json = "[";
    for (const auto& [id, peer] : peers_) {
        json += json.size() > 1 ? "," : "";
        json += "{\"peer\":\"" + hex(id) + "\",\"state\":\"";
        json += peer->state_ == Peer::State::kOpen     ? "open"
                : peer->state_ == Peer::State::kFailed ? "failed"
                                                       : "connecting";
        json += "\"";
        if (peer->channel_) {
            json += ",\"datapath\":\"" + std::string(peer->channel_->datapath()) +
                    "\",\"channel\":" + peer->channel_->stats_json();
        }
        json += "}";
    }
    return json + "]";
}

void Mesh::send_detached(Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                         std::string bytes) {
    if (peer.state_ != Peer::State::kOpen) {
        return;
    }
    detached_.push_back(std::make_unique<Detached>(std::move(bytes)));
    Detached& message = *detached_.back();
    message.transfer.tag = tag;
    message.transfer.signature = signature;
    message.transfer.data = reinterpret_cast<std::byte*>(message.bytes.data());
    message.transfer.size = message.bytes.size();
    message.transfer.observer = &message;
    peer.channel_->send(message.transfer);
    sweep_detached();
}

// Not from inside transfer_done: the channel may still look at the transfer when it returns.
void Mesh::sweep_detached() {
    std::erase_if(detached_, [](const auto& message) { return message->ended; });
}

// ---------------------------------------------------------------- what channels and datapaths tell
// us

void Mesh::channel_open(Channel& channel) {
    Peer* peer = find(channel.peer());
    if (peer == nullptr || peer->channel_.get() != &channel) {
        return;
    }
    peer->state_ = Peer::State::kOpen;
    count_local_processes();
    changed();
}

datapath::ChannelOwner* Mesh::owner_for(PeerId id) {
    const Peer* peer = find(id);
    const bool taken = peer != nullptr &&
                       (peer->state_ != Peer::State::kConnecting || (peer->calling_ && self_ < id));
    return closed_ || taken || id == self_ ? nullptr : this;
}

void Mesh::accepted(std::unique_ptr<Channel> channel) {
    Peer* peer = find(channel->peer());
    if (peer == nullptr) {
        peer = &make(channel->peer());
    }
    if (peer->channel_) {
        retired_.push_back(std::move(peer->channel_));  // our own call, which the peer's overrules
    }
    peer->channel_ = std::move(channel);
    if (!peer->claimed_) {
        unclaimed_.push_back(peer->id_);
    }
    if (peer->channel_->state() == Channel::State::kOpen) {
        channel_open(*peer->channel_);
    }
}

void Mesh::message_unmatched(Channel& channel, const datapath::Tag& tag, std::uint64_t signature,
                             std::size_t size) {
    Peer* peer = find(channel.peer());
    if (peer == nullptr) {
        return;
    }
    if (const auto it = groups_.find(tag.group); it != groups_.end()) {
        it->second->message_unmatched(*peer, tag, signature, size);
    } else if (tag.group < kFirstGroup) {
        return;  // a message outside groups: found by the receive that wants it
    } else if (auto& early = early_[tag.group]; early.size() < kMostEarly) {
        early.push_back({peer->id_, tag, signature, size});
    }
}

void Mesh::channel_failed(Channel& channel, const ErrorPtr& error) {
    Peer* peer = find(channel.peer());
    if (peer == nullptr || peer->channel_.get() != &channel) {
        return;
    }
    if (peer->state_ == Peer::State::kConnecting && peer->calling_) {
        call_next(*peer, error);
        return;
    }
    peer->state_ = Peer::State::kFailed;
    peer->error_ = error;
    if (channel.state() == Channel::State::kClosed) {
        changed();  // it left in order: only what still needs it fails (with its transfers)
        return;
    }
    const auto groups = groups_;
    for (const auto& [group, handler] : groups) {
        if (groups_.contains(group)) {
            handler->peer_failed(*peer, error);
        }
    }
    changed();
}

}  // namespace weft::engine
