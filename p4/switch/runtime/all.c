/* The whole runtime as one translation unit: one compiler run, and calls inside it can be inlined. */
#include "externs.c"
#include "hash.c"
#include "match.c"
#include "switch.c"
#include "traffic.c"
