// The fabric's rare events: cues, pauses of priority flow control, new routes.
#include <cmath>
#include <string>
#include <utility>

#include "fabric/fabric.h"

namespace weft::fabric {
namespace {

constexpr std::uint8_t kAllClasses = (1U << kClasses) - 1;
// Reasons for which a port is down: one each, so that two overlapping failures end independently.
constexpr std::uint8_t kLinkFailed = 1;
constexpr std::uint8_t kFromFailed = 2;
constexpr std::uint8_t kToFailed = 4;

bool is_probability(double value) {
    return value >= 0 && value <= 1;
}

}  // namespace

const char* to_string(CueKind kind) {
    switch (kind) {
        case CueKind::kLinkDown:
            return "link_down";
        case CueKind::kLinkUp:
            return "link_up";
        case CueKind::kLinkRate:
            return "link_rate";
        case CueKind::kLinkDelay:
            return "link_delay";
        case CueKind::kLinkLoss:
            return "link_loss";
        case CueKind::kLinkCorruption:
            return "link_corruption";
        case CueKind::kLinkJitter:
            return "link_jitter";
        case CueKind::kLinkDuplication:
            return "link_duplication";
        case CueKind::kSwitchDown:
            return "switch_down";
        case CueKind::kSwitchUp:
            return "switch_up";
        case CueKind::kHostPause:
            return "host_pause";
        case CueKind::kHostResume:
            return "host_resume";
    }
    return "unknown";
}

void Fabric::schedule(const Cue& cue) {
    const std::string name = std::string("cue ") + to_string(cue.kind);
    std::size_t targets = topology_.links.size();
    if (cue.kind >= CueKind::kHostPause) {
        targets = topology_.hosts;
    } else if (cue.kind >= CueKind::kSwitchDown) {
        targets = topology_.switches.size();
    }
    if (cue.target >= targets) {
        throw TopologyError(name + ": target " + std::to_string(cue.target) +
                            " does not exist; there are " + std::to_string(targets));
    }
    if (cue.at < now_) throw TopologyError(name + ": its time is past");
    const bool probability = cue.kind == CueKind::kLinkLoss ||
                             cue.kind == CueKind::kLinkCorruption ||
                             cue.kind == CueKind::kLinkDuplication;
    if (!std::isfinite(cue.value) || cue.value < 0 || (probability && !is_probability(cue.value)) ||
        (cue.kind == CueKind::kLinkRate && cue.value == 0)) {
        throw TopologyError(name + ": value " + std::to_string(cue.value) + " is out of range");
    }
    Control control;
    control.cue = cue;
    schedule_control(cue.at, control);
}

void Fabric::schedule_control(Time when, const Control& control) {
    std::uint32_t index = 0;
    if (free_controls_.empty()) {
        index = static_cast<std::uint32_t>(controls_.size());
        controls_.push_back(control);
    } else {
        index = free_controls_.back();
        free_controls_.pop_back();
        controls_[index] = control;
    }
    events_.push(when, kControlTag | index);
}

void Fabric::control(std::uint32_t index) {
    const Control control = controls_[index];
    free_controls_.push_back(index);
    switch (control.kind) {
        case Control::kCue:
            perform(control.cue);
            break;
        case Control::kPause:
            pause(control.port, static_cast<std::uint8_t>(1U << control.priority), true);
            break;
        case Control::kResume:
            pause(control.port, static_cast<std::uint8_t>(1U << control.priority), false);
            break;
        case Control::kReroute: {
            std::vector<bool> up(ports_.size());
            for (PortId port = 0; port < ports_.size(); ++port) up[port] = ports_[port].down == 0;
            routing_.update(up);
            break;
        }
    }
}

void Fabric::perform(const Cue& cue) {
    if (cue.kind == CueKind::kSwitchDown || cue.kind == CueKind::kSwitchUp) {
        const NodeId node = topology_.hosts + cue.target;
        for (PortId port = 0; port < ports_.size(); ++port) {
            if (from(port) == node) set_down(port, kFromFailed, cue.kind == CueKind::kSwitchDown);
            if (ports_[port].to == node)
                set_down(port, kToFailed, cue.kind == CueKind::kSwitchDown);
        }
        reroute_later();
        return;
    }
    if (cue.kind == CueKind::kHostPause || cue.kind == CueKind::kHostResume) {
        const bool on = cue.kind == CueKind::kHostPause;
        held_.resize(topology_.hosts);
        host_paused_[cue.target] = on;
        for (const PortId port : routing_.ways(cue.target, cue.target))
            pause(port, kAllClasses, on);
        if (!on) {
            for (const PacketIndex index : std::exchange(held_[cue.target], {}))
                events_.push(now_, kArrivalTag | index);
        }
        return;
    }
    if (cue.kind == CueKind::kLinkDown || cue.kind == CueKind::kLinkUp) {
        for (const PortId port : {2 * cue.target, 2 * cue.target + 1})
            set_down(port, kLinkFailed, cue.kind == CueKind::kLinkDown);
        reroute_later();
        return;
    }
    for (const Side side : {Side::kForward, Side::kBackward}) {
        if (cue.side != Side::kBoth && cue.side != side) continue;
        const PortId port = 2 * cue.target + (side == Side::kBackward ? 1 : 0);
        const auto nanoseconds = static_cast<Time>(cue.value * static_cast<double>(kNanosecond));
        switch (cue.kind) {
            case CueKind::kLinkRate:
                ports_[port].time_per_byte = 8e12 / cue.value;
                break;
            case CueKind::kLinkDelay:
                ports_[port].delay = nanoseconds;
                break;
            case CueKind::kLinkLoss:
                impairment(port).loss = cue.value;
                break;
            case CueKind::kLinkCorruption:
                impairment(port).corruption = cue.value;
                break;
            case CueKind::kLinkDuplication:
                impairment(port).duplication = cue.value;
                break;
            default:
                impairment(port).jitter = nanoseconds;
                break;
        }
    }
}

void Fabric::set_down(PortId id, std::uint8_t reason, bool down) {
    Port& port = ports_[id];
    const bool was_down = port.down != 0;
    port.down = static_cast<std::uint8_t>(down ? port.down | reason : port.down & ~reason);
    if (port.down == 0 && from_host(id)) request_service(id);
    if (was_down || port.down == 0) return;
    ++port.wire_epoch;  // what is on the wire now will find another number when it arrives
    for (std::uint8_t priority = 0; priority < kClasses; ++priority) {
        while ((port.waiting >> priority & 1) != 0) {
            const PacketIndex index = take(port, priority);
            account(id, packets_[index], false);
            ++port.lost;
            drop(index, DropReason::kLinkDown);
        }
    }
}

void Fabric::pause(PortId id, std::uint8_t classes, bool on) {
    Port& port = ports_[id];
    port.paused = static_cast<std::uint8_t>(on ? port.paused | classes : port.paused & ~classes);
    if (!on) request_service(id);
}

void Fabric::reroute_later() {
    if (options_.reroute_after == kNever) return;
    Control control;
    control.kind = Control::kReroute;
    schedule_control(now_ + options_.reroute_after, control);
}

Fabric::Impairment& Fabric::impairment(PortId id) {
    Port& port = ports_[id];
    if (port.impairment == 0) {
        if (impairments_.size() > 0xFFFF) throw TopologyError("more than 65,535 imperfect links");
        port.impairment = static_cast<std::uint16_t>(impairments_.size());
        impairments_.push_back(
            {0, 0, 0, 0, false, Random(mix(options_.seed + 0x10551U * (id + 1)))});
    }
    return impairments_[port.impairment];
}

}  // namespace weft::fabric
