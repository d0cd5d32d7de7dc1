// Completion queues, shared receive queues, queue pairs and address handles of libibverbs: where
// work goes and comes back.
//
// A queue pair takes queues and address handles that were made here. All of it throws Error
// (RESOURCES, SYSTEM, UNSUPPORTED), as provider.h says.
#pragma once

#include <cstdint>
#include <memory>

#include "datapath/verbs/opened.h"
#include "datapath/verbs/provider.h"

namespace weft::datapath::verbs {

std::unique_ptr<CompletionQueue> make_completion_queue(OpenedPtr opened, std::uint32_t depth);
std::unique_ptr<SharedReceiveQueue> make_receive_queue(OpenedPtr opened, std::uint32_t depth);
std::unique_ptr<QueuePair> make_queue_pair(OpenedPtr opened, const QueuePairWish& wish);
std::unique_ptr<AddressHandle> make_address_handle(OpenedPtr opened, std::uint8_t port,
                                                   const Destination& to);

}  // namespace weft::datapath::verbs
