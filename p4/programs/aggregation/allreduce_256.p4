/* allreduce.p4 for software switches: 256 values, 1 KiB, per packet. */
#define VALUES 256
#include "allreduce.p4"
