/* Weft behind bench.h, through its C API. */
#include <stdio.h>
#include <stdlib.h>
#include <weft/weft.h>

#include "bench.h"

const char* const bench_library = "weft";

static weft_context* context;
static weft_comm* comm;

static void check(weft_status status) {
    if (status < 0) {
        weft_error error;
        weft_last_error(&error);
        fprintf(stderr, "%s: %s\n", weft_status_name(status), error.message);
        exit(EXIT_FAILURE);
    }
}

void bench_open(int* argc, char*** argv, int* rank, int* size) {
    (void)argc;
    (void)argv;
    check(weft_context_create(NULL, &context));
    check(weft_comm_create_from_environment(context, NULL, &comm));
    *rank = weft_comm_rank(comm);
    *size = weft_comm_size(comm);
}

void bench_run(enum bench_collective collective, const float* input, float* output, size_t count) {
    switch (collective) {
        case BENCH_ALL_REDUCE: check(weft_all_reduce(comm, input, output, count, WEFT_F32, WEFT_SUM, NULL, NULL)); break;
        case BENCH_ALL_GATHER: check(weft_all_gather(comm, input, output, count, WEFT_F32, NULL, NULL)); break;
        case BENCH_REDUCE_SCATTER: check(weft_reduce_scatter(comm, input, output, count, WEFT_F32, WEFT_SUM, NULL, NULL)); break;
        case BENCH_ALL_TO_ALL: check(weft_all_to_all(comm, input, output, count, WEFT_F32, NULL, NULL)); break;
        case BENCH_BROADCAST: check(weft_broadcast(comm, input, output, count, WEFT_F32, 0, NULL, NULL)); break;
    }
}

void bench_barrier(void) {
    check(weft_barrier(comm, NULL, NULL));
}

void bench_close(void) {
    check(weft_comm_destroy(comm));
    check(weft_context_destroy(context));
}
