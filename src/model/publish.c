/* What others see of the repository: the catalog, the gauges, and the end of versions.
 *
 * 1. A catalog is published after each change that it shows, before the next step is taken.
 * 2. Figures (metrics and statistics) of a version number are shared by all of its versions alive,
 * and end with the last: no series appears twice. Thread: manager. */
#include "model/repository.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "model/catalog_build.h"

/* The manager's own: the last. */
static uint32_t manager_shard(const struct model_manager *manager) {
    return MAX(manager->options.shards, 1u) - 1;
}

static struct model_version_owner *owner_of(struct list_node *node) {
    return CONTAINER_OF(node, struct model_version_owner, node);
}

static bool is_unloading(struct model_entry *entry, int64_t number) {
    struct list *list = &entry->versions;
    for (struct list_node *node = list_first(list); node; node = list_next(list, node))
        if (owner_of(node)->version.number == number &&
            state_of(&owner_of(node)->version) == MODEL_UNLOADING)
            return true;
    return false;
}

/* The row of a slot; false when it has none. `ret_reason` is the heap text of its reason, or NULL.
 */
static bool make_row(struct model_entry *entry, const struct model_slot *slot,
                     struct catalog_version *ret, char **ret_reason) {
    const struct model_version *shown = slot->serving ? slot->serving : slot->coming;
    *ret = (struct catalog_version){.number = slot->number};
    *ret_reason = NULL;
    if (shown) {
        ret->state = state_of(shown);
        ret->live = slot->serving;
        ret->load_seconds = (double)shown->owner->load_ns / NS_PER_S;
        if (!slot->serving)
            *ret_reason = mem_copy_c(entry_settings_held(entry) && entry->settings_error
                                         ? entry->settings_error
                                         : shown->owner->reason);
        else if (slot->coming && state_of(slot->coming) == MODEL_FAILED)
            *ret_reason =
                mem_format("its newer files cannot be loaded: %s", slot->coming->owner->reason);
    } else if (is_unloading(entry, slot->number)) {
        ret->state = MODEL_UNLOADING;
        *ret_reason = mem_copy_c("its last requests are being answered");
    } else if (slot->wanted && entry->unloaded) {
        ret->state = MODEL_UNLOADED;
        *ret_reason = mem_copy_c("unloaded");
    } else {
        return false;
    }
    ret->reason = *ret_reason;
    return true;
}

/* The configured default version when its folder is there (NULL while it does not serve); else the
 * highest that serves: a number that is mistyped takes no service down. */
static struct model_version *find_default(const struct model_entry *entry) {
    struct model_version *highest = NULL;
    for (size_t i = entry->slot_count; i-- > 0;) {
        const struct model_slot *slot = &entry->slots[i];
        if (slot->present && slot->number == entry->options.default_version)
            return slot->serving;
        if (!highest)
            highest = slot->serving;
    }
    return highest;
}

/* Trouble with the model as a whole, on the heap; NULL without. */
static char *model_reason(const struct model_entry *entry) {
    if (entry->trouble || entry->settings_error)
        return mem_copy_c(entry->trouble ? entry->trouble : entry->settings_error);
    bool any = false, any_wanted = false, has_default = false;
    for (size_t i = 0; i < entry->slot_count; i++) {
        any |= entry->slots[i].present;
        any_wanted |= entry->slots[i].wanted;
        has_default |=
            entry->slots[i].present && entry->slots[i].number == entry->options.default_version;
    }
    if (!entry->has_options || entry->unloaded)
        return NULL;
    if (!any)
        return mem_format("it has no version folder (%s/1/model.onnx)", entry->name);
    if (!any_wanted)
        return mem_copy_c("its version policy wants none of the versions that are there");
    if (entry->options.default_version && !has_default)
        return mem_format("versions.default: version %lld is not there; the highest version serves",
                          (long long)entry->options.default_version);
    return NULL;
}

static bool is_shown(const struct model_entry *entry) {
    return entry->present || !list_empty(&entry->versions);
}

static void add_model(struct catalog *catalog, struct model_entry *entry) {
    char *reason = model_reason(entry);
    struct catalog_model *model =
        catalog_add_model(catalog, entry->name, reason, entry->slot_count);
    mem_free(&reason);
    model->unloaded = entry->unloaded || !entry->present;
    model->settling = !model->unloaded && !entry->settings_read && !entry->trouble;
    for (size_t i = 0; i < entry->slot_count; i++) {
        struct catalog_version row;
        if (make_row(entry, &entry->slots[i], &row, &reason))
            catalog_add_version(catalog, model, &row);
        mem_free(&reason);
    }
    model->default_version = find_default(entry);
    entry->late &= !model->default_version;
    model->late = entry->late;
}

static void set_gauges(struct model_manager *manager, struct model_entry *entry,
                       const struct catalog_model *model) {
    if (!manager->options.metrics)
        return;
    if (!entry->metrics)
        entry->metrics =
            metric_group_new(manager->options.metrics, METRIC_SCOPE_MODEL, entry->name, NULL);
    uint32_t counts[MODEL_STATE_COUNT] = {0};
    struct list *list = &entry->versions;
    for (struct list_node *node = list_first(list); node; node = list_next(list, node))
        counts[state_of(&owner_of(node)->version)]++;
    for (size_t i = 0; i < model->version_count; i++)
        counts[MODEL_UNLOADED] += model->versions[i].state == MODEL_UNLOADED;
    for (uint32_t state = 0; state < MODEL_STATE_COUNT; state++)
        metric_set(entry->metrics, METRIC_MODEL_STATE, state, counts[state]);
    metric_set(entry->metrics, METRIC_MODEL_READY, 0, model->default_version != NULL);
}

void publish_changes(struct model_manager *manager) {
    if (!manager->changed)
        return;
    manager->changed = false;
    struct catalog *catalog = catalog_new(++manager->generation, manager->scanned, manager->trouble,
                                          manager->entry_count);
    for (size_t i = 0; i < manager->entry_count; i++) {
        struct model_entry *entry = manager->entries[i];
        if (!is_shown(entry)) {
            metric_group_free(&entry->metrics);
            continue;
        }
        add_model(catalog, entry);
        set_gauges(manager, entry, &catalog->models[catalog->model_count - 1]);
    }
    CHECK(pthread_mutex_lock(&manager->outward) == 0);
    if (manager->options.publish && !manager->published_last)
        manager->options.publish(manager->options.context, catalog);
    CHECK(pthread_mutex_unlock(&manager->outward) == 0);
    catalog_unref(&catalog);
}

void model_version_changed(struct model_version_owner *owner, enum model_state from,
                           enum model_state to) {
    struct model_manager *manager = owner->context;
    manager->changed = true;
    log_version(manager, owner, from, to);
    struct metric_group *metrics = owner->entry->metrics;
    if (!metrics)
        return;
    if (to == MODEL_READY || to == MODEL_FAILED)
        metric_add(metrics, manager_shard(manager), METRIC_MODEL_LOADS,
                   to == MODEL_READY ? RESULT_OK : RESULT_FAILED, 1);
    if (to == MODEL_READY)
        metric_set(metrics, METRIC_MODEL_LOAD_SECONDS, 0, (double)owner->load_ns);
    if (from == MODEL_UNLOADING && to == MODEL_UNLOADED)
        metric_add(metrics, manager_shard(manager), METRIC_MODEL_UNLOADS, 0, 1);
}

struct model_figures *figures_get(struct model_manager *manager, const char *model,
                                  int64_t number) {
    struct list *list = &manager->figures;
    for (struct list_node *node = list_first(list); node; node = list_next(list, node)) {
        struct model_figures *figures = CONTAINER_OF(node, struct model_figures, node);
        if (figures->number == number && strcmp(figures->model, model) == 0) {
            figures->references++;
            return figures;
        }
    }
    struct model_figures *figures = mem_new(sizeof *figures);
    char *version = mem_format("%lld", (long long)number);
    figures->references = 1;
    figures->model = mem_copy_c(model);
    figures->number = number;
    figures->stats = mem_new_array(MAX(manager->options.shards, 1u), sizeof *figures->stats);
    if (manager->options.metrics)
        figures->metrics =
            metric_group_new(manager->options.metrics, METRIC_SCOPE_VERSION, model, version);
    mem_free(&version);
    list_add_last(&manager->figures, &figures->node);
    return figures;
}

static void figures_put(struct model_figures **pointer) {
    struct model_figures *figures = *pointer;
    *pointer = NULL;
    if (!figures || --figures->references > 0)
        return;
    list_remove(&figures->node);
    metric_group_free(&figures->metrics);
    mem_free(&figures->stats);
    mem_free(&figures->model);
    mem_free(&figures);
}

void model_version_freed(struct model_version_owner *owner) {
    struct model_manager *manager = owner->context;
    struct model_figures *figures = owner->figures;
    list_remove(&owner->node);
    model_version_destroy(owner);
    figures_put(&figures);
    manager->alive--;
    manager->changed = true;
}
