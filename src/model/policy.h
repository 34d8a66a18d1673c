/* Which of the versions that are there should be loaded. Pure. */
#pragma once

#include "model/manager.h"

struct policy_version {
    int64_t number;
    bool failed; /* it was tried as it is now, and cannot be loaded */
    bool wanted; /* out */
};

/* `versions`: those present, ascending number. Sets `wanted`.
 * LATEST n: from the highest down until n that did not fail are found (failed ones on the way stay
 * wanted: they are reported, and tried again when their files change). The default version, when
 * one is named, is always wanted. */
void policy_apply(const struct model_options *options, struct policy_version *versions,
                  size_t count);
