/* The models at one moment: an immutable snapshot that the manager publishes whenever something
 * changes. Each loop keeps its own reference, so a lookup takes no lock and touches no shared line;
 * a request then takes a reference to its version. Freed when its last reader lets go. */
#pragma once

#include "model/version.h"

struct catalog_version {
    int64_t number;
    const char *version; /* "3" */
    enum model_state state;
    const char *reason; /* why it is not ready, or why its newer files do not serve; else "" */
    struct model_version *live; /* counted by the catalog; NULL unless READY */
    double load_seconds;        /* 0 until loaded */
};

struct catalog_model {
    const char *name;
    const char *reason; /* trouble with the model as a whole (its model.yaml); "" without */
    bool unloaded;      /* by an admin's unload: not wanted, so not counted against readiness */
    bool late;          /* came after the start and has not served yet */
    bool settling; /* its settings have not been read yet: which versions it has is not known */
    struct catalog_version *versions; /* ascending number */
    size_t version_count;
    struct model_version
        *default_version; /* what a request without a version gets; NULL: none is ready */
};

struct catalog {
    _Atomic uint32_t references;
    uint64_t generation;
    bool scanned;                 /* the repository was read at least once */
    const char *trouble;          /* the repository itself cannot be read; "" without */
    struct catalog_model *models; /* ascending name */
    size_t model_count;
};

void catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog **catalog); /* NULL is accepted */

const struct catalog_model *catalog_find_model(const struct catalog *catalog, struct str name);

/* The version that answers: `version` empty means the default. Borrowed from the catalog (take a
 * reference to keep). ERR_NOT_FOUND "Request for unknown model: 'x' ..." / "... version ...";
 * ERR_NOT_READY naming state and reason. */
enum err catalog_find(const struct catalog *catalog, struct str name, struct str version,
                      struct model_version **ret, struct err_text *text) MUST_CHECK;

enum ready_policy { READY_ALL, READY_ANY, READY_LIST };

/* Is the service ready under the policy? A model counts as ready when it has a default version. An
 * empty repository is not ready. READY_ALL does not ask for models that an admin unloaded, nor,
 * once any model serves, for those that came late: adding a model takes no ready service down.
 * Appends a JSON array of what is missing:
 * [{"model":"m","version":"2","state":"LOADING","reason":"..."}], "[]" when nothing is.
 * `list`/`list_count`: model names for READY_LIST. */
bool catalog_ready(const struct catalog *catalog, enum ready_policy policy, const char *const *list,
                   size_t list_count, struct buffer *missing);

/* Sets the queue depth, in flight and run estimate gauges of the versions that serve: for the
 * scrape callback. Thread: any that holds the catalog. */
void catalog_collect(const struct catalog *catalog);
