// One small scenario in ns-3, to hold our simulator against: a 64-host leaf-spine (8 x 8, 100
// Gbit/s, 1 us), a permutation of 2 MB each in packets of 4096 bytes over UDP, sent at line rate,
// every packet by a random one of the equal routes. UDP does less than our side of the comparison:
// no acknowledgement, no congestion control, no recovery. Usage: leaf_spine MESSAGE_BYTES; prints:
// packets received, events, seconds of wall time.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"

namespace {

constexpr std::uint32_t kLeaves = 8;
constexpr std::uint32_t kSpines = 8;
constexpr std::uint32_t kHostsPerLeaf = 8;
constexpr std::uint32_t kPacket = 4096;
constexpr std::uint16_t kPort = 9;

// Sattolo's algorithm: nobody sends to itself.
std::vector<std::uint32_t> permutation(std::uint32_t hosts) {
    std::mt19937 random(1);
    std::vector<std::uint32_t> to(hosts);
    std::iota(to.begin(), to.end(), 0U);
    for (std::uint32_t i = hosts - 1; i > 0; --i) std::swap(to[i], to[random() % i]);
    return to;
}

}  // namespace

int main(int argc, char** argv) {
    const auto message = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 2'000'000);
    ns3::Config::SetDefault("ns3::Ipv4GlobalRouting::RandomEcmpRouting", ns3::BooleanValue(true));
    ns3::Config::SetDefault("ns3::DropTailQueue<Packet>::MaxSize", ns3::StringValue("400kB"));
    ns3::NodeContainer hosts(kLeaves * kHostsPerLeaf);
    ns3::NodeContainer leaves(kLeaves);
    ns3::NodeContainer spines(kSpines);
    ns3::InternetStackHelper internet;
    internet.Install(hosts);
    internet.Install(leaves);
    internet.Install(spines);

    ns3::PointToPointHelper link;
    link.SetDeviceAttribute("DataRate", ns3::StringValue("100Gbps"));
    link.SetDeviceAttribute("Mtu", ns3::UintegerValue(9000));
    link.SetChannelAttribute("Delay", ns3::StringValue("1us"));
    ns3::Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.252");
    const auto join = [&](ns3::Ptr<ns3::Node> a, ns3::Ptr<ns3::Node> b) {
        const auto interfaces = addresses.Assign(link.Install(a, b));
        addresses.NewNetwork();
        return interfaces.GetAddress(0);
    };
    std::vector<ns3::Ipv4Address> address;
    for (std::uint32_t h = 0; h < hosts.GetN(); ++h)
        address.push_back(join(hosts.Get(h), leaves.Get(h / kHostsPerLeaf)));
    for (std::uint32_t l = 0; l < kLeaves; ++l) {
        for (std::uint32_t s = 0; s < kSpines; ++s) join(leaves.Get(l), spines.Get(s));
    }
    ns3::Ipv4GlobalRoutingHelper::PopulateRoutingTables();

    const auto to = permutation(hosts.GetN());
    ns3::ApplicationContainer sinks;
    for (std::uint32_t h = 0; h < hosts.GetN(); ++h) {
        ns3::UdpServerHelper server(kPort);
        sinks.Add(server.Install(hosts.Get(h)));
        ns3::UdpClientHelper client(address[to[h]], kPort);
        client.SetAttribute("PacketSize", ns3::UintegerValue(kPacket));
        client.SetAttribute("MaxPackets", ns3::UintegerValue((message + kPacket - 1) / kPacket));
        // One packet in the time that its bytes on the wire take, headers included.
        client.SetAttribute("Interval", ns3::TimeValue(ns3::PicoSeconds(80 * (kPacket + 30))));
        client.Install(hosts.Get(h));
    }
    const auto start = std::chrono::steady_clock::now();
    ns3::Simulator::Stop(ns3::MilliSeconds(5));
    ns3::Simulator::Run();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::uint64_t received = 0;
    for (std::uint32_t h = 0; h < sinks.GetN(); ++h)
        received += ns3::DynamicCast<ns3::UdpServer>(sinks.Get(h))->GetReceived();
    std::printf("%llu %llu %.6f\n", static_cast<unsigned long long>(received),
                static_cast<unsigned long long>(ns3::Simulator::GetEventCount()), seconds);
    ns3::Simulator::Destroy();
    return EXIT_SUCCESS;
}
