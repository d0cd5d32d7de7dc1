/*
 * One stream of messages from rank 0 to rank 1 through Weft's C API, two under way at a time. Each rank prints a JSON line:
 * rank, bytes, seconds (rank 1's: from the first message's arrival to the last's), cpu_seconds, nwrong.
 *
 *   stream MESSAGE_BYTES SECONDS
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <weft/weft.h>

enum { kInFlight = 2, kWarmUp = 2 };

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void check(weft_status status) {
    if (status != WEFT_OK) {
        weft_error error;
        weft_last_error(&error);
        fprintf(stderr, "%s: %s\n", weft_status_name(status), error.message);
        exit(EXIT_FAILURE);
    }
}

static void pass(weft_comm* comm, char* const* buffers, size_t length, int messages) {
    weft_request* requests[kInFlight] = {NULL};
    for (int i = 0; i < messages + kInFlight; ++i) {
        int slot = i % kInFlight;
        if (requests[slot] != NULL) {
            check(weft_wait(requests[slot], WEFT_TIMEOUT_DEFAULT));
            weft_request_free(requests[slot]);
            requests[slot] = NULL;
        }
        if (i < messages) {
            check(weft_comm_rank(comm) == 0
                      ? weft_comm_send(comm, buffers[slot], length, 1, 0, NULL, &requests[slot])
                      : weft_comm_recv(comm, buffers[slot], length, 0, 0, NULL, &requests[slot]));
        }
    }
    check(weft_barrier(comm, NULL, NULL));
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MESSAGE_BYTES SECONDS\n", argv[0]);
        return 2;
    }
    size_t length = strtoull(argv[1], NULL, 10);
    weft_context* context = NULL;
    weft_comm* comm = NULL;
    check(weft_context_create(NULL, &context));
    check(weft_comm_create_from_environment(context, NULL, &comm));
    int rank = weft_comm_rank(comm);
    char* buffers[kInFlight];
    for (int slot = 0; slot < kInFlight; ++slot) {
        buffers[slot] = malloc(length);
        if (buffers[slot] == NULL) {
            fprintf(stderr, "no memory for a message of %zu bytes\n", length);
            return 1;
        }
        for (size_t i = 0; i < length; ++i) {
            buffers[slot][i] = rank == 0 ? (char)(i % 251) : 0;
        }
    }

    /* Both must pass equally many messages: rank 0 tries a few and tells. */
    double start = now();
    pass(comm, buffers, length, kWarmUp);
    float messages = (float)(strtod(argv[2], NULL) / (now() - start) * kWarmUp + 4);
    check(weft_broadcast(comm, &messages, &messages, 1, WEFT_F32, 0, NULL, NULL));
    check(weft_barrier(comm, NULL, NULL));

    double cpu = cpu_seconds();
    start = now();
    pass(comm, buffers, length, (int)messages);
    double seconds = now() - start;
    cpu = cpu_seconds() - cpu;
    size_t wrong = 0;
    for (int slot = 0; slot < kInFlight; ++slot) {
        for (size_t i = 0; i < length; ++i) {
            wrong += buffers[slot][i] != (char)(i % 251);
        }
        free(buffers[slot]);
    }
    printf("{\"rank\":%d,\"bytes\":%.0f,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"nwrong\":%zu}\n", rank,
           (double)length * (int)messages, seconds, cpu, wrong);
    check(weft_comm_destroy(comm));
    check(weft_context_destroy(context));
    return wrong == 0 ? 0 : 1;
}
