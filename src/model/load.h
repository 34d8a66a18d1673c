/* From a version's folder to a model that can serve: load it, warm it up, decide about batching.
 * What the manager and `inferd check` share. Knows no state and no metric.
 *
 * Work runs on a thread of its own, joined at once, with a nice value of +10: loading and
 * optimising a model must not take the cores from those that serve. Not when the engine makes
 * worker threads for the model: they inherit the nice value for good, and an unprivileged process
 * cannot take it back. Thread: any, blocks. */
#pragma once

#include "model/manager.h"
#include "model/warmup.h"

/* Does `work` as is said above. */
void load_run_quietly(const struct model_options *options, void (*work)(void *context),
                      void *context);

/* What to load. */
struct load_order {
    const struct model_manager_options *manager;
    const char *model;
    int64_t number;
    const struct model_options *options;
    const _Atomic bool *stop; /* may be NULL: ends the warm-up early */
};

/* Loads <root>/<model>/<version>/model.onnx. ERR_INVALID with the reason. */
enum err load_model(const struct load_order *order, struct engine_model **ret,
                    struct err_text *text) MUST_CHECK;

struct load_decision {
    bool batching;
    uint32_t rows_max;               /* of one batch; 1 without batching */
    char reason[ERR_TEXT_MAX + 64];  /* of the decision about batching */
    struct warmup_result warmup;     /* zero without warm-up */
    struct recorded_result recorded; /* ditto */
};

/* Warms up and decides about batching. ERR_INVALID when the settings ask for what the model cannot
 * do, or a recorded request fails. */
enum err load_warm_up(const struct load_order *order, struct engine_model *model,
                      struct load_decision *ret, struct err_text *text) MUST_CHECK;
