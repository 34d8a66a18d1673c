/* Memory of models that have not run for a while, or ran far larger than usual, goes back to the
 * system.
 *
 * An arena keeps what its largest run needed. Once in a while each version that serves is looked
 * at: one that has run since the last look is only told (its next run may shrink the arena, when
 * one was an outlier); one that has run since the last trim, but not since the last look, is idle:
 * its memory is given back by a run of made-up inputs, here, where nobody waits for it. A version
 * that does not take these inputs gives its memory back with its next request. Thread: manager. */
#include "model/repository.h"

#include "base/num.h"
#include "model/load.h"

static uint64_t count_runs(const struct model_manager *manager,
                           const struct model_version *version) {
    uint64_t runs = 0;
    for (uint32_t i = 0; i < MAX(manager->options.shards, 1u); i++)
        runs += atomic_load_explicit(&version->stats[i].execution_count, memory_order_relaxed);
    return runs;
}

struct trim_work {
    struct model_version_owner *owner;
    enum err err;
};

static void trim_now(void *context) {
    struct trim_work *work = context;
    const struct signature *signature = &work->owner->version.signature;
    const struct engine_ops *ops = work->owner->engine->ops;
    struct tensor inputs[SIGNATURE_TENSORS_MAX];
    work->err = ERR_INVALID;
    if (warmup_inputs_init(signature, inputs)) {
        work->err = ops->trim(work->owner->model, inputs);
        warmup_inputs_done(signature, inputs);
    }
    if (work->err != ERR_OK)
        work->err = ops->trim(work->owner->model, NULL);
}

static void give_back(struct model_manager *manager, struct model_version_owner *owner) {
    struct trim_work work = {.owner = owner};
    load_run_quietly(&owner->entry->options, trim_now, &work);
    if (work.err != ERR_OK)
        return;
    if (owner->version.metrics)
        metric_add(owner->version.metrics, MAX(manager->options.shards, 1u) - 1,
                   METRIC_MEMORY_TRIMS, 0, 1);
}

static void look_at(struct model_manager *manager, struct model_version_owner *owner) {
    uint64_t runs = count_runs(manager, &owner->version);
    if (runs != owner->runs_seen) {
        owner->runs_seen = runs;
        owner->untrimmed = true;
        /* It cannot fail: it only leaves a note. */
        (void)!owner->engine->ops->trim(owner->model, NULL);
    } else if (owner->untrimmed) {
        owner->untrimmed = false;
        give_back(manager, owner);
    }
}

void trim_models(struct model_manager *manager) {
    uint64_t now_ns = clock_now(manager->options.clock);
    if (manager->options.trim_ns == 0 || now_ns < manager->trim_at_ns)
        return;
    for (size_t i = 0; i < manager->entry_count; i++)
        for (size_t j = 0; j < manager->entries[i]->slot_count; j++) {
            struct model_version *serving = manager->entries[i]->slots[j].serving;
            if (serving)
                look_at(manager, serving->owner);
        }
    manager->trim_at_ns = clock_now(manager->options.clock) + manager->options.trim_ns;
}
