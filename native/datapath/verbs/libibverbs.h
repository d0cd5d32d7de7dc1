// The provider that is real: libibverbs.so.1, opened when first asked for.
#pragma once

#include <memory>

#include "datapath/verbs/provider.h"

namespace weft::datapath::verbs {

// Throws Error(UNSUPPORTED) when libibverbs is not installed or lacks a function, saying what to
// install. Whether there is a device is another question.
std::shared_ptr<Provider> load_libibverbs();

}  // namespace weft::datapath::verbs
