// The process's engine and the groups on it. Connections belong to peers, not to groups: all groups
// with the same settings share one weft_context, so that a new group opens only the connections
// that did not exist yet.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "torch/fork.h"
#include "weft/weft.h"

namespace weft::torch_backend {

// What makes two contexts different. An empty string stands for the environment's value or the
// default (weft.h).
struct ContextSettings {
    std::string secret;
    std::string datapaths;
    std::string interfaces;
    std::string transport;
    std::chrono::milliseconds peer_timeout{0};

    bool operator==(const ContextSettings&) const = default;
};

class Context {
  public:
    // The living context with these settings, or a new one.
    static std::shared_ptr<Context> open(const ContextSettings& settings);

    // A living context that has these settings but for a secret that open_with_new_secret drew;
    // else a new one with a new secret.
    static std::shared_ptr<Context> open_with_drawn_secret(const ContextSettings& settings);

    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    weft_context* handle() const { return handle_; }
    const std::string& secret() const { return settings_.secret; }
    std::string address() const;

    Context(ContextSettings settings, bool drawn);  // use open()

  private:
    ContextSettings settings_;
    bool drawn_;
    ProcessBound process_;
    weft_context* handle_ = nullptr;

    friend struct Registry;
};

// Who is in a group: the same on every rank, but for `rank`.
struct Membership {
    std::string name;
    uint64_t id = 0;  // unguessable, never reused
    int rank = 0;
    std::vector<std::string> addresses;  // rank order

    int size() const { return static_cast<int>(addresses.size()); }
};

// One communicator of the C API. Whatever runs on it holds it.
class Group {
  public:
    // Collective. Throws DistBackendError that names the rank that never came or could not prove
    // the secret.
    Group(std::shared_ptr<Context> context, Membership membership,
          std::chrono::milliseconds timeout, const std::string& algorithms);
    ~Group();
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    // Throws in a forked child.
    weft_comm* handle() const;
    const Membership& membership() const { return membership_; }

    // The same ranks again as a second communicator, whose operations are ordered among themselves
    // only. Collective, but needs no rendezvous. `salt` tells siblings apart.
    std::shared_ptr<Group> sibling(uint64_t salt) const;

    // Local. Ends all operations here and at the peers.
    void abort(const std::string& reason) const;

    // "all_reduce #7 of group "0" (rank 1 of 4)"
    std::string describe(const std::string& operation) const;

  private:
    std::shared_ptr<Context> context_;
    Membership membership_;
    std::chrono::milliseconds timeout_;
    std::string algorithms_;
    ProcessBound process_;
    weft_comm* handle_ = nullptr;
};

// 64 random bits from the operating system.
uint64_t draw_random();

}  // namespace weft::torch_backend
