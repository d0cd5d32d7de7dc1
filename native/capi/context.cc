// weft.h, chapters context and requests.

#include "capi/guard.h"
#include "capi/handles.h"
#include "datapath/verbs/sysfs.h"

using weft::Error;
using weft::capi::guarded;
using weft::capi::need;

namespace weft::capi {
namespace {

engine::Time deadline_for(engine::Context& context, std::int64_t timeout) {
    const engine::Time bounded = timeout < 0 ? context.options().timeout : timeout;
    return engine::deadline_after(engine::clock_now(), bounded);
}

void need_alive(engine::Context& context) {
    if (context.engine().abandoned()) {
        throw Error(WEFT_ERR_STATE,
                    "this context belongs to the parent process: create a new one after fork()");
    }
}

weft_status outcome(const engine::Operation& operation) noexcept {
    return operation.error() ? set_last_error(operation.error()) : WEFT_OK;
}

}  // namespace

void deliver(std::shared_ptr<engine::Context> context, std::shared_ptr<engine::Operation> operation,
             weft_request** request) {
    if (request != nullptr) {
        *request = new weft_request{std::move(context), std::move(operation)};
        return;
    }
    context->engine().wait(*operation,
                           engine::deadline_after(operation->deadline(), engine::kSecond));
    if (!operation->finished()) {
        throw Error(WEFT_ERR_INTERNAL, "an operation outlived its deadline");
    }
    if (operation->error()) {
        throw Error(operation->error());
    }
}

}  // namespace weft::capi

weft_status weft_context_create(const weft_context_options* options, weft_context** context) {
    return guarded([&] {
        need(context, "context");
        *context = nullptr;
        auto made =
            std::make_shared<weft::engine::Context>(weft::engine::ContextOptions::from(options));
        *context = new weft_context{std::move(made)};
    });
}

weft_status weft_context_destroy(weft_context* context) {
    return guarded([&] {
        if (context == nullptr) {
            return;
        }
        weft::engine::Context& inner = *context->context;
        if (!inner.engine().abandoned()) {
            if (inner.leases() > 0) {
                throw Error(WEFT_ERR_STATE,
                            "the context is still used by " + std::to_string(inner.leases()) +
                                " communicators, peers, regions or requests: release those first");
            }
            inner.retire();
        }
        delete context;
    });
}

weft_status weft_context_address(weft_context* context, void* address, size_t* length) {
    return guarded([&] {
        need(context, "context");
        weft::capi::need_alive(*context->context);
        weft::capi::hand_out(context->context->address(), false, address, length);
    });
}

weft_status weft_stats(weft_context* context, char* json, size_t* length) {
    return guarded([&] {
        need(context, "context");
        weft::capi::need_alive(*context->context);
        weft::capi::hand_out(context->context->stats_json(), true, json, length);
    });
}

weft_status weft_devices_json(char* json, size_t* length) {
    return guarded(
        [&] { weft::capi::hand_out(weft::datapath::verbs::devices_json(), true, json, length); });
}

weft_status weft_set_policies(weft_context* context, const char* policies) {
    return guarded([&] {
        need(context, "context");
        need(policies, "policies");
        weft::capi::need_alive(*context->context);
        context->context->set_policies(policies);
    });
}

weft_status weft_test(weft_request* request) {
    return guarded([&] {
        need(request, "request");
        if (!request->operation->finished()) {
            weft::capi::need_alive(*request->context);
            request->context->engine().poll();
        }
        return request->operation->finished() ? weft::capi::outcome(*request->operation)
                                              : WEFT_IN_PROGRESS;
    });
}

weft_status weft_wait(weft_request* request, int64_t timeout_ns) {
    return guarded([&] {
        need(request, "request");
        weft::engine::Context& context = *request->context;
        if (!request->operation->finished()) {
            weft::capi::need_alive(context);
            context.engine().wait(*request->operation,
                                  weft::capi::deadline_for(context, timeout_ns));
        }
        return request->operation->finished() ? weft::capi::outcome(*request->operation)
                                              : WEFT_IN_PROGRESS;
    });
}

weft_status weft_wait_all(weft_request* const* requests, size_t count, int64_t timeout_ns) {
    return guarded([&] {
        need(requests, "requests");
        weft_status first = WEFT_OK;
        weft::ErrorPtr error;
        bool unfinished = false;
        const auto start = weft::engine::clock_now();
        for (size_t i = 0; i < count; ++i) {
            if (requests[i] == nullptr) {
                continue;
            }
            const auto spent = weft::engine::clock_now() - start;
            const weft_status status =
                weft_wait(requests[i],
                          timeout_ns < 0 ? timeout_ns : std::max<int64_t>(timeout_ns - spent, 0));
            unfinished = unfinished || status == WEFT_IN_PROGRESS;
            if (status < WEFT_OK && first == WEFT_OK) {
                first = status;
                error = requests[i]->operation->error();
            }
        }
        if (error) {
            throw Error(error);
        }
        return first != WEFT_OK ? first : unfinished ? WEFT_IN_PROGRESS : WEFT_OK;
    });
}

void weft_request_error(weft_request* request, weft_error* error) {
    if (request != nullptr && error != nullptr) {
        const bool failed = request->operation->finished() && request->operation->error();
        weft::capi::fill(error, failed ? request->operation->error().get() : nullptr);
    }
}

weft_status weft_request_on_done(weft_request* request, void (*done)(void* argument),
                                 void* argument) {
    return guarded([&] {
        need(request, "request");
        if (done == nullptr) {
            throw Error(WEFT_ERR_INVALID, "the argument `done` is NULL");
        }
        request->operation->on_done(request->context->engine(),
                                    [done, argument] { done(argument); });
    });
}

int32_t weft_request_source(const weft_request* request) {
    return request != nullptr && request->operation->finished() ? request->operation->source()
                                                                : WEFT_NO_RANK;
}

void weft_request_free(weft_request* request) {
    guarded([&] {
        if (request != nullptr && !request->operation->finished() &&
            !request->context->engine().abandoned()) {
            auto operation = request->operation;
            request->context->engine().post([operation] {
                if (!operation->finished() && operation->cancellable()) {
                    operation->fail(weft::make_error(WEFT_ERR_ABORTED, "the request was released"));
                }
            });
        }
        delete request;
    });
}
