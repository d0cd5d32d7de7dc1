// weft.h, chapters communicators and collectives.
#include <span>

#include "capi/guard.h"
#include "capi/handles.h"
#include "engine/rendezvous.h"

using weft::Error;
using weft::capi::guarded;
using weft::capi::need;
using weft::collectives::Collective;
using weft::communicator::Arguments;
using weft::communicator::CommunicatorOptions;
using weft::communicator::OperationOptions;

namespace {

CommunicatorOptions options_from(const weft_comm_options* given) {
    weft_comm_options raw = WEFT_COMM_OPTIONS_INIT;
    if (given != nullptr) {
        if (given->struct_size != sizeof raw) {
            throw Error(WEFT_ERR_INVALID,
                        "weft_comm_options.struct_size is wrong: initialise it with "
                        "WEFT_COMM_OPTIONS_INIT");
        }
        raw = *given;
    }
    CommunicatorOptions options;
    if (raw.name != nullptr) {
        options.name = raw.name;
    }
    options.timeout = raw.timeout_ns;
    options.connect_timeout = raw.connect_timeout_ns;
    const char* algorithms =
        raw.algorithms != nullptr ? raw.algorithms : std::getenv("WEFT_ALGORITHMS");
    options.choose_algorithms(algorithms != nullptr ? algorithms : "");
    const char* innet = std::getenv("WEFT_INNET");
    if (options.innet.empty() && innet != nullptr) {
        options.innet = innet;
    }
    options.innet_silence =
        weft::engine::milliseconds_from("WEFT_INNET_TIMEOUT_MS", options.innet_silence);
    options.innet_pause =
        weft::engine::milliseconds_from("WEFT_INNET_RETRY_MS", options.innet_pause);
    return options;
}

OperationOptions options_from(const weft_op_options* given) {
    OperationOptions options;
    if (given != nullptr) {
        if (given->struct_size != sizeof *given) {
            throw Error(
                WEFT_ERR_INVALID,
                "weft_op_options.struct_size is wrong: initialise it with WEFT_OP_OPTIONS_INIT");
        }
        options.timeout = given->timeout_ns;
        options.priority = given->priority;
        options.background = given->background != 0;
        if (given->algorithm != nullptr) {
            options.algorithm = given->algorithm;
        }
    }
    return options;
}

weft_status collective(weft_comm* comm, Arguments&& arguments, const weft_op_options* given,
                       weft_request** request) {
    return guarded([&] {
        need(comm, "comm");
        weft::communicator::Communicator& group = *comm->communicator;
        if (given != nullptr) {
            arguments.scale = given->scale;
        }
        if (group.context().engine().abandoned()) {
            throw Error(
                WEFT_ERR_STATE,
                "this communicator belongs to the parent process: create a new one after fork()");
        }
        if (request == nullptr) {
            group.run(arguments, options_from(given));
        } else {
            *request = nullptr;
            weft::capi::deliver(group.shared_context(),
                                group.start(std::move(arguments), options_from(given)), request);
        }
    });
}

const std::byte* in(const void* pointer) {
    return static_cast<const std::byte*>(pointer);
}
std::byte* out(void* pointer) {
    return static_cast<std::byte*>(pointer);
}
std::vector<std::size_t> list(weft_comm* comm, const std::size_t* counts) {
    if (comm == nullptr || counts == nullptr) {
        return {};  // found by check()
    }
    return {counts, counts + comm->communicator->size()};
}

}  // namespace

// ---------------------------------------------------------------- communicators

weft_status weft_comm_create(weft_context* context, uint64_t group, int32_t rank, int32_t size,
                             const void* const* addresses, const size_t* lengths,
                             const weft_comm_options* options, weft_comm** comm) {
    return guarded([&] {
        need(context, "context");
        need(addresses, "addresses");
        need(lengths, "lengths");
        need(comm, "comm");
        *comm = nullptr;
        std::vector<weft::engine::Address> members;
        for (int32_t i = 0; i < size; ++i) {
            need(addresses[i], "addresses[i]");
            members.push_back(weft::engine::Address::decode(
                {static_cast<const char*>(addresses[i]), lengths[i]}));
        }
        *comm = new weft_comm{weft::communicator::Communicator::create(
            context->context, group, rank, std::move(members), options_from(options))};
    });
}

weft_status weft_comm_create_from_environment(weft_context* context,
                                              const weft_comm_options* options, weft_comm** comm) {
    return guarded([&] {
        need(context, "context");
        need(comm, "comm");
        *comm = nullptr;
        const CommunicatorOptions parsed = options_from(options);
        const auto place = weft::engine::Rendezvous::from_environment();
        const auto meeting = place.meet(*context->context, parsed.connect_timeout);
        *comm = new weft_comm{weft::communicator::Communicator::create(
            context->context, meeting.group, place.rank, meeting.members, parsed)};
    });
}

int32_t weft_comm_rank(const weft_comm* comm) {
    return comm != nullptr ? comm->communicator->rank() : WEFT_NO_RANK;
}

int32_t weft_comm_size(const weft_comm* comm) {
    return comm != nullptr ? comm->communicator->size() : 0;
}

weft_status weft_comm_split(weft_comm* comm, int32_t color, int32_t key,
                            const weft_comm_options* options, weft_comm** result) {
    return guarded([&] {
        need(comm, "comm");
        need(result, "result");
        *result = nullptr;
        if (auto group = comm->communicator->split(color, key, options_from(options))) {
            *result = new weft_comm{std::move(group)};
        }
    });
}

weft_status weft_comm_abort(weft_comm* comm, const char* reason) {
    return guarded([&] {
        need(comm, "comm");
        comm->communicator->abort(reason != nullptr ? reason : "");
    });
}

weft_status weft_comm_destroy(weft_comm* comm) {
    return guarded([&] {
        if (comm != nullptr) {
            comm->communicator->close();
            delete comm;
        }
    });
}

weft_status weft_explain(weft_comm* comm, const char* collective, size_t bytes, char* json,
                         size_t* length) {
    return guarded([&] {
        need(comm, "comm");
        need(collective, "collective");
        weft::capi::hand_out(
            comm->communicator->explain(weft::collectives::collective_from_name(collective), bytes),
            true, json, length);
    });
}

// ---------------------------------------------------------------- collectives

weft_status weft_all_reduce(weft_comm* comm, const void* input, void* output, size_t count,
                            weft_dtype dtype, weft_reduction op, const weft_op_options* options,
                            weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kAllReduce,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .op = op},
                      options, request);
}

weft_status weft_reduce(weft_comm* comm, const void* input, void* output, size_t count,
                        weft_dtype dtype, weft_reduction op, int32_t root,
                        const weft_op_options* options, weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kReduce,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .op = op,
                       .root = root},
                      options, request);
}

weft_status weft_broadcast(weft_comm* comm, const void* input, void* output, size_t count,
                           weft_dtype dtype, int32_t root, const weft_op_options* options,
                           weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kBroadcast,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .root = root},
                      options, request);
}

weft_status weft_all_gather(weft_comm* comm, const void* input, void* output, size_t count,
                            weft_dtype dtype, const weft_op_options* options,
                            weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kAllGather,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype},
                      options, request);
}

weft_status weft_all_gatherv(weft_comm* comm, const void* input, void* output, const size_t* counts,
                             weft_dtype dtype, const weft_op_options* options,
                             weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kAllGatherV,
                       .input = in(input),
                       .output = out(output),
                       .send_counts = list(comm, counts),
                       .dtype = dtype},
                      options, request);
}

weft_status weft_reduce_scatter(weft_comm* comm, const void* input, void* output, size_t count,
                                weft_dtype dtype, weft_reduction op, const weft_op_options* options,
                                weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kReduceScatter,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .op = op},
                      options, request);
}

weft_status weft_reduce_scatterv(weft_comm* comm, const void* input, void* output,
                                 const size_t* counts, weft_dtype dtype, weft_reduction op,
                                 const weft_op_options* options, weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kReduceScatterV,
                       .input = in(input),
                       .output = out(output),
                       .send_counts = list(comm, counts),
                       .dtype = dtype,
                       .op = op},
                      options, request);
}

weft_status weft_all_to_all(weft_comm* comm, const void* input, void* output, size_t count,
                            weft_dtype dtype, const weft_op_options* options,
                            weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kAllToAll,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype},
                      options, request);
}

weft_status weft_all_to_allv(weft_comm* comm, const void* input, const size_t* send_counts,
                             void* output, const size_t* recv_counts, weft_dtype dtype,
                             const weft_op_options* options, weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kAllToAllV,
                       .input = in(input),
                       .output = out(output),
                       .send_counts = list(comm, send_counts),
                       .recv_counts = list(comm, recv_counts),
                       .dtype = dtype},
                      options, request);
}

weft_status weft_gather(weft_comm* comm, const void* input, void* output, size_t count,
                        weft_dtype dtype, int32_t root, const weft_op_options* options,
                        weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kGather,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .root = root},
                      options, request);
}

weft_status weft_scatter(weft_comm* comm, const void* input, void* output, size_t count,
                         weft_dtype dtype, int32_t root, const weft_op_options* options,
                         weft_request** request) {
    return collective(comm,
                      {.collective = Collective::kScatter,
                       .input = in(input),
                       .output = out(output),
                       .count = count,
                       .dtype = dtype,
                       .root = root},
                      options, request);
}

weft_status weft_barrier(weft_comm* comm, const weft_op_options* options, weft_request** request) {
    return collective(comm, {.collective = Collective::kBarrier}, options, request);
}

weft_status weft_comm_send(weft_comm* comm, const void* data, size_t length, int32_t to,
                           uint32_t tag, const weft_op_options* options, weft_request** request) {
    return guarded([&] {
        need(comm, "comm");
        auto& group = *comm->communicator;
        weft::capi::deliver(group.shared_context(),
                            group.send(data, length, to, tag, options_from(options)), request);
    });
}

weft_status weft_comm_recv(weft_comm* comm, void* data, size_t length, int32_t from, uint32_t tag,
                           const weft_op_options* options, weft_request** request) {
    return guarded([&] {
        need(comm, "comm");
        auto& group = *comm->communicator;
        weft::capi::deliver(group.shared_context(),
                            group.recv(data, length, from, tag, options_from(options)), request);
    });
}
