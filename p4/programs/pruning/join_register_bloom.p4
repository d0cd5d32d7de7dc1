/* JOIN by register Bloom filters: all bits of a key in one word. */
#define WITH_JOIN
#define REGISTER_BLOOM
#include "include/pipeline.p4"
