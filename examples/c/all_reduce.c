/*
 * The smallest complete program: every rank contributes its number, every rank gets the sum.
 *
 *   cc -std=c99 all_reduce.c -lweft -o all_reduce
 *   torchrun --no-python --nproc-per-node 4 ./all_reduce      (or mpirun -n 4, srun -n 4 with WEFT_RENDEZVOUS=host:port)
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft/weft.h>

static void check(weft_status status, const char* what) {
    if (status < 0) {
        weft_error error;
        weft_last_error(&error);
        fprintf(stderr, "%s: %s: %s\n", what, weft_status_name(status), error.message);
        exit(EXIT_FAILURE);
    }
}

int main(void) {
    weft_context* context = NULL;
    weft_comm* comm = NULL;
    check(weft_context_create(NULL, &context), "weft_context_create");
    check(weft_comm_create_from_environment(context, NULL, &comm), "weft_comm_create_from_environment");

    int32_t rank = weft_comm_rank(comm), size = weft_comm_size(comm);
    float mine = (float)(rank + 1), sum = 0.0F;
    check(weft_all_reduce(comm, &mine, &sum, 1, WEFT_F32, WEFT_SUM, NULL, NULL), "weft_all_reduce");

    /* The same without blocking: start, do something else, wait. */
    enum { kCount = 1 << 20 };
    float* big = malloc(kCount * sizeof *big);
    for (int i = 0; i < kCount; ++i) {
        big[i] = (float)rank;
    }
    weft_request* request = NULL;
    check(weft_all_reduce(comm, big, big, kCount, WEFT_F32, WEFT_MAX, NULL, &request), "weft_all_reduce");
    check(weft_wait(request, WEFT_TIMEOUT_DEFAULT), "weft_wait");
    weft_request_free(request);

    printf("rank %d of %d: sum %g, largest %g\n", (int)rank, (int)size, (double)sum, (double)big[kCount - 1]);
    int right = sum == (float)(size * (size + 1)) / 2.0F && big[kCount - 1] == (float)(size - 1);
    free(big);

    check(weft_comm_destroy(comm), "weft_comm_destroy");
    check(weft_context_destroy(context), "weft_context_destroy");
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
