// One context: an engine with its datapaths, the mesh of peers, and the options they were made
// from.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "datapath/shm/shm.h"
#include "engine/engine.h"
#include "engine/mesh.h"
#include "engine/one_sided.h"

namespace weft::engine {

struct ContextOptions {
    std::string secret;
    std::string datapaths;   // in order of preference
    std::string interfaces;  // for UDP; empty: all that are up
    std::map<std::string, std::string> transport;
    Time timeout = 0;
    Time peer_timeout = 0;
    Time connect_timeout = 0;
    Time spin = -1;

    // Fills what the caller left open from the environment and the defaults. Throws Error(INVALID)
    // naming the variable or option.
    static ContextOptions from(const weft_context_options* given);
};

// What an environment variable says, or `otherwise` where it is not set. Throws Error(INVALID).
Time milliseconds_from(const char* variable, Time otherwise);

class Context {
  public:
    // Throws Error(INVALID, RESOURCES, SYSTEM).
    explicit Context(ContextOptions options);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    const ContextOptions& options() const noexcept { return options_; }
    Engine& engine() noexcept { return engine_; }
    Mesh& mesh() noexcept { return mesh_; }
    OneSided& one_sided() noexcept { return one_sided_; }
    // Null when shared memory is not among the datapaths.
    datapath::ShmDatapath* shm() const noexcept { return shm_; }

    std::string address();
    std::string stats_json();
    // Exchanges policies of all connections that have some, living and to come, or of one peer's.
    // `pairs`: as of `transport`. Throws Error (INVALID, STATE, UNSUPPORTED).
    void set_policies(const std::string& pairs);
    void set_policies(datapath::PeerId peer, const std::string& pairs);
    void deny_path(datapath::PeerId peer, std::uint16_t path, bool denied);

    // Held by every handle that a user was given of what lives in here.
    const std::shared_ptr<const void>& lease() const noexcept { return lease_; }
    long leases() const noexcept { return lease_.use_count() - 1; }
    // Stops the engine's thread and lets go of all that has ended, so that nobody but the caller
    // holds this any more. Only without leases.
    void retire();

  private:
    datapath::Channel& open_channel(datapath::PeerId peer);

    const ContextOptions options_;
    Engine engine_;
    Mesh mesh_;
    OneSided one_sided_;
    datapath::ShmDatapath* shm_ = nullptr;
    const std::shared_ptr<const void> lease_ = std::make_shared<char>();
};

}  // namespace weft::engine
