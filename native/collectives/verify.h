// The one proof that a schedule does what its collective's name says, whoever wrote it.
//
// All programs are executed symbolically: the value of a chunk is the expression that made it, over
// the inputs of all ranks. Refused are: malformed steps, messages without a counterpart or of
// another length, reads of chunks that nothing was written to, contributions counted twice, output
// chunks that end with missing or wrong contributions, deadlocks (with the buffering given), and
// all_reduce schedules whose ranks end with different expressions (they would differ in rounding).
// Expressions are compared up to the order of the operands of one op, since a op b == b op a bit by
// bit (reduce/reduce.h). Both the in-place and the out-of-place form are proved.
#pragma once

#include <cstdint>

#include "collectives/schedule.h"

namespace weft::collectives {

struct VerifyOptions {
    // How many messages per ordered pair of ranks may be under way without a posted receive. 0:
    // none, a send ends only when its receive was posted (rendezvous, what large messages do); what
    // is free of deadlock so is free of it with any buffering.
    std::int32_t buffered_messages = 0;
};

// Returns if the schedule is right; otherwise throws Error(SCHEDULE) (a bad spec: INVALID) whose
// message names the rank, the step and the chunk, and says what to do. O(chunks touched by all
// steps), plus size^2 * chunks / 64 words of memory.
void verify(const Schedule& schedule, const VerifyOptions& options = {});

}  // namespace weft::collectives
