/*
 * nccl-tests' measurement for any library behind bench.h. Prints one JSON object a line, keys as nccl-tests has them: size
 * (bytes of the whole buffer: for all_gather and reduce_scatter the gathered one), count, time (us), alg_bw, bus_bw (GB/s),
 * nwrong; cpu_s_per_gb is rank 0's. Any rank with wrong results prints its line, too.
 *
 *   collectives COLLECTIVE BYTES,BYTES,... MILLISECONDS     MILLISECONDS of measurement per size
 *   collectives idle SECONDS                                the share of a core that an open group costs
 */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

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

/* How long to measure: all ranks must run equally often, so rank 0 tries a few and tells. */
static int agree_on_iterations(enum bench_collective collective, const float* input, float* output, size_t count,
                               double budget_us, int rank) {
    bench_run(collective, input, output, count);
    bench_barrier();
    double start = now_us();
    for (int i = 0; i < 3; ++i) {
        bench_run(collective, input, output, count);
    }
    float repeats = rank == 0 ? (float)(budget_us / ((now_us() - start) / 3 + 0.01)) : 0;
    bench_run(BENCH_BROADCAST, &repeats, &repeats, 1);
    return repeats < 5 ? 5 : repeats > 100000 ? 100000 : (int)repeats;
}

static void measure(enum bench_collective collective, size_t bytes, double budget_us, int rank, int size) {
    size_t blocks = collective == BENCH_ALL_REDUCE || collective == BENCH_BROADCAST ? 1 : (size_t)size;
    size_t count = bytes / sizeof(float) / blocks;
    if (count == 0) {
        count = 1;
    }
    size_t total = count * sizeof(float) * blocks;
    float* input = malloc(total);
    float* output = malloc(total);
    if (input == NULL || output == NULL) {
        fprintf(stderr, "no memory for buffers of %zu bytes\n", total);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < count * blocks; ++i) {
        input[i] = value(rank, i);
        output[i] = 0;
    }
    int iterations = agree_on_iterations(collective, input, output, count, budget_us, rank);
    memset(output, 0, total);
    bench_barrier();
    double cpu = cpu_seconds();
    double start = now_us();
    for (int i = 0; i < iterations; ++i) {
        bench_run(collective, input, output, count);
    }
    double time = (now_us() - start) / iterations;
    bench_barrier();
    cpu = (cpu_seconds() - cpu) / iterations;
    size_t wrong = count_wrong(collective, output, count, rank, size);
    if (rank == 0 || wrong > 0) {
        double bandwidth = (double)total / time * 1e-3;
        printf("{\"library\":\"%s\",\"collective\":\"%s\",\"ranks\":%d,\"rank\":%d,\"size\":%zu,\"count\":%zu,"
               "\"type\":\"float\",\"time\":%.3f,\"alg_bw\":%.3f,\"bus_bw\":%.3f,\"nwrong\":%zu,\"iterations\":%d,"
               "\"cpu_s_per_gb\":%.4f}\n",
               bench_library, kNames[collective], size, rank, total, count, time, bandwidth,
               bandwidth * bus_factor(collective, size), wrong, iterations, cpu / ((double)total * 1e-9));
        fflush(stdout);
    }
    free(input);
    free(output);
}

static void measure_idle(unsigned seconds, int rank) {
    bench_barrier();
    sleep(1); /* adaptive spinning has ended by then */
    double cpu = cpu_seconds();
    double start = now_us();
    while (now_us() - start < seconds * 1e6) {
        sleep(1);
    }
    cpu = (cpu_seconds() - cpu) / ((now_us() - start) * 1e-6);
    if (rank == 0) {
        printf("{\"library\":\"%s\",\"collective\":\"idle\",\"core_share\":%.5f}\n", bench_library, cpu);
        fflush(stdout);
    }
    bench_barrier();
}

int main(int argc, char** argv) {
    int rank = 0, size = 1;
    bench_open(&argc, &argv, &rank, &size);
    int collective = 0;
    while (argc == 4 && collective < 5 && strcmp(kNames[collective], argv[1]) != 0) {
        ++collective;
    }
    if (argc == 3 && strcmp(argv[1], "idle") == 0) {
        measure_idle((unsigned)strtoul(argv[2], NULL, 10), rank);
    } else if (argc == 4 && collective < 5) {
        char* sizes = argv[2];
        while (*sizes != '\0') {
            measure(collective, strtoull(sizes, &sizes, 10), strtod(argv[3], NULL) * 1e3, rank, size);
            sizes += *sizes == ',' ? 1 : strlen(sizes); /* anything else ends the list */
        }
    } else {
        fprintf(stderr, "usage: %s COLLECTIVE BYTES,... MILLISECONDS | idle SECONDS\n", argv[0]);
        return 2;
    }
    bench_close();
    return 0;
}
