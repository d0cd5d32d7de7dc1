/* ORDER BY ... LIMIT N, always right. */
#define WITH_TOP_N_DETERMINISTIC
#include "include/pipeline.p4"
