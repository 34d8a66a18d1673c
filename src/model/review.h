/* What settings name that is not there, or that nobody knows: not wrong enough to refuse a model,
 * but never what somebody wants. Pure. */
#pragma once

#include "model/manager.h"
#include "model/scan.h"

struct review {
    /* `problem`: false for what may be right all the same. `what` lives for the call. */
    void (*found)(void *context, const char *model, bool problem, const char *what);
    void *context;
};

/* A model and the version numbers that its folder holds. */
struct review_model {
    const char *name;
    const int64_t *numbers;
    size_t count;
};

void review_settings(const struct review *review, const struct model_options *options,
                     const struct engine *engine, const struct review_model *model);
/* The models that the server's configuration names, beside those of the repository. */
void review_names(const struct review *review, const struct model_manager_options *options,
                  const struct scan *scan);
