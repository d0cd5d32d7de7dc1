/* JOIN by Bloom filters: one array of bits per hash. */
#define WITH_JOIN
#include "include/pipeline.p4"
