/* GROUP BY ... HAVING SUM or COUNT > bound. */
#define WITH_HAVING
#include "include/pipeline.p4"
