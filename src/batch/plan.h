/* Which waiting requests may share one run: pure. Requests are offered oldest first. */
#pragma once

#include "tensor/tensor.h"

struct batch_plan {
    const struct tensor *inputs; /* of the first request: borrowed */
    size_t input_count;
    int64_t rows; /* of all requests taken so far */
    int64_t rows_max;
    uint32_t requests;
    uint32_t requests_max;
    bool alone;   /* the first request shares with nobody */
    bool other;   /* a request of another shape was offered */
    bool crowded; /* a request of the right shape did not fit */
    const uint32_t *preferred;
    uint32_t preferred_count;
    uint32_t preferred_requests; /* the most requests, from the first, of a preferred size */
};

enum batch_offer {
    BATCH_OFFER_TAKEN,
    BATCH_OFFER_OTHER, /* another shape: not in this run, later ones may be */
    BATCH_OFFER_FULL   /* this run takes no more */
};

/* The first request, which is always taken. `rows`: its dimension 0. */
void batch_plan_start(struct batch_plan *plan, const struct tensor *inputs, size_t input_count,
                      int64_t rows);
/* How much one run takes. At most one request when either is 1. */
void batch_plan_limit(struct batch_plan *plan, int64_t rows_max, uint32_t requests_max);
/* Sizes in rows to look out for: borrowed. */
void batch_plan_prefer(struct batch_plan *plan, const uint32_t *sizes, uint32_t count);
enum batch_offer batch_plan_offer(struct batch_plan *plan, const struct tensor *inputs,
                                  int64_t rows);
bool batch_plan_full(const struct batch_plan *plan);
