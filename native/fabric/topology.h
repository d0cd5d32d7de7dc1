// What is joined to what: hosts, switches and the links between them, and the well-known shapes.
//
// A host here is one network interface (an endpoint); a server with eight of them is eight hosts.
// Nodes are numbered hosts first. Links are duplex, and symmetric unless a cue changes one side.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "fabric/packet.h"
#include "fabric/time.h"

namespace weft::fabric {

// The topology cannot be: the text names the number at fault and what would do.
class TopologyError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

struct Link {
    NodeId a = 0;
    NodeId b = 0;
    double rate = 100e9;  // bit/s, > 0
    Time delay = kMicrosecond;
    double loss = 0;           // probability that a packet vanishes, 0 .. 1
    double corruption = 0;     // probability that it arrives with flipped bits, 0 .. 1
    double duplication = 0;    // probability that it arrives twice, 0 .. 1 (where the edge can)
    Time jitter = 0;           // added to the delay, uniform in [0, jitter]; packets may overtake
    std::uint32_t weight = 1;  // share of the traffic among equally short ways, 1 .. 64
};

struct Switch {
    std::string name;
    std::uint32_t tier = 0;  // 0: where hosts are
};

struct Topology {
    std::uint32_t hosts = 0;
    std::vector<Switch> switches;
    std::vector<Link> links;

    std::uint32_t nodes() const { return hosts + static_cast<std::uint32_t>(switches.size()); }
    std::string node_name(NodeId node) const;  // "h12" or the switch's name

    NodeId add_switch(std::string name, std::uint32_t tier);
    void add_link(NodeId a, NodeId b, double rate, Time delay);

    // Throws TopologyError for the first thing that is wrong: a node without links, a link to
    // nowhere or to itself, a rate or probability out of range.
    void check() const;
};

// Rate and delay of the links of one tier.
struct Cable {
    double rate = 100e9;  // bit/s
    Time delay = kMicrosecond;
};

// `leaves` leaf switches with `hosts_per_leaf` hosts each, every leaf joined to every spine by
// `bundle` parallel links.
struct LeafSpine {
    std::uint32_t leaves = 4;
    std::uint32_t spines = 4;
    std::uint32_t hosts_per_leaf = 4;
    std::uint32_t bundle = 1;
    Cable down{};  // host to leaf
    Cable up{};    // leaf to spine
};
Topology leaf_spine(const LeafSpine& shape);

// A fat-tree of two or three tiers (Al-Fares, Loukissas, Vahdat, SIGCOMM'08), with any ratio of
// ports up to ports down. Tier 0 switches (ToR) have `tor_down` hosts and `tor_up` uplinks, one to
// each aggregation switch of their pod (several to each when `tor_up` is a multiple of
// `pod_aggregations`); aggregation switch number j of every pod is joined to the cores
// j * aggregation_up .. + aggregation_up - 1, by `core_bundle` parallel links each.
struct FatTree {
    std::uint32_t pods = 4;
    std::uint32_t pod_tors = 2;
    std::uint32_t pod_aggregations = 2;
    std::uint32_t tor_down = 2;
    std::uint32_t tor_up = 2;
    std::uint32_t aggregation_up = 2;  // cores that one aggregation switch reaches
    std::uint32_t core_bundle = 1;
    Cable down{};  // host to ToR
    Cable up{};    // ToR to aggregation
    Cable core{};  // aggregation to core
};
Topology fat_tree(const FatTree& shape);

// Rail-optimised: host number server * rails + r sits on the rail switch r of its group of
// `group_servers` servers; all rail switches meet in `spines` spines.
struct RailOptimised {
    std::uint32_t servers = 8;
    std::uint32_t rails = 8;
    std::uint32_t group_servers = 4;
    std::uint32_t spines = 8;
    Cable down{};
    Cable up{};
};
Topology rail_optimised(const RailOptimised& shape);

// `left` hosts on one switch, `right` on another, and one link (the neck) between the two.
struct Dumbbell {
    std::uint32_t left = 4;
    std::uint32_t right = 4;
    Cable down{};
    Cable neck{};
};
Topology dumbbell(const Dumbbell& shape);

// A torus with the given extents (one of them: a ring); one host on every node's switch.
struct Torus {
    std::vector<std::uint32_t> extents{4, 4};
    Cable down{};
    Cable side{};
};
Topology torus(const Torus& shape);

// Every host has one interface in each of `planes` independent leaf-spine fabrics, and spreads its
// packets over them (multi-plane, as in MRC).
Topology multi_plane(const LeafSpine& plane, std::uint32_t planes);

}  // namespace weft::fabric
