/* The manager's state, shared by the files that make up the manager: entry.c (what is there),
 * step.c (towards what is wanted), publish.c (what others see), order.c (what admins ask),
 * manager.c (the thread). Nothing here is for the layers above. Thread: manager, but for the
 * atomics. */
#pragma once

#include "model/manager.h"
#include "model/plan.h"
#include "model/scan.h"
#include "model/version_owner.h"
#include "model/watch.h"

#include <pthread.h>

struct load_decision;

/* One version number of a model. */
struct model_slot {
    int64_t number;
    bool present; /* its folder is there; what follows is then of the newest scan */
    bool still;   /* its files had settled */
    bool wanted;
    bool asked;        /* an order: load it as it is, again when it failed */
    bool load;         /* the plan: `coming` is to be loaded */
    uint64_t files;    /* scan_version's content */
    uint64_t since_ns; /* since when the files are as they are; monotonic */
    char *trouble;
    struct model_version *serving; /* READY. The slot's reference, as is `coming` */
    struct model_version *coming;  /* SETTLING, LOADING, WARMING or FAILED */
};

struct model_entry {
    char *name;
    bool present;  /* its folder is there */
    bool unloaded; /* not to be loaded, by an order or because none was given (explicit_only) */
    bool unloaded_at_first; /* what `unloaded` was made with */
    bool late;              /* it came after the first scan and has not served yet */
    char *trouble;          /* its folder cannot be read; what was known of it stays */

    uint64_t settings; /* model.yaml of the newest scan */
    uint64_t settings_since_ns;
    bool settings_still;
    char *settings_trouble;
    bool settings_read; /* read once at least; `settings_of` says which */
    uint64_t settings_of;
    char *settings_error; /* reading failed: nothing is loaded until that is mended */
    bool has_options;
    struct model_options options; /* the newest that could be read */
    uint64_t options_key;         /* hash of what a loaded version depends on */

    struct model_slot *slots; /* ascending number */
    size_t slot_count;
    struct list versions; /* struct model_version_owner.node: all that are not freed */
    struct list orders;   /* loads that wait for the end */
    struct metric_group *metrics;
};

struct model_manager {
    struct model_manager_options options; /* root is ours */
    struct watch *watch;                  /* NULL: no inotify */
    struct log_ring *ring;                /* NULL: no log */
    int wake_fd;
    struct mailbox mailbox;
    pthread_t thread;
    bool started;
    pthread_mutex_t outward; /* held while others are told something, never for long */
    bool published_last;     /* under `outward`: no catalog leaves any more */
    bool ended;              /* under `outward`: the thread has nothing more to do; `end` says so */
    pthread_cond_t end;
    bool abandoned;    /* under `outward`: no order is answered any more */
    _Atomic bool stop; /* relaxed; the wake orders nothing else */

    struct model_entry **entries; /* ascending name */
    size_t entry_count;
    size_t alive; /* versions not freed */
    struct list figures;
    struct list orders; /* that wait for a scan */
    uint64_t generation;
    bool scanned;
    char *trouble;  /* the root cannot be read; NULL without */
    char **ignored; /* folders told of already */
    size_t ignored_count;
    uint64_t trim_at_ns; /* when to look for idle models next */
    uint64_t scan_at_ns; /* when to scan next; UINT64_MAX: when something happens */
    bool changed;        /* something that a catalog shows */
};

/* entry.c */
/* Takes a scan over into the entries; returns when to scan again because something has not settled
 * or could not be read (UINT64_MAX: no need). */
uint64_t entries_update(struct model_manager *manager, const struct scan *scan);
struct model_entry *entry_find(const struct model_manager *manager, struct str name);
/* Removes entries that show nothing any more. */
void entries_tidy(struct model_manager *manager);
void entry_free(struct model_manager *manager, struct model_entry *entry);
/* Reads model.yaml when it changed (at once when `asked`). */
void entry_read_settings(struct model_manager *manager, struct model_entry *entry, bool asked);
/* Is there a change of model.yaml that is not in force yet, or an error in it? */
bool entry_settings_held(const struct model_entry *entry);
/* What a version loaded now would be made from. */
uint64_t slot_content(const struct model_entry *entry, const struct model_slot *slot);

/* step.c */
/* Applies every step of the plan but the loads, which it marks. */
void entry_step(struct model_manager *manager, struct model_entry *entry);
/* Loads the version that should come first. False when there is none to load. */
bool load_next(struct model_manager *manager);
/* Gives up what is coming, and retires what serves. */
void entry_unload(struct model_manager *manager, struct model_entry *entry);

/* publish.c */
void publish_changes(struct model_manager *manager); /* when something changed */
void model_version_changed(struct model_version_owner *owner, enum model_state from,
                           enum model_state to);
void model_version_freed(struct model_version_owner *owner);
struct model_figures *figures_get(struct model_manager *manager, const char *model, int64_t number);

/* trim.c */
void trim_models(struct model_manager *manager); /* when it is time to */

/* order.c */
void order_receive(struct message *message);
void orders_start(struct model_manager *manager);  /* after a scan */
void orders_finish(struct model_manager *manager); /* those whose model has nothing left to load */
void orders_refuse(struct model_manager *manager); /* all: the manager stops */

/* events.c: log lines */
void log_version(const struct model_manager *manager, const struct model_version_owner *owner,
                 enum model_state from, enum model_state to);
void log_warmup(const struct model_manager *manager, const struct model_version *version,
                const struct load_decision *decision);
void log_model_event(const struct model_manager *manager, enum log_level level, const char *event,
                     const char *model, const char *reason);
/* Warns of what a model's settings name and is not there. */
void log_settings(struct model_manager *manager, const struct model_entry *entry);
void log_scan(struct model_manager *manager, const struct scan *scan, uint64_t took_ns);

/* Replaces an owned text; both may be NULL. True when it changed. */
bool text_replace(char **text, const char *by);
