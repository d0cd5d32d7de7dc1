// How ranks find each other: through torch's Store. Every rank publishes its Weft address; rank 0
// also draws the group's number and, where the user gave none, the secret. So the group is as
// private as the Store.
#pragma once

#include "torch/options.h"

namespace weft::torch_backend {

// Collective over all `size` ranks; may be called again on the same store. Throws DistBackendError
// that names the ranks that did not come in `timeout`, or the rank that could not start its engine
// and why.
std::shared_ptr<Group> rendezvous(c10d::Store& store, int rank, int size,
                                  const GroupOptions& options);

}  // namespace weft::torch_backend
