/*
 * One small message to and fro between ranks 0 and 1 through Weft's C API. Rank 0 prints a JSON line: bytes, round_trips,
 * seconds, microseconds (one way: the median of round trips, halved) and nwrong.
 *
 *   pingpong MESSAGE_BYTES SECONDS
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weft/weft.h>

enum { kWarmUp = 200, kMost = 1 << 20 };

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void check(weft_status status) {
    if (status != WEFT_OK) {
        weft_error error;
        weft_last_error(&error);
        fprintf(stderr, "%s: %s\n", weft_status_name(status), error.message);
        exit(EXIT_FAILURE);
    }
}

static int ascending(const void* a, const void* b) {
    float x = *(const float*)a, y = *(const float*)b;
    return (x > y) - (x < y);
}

/* `count` round trips; returns how many came back changed. Notes how long each took, in seconds, if `times` is not NULL. */
static size_t play(weft_comm* comm, char* ball, size_t length, int count, float* times) {
    int rank = weft_comm_rank(comm);
    size_t wrong = 0;
    for (int i = 0; i < count; ++i) {
        double start = now();
        if (rank == 0) {
            memset(ball, i, length);
            check(weft_comm_send(comm, ball, length, 1, 0, NULL, NULL));
        }
        check(weft_comm_recv(comm, ball, length, 1 - rank, 0, NULL, NULL));
        if (rank == 1) {
            check(weft_comm_send(comm, ball, length, 0, 0, NULL, NULL));
        } else if (times != NULL) {
            times[i] = (float)(now() - start);
        }
        for (size_t at = 0; at < length; ++at) {
            wrong += ball[at] != (char)i;
        }
    }
    return wrong;
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
    char* ball = calloc(1, length + 1);
    float* times = calloc(kMost, sizeof *times);
    if (ball == NULL || times == NULL) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    double start = now();
    size_t wrong = play(comm, ball, length, kWarmUp, NULL);
    /* Both must play equally often: rank 0 says how often. */
    float rounds = (float)(strtod(argv[2], NULL) / (now() - start) * kWarmUp) + 1;
    rounds = rounds < kMost ? rounds : kMost;
    check(weft_broadcast(comm, &rounds, &rounds, 1, WEFT_F32, 0, NULL, NULL));
    check(weft_barrier(comm, NULL, NULL));

    start = now();
    wrong += play(comm, ball, length, (int)rounds, times);
    double seconds = now() - start;
    if (weft_comm_rank(comm) == 0) {
        qsort(times, (size_t)rounds, sizeof *times, ascending);
        printf("{\"bytes\":%zu,\"round_trips\":%d,\"seconds\":%.6f,\"microseconds\":%.3f,\"nwrong\":%zu}\n", length,
               (int)rounds, seconds, (double)times[(int)rounds / 2] * 5e5, wrong);
    }
    free(ball);
    free(times);
    check(weft_barrier(comm, NULL, NULL));
    check(weft_comm_destroy(comm));
    check(weft_context_destroy(context));
    return wrong == 0 ? 0 : 1;
}
