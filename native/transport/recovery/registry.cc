// The shelf of loss recoveries. A new one is a file of its own and a line here.
#include "transport/recovery/recovery.h"
#include "transport/recovery/selective_repeat.h"

namespace weft::transport {
namespace {

constexpr PolicyEntry<LossRecovery> kShelf[] = {
    {"selective_repeat",
     [](ParameterReader& parameters,
        const PolicyContext& context) -> std::unique_ptr<LossRecovery> {
         return std::make_unique<SelectiveRepeat>(parameters, context);
     }},
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
