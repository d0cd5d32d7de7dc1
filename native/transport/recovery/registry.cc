// The shelf of loss recoveries. A new one is a file of its own and a line here.
#include "transport/recovery/go_back_n.h"
#include "transport/recovery/recovery.h"
#include "transport/recovery/selective_repeat.h"

namespace weft::transport {
namespace {

template <typename Policy>
std::unique_ptr<LossRecovery> make(ParameterReader& parameters, const PolicyContext& context) {
    return std::make_unique<Policy>(parameters, context);
}

constexpr PolicyEntry<LossRecovery> kShelf[] = {
    {"selective_repeat", make<SelectiveRepeat>},
    {"go_back_n", make<GoBackN>},
};

}  // namespace

std::unique_ptr<LossRecovery> make_loss_recovery(const PolicyChoice& choice,
                                                 const PolicyContext& context) {
    return make_policy("loss recovery", kShelf, choice, context);
}

std::vector<std::string> loss_recoveries() {
    return policy_names(kShelf);
}

}  // namespace weft::transport
