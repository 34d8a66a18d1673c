/* The model repository, watched: which versions should be there (the scan and the version policies
 * say), which are, and the steps between. One thread scans, loads, warms up and unloads, off the
 * serving path.
 *
 * <root>/<model>/<version>/model.onnx; <root>/<model>/model.yaml is optional. A wanted version is
 * loaded when its files have been still for settle_ns (an order to load does not wait). A new
 * version earns its traffic: the old one serves until the new one is READY. A FAILED version is
 * tried again when its files change or when a load is asked for. Sources: inotify, plus a scan
 * every poll_ns, because network volumes send no events. */
#pragma once

#include "model/catalog.h"
#include "model/recorded.h"
#include "observe/log.h"

enum version_policy { VERSIONS_LATEST, VERSIONS_ALL, VERSIONS_LISTED };
enum batching_mode { BATCHING_AUTO, BATCHING_ON, BATCHING_OFF };

enum { MODEL_NAME_MAX = 128, MODEL_VERSIONS_LISTED_MAX = 64 };

/* One model's settings: the server's defaults, over them its model.yaml. */
struct model_options {
    enum version_policy policy;
    uint32_t latest; /* VERSIONS_LATEST: how many; a FAILED one does not count, so
                        that a restart serves what served before it */
    int64_t listed[MODEL_VERSIONS_LISTED_MAX]; /* VERSIONS_LISTED */
    size_t listed_count;
    int64_t default_version;     /* 0: the highest that is ready; else wanted by any policy */
    enum batching_mode batching; /* AUTO: on when warm-up showed each row of a batch equal, bit for
                                    bit, to the row alone */
    struct batch_options batch;
    struct engine_options engine; /* lists owned by whoever made the options */
    bool warmup;
    uint32_t warmup_count;         /* runs of each recorded request; 0 counts as 1 */
    uint64_t request_timeout_ns;   /* 0: the server's */
    uint64_t response_cache_bytes; /* 0: no answers are kept */
    void *owned;                   /* for free_options */
};

struct model_manager_options {
    const char *root;
    uint64_t poll_ns; /* 0: no periodic scan */
    uint64_t settle_ns;
    uint64_t trim_ns;   /* a version that has not run for this long gives memory back; 0: never */
    bool watch;         /* inotify */
    bool explicit_only; /* load nothing until asked (load calls) */
    const char *const *startup; /* explicit_only: names loaded at the start */
    size_t startup_count;
    const char *const *ready; /* names that readiness asks for: only to tell of those not there */
    size_t ready_count;
    uint32_t shards; /* of metrics and statistics; the last is the manager's own */
    struct engine *engine;
    struct batch_pool *pool;
    struct metrics *metrics;
    struct log *log;
    const struct clock *clock;
    /* Reads <model_dir>/model.yaml over the defaults (no file: the defaults). Thread: manager. */
    enum err (*read_options)(void *context, const char *model_dir, struct model_options *ret,
                             struct err_text *text);
    void (*free_options)(void *context, struct model_options *options);
    /* Reads a recorded request; NULL: recorded requests are not run. Thread: manager's, or one that
     * it waits for. */
    recorded_read *read_request;
    /* A new snapshot; the callee takes its own references. Thread: manager. */
    void (*publish)(void *context, struct catalog *catalog);
    void *context;
};

struct model_manager;

/* ERR_INVALID when the root does not exist or is not a folder. Starts nothing yet. */
enum err model_manager_new(const struct model_manager_options *options, struct model_manager **ret,
                           struct err_text *text) MUST_CHECK;
void model_manager_start(struct model_manager *manager); /* the thread: first scan at once */
/* Ends the thread, after the load it is in: from now on nothing is published, and orders that
 * waited have been answered. For when the loops run no longer, before they are freed. NULL and a
 * second call are accepted. */
void model_manager_stop(struct model_manager *manager);
/* The same, but waits for the load at most `patience_ns`. False: it is still going on. Nothing is
 * published and no order is answered any more, but the thread goes on using the manager and what
 * its options name: the caller frees none of that and ends with _exit (or tries again). */
bool model_manager_stop_within(struct model_manager *manager, uint64_t patience_ns) MUST_CHECK;
/* Stops, unloads everything, frees. All loops have let go of their catalogs and versions. NULL is
 * accepted. False: a version is still referred to after a while, so that the manager and all that
 * its options name must stay: the caller frees no more and ends with _exit. */
bool model_manager_free(struct model_manager **manager);

/* A load or unload asked for by an admin. The caller's memory until done() (called through
 * `owner`). */
struct model_order {
    struct message message;        /* first */
    struct list_node node;         /* the manager's */
    struct model_manager *manager; /* the manager's */
    char name[MODEL_NAME_MAX + 1];
    bool unload;
    struct mailbox *owner;
    void (*done)(struct model_order *order);
    enum err err;
    struct err_text text;
};
/* Thread: any. load: scans, loads what the policy wants (again when it failed or changed), done
 * when READY or FAILED
 * ("failed to load 'm', ..."; ERR_NOT_FOUND for a name not in the repository). unload: no version
 * serves any more. */
void model_manager_order(struct model_manager *manager, struct model_order *order);

/* Is this a usable model name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}, no ".."? */
bool model_name_valid(struct str name);

/* `inferd check`: reads the repository once with the same rules and loads every wanted version,
 * without serving. Appends one line of text per version ("ok", or what is wrong). Returns the
 * number of problems. */
size_t model_repository_check(const struct model_manager_options *options, struct buffer *report);
