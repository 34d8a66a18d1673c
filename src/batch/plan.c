/* Which waiting requests may share one run.
 *
 * Requests share when all their inputs agree in datatype, rank and every dimension but the first,
 * and the first is the same number of rows, at least one, in all inputs of a request: then the
 * answer's rows are the rows of the requests in order. Everything else runs alone. A request of the
 * right shape that does not fit ends the batch, so that requests of one shape stay in order; one of
 * another shape is passed over, and begins the next batch. Pure. */
#include "batch/plan.h"

/* Is dimension 0 the same number of rows in every input? */
static bool has_rows(const struct tensor *inputs, size_t count, int64_t rows) {
    for (size_t i = 0; i < count; i++)
        if (inputs[i].rank == 0 || inputs[i].shape[0] != rows)
            return false;
    return rows > 0;
}

static bool same_rows(const struct tensor *a, const struct tensor *b) {
    if (a->datatype != b->datatype || a->rank != b->rank)
        return false;
    for (uint32_t i = 1; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

void batch_plan_start(struct batch_plan *plan, const struct tensor *inputs, size_t input_count,
                      int64_t rows) {
    *plan = (struct batch_plan){.inputs = inputs,
                                .input_count = input_count,
                                .rows = rows,
                                .rows_max = INT64_MAX,
                                .requests = 1,
                                .requests_max = UINT32_MAX,
                                .alone = !has_rows(inputs, input_count, rows)};
}

void batch_plan_limit(struct batch_plan *plan, int64_t rows_max, uint32_t requests_max) {
    plan->rows_max = rows_max;
    plan->requests_max = requests_max;
}

static void note_preferred(struct batch_plan *plan) {
    for (uint32_t i = 0; i < plan->preferred_count; i++)
        if (plan->rows == (int64_t)plan->preferred[i])
            plan->preferred_requests = plan->requests;
}

void batch_plan_prefer(struct batch_plan *plan, const uint32_t *sizes, uint32_t count) {
    plan->preferred = sizes;
    plan->preferred_count = count;
    note_preferred(plan);
}

bool batch_plan_full(const struct batch_plan *plan) {
    return plan->alone || plan->rows >= plan->rows_max || plan->requests >= plan->requests_max;
}

static bool shares(const struct batch_plan *plan, const struct tensor *inputs, int64_t rows) {
    if (!has_rows(inputs, plan->input_count, rows))
        return false;
    for (size_t i = 0; i < plan->input_count; i++)
        if (!same_rows(&plan->inputs[i], &inputs[i]))
            return false;
    return true;
}

enum batch_offer batch_plan_offer(struct batch_plan *plan, const struct tensor *inputs,
                                  int64_t rows) {
    if (batch_plan_full(plan))
        return BATCH_OFFER_FULL;
    if (!shares(plan, inputs, rows)) {
        plan->other = true;
        return BATCH_OFFER_OTHER;
    }
    if (rows > plan->rows_max - plan->rows) {
        plan->crowded = true;
        return BATCH_OFFER_FULL;
    }
    plan->rows += rows;
    plan->requests++;
    note_preferred(plan);
    return BATCH_OFFER_TAKEN;
}
