/* How many columns w a lane's matrix has, and how many cells each column. */
#ifndef WEFT_PRUNING_COLUMNS_P4
#define WEFT_PRUNING_COLUMNS_P4

#ifndef COLUMNS
#define COLUMNS 4
#endif
#ifndef CELLS
#define CELLS 4096
#endif

#if COLUMNS == 1
#define FOR_EACH_COLUMN(DO) DO(0)
#elif COLUMNS == 2
#define FOR_EACH_COLUMN(DO) DO(0) DO(1)
#elif COLUMNS == 4
#define FOR_EACH_COLUMN(DO) DO(0) DO(1) DO(2) DO(3)
#elif COLUMNS == 5
#define FOR_EACH_COLUMN(DO) DO(0) DO(1) DO(2) DO(3) DO(4)
#elif COLUMNS == 8
#define FOR_EACH_COLUMN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#elif COLUMNS == 10
#define FOR_EACH_COLUMN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9)
#elif COLUMNS == 19
#define FOR_EACH_COLUMN(DO)                                                                        \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) \
    DO(15) DO(16) DO(17) DO(18)
#elif COLUMNS == 20
#define FOR_EACH_COLUMN(DO)                                                                        \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) \
    DO(15) DO(16) DO(17) DO(18) DO(19)
#elif COLUMNS == 24
#define FOR_EACH_COLUMN(DO)                                                                        \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) \
    DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23)
#else
#error "COLUMNS is one of 1, 2, 4, 5, 8, 10, 19, 20, 24"
#endif

#endif
