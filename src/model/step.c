/* The steps between what is there and what is wanted: plan.h says which, this file does them.
 *
 * 1. A slot's references are the manager's own; giving one up is all that "freeing" means here.
 * 2. READY is set only when everything that the loops read of a version is written.
 * 3. One version is loaded at a time (ONNX Runtime's sessions are to be made one after the other),
 * on the manager's thread or one that it waits for. Thread: manager. */
#include "model/repository.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "model/load.h"
#include "model/policy.h"

static bool has_failed(const struct model_slot *slot) {
    return slot->coming && state_of(slot->coming) == MODEL_FAILED;
}

static void mark_wanted(struct model_entry *entry) {
    struct policy_version *rows = mem_new_array(entry->slot_count, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; i < entry->slot_count; i++) {
        const struct model_slot *slot = &entry->slots[i];
        if (!slot->present)
            continue;
        bool tried = has_failed(slot) && !slot->asked &&
                     slot->coming->owner->content == slot_content(entry, slot);
        rows[count++] = (struct policy_version){slot->number, tried && !slot->serving, false};
    }
    if (entry->has_options)
        policy_apply(&entry->options, rows, count);
    count = 0;
    for (size_t i = 0; i < entry->slot_count; i++)
        entry->slots[i].wanted = entry->slots[i].present && rows[count++].wanted;
    mem_free(&rows);
}

static void fill_plan(const struct model_entry *entry, struct plan_version *plan) {
    bool held = entry_settings_held(entry);
    for (size_t i = 0; i < entry->slot_count; i++) {
        const struct model_slot *slot = &entry->slots[i];
        plan[i] = (struct plan_version){
            .wanted = slot->wanted && entry->present && !entry->unloaded,
            .still = slot->still && !held,
            .asked = slot->asked && !held,
            .serving = slot->serving != NULL,
            .coming = slot->coming != NULL,
            .failed = has_failed(slot),
            .content = slot_content(entry, slot),
            .serving_content = slot->serving ? slot->serving->owner->content : 0,
            .coming_content = slot->coming ? slot->coming->owner->content : 0,
        };
    }
}

static void begin_settling(struct model_manager *manager, struct model_entry *entry,
                           struct model_slot *slot) {
    struct model_version_owner *owner =
        model_version_new(entry->name, slot->number, &manager->mailbox);
    owner->engine = manager->options.engine;
    owner->entry = entry;
    owner->context = manager;
    owner->changed = model_version_changed;
    owner->freed = model_version_freed;
    owner->reason = mem_copy_c("waiting for its files to settle");
    list_add_last(&entry->versions, &owner->node);
    manager->alive++;
    slot->coming = &owner->version;
}

static void retire(struct model_version **serving, const char *reason) {
    CHECK(*serving);
    model_version_set_state((*serving)->owner, MODEL_UNLOADING, reason);
    model_version_unref(serving);
}

/* True when the plan should be asked again. */
static bool apply(struct model_manager *manager, struct model_entry *entry, struct model_slot *slot,
                  enum plan_step step) {
    slot->load = step == PLAN_LOAD;
    switch (step) {
    case PLAN_NOTHING:
    case PLAN_LOAD:
        return false;
    case PLAN_SETTLE:
        begin_settling(manager, entry, slot);
        break;
    case PLAN_DROP:
        model_version_unref(&slot->coming);
        break;
    case PLAN_RETIRE:
        retire(&slot->serving, slot->present ? "not wanted any more" : "its folder is gone");
        break;
    }
    manager->changed = true;
    return true;
}

void entry_step(struct model_manager *manager, struct model_entry *entry) {
    struct plan_version *plan = mem_new_array(entry->slot_count, sizeof *plan);
    bool again = true;
    while (again) {
        again = false;
        mark_wanted(entry);
        fill_plan(entry, plan);
        for (size_t i = 0; i < entry->slot_count && !again; i++)
            again = apply(manager, entry, &entry->slots[i], plan_next(plan, entry->slot_count, i));
    }
    mem_free(&plan);
}

void entry_unload(struct model_manager *manager, struct model_entry *entry) {
    for (size_t i = 0; i < entry->slot_count; i++) {
        struct model_slot *slot = &entry->slots[i];
        slot->load = slot->asked = false;
        model_version_unref(&slot->coming);
        if (slot->serving)
            retire(&slot->serving, "unloaded");
    }
    manager->changed = true;
}

static void set_signature(struct model_version *version, const struct signature *signature) {
    version->signature = *signature;
    version->signature.model = version->model;
    version->signature.version = version->version;
}

/* Everything that a READY version has, from a warmed up model. */
static void furnish(struct model_manager *manager, const struct model_options *options,
                    const struct load_decision *decision, struct model_version *version) {
    struct batch_options batch = options->batch;
    struct batch_observer observer = model_version_observer(version);
    version->batching = decision->batching;
    version->rows_max = batch.rows_max = decision->rows_max;
    version->request_timeout_ns = options->request_timeout_ns;
    version->owner->untrimmed = options->warmup;
    if (options->response_cache_bytes)
        version->cache = response_cache_new(options->response_cache_bytes, &version->signature);
    version->owner->figures = figures_get(manager, version->model, version->number);
    version->metrics = version->owner->figures->metrics;
    version->stats = version->owner->figures->stats;
    version->queue = batch_queue_new(manager->options.pool, manager->options.engine,
                                     version->owner->model, &batch, &observer);
    if (decision->warmup.run_ns)
        batch_queue_learn(version->queue, decision->warmup.run_ns, decision->warmup.run_elements);
}

static enum err load_steps(struct model_manager *manager, const struct model_entry *entry,
                           const struct model_slot *slot, struct err_text *text) {
    struct model_version *version = slot->coming;
    struct model_version_owner *owner = version->owner;
    const struct model_options *options = &entry->options;
    struct load_decision decision;
    const struct load_order order = {&manager->options, entry->name, slot->number, options,
                                     &manager->stop};
    enum err e = slot->trouble ? err_set(text, ERR_INVALID, "%s", slot->trouble)
                               : load_model(&order, &owner->model, text);
    if (e != ERR_OK)
        return e;
    set_signature(version, owner->engine->ops->signature(owner->model));
    model_version_set_state(owner, MODEL_WARMING, NULL);
    publish_changes(manager);
    e = load_warm_up(&order, owner->model, &decision, text);
    if (e != ERR_OK) {
        version->signature = (struct signature){0}; /* it is the engine's model's */
        owner->engine->ops->unload(&owner->model);
        return e;
    }
    furnish(manager, options, &decision, version);
    log_warmup(manager, version, &decision);
    return ERR_OK;
}

static void load(struct model_manager *manager, struct model_entry *entry,
                 struct model_slot *slot) {
    struct model_version_owner *owner = slot->coming->owner;
    struct err_text text;
    uint64_t started_ns = clock_now(manager->options.clock);
    slot->load = slot->asked = false;
    owner->content = slot_content(entry, slot);
    model_version_set_state(owner, MODEL_LOADING, NULL);
    publish_changes(manager);
    enum err e = load_steps(manager, entry, slot, &text);
    owner->load_ns = MAX(clock_now(manager->options.clock) - started_ns, UINT64_C(1));
    if (e != ERR_OK) {
        model_version_set_state(owner, MODEL_FAILED, text.s);
    } else {
        model_version_set_state(owner, MODEL_READY, NULL);
        if (slot->serving)
            retire(&slot->serving, "replaced by newer files");
        slot->serving = slot->coming;
        slot->coming = NULL;
    }
    entry_step(manager, entry);
}

static bool serves(const struct model_entry *entry) {
    for (size_t i = 0; i < entry->slot_count; i++)
        if (entry->slots[i].serving)
            return true;
    return false;
}

bool load_next(struct model_manager *manager) {
    struct model_entry *best = NULL;
    struct model_slot *best_slot = NULL;
    bool best_serves = false;
    for (size_t i = 0; i < manager->entry_count; i++) {
        struct model_entry *entry = manager->entries[i];
        struct model_slot *slot = NULL;
        for (size_t j = entry->slot_count; j-- > 0 && !slot;)
            if (entry->slots[j].load)
                slot = &entry->slots[j];
        if (!slot || (best && !best_serves))
            continue;
        bool entry_serves = serves(entry);
        if (best && entry_serves)
            continue;
        best = entry;
        best_slot = slot;
        best_serves = entry_serves;
    }
    if (!best)
        return false;
    load(manager, best, best_slot);
    return true;
}
