// Words for people: the errors in which connections end, and the statistics.
#include <algorithm>

#include "datapath/json.h"
#include "datapath/udp/core.h"
#include "datapath/udp/edge.h"

namespace weft::datapath::udp {

std::string Edge::describe_paths(const transport::Failure& failure) const {
    constexpr std::size_t kMostShown = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min({ways_.size(), failure.paths.size(), kMostShown}); ++i) {
        const transport::Path& path = failure.paths[i];
        text += (i > 0 ? "; " : "") + ways_[i].socket->local().to_string() + " to " +
                ways_[i].to.to_string() + " " + transport::to_string(path.health) + ", " +
                std::to_string(path.timeouts) + " timeouts in a row, " +
                std::to_string(path.chunks_lost) + " of " + std::to_string(path.chunks_sent) +
                " chunks lost";
    }
    return text + (ways_.size() > kMostShown
                       ? "; and " + std::to_string(ways_.size() - kMostShown) + " more"
                       : "");
}

std::string Edge::stats_json() const {
    std::string json = "{\"state\":" + phase_json();
    add_connection(json);
    add_number(json, "refused_bindings", refused_bindings_);
    if (!connection_) {
        return json + "}";
    }
    const transport::Stats stats = connection_->stats();
    json += ",\"paths\":[";
    for (std::size_t i = 0; i < std::min(stats.paths.size(), ways_.size()); ++i) {
        json += std::string(i > 0 ? "," : "") + "{\"local\":\"" +
                ways_[i].socket->local().to_string() + "\",\"remote\":\"" +
                ways_[i].to.to_string() + "\",\"bound\":" + (ways_[i].bound ? "true" : "false") +
                path_json(stats.paths[i]) + "}";
    }
    return json + "]}";
}

std::string Core::stats_json() const {
    std::string json = "{" + edges_.stats_json();
    add_number(json, "malformed", counters_.malformed);
    add_number(json, "unknown_connection", counters_.unknown_connection);
    add_number(json, "misdirected_checks", counters_.misdirected_checks);
    return json + "," + carrier_->stats_json() + "}";
}

}  // namespace weft::datapath::udp
