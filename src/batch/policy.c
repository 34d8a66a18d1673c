#include "batch/policy.h"

#include "base/check.h"

static struct batch_decision leave(uint32_t requests, enum batch_reason reason) {
    return (struct batch_decision){.requests = requests, .reason = reason};
}

struct batch_decision batch_policy_decide(const struct batch_rules *rules,
                                          const struct batch_view *view, uint64_t now_ns) {
    if (view->requests == 0)
        return (struct batch_decision){.until_ns = UINT64_MAX};
    if (view->full)
        return leave(view->requests, BATCH_LEFT_FULL);
    if (view->preferred_requests > 0)
        return leave(view->preferred_requests, BATCH_LEFT_PREFERRED);
    if (rules->delay_ns == 0 || view->alone)
        return leave(view->requests, BATCH_LEFT_IDLE);
    uint64_t waited_ns = now_ns > view->oldest_ns ? now_ns - view->oldest_ns : 0;
    if (waited_ns >= rules->delay_ns)
        return leave(view->requests, BATCH_LEFT_DELAY);
    if (view->other_shape) /* it would stand behind a batch that it cannot help to fill */
        return leave(view->requests, BATCH_LEFT_SHAPE);
    return (struct batch_decision){.until_ns = now_ns + (rules->delay_ns - waited_ns)};
}

uint32_t batch_policy_level(const uint32_t *passed, uint32_t count, uint32_t waiting) {
    uint32_t first = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!(waiting >> i & 1))
            continue;
        if (passed[i] >= BATCH_PASSED_MAX)
            return i;
        if (first == count)
            first = i;
    }
    CHECK(first < count);
    return first;
}

void batch_policy_note(uint32_t *passed, uint32_t count, uint32_t taken, uint32_t waiting) {
    for (uint32_t i = 0; i < count; i++)
        passed[i] = waiting >> i & 1 && !(taken >> i & 1) ? passed[i] + 1 : 0;
}
