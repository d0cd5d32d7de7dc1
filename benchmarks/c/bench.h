/*
 * What a library must offer to be measured by collectives.c. One executable is linked per library, so that all of them are
 * measured by the same loop, on the same buffers, with the same check of the results.
 */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stddef.h>

enum bench_collective { BENCH_ALL_REDUCE, BENCH_ALL_GATHER, BENCH_REDUCE_SCATTER, BENCH_ALL_TO_ALL, BENCH_BROADCAST };

extern const char* const bench_library;

/* Joins the job and says our place in it. */
void bench_open(int* argc, char*** argv, int* rank, int* size);
/* One blocking collective over floats; `count` as in weft.h (of one block). */
void bench_run(enum bench_collective collective, const float* input, float* output, size_t count);
void bench_barrier(void);
void bench_close(void);

#endif
