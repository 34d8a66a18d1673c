#include "load/arrival.h"

#include "base/check.h"
#include "base/num.h"

#include <math.h>

void arrival_init(struct arrival *arrival, double rate_per_s, uint64_t seed) {
    CHECK(rate_per_s > 0);
    *arrival = (struct arrival){random_of(seed), (double)NS_PER_S / rate_per_s, 0};
}

uint64_t arrival_next(struct arrival *arrival) {
    /* Inversion: -ln(1 - u) is exponential with mean 1; 1 - u is never 0. */
    arrival->at_ns += -log1p(-random_real(&arrival->random)) * arrival->mean_gap_ns;
    return (uint64_t)arrival->at_ns;
}
