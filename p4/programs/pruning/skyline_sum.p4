/* SKYLINE, points ranked by their sum. */
#define WITH_SKYLINE
#include "include/pipeline.p4"
