/* ORDER BY ... LIMIT N, right with probability 1 - delta. */
#define WITH_TOP_N_RANDOM
#include "include/pipeline.p4"
