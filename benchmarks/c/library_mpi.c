/* Any MPI behind bench.h. BENCH_LIBRARY names it. */
#include <mpi.h>
#include <string.h>

#include "bench.h"

#ifndef BENCH_LIBRARY
#define BENCH_LIBRARY "mpi"
#endif
const char* const bench_library = BENCH_LIBRARY;

void bench_open(int* argc, char*** argv, int* rank, int* size) {
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, size);
}

void bench_run(enum bench_collective collective, const float* input, float* output, size_t count) {
    int n = (int)count;
    int rank = 0;
    switch (collective) {
        case BENCH_ALL_REDUCE: MPI_Allreduce(input, output, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); break;
        case BENCH_ALL_GATHER: MPI_Allgather(input, n, MPI_FLOAT, output, n, MPI_FLOAT, MPI_COMM_WORLD); break;
        case BENCH_REDUCE_SCATTER: MPI_Reduce_scatter_block(input, output, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); break;
        case BENCH_ALL_TO_ALL: MPI_Alltoall(input, n, MPI_FLOAT, output, n, MPI_FLOAT, MPI_COMM_WORLD); break;
        case BENCH_BROADCAST: /* in place by nature */
            MPI_Comm_rank(MPI_COMM_WORLD, &rank);
            if (rank == 0 && output != input) {
                memcpy(output, input, count * sizeof *output);
            }
            MPI_Bcast(output, n, MPI_FLOAT, 0, MPI_COMM_WORLD);
            break;
    }
}

void bench_barrier(void) {
    MPI_Barrier(MPI_COMM_WORLD);
}

void bench_close(void) {
    MPI_Finalize();
}
