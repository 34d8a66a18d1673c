/* The manager's side of a model version. Nothing here is for the layers above.
 * Thread: manager, but for what model_version_unref reads. */
#pragma once

#include "model/catalog.h"

#include "base/list.h"
#include "base/mailbox.h"

struct model_entry;

/* Metrics and statistics of one version number of one model. They outlive a reload of its files:
 * the old and the new model_version share them, so that no series appears twice or starts again
 * from 0. */
struct model_figures {
    struct list_node node; /* in the manager's list */
    uint32_t references;
    char *model;
    int64_t number;
    struct metric_group *metrics;
    struct model_stats *stats;
};

struct model_version_owner {
    struct model_version version;
    struct message gone; /* to `mailbox` when nobody refers to the version */
    struct mailbox *mailbox;
    void (*freed)(
        struct model_version_owner *owner); /* Thread: manager; frees with model_version_destroy */
    /* Told after each change of state. */
    void (*changed)(struct model_version_owner *owner, enum model_state from, enum model_state to);
    void *context;             /* of freed and changed: the manager */
    struct model_entry *entry; /* lives as long as the version */
    struct list_node node;     /* in the entry's versions */
    struct engine *engine;
    struct engine_model *model; /* NULL until loaded, and again after a failure */
    struct model_figures *figures;
    uint64_t content;   /* files and settings that it was made from */
    char *reason;       /* why it is where it is; NULL without */
    uint64_t runs_seen; /* trim.c: runs at the last look */
    bool untrimmed;     /* it has run since its memory was given back */
    uint64_t load_ns;   /* 0 until READY or FAILED */
};

/* Thread: manager, which alone writes it. */
static inline enum model_state state_of(const struct model_version *version) {
    return atomic_load_explicit(&version->state, memory_order_relaxed);
}

bool model_state_may(enum model_state from, enum model_state to); /* pure */

/* A SETTLING version with one reference, the caller's. `mailbox` gets it when the last reference
 * ends. */
struct model_version_owner *model_version_new(const char *model, int64_t number,
                                              struct mailbox *mailbox);
/* The one setter of the state. `reason` (NULL: none) is copied. */
void model_version_set_state(struct model_version_owner *owner, enum model_state to,
                             const char *reason);
/* Frees what the version owns but for its figures; nobody refers to it. UNLOADED afterwards. */
void model_version_destroy(struct model_version_owner *owner);
/* What the batch queue of the version tells while it works. */
struct batch_observer model_version_observer(struct model_version *version);
