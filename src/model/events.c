/* The manager's log lines, each event in one place. Event names are constant: people search for
 * them. Thread: manager. */
#include "model/repository.h"

#include "base/memory.h"
#include "base/num.h"
#include "model/load.h"
#include "model/review.h"

static void begin(const struct model_manager *manager, struct log_line *line, enum log_level level,
                  const char *event) {
    line->ring = NULL;
    if (manager->ring)
        log_begin(line, manager->ring, level, event);
}

static void begin_version(const struct model_manager *manager, struct log_line *line,
                          enum log_level level, const char *event,
                          const struct model_version *version) {
    begin(manager, line, level, event);
    log_c(line, "model", version->model);
    log_c(line, "version", version->version);
}

static enum log_level level_of(enum model_state to) {
    return to == MODEL_FAILED                           ? LOG_ERROR
           : to == MODEL_LOADING || to == MODEL_WARMING ? LOG_DEBUG
                                                        : LOG_INFO;
}

void log_version(const struct model_manager *manager, const struct model_version_owner *owner,
                 enum model_state from, enum model_state to) {
    struct log_line line;
    begin_version(manager, &line, level_of(to), "model_version_state", &owner->version);
    log_c(&line, "from", model_state_name(from));
    log_c(&line, "to", model_state_name(to));
    log_c(&line, "reason", owner->reason);
    if (owner->load_ns && (to == MODEL_READY || to == MODEL_FAILED))
        log_f64(&line, "load_ms", (double)owner->load_ns / NS_PER_MS, 3);
    if (to == MODEL_READY && owner->entry) {
        const struct engine_options *engine = &owner->entry->options.engine;
        log_u64(&line, "intra_op_threads", engine->intra_op_threads);
        log_u64(&line, "inter_op_threads", engine->inter_op_threads);
        log_bool(&line, "spinning", engine->spinning);
    }
    log_end(&line);
}

void log_warmup(const struct model_manager *manager, const struct model_version *version,
                const struct load_decision *decision) {
    struct log_line line;
    const struct warmup_result *warmup = &decision->warmup;
    if (warmup->refused) {
        begin_version(manager, &line, LOG_WARN, "model_warmup_refused", version);
        log_c(&line, "reason", warmup->text.s);
        log_end(&line);
    }
    begin_version(manager, &line, LOG_INFO, "model_batching", version);
    log_bool(&line, "batching", version->batching);
    log_u64(&line, "rows_max", version->rows_max);
    log_c(&line, "reason", decision->reason);
    if (warmup->run_ns)
        log_f64(&line, "run_ms", (double)warmup->run_ns / NS_PER_MS, 3);
    if (decision->recorded.requests)
        log_u64(&line, "recorded_requests", decision->recorded.requests);
    log_end(&line);
}

void log_model_event(const struct model_manager *manager, enum log_level level, const char *event,
                     const char *model, const char *reason) {
    struct log_line line;
    begin(manager, &line, level, event);
    log_c(&line, "model", model);
    log_c(&line, "reason", reason);
    log_end(&line);
}

static void log_repository(const struct model_manager *manager, enum log_level level,
                           const char *event, const char *reason) {
    struct log_line line;
    begin(manager, &line, level, event);
    log_c(&line, "root", manager->options.root);
    log_c(&line, "reason", reason);
    log_end(&line);
}

/* Warns of folders that are ignored now and were not at the last scan; remembers them. */
static void log_ignored(struct model_manager *manager, const struct scan *scan) {
    char **now = mem_new_array(scan->ignored_count, sizeof *now);
    for (size_t i = 0; i < scan->ignored_count; i++) {
        const struct scan_ignored *ignored = &scan->ignored[i];
        now[i] = mem_format("%s: %s", ignored->path, ignored->why);
        bool told = false;
        for (size_t j = 0; j < manager->ignored_count && !told; j++)
            told = strcmp(manager->ignored[j], now[i]) == 0;
        if (told)
            continue;
        struct log_line line;
        begin(manager, &line, LOG_WARN,
              ignored->file ? "repository_file_ignored" : "repository_folder_ignored");
        log_c(&line, ignored->file ? "file" : "folder", ignored->path);
        log_c(&line, "reason", ignored->why);
        log_end(&line);
    }
    for (size_t i = 0; i < manager->ignored_count; i++)
        mem_free(&manager->ignored[i]);
    mem_free(&manager->ignored);
    manager->ignored = now;
    manager->ignored_count = scan->ignored_count;
}

static void log_doubt(void *context, const char *model, bool problem, const char *what) {
    (void)problem;
    log_model_event(context, LOG_WARN, "model_settings_doubtful", model, what);
}

void log_settings(struct model_manager *manager, const struct model_entry *entry) {
    struct review review = {log_doubt, manager};
    int64_t *numbers = mem_new_array(entry->slot_count, sizeof *numbers);
    size_t count = 0;
    for (size_t i = 0; i < entry->slot_count; i++)
        if (entry->slots[i].present)
            numbers[count++] = entry->slots[i].number;
    review_settings(&review, &entry->options, manager->options.engine,
                    &(struct review_model){entry->name, numbers, count});
    mem_free(&numbers);
}

static void log_absent(void *context, const char *model, bool problem, const char *what) {
    (void)problem;
    log_model_event(context, LOG_WARN, "configured_model_missing", model, what);
}

void log_scan(struct model_manager *manager, const struct scan *scan, uint64_t took_ns) {
    bool had_trouble = manager->trouble != NULL;
    bool first = !manager->scanned && !scan->trouble;
    bool changed = text_replace(&manager->trouble, scan->trouble);
    if (changed && scan->trouble)
        log_repository(manager, LOG_ERROR, "repository_scan_failed", scan->trouble);
    else if (had_trouble && !scan->trouble)
        log_repository(manager, LOG_INFO, "repository_scan_recovered", NULL);
    if (first) {
        struct log_line line;
        begin(manager, &line, LOG_INFO, "repository_scanned");
        log_c(&line, "root", manager->options.root);
        log_u64(&line, "models", scan->model_count);
        log_f64(&line, "scan_ms", (double)took_ns / NS_PER_MS, 3);
        log_end(&line);
        review_names(&(struct review){log_absent, manager}, &manager->options, scan);
    }
    manager->changed |= changed || first;
    if (!scan->trouble)
        log_ignored(manager, scan);
}

bool text_replace(char **text, const char *by) {
    if ((!*text && !by) || (*text && by && strcmp(*text, by) == 0))
        return false;
    char *copy = mem_copy_c(by);
    mem_free(text);
    *text = copy;
    return true;
}
