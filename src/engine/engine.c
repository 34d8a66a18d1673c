/* What all engines share: counting the references of a result. Thread: any. */
#include "engine/engine.h"

#include "base/check.h"

#include <stddef.h>

void engine_result_ref(struct engine_result *result) {
    /* relaxed: who adds a reference holds one already */
    uint32_t before = atomic_fetch_add_explicit(&result->references, 1, memory_order_relaxed);
    CHECK(before > 0 && before < UINT32_MAX);
}

void engine_result_unref(struct engine_result **result) {
    struct engine_result *gone = *result;
    *result = NULL;
    if (!gone)
        return;
    /* release: our reads of the outputs are over; acquire: all others' are too. Pairs with itself
     */
    uint32_t before = atomic_fetch_sub_explicit(&gone->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        gone->destroy(gone);
}
