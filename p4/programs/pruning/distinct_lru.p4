/* SELECT DISTINCT over caches that replace the least recently used key. */
#define WITH_DISTINCT
#include "include/pipeline.p4"
