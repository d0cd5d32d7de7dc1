/* WHERE: weakened to the comparisons that a switch can make. */
#define WITH_FILTER
#include "include/pipeline.p4"
