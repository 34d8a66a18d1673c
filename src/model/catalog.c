/* Catalogs: made once, then only read, by any number of threads. One arena holds a catalog's rows
 * and texts; the references to live versions are its only other possession.
 *
 * Lookups allocate nothing and take no lock. Texts begin as Triton's do: clients match them.
 * Thread: any, on a catalog that the caller holds. */
#include "model/catalog_build.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "model/name.h"

#include <inttypes.h>
#include <stdlib.h>

struct catalog_storage {
    struct catalog catalog; /* first */
    struct arena arena;
    size_t model_max;
};

static struct catalog_storage *storage_of(struct catalog *catalog) {
    return CONTAINER_OF(catalog, struct catalog_storage, catalog);
}

static const char *copy_text(struct arena *arena, const char *text) {
    return text && *text ? arena_copy(arena, str_of(text)) : "";
}

struct catalog *catalog_new(uint64_t generation, bool scanned, const char *trouble,
                            size_t model_max) {
    struct catalog_storage *storage = mem_new(sizeof *storage);
    arena_init(&storage->arena);
    storage->model_max = model_max;
    struct catalog *catalog = &storage->catalog;
    atomic_init(&catalog->references, 1);
    catalog->generation = generation;
    catalog->scanned = scanned;
    catalog->trouble = copy_text(&storage->arena, trouble);
    catalog->models = arena_new_zero(&storage->arena, (model_max + 1) * sizeof *catalog->models);
    return catalog;
}

struct catalog_model *catalog_add_model(struct catalog *catalog, const char *name,
                                        const char *reason, size_t version_max) {
    struct catalog_storage *storage = storage_of(catalog);
    CHECK(catalog->model_count < storage->model_max);
    struct catalog_model *model = &catalog->models[catalog->model_count];
    CHECK(catalog->model_count == 0 || strcmp(model[-1].name, name) < 0);
    catalog->model_count++;
    model->name = arena_copy(&storage->arena, str_of(name));
    model->reason = copy_text(&storage->arena, reason);
    model->versions = arena_new_zero(&storage->arena, (version_max + 1) * sizeof *model->versions);
    return model;
}

void catalog_add_version(struct catalog *catalog, struct catalog_model *model,
                         const struct catalog_version *row) {
    struct arena *arena = &storage_of(catalog)->arena;
    struct catalog_version *version = &model->versions[model->version_count];
    CHECK(model->version_count == 0 || version[-1].number < row->number);
    CHECK((row->state == MODEL_READY) == (row->live != NULL));
    model->version_count++;
    *version = *row;
    version->version = arena_format(arena, "%" PRId64, row->number);
    version->reason = copy_text(arena, row->reason);
    if (row->live)
        model_version_ref(row->live);
}

void catalog_ref(struct catalog *catalog) {
    /* relaxed: whoever refs holds a reference already */
    uint32_t old = atomic_fetch_add_explicit(&catalog->references, 1, memory_order_relaxed);
    CHECK(old > 0 && old < UINT32_MAX);
}

void catalog_unref(struct catalog **pointer) {
    struct catalog *catalog = *pointer;
    *pointer = NULL;
    if (!catalog)
        return;
    /* acq_rel: what each reader did happens before the free; pairs with itself */
    uint32_t old = atomic_fetch_sub_explicit(&catalog->references, 1, memory_order_acq_rel);
    CHECK(old > 0);
    if (old > 1)
        return;
    for (size_t i = 0; i < catalog->model_count; i++)
        for (size_t j = 0; j < catalog->models[i].version_count; j++)
            model_version_unref(&catalog->models[i].versions[j].live);
    struct catalog_storage *storage = storage_of(catalog);
    arena_done(&storage->arena);
    mem_free(&storage);
}

const struct catalog_model *catalog_find_model(const struct catalog *catalog, struct str name) {
    size_t low = 0, high = catalog->model_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = model_name_order(name, catalog->models[middle].name);
        if (order == 0)
            return &catalog->models[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The version that tells most about why a model without a default does not serve. */
static const struct catalog_version *telling_version(const struct catalog_model *model) {
    const struct catalog_version *best = NULL;
    for (size_t i = model->version_count; i-- > 0;)
        if (!best || (best->reason[0] == '\0' && model->versions[i].reason[0] != '\0'))
            best = &model->versions[i];
    return best;
}

/* Why a model serves nothing, when none of its versions says. */
static const char *model_why(const struct catalog_model *model) {
    return model->reason[0]       ? model->reason
           : model->unloaded      ? "the model is unloaded"
           : model->settling      ? "waiting for its files to be still"
           : model->version_count ? "the default version is not ready"
                                  : "it has no version folder";
}

static enum err say_model_not_ready(const struct catalog_model *model, struct err_text *text) {
    if (model->unloaded)
        return err_set(text, ERR_NOT_READY,
                       "Request for unknown model: '%s' has no available versions: it is unloaded",
                       model->name);
    const struct catalog_version *version = telling_version(model);
    if (model->reason[0] != '\0' || !version)
        return err_set(text, ERR_NOT_READY,
                       "Request for unknown model: '%s' has no available versions: %s", model->name,
                       model_why(model));
    return err_set(
        text, ERR_NOT_READY,
        "Request for unknown model: '%s' has no available versions: version %s is %s%s%s",
        model->name, version->version, model_state_name(version->state),
        version->reason[0] ? ": " : "", version->reason);
}

enum err catalog_find(const struct catalog *catalog, struct str name, struct str version,
                      struct model_version **ret, struct err_text *text) {
    const struct catalog_model *model = catalog_find_model(catalog, name);
    if (!model && !catalog->scanned)
        return err_set(text, ERR_NOT_READY,
                       "Request for unknown model: '%.*s' is not known yet: %s", STR_ARG(name),
                       catalog->trouble[0] ? catalog->trouble
                                           : "the model repository has not been read yet");
    if (!model)
        return err_set(text, ERR_NOT_FOUND, "Request for unknown model: '%.*s' is not found",
                       STR_ARG(name));
    if (version.n == 0) {
        if (!model->default_version)
            return say_model_not_ready(model, text);
        *ret = model->default_version;
        return ERR_OK;
    }
    for (size_t i = 0; i < model->version_count; i++) {
        const struct catalog_version *row = &model->versions[i];
        if (!str_eq_c(version, row->version))
            continue;
        if (!row->live)
            return err_set(
                text, ERR_NOT_READY,
                "Request for unknown model: '%s' version %s is not at ready state: %s%s%s",
                model->name, row->version, model_state_name(row->state), row->reason[0] ? ": " : "",
                row->reason);
        *ret = row->live;
        return ERR_OK;
    }
    return err_set(text, ERR_NOT_FOUND,
                   "Request for unknown model: '%s' version '%.*s' is not found", model->name,
                   STR_ARG(version));
}

/* One element of a JSON array that began at `start`. */
static void add_item(struct buffer *out, size_t start, const char *const fields[4]) {
    static const char *const KEYS[4] = {
        "{\"model\":", ",\"version\":", ",\"state\":", ",\"reason\":"};
    if (out->used > start + 1)
        buffer_add_char(out, ',');
    for (size_t i = 0; i < 4; i++) {
        buffer_add_c(out, KEYS[i]);
        buffer_add_json_string(out, str_of(fields[i]));
    }
    buffer_add_char(out, '}');
}

static void add_model_missing(const struct catalog_model *model, struct buffer *out, size_t start) {
    bool any = false;
    for (size_t i = 0; i < model->version_count; i++) {
        const struct catalog_version *row = &model->versions[i];
        if (row->state == MODEL_READY)
            continue;
        const char *reason = row->reason[0] ? row->reason : model->reason;
        add_item(out, start,
                 (const char *const[4]){model->name, row->version, model_state_name(row->state),
                                        reason});
        any = true;
    }
    if (any)
        return;
    const char *state = model_state_name(model->unloaded   ? MODEL_UNLOADED
                                         : model->settling ? MODEL_SETTLING
                                                           : MODEL_FAILED);
    add_item(out, start, (const char *const[4]){model->name, "", state, model_why(model)});
}

/* READY_LIST; true when all of the list serve. */
static bool check_list(const struct catalog *catalog, const char *const *list, size_t list_count,
                       struct buffer *out) {
    size_t start = out->used - 1;
    bool ready = true;
    for (size_t i = 0; i < list_count; i++) {
        const struct catalog_model *model = catalog_find_model(catalog, str_of(list[i]));
        if (model && model->default_version)
            continue;
        ready = false;
        if (model)
            add_model_missing(model, out, start);
        else
            add_item(out, start,
                     (const char *const[4]){list[i], "", "UNLOADED",
                                            "the repository has no such model"});
    }
    return ready;
}

/* READY_ALL and READY_ANY. */
static bool check_models(const struct catalog *catalog, bool any, struct buffer *out) {
    size_t start = out->used - 1;
    size_t serving = 0, missing = 0;
    for (size_t i = 0; i < catalog->model_count; i++)
        serving += catalog->models[i].default_version != NULL;
    for (size_t i = 0; i < catalog->model_count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        if (model->default_version || model->unloaded || (model->late && serving > 0))
            continue;
        missing++;
        add_model_missing(model, out, start);
    }
    if (any ? serving > 0 : catalog->model_count > 0 && missing == 0)
        return true;
    if (missing == 0)
        add_item(out, start,
                 (const char *const[4]){"", "", "UNLOADED",
                                        catalog->trouble[0]    ? catalog->trouble
                                        : catalog->model_count ? "every model is unloaded"
                                                               : "the model repository is empty"});
    return false;
}

bool catalog_ready(const struct catalog *catalog, enum ready_policy policy, const char *const *list,
                   size_t list_count, struct buffer *missing) {
    bool ready = false;
    buffer_add_char(missing, '[');
    if (!catalog->scanned)
        add_item(missing, missing->used - 1,
                 (const char *const[4]){"", "", "LOADING",
                                        catalog->trouble[0]
                                            ? catalog->trouble
                                            : "the model repository has not been read yet"});
    else if (policy == READY_LIST)
        ready = check_list(catalog, list, list_count, missing);
    else
        ready = check_models(catalog, policy == READY_ANY, missing);
    buffer_add_char(missing, ']');
    return ready;
}

void catalog_collect(const struct catalog *catalog) {
    for (size_t i = 0; i < catalog->model_count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        for (size_t j = 0; j < model->version_count; j++) {
            struct model_version *version = model->versions[j].live;
            if (!version || !version->metrics)
                continue;
            uint32_t waiting = 0, running = 0;
            batch_queue_load(version->queue, &waiting, &running);
            metric_set(version->metrics, METRIC_QUEUE_DEPTH, 0, waiting);
            metric_set(version->metrics, METRIC_IN_FLIGHT, 0, (double)waiting + running);
            metric_set(version->metrics, METRIC_RUN_ESTIMATE, 0,
                       (double)batch_queue_run_ns(version->queue));
            metric_set(version->metrics, METRIC_RUNS_INLINE, 0,
                       batch_queue_runs_inline(version->queue));
            uint64_t entries = 0, bytes = 0;
            if (version->cache)
                response_cache_load(version->cache, &entries, &bytes);
            metric_set(version->metrics, METRIC_CACHE_ENTRIES, 0, (double)entries);
            metric_set(version->metrics, METRIC_CACHE_BYTES, 0, (double)bytes);
        }
    }
}
