/*
 * nccl-tests' loop over sizes for any library behind bench.h. Prints one JSON object a line, keys as nccl-tests has them:
 * size (bytes of the whole buffer: for all_gather and reduce_scatter the gathered one), count, time (us), alg_bw, bus_bw (GB/s), nwrong, cpu (seconds per GB).
 *
 *   collectives COLLECTIVE MIN_BYTES MAX_BYTES FACTOR MILLISECONDS
 */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char* const kNames[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"};

static double now_us(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec * 1e-3;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* nccl-tests' PERFORMANCE.md: how much of the algorithm's bandwidth each link carries. */
static double bus_factor(enum bench_collective collective, int size) {
    double n = size;
    switch (collective) {
        case BENCH_ALL_REDUCE: return 2.0 * (n - 1) / n;
        case BENCH_BROADCAST: return 1.0;
        default: return (n - 1) / n;
    }
}

/* Small integers: sums are exact in float. */
static float value(int rank, size_t index) {
    return (float)((rank + 1) * (int)(index % 7 + 1));
}

static size_t count_wrong(enum bench_collective collective, const float* output, size_t count, int rank, int size) {
    size_t wrong = 0;
    int all = size * (size + 1) / 2;
    size_t blocks = collective == BENCH_ALL_GATHER || collective == BENCH_ALL_TO_ALL ? (size_t)size : 1;
    for (size_t block = 0; block < blocks; ++block) {
        for (size_t i = 0; i < count; ++i) {
            float expected = 0;
            switch (collective) {
                case BENCH_ALL_REDUCE: expected = (float)(all * (int)(i % 7 + 1)); break;
                case BENCH_REDUCE_SCATTER: expected = (float)(all * (int)(((size_t)rank * count + i) % 7 + 1)); break;
                case BENCH_ALL_GATHER: expected = value((int)block, i); break;
                case BENCH_ALL_TO_ALL: expected = value((int)block, (size_t)rank * count + i); break;
                case BENCH_BROADCAST: expected = value(0, i); break;
            }
            wrong += output[block * count + i] != expected;
        }
    }
    return wrong;
}

int main(int argc, char** argv) {
    int rank = 0, size = 1;
    bench_open(&argc, &argv, &rank, &size);
    if (argc != 6) {
        fprintf(stderr, "usage: %s COLLECTIVE MIN_BYTES MAX_BYTES FACTOR MILLISECONDS\n", argv[0]);
        return 2;
    }
    int collective = 0;
    while (collective < 5 && strcmp(kNames[collective], argv[1]) != 0) {
        ++collective;
    }
    if (collective == 5) {
        fprintf(stderr, "%s: no collective \"%s\"\n", argv[0], argv[1]);
        return 2;
    }
    size_t low = strtoull(argv[2], NULL, 10), high = strtoull(argv[3], NULL, 10), factor = strtoull(argv[4], NULL, 10);
    double budget_us = strtod(argv[5], NULL) * 1e3;
    int divided = collective != BENCH_ALL_REDUCE && collective != BENCH_BROADCAST;

    float* input = malloc(high + 64 * (size_t)size);
    float* output = malloc(high + 64 * (size_t)size);
    for (size_t i = 0; i < high / sizeof *input + 16; ++i) {
        input[i] = value(rank, i);
        output[i] = 0;
    }
    for (size_t bytes = low; bytes <= high; bytes *= factor) {
        size_t count = bytes / sizeof(float) / (divided ? (size_t)size : 1);
        if (count == 0) {
            count = 1;
        }
        size_t total = count * sizeof(float) * (divided ? (size_t)size : 1);

        /* All ranks must run equally often: rank 0 measures a few and tells. */
        float repeats = 0;
        bench_run(collective, input, output, count);
        bench_barrier();
        double start = now_us();
        for (int i = 0; i < 3; ++i) {
            bench_run(collective, input, output, count);
        }
        repeats = rank == 0 ? (float)(budget_us / ((now_us() - start) / 3 + 0.01)) : 0;
        bench_run(BENCH_BROADCAST, &repeats, &repeats, 1);
        int iterations = repeats < 5 ? 5 : repeats > 100000 ? 100000 : (int)repeats;

        memset(output, 0, total);
        bench_barrier();
        double cpu = cpu_seconds();
        start = now_us();
        for (int i = 0; i < iterations; ++i) {
            bench_run(collective, input, output, count);
        }
        double time = (now_us() - start) / iterations;
        bench_barrier();
        cpu = (cpu_seconds() - cpu) / iterations;
        size_t wrong = count_wrong(collective, output, count, rank, size);
        if (rank == 0 || wrong > 0) {
            double bandwidth = (double)total / time * 1e-3;
            printf("{\"library\":\"%s\",\"collective\":\"%s\",\"ranks\":%d,\"rank\":%d,\"size\":%zu,\"count\":%zu,\"type\":\"float\",\"time\":%.3f,"
                   "\"alg_bw\":%.3f,\"bus_bw\":%.3f,\"nwrong\":%zu,\"iterations\":%d,\"cpu_s_per_gb\":%.4f}\n",
                   bench_library, kNames[collective], size, rank, total, count, time, bandwidth, bandwidth * bus_factor(collective, size), wrong,
                   iterations, cpu / ((double)total * 1e-9));
            fflush(stdout);
        }
    }
    free(input);
    free(output);
    bench_close();
    return 0;
}
