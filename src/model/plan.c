/* The steps towards what is wanted (plan.h). */
#include "model/plan.h"

/* Is there nothing to lose when a version that is not wanted goes? */
static bool may_retire(const struct plan_version *versions, size_t count) {
    bool any_wanted = false, any_serving = false, any_pending = false;
    for (size_t i = 0; i < count; i++) {
        const struct plan_version *version = &versions[i];
        if (!version->wanted)
            continue;
        any_wanted = true;
        any_serving |= version->serving;
        bool tried =
            version->failed && !version->asked && version->coming_content == version->content;
        any_pending |= !version->serving && !tried;
    }
    return !any_wanted || (any_serving && !any_pending);
}

enum plan_step plan_next(const struct plan_version *versions, size_t count, size_t at) {
    const struct plan_version *version = &versions[at];
    if (!version->wanted) {
        if (version->coming)
            return PLAN_DROP;
        return version->serving && may_retire(versions, count) ? PLAN_RETIRE : PLAN_NOTHING;
    }
    bool current = version->serving && version->serving_content == version->content;
    if (version->coming && current)
        return PLAN_DROP; /* the files are again as they were */
    if (version->failed) {
        bool again = version->asked || version->coming_content != version->content;
        return again ? PLAN_DROP : PLAN_NOTHING;
    }
    if (version->coming)
        return version->still || version->asked ? PLAN_LOAD : PLAN_NOTHING;
    return current ? PLAN_NOTHING : PLAN_SETTLE;
}
