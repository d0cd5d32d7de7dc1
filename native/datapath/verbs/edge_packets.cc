// Packets and chunks of an edge: out as writes, packets on lanes or control packets, and in again.
#include <algorithm>
#include <cstring>

#include "datapath/verbs/core.h"
#include "datapath/verbs/edge.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::size_t kPumpBytes = 1 << 20;      // per round
constexpr std::size_t kRegisterFrom = 64 << 10;  // smaller messages are cheaper to copy

bool is_of_lane(NoteKind kind) {
    return kind == NoteKind::kLane || kind == NoteKind::kFence;
}

}  // namespace

// ---------------------------------------------------------------- out

bool Edge::pump(Time now) {
    bool moved = false;
    if (connection_) {
        drain_events(now);
        moved = transmit(now);
        drain_events(now);
    }
    update_wake(now);
    return moved;
}

bool Edge::transmit(Time now) {
    transport::Transmit next;
    std::size_t bytes = 0;
    while (bytes < kPumpBytes && connection_) {
        if (stalled_) {
            next = *stalled_;
        } else if (!connection_->poll_transmit(now, next)) {
            return bytes > 0;
        }
        if (!put(now, next)) {
            stalled_ = next;
            return bytes > 0;  // whatever makes room touches the edge
        }
        stalled_.reset();
        bytes += 64 + (next.packet.kind == wire::PacketKind::kData ? next.packet.data.length : 0);
    }
    touch();
    return bytes > 0;
}

bool Edge::put(Time now, const transport::Transmit& next) {
    const wire::Packet& packet = next.packet;
    remote_connection_ = packet.connection != 0 ? packet.connection : remote_connection_;
    use(now);
    const bool data = packet.kind == wire::PacketKind::kData;
    if (!data && packet.kind != wire::PacketKind::kProbe) {
        return put_control(next);
    }
    if (!data && phase_ == Phase::kConnecting) {
        return put_control(next);  // is anybody there? Lanes are not
    }
    Lane* lane = lane_for(packet.path);
    if (!data && (lane == nullptr || index_of(*lane) != packet.path % lanes_.size())) {
        return true;  // a probe asks whether its own lane works: it does not
    }
    if (lane == nullptr) {  // lost, and nothing more like it until one is ready
        connection_->hold_chunks(phase_ < Phase::kEnded);
        return true;
    }
    Outgoing* message = nullptr;
    if (data && packet.data.length > 0) {
        message = outgoing_.find(next.cookie);
        if (message == nullptr) {
            return true;  // withdrawn: the transport was told, and asks no more
        }
        if (may_write(next, *lane, *message) && registered(*message) != nullptr) {
            return put_written(next, *lane, *message);
        }
    }
    return put_packet(next, *lane, message);
}

// Its own lane, or while that is being made anew the next one that works.
Lane* Edge::lane_for(std::uint16_t path) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        Lane& lane = lanes_[(path + i) % lanes_.size()];
        if (lane.ready) {
            return &lane;
        }
    }
    return nullptr;
}

bool Edge::is_new(std::uint32_t sequence) const {
    return !any_sequence_ || static_cast<std::int32_t>(sequence - next_sequence_) >= 0;
}

void Edge::note_first(const wire::Packet& packet, std::uint16_t lane) {
    if (wire::is_sequenced(packet.kind) && is_new(packet.sequence)) {
        any_sequence_ = true;
        next_sequence_ = packet.sequence + 1;
        firsts_[packet.sequence % firsts_.size()] = {packet.timestamp, lane};
    }
}

// Where the first copy of this packet's sequence number was written, if it was.
std::uint16_t Edge::first_lane(const wire::Packet& packet) const {
    return wire::is_sequenced(packet.kind) ? firsts_[packet.sequence % firsts_.size()].lane
                                           : kNoLane;
}

bool Edge::may_write(const transport::Transmit& next, const Lane& lane,
                     const Outgoing& message) const {
    const wire::Packet& packet = next.packet;
    const wire::Data& data = packet.data;
    return message.placed && lane.pair != nullptr && packet.flags == 0 && is_new(packet.sequence) &&
           data.offset % chunk_ == 0 &&
           (data.length == chunk_ || data.offset + data.length == data.size);
}

Registration* Edge::registered(Outgoing& message) {
    if (message.attachment == nullptr && !message.unregistered) {
        if (message.copy.empty() && message.size >= kRegisterFrom) {
            message.attachment = core_.registry().get(message.data, message.size, false);
        }
        message.unregistered = message.attachment == nullptr;
    }
    return static_cast<Registration*>(message.attachment.get());
}

bool Edge::put_written(const transport::Transmit& next, Lane& lane, Outgoing& message) {
    if (!core_.has_room(lane.local_rail, lane.sends, kLaneSends)) {
        return false;
    }
    const wire::Packet& packet = next.packet;
    const auto descriptor = decode_descriptor(message.remote);
    if (!descriptor) {
        message.placed = false;
        return put_packet(next, lane, &message);
    }
    const std::uint64_t offset = packet.data.offset;
    SendWork work;
    work.operation = Operation::kWriteImm;
    work.pieces = 1;
    work.piece[0] = {reinterpret_cast<std::uintptr_t>(message.data + offset), packet.data.length,
                     registered(message)->local_key(lane.local_rail)};
    work.remote_address = descriptor->address + offset;
    work.remote_key = descriptor->keys[lane.remote_rail];
    work.immediate = encode(Immediate{.sequence = static_cast<std::uint16_t>(packet.sequence),
                                      .slot = descriptor->slot,
                                      .place = static_cast<std::uint16_t>(offset / chunk_ & 1023)});
    note_first(packet, static_cast<std::uint16_t>(index_of(lane)));
    ++message.readers;
    ++lane.written;
    core_.queue(lane.local_rail, lane.sends, work, {.message = message.handle});
    return true;
}

bool Edge::put_packet(const transport::Transmit& next, Lane& lane, Outgoing* message) {
    Rail& rail = *lane.rail;
    const bool ud = lane.pair == nullptr;
    SendQueue& sends = ud ? queue_of(own_way(lane)) : lane.sends;
    Registration* memory = ud || message == nullptr ? nullptr : registered(*message);
    if (!core_.has_room(lane.local_rail, sends, ud ? kControlSends : kLaneSends) ||
        rail.headers().empty() ||
        (message != nullptr && memory == nullptr && rail.copies().empty())) {
        return false;
    }
    const wire::Packet& packet = next.packet;
    const bool again = wire::is_sequenced(packet.kind) && !is_new(packet.sequence);
    const std::uint32_t header = rail.headers().take();
    auto* bytes = reinterpret_cast<std::uint8_t*>(rail.headers().at(header));
    encode(Prefix{.rail = lane.local_rail, .first_lane = again ? first_lane(packet) : kNoLane},
           std::span<std::uint8_t, kPrefixSize>(bytes, kPrefixSize));
    const std::size_t size =
        kPrefixSize + wire::encode(packet, {bytes + kPrefixSize, kHeaderPiece - kPrefixSize});
    Posted posted{.header = header};
    SendWork work;
    work.pieces = 1;
    work.piece[0] = {reinterpret_cast<std::uintptr_t>(bytes), static_cast<std::uint32_t>(size),
                     rail.headers().key()};
    if (message != nullptr) {
        const std::byte* payload = message->data + packet.data.offset;
        work.pieces = 2;
        if (memory != nullptr) {
            work.piece[1] = {reinterpret_cast<std::uintptr_t>(payload), packet.data.length,
                             memory->local_key(lane.local_rail)};
            posted.message = message->handle;
            ++message->readers;
        } else {
            posted.copy = rail.copies().take();
            std::memcpy(rail.copies().at(posted.copy), payload, packet.data.length);
            work.piece[1] = {reinterpret_cast<std::uintptr_t>(rail.copies().at(posted.copy)),
                             packet.data.length, rail.copies().key()};
            ++copied_;
        }
    }
    if (ud) {
        const Target target = target_of(own_way(lane));
        work.to = target.to;
        work.remote_qp = target.pair;
        if (work.to == nullptr) {  // no way to there: as good as lost
            rail.headers().give_back(header);
            if (posted.copy != Arena::kNone) {
                rail.copies().give_back(posted.copy);
            }
            return true;
        }
    }
    note_first(packet, kNoLane);
    ++lane.announced;
    core_.queue(lane.local_rail, sends, work, posted);
    return true;
}

// While nothing is known of the ways, each packet takes another; when all were tried, a new one.
bool Edge::put_control(const transport::Transmit& next) {
    const wire::Packet& packet = next.packet;
    const bool greeting = phase_ == Phase::kConnecting && lanes_since_ == kNever;
    Way& way = greeting ? way_in_turn() : way_for(packet.path);
    if (greeting && ++greetings_ > ways_.size()) {
        renew(clock_now(), way);
    }
    const bool again = wire::is_sequenced(packet.kind) && !is_new(packet.sequence);
    const Prefix prefix{.rail = way.rails.local,
                        .card = packet.kind == wire::PacketKind::kHello,
                        .first_lane = again ? first_lane(packet) : kNoLane};
    const bool sent = core_.send_control(
        way.rails.local, queue_of(way), target_of(way), prefix,
        [&](std::span<std::uint8_t> room) { return wire::encode(packet, room); });
    if (sent) {
        note_first(packet, kNoLane);
    }
    return sent;
}

bool Edge::send_note(const Note& given, Way& way) {
    Note note = given;
    const bool check = note.kind == NoteKind::kCheck;
    if (!is_of_lane(note.kind)) {
        note.from_rail = way.rails.local;
        note.to_rail = way.rails.remote;
    }
    note.proof = check ? 0 : prove(note, core_.key());
    return core_.send_control(way.rails.local, queue_of(way), target_of(way),
                              {.rail = way.rails.local, .card = check},
                              [&](std::span<std::uint8_t> room) {
                                  std::ranges::copy(encode(note), room.begin());
                                  return kNoteSize;
                              });
}

// About a lane, by whichever way: that of its own rails may be what is wrong.
bool Edge::send_lane_note(const Note& given, const Lane& lane) {
    Note note = given;
    note.from_rail = lane.local_rail;
    note.to_rail = lane.remote_rail;
    return send_note(note, way_in_turn());
}

// ---------------------------------------------------------------- in

void Edge::on_sent(Time now, std::size_t index, const Completion& done) {
    Lane& lane = lanes_[index];
    if (done.status == WorkStatus::kSuccess) {
        lane.failures = 0;
    }
    core_.complete(lane.local_rail, lane.sends, done.id,
                   [this](std::uint64_t message) { reader_done(message); });
    if (done.status != WorkStatus::kSuccess) {
        on_broken(now, index);
    }
    touch();
}

// The message ends before the device has read all of it that was handed over: those work requests
// go with their queue pairs, for the memory is the user's from now on.
void Edge::let_go(Outgoing& message) {
    for (std::size_t i = 0; i < lanes_.size() && message.readers > 0; ++i) {
        if (!lanes_[i].sends.posted.empty()) {
            renew(clock_now(), lanes_[i]);
        }
    }
}

void Edge::on_received(Time now, std::size_t index, std::span<const std::uint8_t> bytes) {
    Lane& lane = lanes_[index];
    const auto prefix = decode_prefix(bytes);
    if (!prefix || prefix->card || !connection_) {
        on_undecodable(wire::DecodeStatus::kMalformed);
        return;
    }
    const auto rest = bytes.subspan(kPrefixSize);
    if (const auto note = decode_note(rest)) {
        if (note->kind == NoteKind::kMarker && note->id == connection_->id() &&
            note->proof == prove(*note, core_.key())) {
            answered(lane, note->word);
        } else {
            ++refused_notes_;
        }
        return;
    }
    if (!lane.ready && lane.peer_pair != 0) {  // whoever sends on it knows our pair
        lane_ready(now, lane);
        open_if_ready(now);
    }
    on_packet_bytes(now, rest, *prefix);
}

void Edge::on_control(Time now, std::span<const std::uint8_t> bytes, const Prefix& prefix) {
    on_packet_bytes(now, bytes, prefix);
}

void Edge::on_packet_bytes(Time now, std::span<const std::uint8_t> bytes, const Prefix& prefix) {
    wire::Packet packet;
    std::span<const std::uint8_t> payload;
    if (const auto status = wire::decode(bytes, packet, payload);
        status != wire::DecodeStatus::kOk) {
        on_undecodable(status);
        return;
    }
    if (wire::is_sequenced(packet.kind) && phase_ == Phase::kConnecting) {
        // Whoever sends messages is open, and has waited long enough for lanes that are not ready.
        open_if_ready(now, false);
        if (phase_ != Phase::kOpen) {
            return;  // it comes again
        }
    }
    if (wire::is_sequenced(packet.kind)) {
        note_received(packet.sequence);
        if (prefix.first_lane < lanes_.size()) {
            Lane& lane = lanes_[prefix.first_lane];
            if (!lane.doubt ||
                static_cast<std::int32_t>(packet.sequence - lane.doubt_sequence) > 0) {
                lane.doubt_sequence = packet.sequence;
            }
            lane.doubt = lane.pair != nullptr;
        }
    } else if (packet.kind == wire::PacketKind::kAck && packet.ack.echo_timestamp == 0) {
        // The echo of a chunk that was written: its immediate had no room for a time stamp.
        packet.ack.echo_timestamp = firsts_[packet.ack.echo_sequence % firsts_.size()].timestamp;
    }
    on_packet(now, packet, payload, {});
}

void Edge::note_received(std::uint32_t sequence) {
    if (!any_received_ || static_cast<std::int32_t>(sequence - received_) > 0) {
        any_received_ = true;
        received_ = sequence;
    }
}

void Edge::on_written(Time now, std::size_t index, const Completion& done) {
    Lane& lane = lanes_[index];
    const Immediate immediate = decode_immediate(done.immediate);
    const std::uint32_t sequence =
        received_ + static_cast<std::uint32_t>(static_cast<std::int16_t>(
                        immediate.sequence - static_cast<std::uint16_t>(received_)));
    note_received(sequence);
    if (lane.doubt && static_cast<std::int32_t>(sequence - lane.doubt_sequence) > 0) {
        lane.doubt = false;
    }
    Incoming* message = incoming_.find(slots_[immediate.slot]);
    auto* placed = message != nullptr ? dynamic_cast<Placed*>(message->attachment.get()) : nullptr;
    if (placed == nullptr || message->transfer == nullptr || !connection_) {
        ++misplaced_;
        return;
    }
    const std::uint64_t place = expand(immediate.place, 10, placed->highest);
    const std::uint64_t offset = place * chunk_;
    if (offset >= message->size ||
        done.bytes != std::min<std::uint64_t>(chunk_, message->size - offset)) {
        ++misplaced_;
        return;
    }
    placed->highest = std::max(placed->highest, place);
    wire::Packet packet;
    packet.kind = wire::PacketKind::kData;
    packet.path = static_cast<std::uint16_t>(index);
    packet.epoch = epoch_;
    packet.connection = connection_->id();
    packet.sequence = sequence;
    packet.timestamp = 0;
    packet.data = {done.bytes,        message->id,        offset,
                   message->size,     message->tag.group, message->tag.message,
                   message->signature};
    on_packet(now, packet, {}, {}, true);
}

const wire::RemoteDescriptor* Edge::place(Incoming& message, Transfer& transfer) {
    const bool worth_it = transfer.reducer == nullptr && transfer.size > eager_limit_ &&
                          core_.kind() != QpKind::kUd && !free_slots_.empty();
    auto memory = worth_it ? core_.registry().get(transfer.data, transfer.size, true) : nullptr;
    if (memory == nullptr) {
        return nullptr;
    }
    const std::uint8_t slot = free_slots_.back();
    free_slots_.pop_back();
    slots_[slot] = message.handle;
    Descriptor descriptor{
        .address = reinterpret_cast<std::uintptr_t>(transfer.data), .slot = slot, .keys = {}};
    for (std::size_t i = 0; i < memory->devices(); ++i) {
        descriptor.keys[i] = memory->remote_key(i);
    }
    auto placed = std::make_shared<Placed>(*this, slot, std::move(memory));
    placed->highest = eager_limit_ / chunk_;
    message.attachment = std::move(placed);
    descriptor_ = encode(descriptor);
    return &descriptor_;
}

}  // namespace weft::datapath::verbs
