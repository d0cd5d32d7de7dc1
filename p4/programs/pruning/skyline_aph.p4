/* SKYLINE, points ranked by their approximate product. */
#define WITH_SKYLINE
#define APH
#include "include/pipeline.p4"
