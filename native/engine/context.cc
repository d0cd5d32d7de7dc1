#include "engine/context.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "datapath/policies.h"
#include "datapath/udp/udp.h"
#include "datapath/verbs/verbs.h"
#include "datapath/xdp/xdp.h"
#include "engine/secret.h"

namespace weft::engine {
namespace {

constexpr Time kDefaultTimeout = 30 * 60 * kSecond;
constexpr Time kDefaultConnectTimeout = 30 * kSecond;
constexpr Time kDefaultPeerTimeout = 1500 * kMillisecond;
// xdp only where it is asked for: it takes privileges and a network card for itself, and where the
// kernel copies packets anyway it costs about three times the processor time of udp with its trains
// (`weft bench datapaths`; docs/xdp.md).
constexpr const char* kDefaultDatapaths = "shm,udp";

std::string text_option(const char* given, const char* variable, const char* otherwise) {
    if (given != nullptr) {
        return given;
    }
    const char* value = std::getenv(variable);
    return value != nullptr ? value : otherwise;
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> items;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        if (comma > 0) {
            items.emplace_back(text.substr(0, comma));
        }
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return items;
}

std::map<std::string, std::string> key_values(const std::string& text) {
    std::map<std::string, std::string> values;
    for (const std::string& item : split(text)) {
        const std::size_t equals = item.find('=');
        if (equals == std::string::npos || equals == 0) {
            throw Error(WEFT_ERR_INVALID,
                        "transport options: \"" + item + "\" is not of the form key=value");
        }
        values[item.substr(0, equals)] = item.substr(equals + 1);
    }
    return values;
}

// Without what only one datapath reads.
std::map<std::string, std::string> common_options(const std::map<std::string, std::string>& all) {
    return datapath::VerbsOptions::without(datapath::XdpOptions::without(all));
}

datapath::Identity make_identity(const ContextOptions& options) {
    datapath::Identity identity;
    identity.id = random_word();
    identity.peer_timeout = options.peer_timeout;
    std::ranges::copy(derive_key(options.secret, "weft"), identity.key);
    return identity;
}

}  // namespace

Time milliseconds_from(const char* variable, Time otherwise) {
    const char* text = std::getenv(variable);
    if (text == nullptr) {
        return otherwise;
    }
    char* end = nullptr;
    const long long value = std::strtoll(text, &end, 10);
    if (end == text || *end != '\0' || value <= 0) {
        throw Error(WEFT_ERR_INVALID, std::string(variable) + "=\"" + text +
                                          "\" is not a positive number of milliseconds");
    }
    return value * kMillisecond;
}

ContextOptions ContextOptions::from(const weft_context_options* given) {
    weft_context_options raw = WEFT_CONTEXT_OPTIONS_INIT;
    if (given != nullptr) {
        if (given->struct_size != sizeof raw) {
            throw Error(WEFT_ERR_INVALID,
                        "weft_context_options.struct_size is wrong: initialise it with "
                        "WEFT_CONTEXT_OPTIONS_INIT");
        }
        raw = *given;
    }
    ContextOptions options;
    options.secret = text_option(raw.secret, "WEFT_SECRET", "");
    options.datapaths = text_option(raw.datapaths, "WEFT_DATAPATHS", kDefaultDatapaths);
    options.interfaces = text_option(raw.interfaces, "WEFT_INTERFACES", "");
    options.transport = key_values(text_option(raw.transport, "WEFT_TRANSPORT", ""));
    options.timeout =
        raw.timeout_ns > 0 ? raw.timeout_ns : milliseconds_from("WEFT_TIMEOUT_MS", kDefaultTimeout);
    options.peer_timeout = raw.peer_timeout_ns > 0
                               ? raw.peer_timeout_ns
                               : milliseconds_from("WEFT_PEER_TIMEOUT_MS", kDefaultPeerTimeout);
    options.connect_timeout = milliseconds_from("WEFT_CONNECT_TIMEOUT_MS", kDefaultConnectTimeout);
    options.spin = raw.spin_ns;
    return options;
}

Context::Context(ContextOptions options)
    : options_(std::move(options)),
      engine_({.spin = options_.spin}),
      mesh_(engine_),
      one_sided_(*this) {
    const datapath::Identity identity = make_identity(options_);
    mesh_.set_self(identity.id);
    for (const std::string& name : split(options_.datapaths)) {
        if (name == "shm") {
            auto shm = std::make_unique<datapath::ShmDatapath>(identity, mesh_);
            shm_ = shm.get();
            engine_.add(std::move(shm));
        } else if (name == "udp") {
            auto udp = datapath::UdpOptions::parse(common_options(options_.transport),
                                                   options_.interfaces);
            engine_.add(std::make_unique<datapath::UdpDatapath>(identity, mesh_, std::move(udp)));
        } else if (name == "xdp") {
            auto xdp = datapath::XdpOptions::parse(
                datapath::VerbsOptions::without(options_.transport), options_.interfaces);
            engine_.add(std::make_unique<datapath::XdpDatapath>(identity, mesh_, std::move(xdp)));
        } else if (name == "verbs") {
            auto verbs = datapath::VerbsOptions::parse(
                datapath::XdpOptions::without(options_.transport), options_.interfaces);
            engine_.add(
                std::make_unique<datapath::VerbsDatapath>(identity, mesh_, std::move(verbs)));
        } else {
            throw Error(WEFT_ERR_INVALID,
                        "no datapath \"" + name + "\"; there are: shm, udp, verbs, xdp");
        }
    }
    engine_.start();
}

Context::~Context() {
    if (!engine_.abandoned()) {
        engine_.stop();
        engine_.call([this] { mesh_.close(); });
    }
}

void Context::retire() {
    engine_.stop();
    engine_.poll();
}

std::string Context::address() {
    return engine_.call([this] { return mesh_.address().encode(); });
}

void Context::set_policies(const std::string& pairs) {
    const transport::PolicyChange change = datapath::policy_change(key_values(pairs));
    engine_.call([&] {
        bool any = false;
        for (const auto& datapath : engine_.datapaths()) {
            any = datapath->set_policies(change) || any;
        }
        if (!any) {
            throw Error(WEFT_ERR_UNSUPPORTED, "none of the context's datapaths (" +
                                                  options_.datapaths +
                                                  ") has policies to exchange");
        }
    });
}

datapath::Channel& Context::open_channel(datapath::PeerId id) {
    Peer* peer = mesh_.find(id);
    if (peer == nullptr || peer->state() != Peer::State::kOpen) {
        throw Error(WEFT_ERR_STATE, "the edge to peer " + datapath::hex(id) + " is not open", id);
    }
    return peer->channel();
}

void Context::set_policies(datapath::PeerId peer, const std::string& pairs) {
    const transport::PolicyChange change = datapath::policy_change(key_values(pairs));
    engine_.call([&] { open_channel(peer).set_policies(change); });
}

void Context::deny_path(datapath::PeerId peer, std::uint16_t path, bool denied) {
    engine_.call([&] { open_channel(peer).deny_path(path, denied); });
}

std::string Context::stats_json() {
    return engine_.call([this] {
        const Engine::Counters counters = engine_.counters();
        std::string datapaths;
        for (const auto& datapath : engine_.datapaths()) {
            datapaths += datapaths.empty() ? "\"" : ",\"";
            datapaths += std::string(datapath->name()) + "\":" + datapath->stats_json();
        }
        std::string json = "{\"rounds\":" + std::to_string(counters.rounds) +
                           ",\"sleeps\":" + std::to_string(counters.sleeps) +
                           ",\"operations\":" + std::to_string(counters.operations) +
                           ",\"secret\":" + (options_.secret.empty() ? "false" : "true") +
                           ",\"datapaths\":{" + datapaths + "},\"peers\":" + mesh_.stats_json() +
                           "}";
        return json;
    });
}

}  // namespace weft::engine
