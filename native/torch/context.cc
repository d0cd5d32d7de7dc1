#include "torch/context.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "torch/errors.h"
#include "torch/torch_api.h"

namespace weft::torch_backend {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;

const char* or_default(const std::string& text) {
    return text.empty() ? nullptr : text.c_str();
}

std::string draw_secret() {
    std::string secret;
    for (int word = 0; word < 4; ++word) {
        char digits[17];
        std::snprintf(digits, sizeof digits, "%016lx", draw_random());
        secret += digits;
    }
    return secret;
}

}  // namespace

uint64_t draw_random() {
    uint64_t bits = 0;
    TORCH_CHECK(getrandom(&bits, sizeof bits, 0) == sizeof bits, "weft: getrandom failed, errno ",
                errno);
    return bits;
}

// The living contexts of this process. A forked child starts with an empty list.
struct Registry {
    std::mutex mutex;
    std::vector<std::weak_ptr<Context>> contexts;
    ProcessBound process;

    static Registry& instance() {
        static std::atomic<Registry*> current{std::make_unique<Registry>().release()};
        Registry* registry = current.load(std::memory_order_acquire);
        if (registry->process.inherited()) {
            auto fresh = std::make_unique<Registry>();
            if (current.compare_exchange_strong(registry, fresh.get())) {
                registry = fresh.release();
            }
        }
        return *registry;
    }

    std::shared_ptr<Context> find_or_make(ContextSettings settings, bool drawn) {
        const std::lock_guard lock(mutex);
        std::erase_if(contexts, [](const auto& context) { return context.expired(); });
        for (const auto& weak : contexts) {
            const std::shared_ptr<Context> context = weak.lock();
            if (context == nullptr || (drawn && !context->drawn_)) {
                continue;
            }
            if (drawn) {
                settings.secret = context->settings_.secret;
            }
            if (context->settings_ == settings) {
                return context;
            }
        }
        if (drawn) {
            settings.secret = draw_secret();
        }
        auto made = std::make_shared<Context>(std::move(settings), drawn);
        contexts.push_back(made);
        return made;
    }
};

std::shared_ptr<Context> Context::open(const ContextSettings& settings) {
    return Registry::instance().find_or_make(settings, false);
}

std::shared_ptr<Context> Context::open_with_drawn_secret(const ContextSettings& settings) {
    return Registry::instance().find_or_make(settings, true);
}

Context::Context(ContextSettings settings, bool drawn)
    : settings_(std::move(settings)), drawn_(drawn) {
    weft_context_options options = WEFT_CONTEXT_OPTIONS_INIT;
    options.secret = or_default(settings_.secret);
    options.datapaths = or_default(settings_.datapaths);
    options.interfaces = or_default(settings_.interfaces);
    options.transport = or_default(settings_.transport);
    options.peer_timeout_ns = settings_.peer_timeout.count() * kNanosPerMilli;
    check(weft_context_create(&options, &handle_), "starting the engine");
}

Context::~Context() {
    if (!process_.inherited()) {
        weft_context_destroy(handle_);
    }
}

std::string Context::address() const {
    size_t length = 0;
    weft_context_address(handle_, nullptr, &length);
    std::string address(length, '\0');
    check(weft_context_address(handle_, address.data(), &length), "asking for the own address");
    address.resize(length);
    return address;
}

Group::Group(std::shared_ptr<Context> context, Membership membership,
             std::chrono::milliseconds timeout, const std::string& algorithms)
    : context_(std::move(context)),
      membership_(std::move(membership)),
      timeout_(timeout),
      algorithms_(algorithms) {
    std::vector<const void*> addresses;
    std::vector<size_t> lengths;
    for (const std::string& address : membership_.addresses) {
        addresses.push_back(address.data());
        lengths.push_back(address.size());
    }
    weft_comm_options options = WEFT_COMM_OPTIONS_INIT;
    options.name = membership_.name.c_str();
    options.timeout_ns = timeout.count() * kNanosPerMilli;
    options.connect_timeout_ns = options.timeout_ns;
    options.algorithms = or_default(algorithms_);
    check(weft_comm_create(context_->handle(), membership_.id, membership_.rank, membership_.size(),
                           addresses.data(), lengths.data(), &options, &handle_),
          describe("creation"));
}

Group::~Group() {
    if (!process_.inherited()) {
        weft_comm_destroy(handle_);
    }
}

weft_comm* Group::handle() const {
    TORCH_CHECK(!process_.inherited(), "weft: group \"", membership_.name,
                "\" was made before this process was forked and belongs to the parent. Call "
                "init_process_group in the "
                "child instead.");
    return handle_;
}

std::shared_ptr<Group> Group::sibling(uint64_t salt) const {
    Membership membership = membership_;
    membership.id ^= salt;
    return std::make_shared<Group>(context_, std::move(membership), timeout_, algorithms_);
}

void Group::abort(const std::string& reason) const {
    const weft_status status = weft_comm_abort(handle(), reason.c_str());
    if (status != WEFT_ERR_STATE) {  // it has ended already
        check(status, describe("abort"));
    }
}

std::string Group::describe(const std::string& operation) const {
    return operation + " of group \"" + membership_.name + "\" (rank " +
           std::to_string(membership_.rank) + " of " + std::to_string(membership_.size()) + ")";
}

}  // namespace weft::torch_backend
