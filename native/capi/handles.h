// What hides behind the opaque handles: a shared pointer each, so that releasing one never pulls
// the ground from under another; and a lease of the context, which may not be destroyed before
// them.
#pragma once

#include <memory>

#include "collectives/schedule.h"
#include "communicator/communicator.h"
#include "engine/context.h"
#include "engine/edges.h"
#include "engine/one_sided.h"

struct weft_context {
    std::shared_ptr<weft::engine::Context> context;
};

struct weft_request {
    std::shared_ptr<weft::engine::Context> context;
    std::shared_ptr<weft::engine::Operation> operation;
    std::shared_ptr<const void> lease = context->lease();
};

struct weft_peer {
    std::shared_ptr<weft::engine::Context> context;
    weft::datapath::PeerId id;
    std::shared_ptr<const void> lease = context->lease();
};

struct weft_region {
    std::shared_ptr<weft::engine::Context> context;
    std::shared_ptr<weft::engine::Region> region;
    std::shared_ptr<const void> lease = context->lease();
};

struct weft_comm {
    std::shared_ptr<weft::communicator::Communicator> communicator;
    std::shared_ptr<const void> lease = communicator->context().lease();
};

struct weft_schedule {
    weft::collectives::Schedule schedule;
};

namespace weft::capi {

// Hands an operation to the caller as a request, or (request == NULL) waits for it and throws its
// error.
void deliver(std::shared_ptr<engine::Context> context, std::shared_ptr<engine::Operation> operation,
             weft_request** request);

}  // namespace weft::capi
