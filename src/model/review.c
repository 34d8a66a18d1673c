#include "model/review.h"

#include <inttypes.h>
#include <stdio.h>

static bool has_version(const struct review_model *model, int64_t number) {
    for (size_t i = 0; i < model->count; i++)
        if (model->numbers[i] == number)
            return true;
    return false;
}

static void need_version(const struct review *review, const char *key,
                         const struct review_model *model, int64_t number) {
    char what[96];
    if (has_version(model, number))
        return;
    snprintf(what, sizeof what, "%s: version %" PRId64 " is not there", key, number);
    review->found(review->context, model->name, true, what);
}

/* What is read and has no effect. */
static void note_idle(const struct review *review, const struct model_options *options,
                      const struct review_model *model) {
    const struct batch_rules *rules = &options->batch.rules;
    bool reachable = true;
    for (uint32_t i = 0; i < rules->preferred_count; i++)
        reachable = reachable && rules->preferred[i] <= options->batch.rows_max;
    if (!reachable)
        review->found(review->context, model->name, false,
                      "batching.preferred_sizes holds more than batching.rows_max: no batch is so "
                      "large");
    if (options->policy != VERSIONS_LISTED && options->listed_count > 0)
        review->found(review->context, model->name, false,
                      "versions.listed has no effect without versions.policy: listed");
}

void review_settings(const struct review *review, const struct model_options *options,
                     const struct engine *engine, const struct review_model *model) {
    note_idle(review, options, model);
    if (options->default_version != 0)
        need_version(review, "versions.default", model, options->default_version);
    for (size_t i = 0; options->policy == VERSIONS_LISTED && i < options->listed_count; i++)
        need_version(review, "versions.listed", model, options->listed[i]);
    for (size_t i = 0; engine->ops->knows_setting && i < options->engine.session_count; i++) {
        const char *key = options->engine.session[i].key;
        char what[256];
        if (engine->ops->knows_setting(key))
            continue;
        snprintf(what, sizeof what,
                 "execution.session: the key '%.100s' is not one that this server knows; ONNX "
                 "Runtime ignores keys that it does not know",
                 key);
        review->found(review->context, model->name, false, what);
    }
}

static void need_models(const struct review *review, const char *key, const char *const *names,
                        size_t count, const struct scan *scan) {
    char what[96];
    snprintf(what, sizeof what, "%s names it, but the repository has no such model", key);
    for (size_t i = 0; i < count; i++) {
        bool there = false;
        for (size_t j = 0; j < scan->model_count && !there; j++)
            there = strcmp(scan->models[j].name, names[i]) == 0;
        if (!there)
            review->found(review->context, names[i], true, what);
    }
}

void review_names(const struct review *review, const struct model_manager_options *options,
                  const struct scan *scan) {
    if (options->explicit_only)
        need_models(review, "repository.startup", options->startup, options->startup_count, scan);
    need_models(review, "ready.models", options->ready, options->ready_count, scan);
}
