/* One version of a model: its state, its references, its figures. See the diagram in version.h.
 *
 * 1. model_version_set_state is the only writer of `state`, and stops the process on an edge that
 * state.def lacks.
 * 2. References are counted by all threads; the last to go only sends a message, so that the
 * engine's unload (slow, and frees memory) never runs on a loop or an executor. Thread: manager,
 * but for ref, unref and the observer (the thread that ran the batch). */
#include "model/version_owner.h"

#include "base/check.h"
#include "base/counter.h"
#include "base/memory.h"
#include "base/num.h"

#include <inttypes.h>

static const struct {
    const char *name, *v2;
    uint32_t next;
} STATES[MODEL_STATE_COUNT] = {
#define STATE(name, v2, next) [MODEL_##name] = {#name, v2, next},
#include "model/state.def"
#undef STATE
};

const char *model_state_name(enum model_state state) {
    CHECK(state < MODEL_STATE_COUNT);
    return STATES[state].name;
}

const char *model_state_v2(enum model_state state) {
    CHECK(state < MODEL_STATE_COUNT);
    return STATES[state].v2;
}

bool model_state_may(enum model_state from, enum model_state to) {
    CHECK(from < MODEL_STATE_COUNT && to < MODEL_STATE_COUNT);
    return (STATES[from].next & (1u << to)) != 0;
}

static void on_gone(struct message *message) {
    struct model_version_owner *owner = CONTAINER_OF(message, struct model_version_owner, gone);
    owner->freed(owner);
}

struct model_version_owner *model_version_new(const char *model, int64_t number,
                                              struct mailbox *mailbox) {
    struct model_version_owner *owner = mem_new(sizeof *owner);
    struct model_version *version = &owner->version;
    atomic_init(&version->references, 1);
    atomic_init(&version->state, MODEL_SETTLING);
    version->model = mem_copy_c(model);
    version->version = mem_format("%" PRId64, number);
    version->number = number;
    version->owner = owner;
    owner->gone.receive = on_gone;
    owner->mailbox = mailbox;
    return owner;
}

void model_version_ref(struct model_version *version) {
    /* relaxed: whoever refs holds a reference already */
    uint32_t old = atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
    CHECK(old > 0 && old < UINT32_MAX);
}

void model_version_unref(struct model_version **version) {
    if (!*version)
        return;
    struct model_version_owner *owner = (*version)->owner;
    *version = NULL;
    /* acq_rel: what each holder did happens before the free; pairs with itself */
    uint32_t old = atomic_fetch_sub_explicit(&owner->version.references, 1, memory_order_acq_rel);
    CHECK(old > 0);
    if (old == 1)
        mailbox_send(owner->mailbox, &owner->gone);
}

void model_version_set_state(struct model_version_owner *owner, enum model_state to,
                             const char *reason) {
    enum model_state from = atomic_load_explicit(&owner->version.state, memory_order_relaxed);
    CHECK(model_state_may(from, to));
    char *copy = mem_copy_c(reason); /* first: it may be the old one */
    mem_free(&owner->reason);
    owner->reason = copy;
    /* release: a reader that sees READY sees what loading wrote; pairs with the readers' acquire */
    atomic_store_explicit(&owner->version.state, to, memory_order_release);
    if (owner->changed)
        owner->changed(owner, from, to);
}

void model_version_destroy(struct model_version_owner *owner) {
    struct model_version *version = &owner->version;
    CHECK(atomic_load_explicit(&version->references, memory_order_acquire) == 0);
    CHECK(!list_linked(&owner->node));
    if (version->queue)
        batch_queue_free(&version->queue);
    response_cache_free(&version->cache);
    if (owner->model)
        owner->engine->ops->unload(&owner->model);
    model_version_set_state(owner, MODEL_UNLOADED, NULL);
    mem_free_raw((void *)(uintptr_t)version->model);
    mem_free_raw((void *)(uintptr_t)version->version);
    mem_free(&owner);
}

_Static_assert((int)LEFT_FULL == (int)BATCH_LEFT_FULL &&
                   (int)LEFT_PREFERRED == (int)BATCH_LEFT_PREFERRED &&
                   (int)LEFT_DELAY == (int)BATCH_LEFT_DELAY &&
                   (int)LEFT_IDLE == (int)BATCH_LEFT_IDLE &&
                   (int)LEFT_SHAPE == (int)BATCH_LEFT_SHAPE &&
                   (int)LEFT_TURN == (int)BATCH_LEFT_TURN &&
                   (int)LEFT_COUNT == (int)BATCH_REASON_COUNT,
               "enum metric_left is enum batch_reason");

static void on_left(void *context, uint32_t shard, enum batch_reason reason) {
    struct model_version *version = context;
    if (version->metrics)
        metric_add(version->metrics, shard, METRIC_BATCHES, reason, 1);
}

static void on_ran(void *context, uint32_t shard, uint32_t jobs, int64_t rows, uint64_t compute_ns,
                   bool inline_run) {
    struct model_version *version = context;
    struct model_stats *stats = &version->stats[shard];
    size_t size = (size_t)MIN(MAX(rows, 1), (int64_t)MODEL_STATS_BATCH_SIZES) - 1;
    counter_add(&stats->execution_count, 1);
    counter_add(&stats->batch_count[size], 1);
    counter_add(&stats->batch_infer_ns[size], compute_ns);
    if (!version->metrics)
        return;
    uint32_t where = inline_run ? WHERE_INLINE : WHERE_EXECUTOR;
    metric_add(version->metrics, shard, METRIC_RUNS, where, 1);
    metric_observe(version->metrics, shard, METRIC_BATCH_ROWS, (uint64_t)MAX(rows, 0));
    metric_observe(version->metrics, shard, METRIC_BATCH_REQUESTS, jobs);
}

struct batch_observer model_version_observer(struct model_version *version) {
    return (struct batch_observer){.left = on_left, .ran = on_ran, .context = version};
}
