/* From what should be loaded and what is, the next step for each version. Stateless: the same lists
 * give the same steps, so an error or a restart in the middle needs no memory of what was going on.
 * Pure. */
#pragma once

#include "base/str.h"

struct plan_version {
    bool wanted;      /* by the policy, and its folder is there */
    bool still;       /* its files and the model's settings have settled */
    bool asked;       /* an order to load: do not wait for still files, try again what failed */
    bool serving;     /* a READY one exists */
    bool coming;      /* one that is not READY exists, beside the serving one or alone */
    bool failed;      /* the coming one is FAILED */
    uint64_t content; /* files and settings, now */
    uint64_t serving_content; /* that the serving one was made from */
    uint64_t coming_content;  /* that the failed one was made from */
};

enum plan_step {
    PLAN_NOTHING,
    PLAN_SETTLE, /* make a SETTLING version */
    PLAN_LOAD,   /* load the SETTLING version */
    PLAN_DROP,   /* give up the one that is coming (it failed and may be tried again, or is not
                    wanted) */
    PLAN_RETIRE  /* the serving one serves no longer */
};

/* The step for versions[at]; `versions` are all of one model. Apply it and ask again until nothing
 * (or only loads, which take long) is left. A serving version that is not wanted stays until no
 * wanted one is on its way and at least one serves, or none is wanted at all. */
enum plan_step plan_next(const struct plan_version *versions, size_t count, size_t at);
