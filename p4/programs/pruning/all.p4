/* Every operator at once: what the query path runs in the software switch. */
#define WITH_FILTER
#define WITH_DISTINCT
#define FIFO
#define WITH_TOP_N_RANDOM
#define WITH_TOP_N_DETERMINISTIC
#define WITH_GROUP_BY
#define WITH_JOIN
#define REGISTER_BLOOM
#define WITH_HAVING
#define WITH_SKYLINE
#include "include/pipeline.p4"
