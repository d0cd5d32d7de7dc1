/*
 * A collective of one's own: an all_reduce in which rank 0 collects, adds and hands out, written
 * down as a schedule, proved right, and run under its name.
 *
 *   cc -std=c99 schedule.c -lweft -o schedule
 *   torchrun --no-python --nproc-per-node 4 ./schedule
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

/* Every rank starts from its input; rank 0 then adds what the others send, one after the other, so
 * that no more than one sends at a time, and sends everybody the sum. `forget`: rank 0 leaves the
 * last one out, which is wrong. */
static weft_schedule* star(int32_t size, int forget) {
    weft_schedule* schedule = NULL;
    check(weft_schedule_create("star", "all_reduce", size, 1, 0, &schedule), "create");
    check(weft_schedule_copy(schedule, 0, 0, WEFT_OUTPUT, 0, WEFT_INPUT, 0, 1), "copy");
    for (int32_t rank = 1; rank < size; ++rank) {
        int32_t from = 0;
        check(weft_schedule_scratch(schedule, 0, WEFT_NO_RANK, &from), "scratch");
        check(weft_schedule_send(schedule, rank, 0, 0, WEFT_INPUT, 0, 1), "send");
        check(weft_schedule_recv(schedule, 0, 0, rank, WEFT_SCRATCH, from, 1), "recv");
        if (rank > 1) {
            check(weft_schedule_after(schedule, 0, 2 * rank - 2), "after"); /* the sum before */
        }
        check(weft_schedule_reduce(schedule, 0, 0, WEFT_OUTPUT, 0, WEFT_SCRATCH,
                                   forget && rank == size - 1 ? 0 : from, 1),
              "reduce");
    }
    for (int32_t rank = 1; rank < size; ++rank) {
        check(weft_schedule_send(schedule, 0, 0, rank, WEFT_OUTPUT, 0, 1), "send");
        check(weft_schedule_recv(schedule, rank, 0, 0, WEFT_OUTPUT, 0, 1), "recv");
    }
    return schedule;
}

int main(void) {
    weft_context* context = NULL;
    weft_comm* comm = NULL;
    check(weft_context_create(NULL, &context), "weft_context_create");
    check(weft_comm_create_from_environment(context, NULL, &comm), "weft_comm_create_from_environment");
    int32_t rank = weft_comm_rank(comm), size = weft_comm_size(comm);

    /* A wrong schedule never runs. */
    weft_schedule* wrong = star(size, 1);
    weft_error error;
    if (size > 2) {
        if (weft_schedule_verify(wrong) != WEFT_ERR_SCHEDULE) {
            fprintf(stderr, "the verifier let a wrong schedule pass\n");
            return EXIT_FAILURE;
        }
        weft_last_error(&error);
        printf("refused: %s\n", error.message);
    }
    weft_schedule_free(wrong);

    weft_schedule* schedule = star(size, 0);
    check(weft_comm_register_schedule(comm, schedule), "weft_comm_register_schedule");
    weft_schedule_free(schedule);

    enum { kCount = 100003 };
    int32_t* numbers = malloc(kCount * sizeof *numbers);
    for (int32_t i = 0; i < kCount; ++i) {
        numbers[i] = (rank + 1) * (i % 1000);
    }
    weft_op_options options = WEFT_OP_OPTIONS_INIT;
    options.algorithm = "star";
    check(weft_all_reduce(comm, numbers, numbers, kCount, WEFT_I32, WEFT_SUM, &options, NULL), "weft_all_reduce");
    int right = 1;
    for (int32_t i = 0; i < kCount; ++i) {
        right = right && numbers[i] == size * (size + 1) / 2 * (i % 1000);
    }
    free(numbers);
    printf("rank %d of %d: %s\n", (int)rank, (int)size, right ? "right" : "wrong");

    check(weft_comm_destroy(comm), "weft_comm_destroy");
    check(weft_context_destroy(context), "weft_context_destroy");
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
