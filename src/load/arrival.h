/* When requests of an open loop are due: a Poisson process, whose gaps are exponential and know
 * nothing of earlier answers. Times are nanoseconds since its start. Pure. */
#pragma once

#include "load/random.h"

struct arrival {
    struct random random;
    double mean_gap_ns;
    double at_ns; /* the newest arrival; a double is exact to the nanosecond for 104 days */
};

void arrival_init(struct arrival *arrival, double rate_per_s, uint64_t seed);
/* The next arrival, never before the one before it. */
uint64_t arrival_next(struct arrival *arrival);
