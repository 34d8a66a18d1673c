/* What is in the repository, as of the newest scan: models (entries) and their version numbers
 * (slots).
 *
 * 1. What cannot be read keeps what was known of it: a failed scan removes nothing.
 * 2. "Still" is decided by the scan that looked at the files, never later from a clock alone.
 * Files' own times are believed only of what the first scan found: a file server's clock may lag,
 * and then a half-copied file looks old.
 * 3. An entry lives while its folder is there, a version of it is not freed, or an order's wish
 * must be remembered. Thread: manager. */
#include "model/repository.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "model/hash.h"
#include "model/name.h"

/* Trouble is looked at again after this, even without a periodic scan. */
#define TROUBLE_RETRY_NS ((uint64_t)NS_PER_S)
#define SETTLE_WAIT_MIN_NS (UINT64_C(5) * NS_PER_MS)

struct moment {
    uint64_t now_ns, wall_ns; /* when the scan began */
    uint64_t settle_ns;
    bool first;        /* of the process: what it finds may be older than the process */
    uint64_t again_ns; /* when the next scan is due, monotonic */
};

/* Since when files are as they are that were not so in the scan before. Monotonic. */
static uint64_t since(const struct moment *moment, uint64_t newest_ns) {
    uint64_t age = moment->wall_ns > newest_ns ? moment->wall_ns - newest_ns : 0;
    return moment->first ? moment->now_ns - MIN(age, moment->now_ns) : moment->now_ns;
}

/* Have files that are as they are since `since_ns` settled? */
static bool is_still(struct moment *moment, uint64_t since_ns) {
    uint64_t age = moment->now_ns - since_ns;
    if (age >= moment->settle_ns)
        return true;
    uint64_t wait = MAX(moment->settle_ns - age, SETTLE_WAIT_MIN_NS);
    moment->again_ns = MIN(moment->again_ns, moment->now_ns + wait);
    return false;
}

static size_t find_place(const struct model_manager *manager, struct str name, bool *ret_found) {
    size_t low = 0, high = manager->entry_count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = model_name_order(name, manager->entries[middle]->name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct model_entry *entry_find(const struct model_manager *manager, struct str name) {
    bool found;
    size_t place = find_place(manager, name, &found);
    return found ? manager->entries[place] : NULL;
}

static bool is_started(const struct model_manager_options *options, const char *name) {
    if (!options->explicit_only)
        return true;
    for (size_t i = 0; i < options->startup_count; i++)
        if (strcmp(options->startup[i], name) == 0)
            return true;
    return false;
}

static struct model_entry *entry_at(struct model_manager *manager, const char *name) {
    bool found;
    size_t place = find_place(manager, str_of(name), &found);
    if (found)
        return manager->entries[place];
    struct model_entry *entry = mem_new(sizeof *entry);
    entry->name = mem_copy_c(name);
    entry->unloaded = entry->unloaded_at_first = !is_started(&manager->options, name);
    entry->late = manager->scanned;
    list_init(&entry->versions);
    list_init(&entry->orders);
    manager->entries =
        mem_resize(manager->entries, (manager->entry_count + 1) * sizeof *manager->entries);
    memmove(&manager->entries[place + 1], &manager->entries[place],
            (manager->entry_count - place) * sizeof *manager->entries);
    manager->entries[place] = entry;
    manager->entry_count++;
    return entry;
}

static struct model_slot *slot_at(struct model_entry *entry, int64_t number) {
    size_t place = 0;
    while (place < entry->slot_count && entry->slots[place].number < number)
        place++;
    if (place < entry->slot_count && entry->slots[place].number == number)
        return &entry->slots[place];
    entry->slots = mem_resize(entry->slots, (entry->slot_count + 1) * sizeof *entry->slots);
    memmove(&entry->slots[place + 1], &entry->slots[place],
            (entry->slot_count - place) * sizeof *entry->slots);
    entry->slots[place] = (struct model_slot){.number = number};
    entry->slot_count++;
    return &entry->slots[place];
}

static void update_settings(struct model_entry *entry, const struct scan_model *model,
                            struct moment *moment) {
    if (entry->settings != model->settings || !entry->present) {
        entry->settings = model->settings;
        entry->settings_since_ns = since(moment, model->settings_newest_ns);
    }
    text_replace(&entry->settings_trouble, model->settings_trouble);
    entry->settings_still = model->settings == 0 || model->settings_trouble ||
                            is_still(moment, entry->settings_since_ns);
}

/* The slots of a model whose folder was read; both lists ascend. */
static void update_slots(struct model_entry *entry, const struct scan_model *model,
                         struct moment *moment) {
    for (size_t i = 0; i < entry->slot_count; i++)
        entry->slots[i].load = entry->slots[i].still = false;
    for (size_t i = 0; i < model->version_count; i++) {
        const struct scan_version *version = &model->versions[i];
        if (version->unknown)
            continue; /* what was known of it stays */
        struct model_slot *slot = slot_at(entry, version->number);
        if (slot->files != version->content || !slot->present) {
            slot->files = version->content;
            slot->since_ns = since(moment, version->newest_ns);
        }
        slot->present = true;
        text_replace(&slot->trouble, version->trouble);
        slot->still = is_still(moment, slot->since_ns);
    }
    size_t next = 0;
    for (size_t i = 0; i < entry->slot_count; i++) {
        struct model_slot *slot = &entry->slots[i];
        while (next < model->version_count && model->versions[next].number < slot->number)
            next++;
        slot->present = slot->present && next < model->version_count &&
                        model->versions[next].number == slot->number;
    }
}

/* Why some of the model cannot be looked at; NULL without. */
static const char *find_trouble(const struct scan_model *model) {
    const char *trouble = model->trouble;
    for (size_t i = 0; i < model->version_count && !trouble; i++)
        if (model->versions[i].unknown)
            trouble = model->versions[i].trouble;
    return trouble;
}

static void update_entry(struct model_manager *manager, const struct scan_model *model,
                         struct moment *moment) {
    struct model_entry *entry = entry_at(manager, model->name);
    const char *trouble = find_trouble(model);
    if (text_replace(&entry->trouble, trouble)) {
        manager->changed = true;
        if (trouble)
            log_model_event(manager, LOG_ERROR, "model_folder_unreadable", model->name, trouble);
    }
    if (trouble)
        moment->again_ns = MIN(moment->again_ns, moment->now_ns + TROUBLE_RETRY_NS);
    if (!model->trouble) {
        update_settings(entry, model, moment);
        update_slots(entry, model, moment);
    }
    manager->changed |= !entry->present;
    entry->present = true;
}

static void forget_folder(struct model_manager *manager, struct model_entry *entry) {
    manager->changed |= entry->present;
    entry->present = false;
    text_replace(&entry->trouble, NULL);
    entry->settings_read = false;
    for (size_t i = 0; i < entry->slot_count; i++)
        entry->slots[i].present = entry->slots[i].asked = false;
}

uint64_t entries_update(struct model_manager *manager, const struct scan *scan) {
    const struct clock *clock = manager->options.clock;
    struct moment moment = {clock_now(clock), clock->wall_ns(clock), manager->options.settle_ns,
                            !manager->scanned, UINT64_MAX};
    if (scan->trouble)
        return moment.now_ns + TROUBLE_RETRY_NS;
    size_t next = 0; /* of the scan's models: both lists ascend */
    for (size_t i = 0; i < scan->model_count; i++)
        update_entry(manager, &scan->models[i], &moment);
    for (size_t i = 0; i < manager->entry_count; i++) {
        struct model_entry *entry = manager->entries[i];
        while (next < scan->model_count && strcmp(scan->models[next].name, entry->name) < 0)
            next++;
        if (next == scan->model_count || strcmp(scan->models[next].name, entry->name) != 0)
            forget_folder(manager, entry);
    }
    return moment.again_ns;
}

bool entry_settings_held(const struct model_entry *entry) {
    return !entry->settings_read || entry->settings_of != entry->settings || entry->settings_error;
}

static uint64_t hash_rules(uint64_t hash, const struct batch_options *batch) {
    hash = hash_u64(hash, batch->rules.delay_ns);
    hash = hash_u64(hash, batch->rules.preferred_count);
    for (uint32_t i = 0; i < batch->rules.preferred_count; i++)
        hash = hash_u64(hash, batch->rules.preferred[i]);
    hash = hash_u64(hash, batch->levels);
    hash = hash_u64(hash, batch->default_level);
    for (uint32_t i = 0; i < batch->levels; i++)
        hash = hash_u64(hash, batch->level_max[i]);
    hash = hash_u64(hash, batch->timeout_ns);
    hash = hash_u64(hash, batch->timeout_override);
    return hash_u64(hash, batch->timeout_continue);
}

/* What of the options a loaded version depends on: a change of the rest reloads nothing. */
static uint64_t options_key(const struct model_options *options) {
    const struct engine_options *engine = &options->engine;
    uint64_t hash = hash_u64(HASH_START, options->batching);
    hash = hash_u64(hash, options->batch.rows_max);
    hash = hash_u64(hash, options->batch.queue_max);
    hash = hash_u64(hash, options->batch.inline_ns_max);
    hash = hash_rules(hash, &options->batch);
    hash = hash_u64(hash, options->warmup);
    hash = hash_u64(hash, options->warmup_count);
    hash = hash_u64(hash, options->request_timeout_ns);
    hash = hash_u64(hash, options->response_cache_bytes);
    hash = hash_u64(hash, engine->intra_op_threads);
    hash = hash_u64(hash, engine->inter_op_threads);
    hash = hash_c(hash, engine->graph_optimization);
    hash = hash_u64(hash, engine->spinning);
    hash = hash_u64(hash, engine->memory_arena);
    hash = hash_u64(hash, engine->memory_pattern);
    for (size_t i = 0; i < engine->session_count; i++)
        hash = hash_c(hash_c(hash, engine->session[i].key), engine->session[i].value);
    return hash;
}

uint64_t slot_content(const struct model_entry *entry, const struct model_slot *slot) {
    return hash_u64(slot->files, entry->options_key);
}

static void free_options(struct model_manager *manager, struct model_entry *entry) {
    if (entry->has_options && manager->options.free_options)
        manager->options.free_options(manager->options.context, &entry->options);
    entry->has_options = false;
}

void entry_read_settings(struct model_manager *manager, struct model_entry *entry, bool asked) {
    bool again = asked && entry->settings_error;
    if (!entry->present ||
        (!again && entry->settings_read && entry->settings_of == entry->settings))
        return;
    if (!entry->settings_still && !asked)
        return;
    manager->changed |= !entry->settings_read;
    entry->settings_read = true;
    entry->settings_of = entry->settings;
    struct model_options options = {0};
    struct err_text text;
    enum err e = ERR_OK;
    if (entry->settings_trouble) {
        e = err_set(&text, ERR_INVALID, "%s", entry->settings_trouble);
    } else {
        char *folder = mem_format("%s/%s", manager->options.root, entry->name);
        e = manager->options.read_options(manager->options.context, folder, &options, &text);
        mem_free(&folder);
    }
    bool changed = text_replace(&entry->settings_error, e == ERR_OK ? NULL : text.s);
    manager->changed |= changed;
    if (e != ERR_OK) {
        if (changed)
            log_model_event(manager, LOG_ERROR, "model_settings_invalid", entry->name, text.s);
        return;
    }
    free_options(manager, entry);
    entry->options = options;
    entry->has_options = true;
    entry->options_key = options_key(&options);
    log_settings(manager, entry);
    manager->changed = true; /* perhaps another default version */
}

void entry_free(struct model_manager *manager, struct model_entry *entry) {
    CHECK(list_empty(&entry->versions) && list_empty(&entry->orders));
    free_options(manager, entry);
    for (size_t i = 0; i < entry->slot_count; i++)
        mem_free(&entry->slots[i].trouble);
    mem_free(&entry->slots);
    metric_group_free(&entry->metrics);
    mem_free(&entry->trouble);
    mem_free(&entry->settings_trouble);
    mem_free(&entry->settings_error);
    mem_free(&entry->name);
    mem_free(&entry);
}

static void tidy_slots(struct model_entry *entry) {
    size_t kept = 0;
    for (size_t i = 0; i < entry->slot_count; i++) {
        struct model_slot *slot = &entry->slots[i];
        if (slot->present || slot->serving || slot->coming)
            entry->slots[kept++] = *slot;
        else
            mem_free(&slot->trouble);
    }
    entry->slot_count = kept;
}

void entries_tidy(struct model_manager *manager) {
    size_t kept = 0;
    for (size_t i = 0; i < manager->entry_count; i++) {
        struct model_entry *entry = manager->entries[i];
        tidy_slots(entry);
        if (entry->present || !list_empty(&entry->versions) || !list_empty(&entry->orders) ||
            entry->unloaded != entry->unloaded_at_first)
            manager->entries[kept++] = entry;
        else
            entry_free(manager, entry);
    }
    manager->entry_count = kept;
}
