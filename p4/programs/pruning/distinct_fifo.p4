/* SELECT DISTINCT over caches that replace first in, first out. */
#define WITH_DISTINCT
#define FIFO
#include "include/pipeline.p4"
