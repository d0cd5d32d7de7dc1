/* psa_switch's widths are those of our psa.p4. */
#include <psa.p4>
