/* GROUP BY with MAX or MIN. */
#define WITH_GROUP_BY
#include "include/pipeline.p4"
