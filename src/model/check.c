/* `inferd check`: the repository read once and every wanted version loaded and warmed up, by the
 * manager's own rules but without its thread, queues, metrics or waiting. One line of text for each
 * finding. Thread: any, blocks. */
#include "model/manager.h"

#include "base/memory.h"
#include "base/num.h"
#include "model/load.h"
#include "model/policy.h"
#include "model/review.h"
#include "model/scan.h"

#include <inttypes.h>

struct check {
    const struct model_manager_options *options;
    struct buffer *report;
    size_t problems;
};

/* Settings may have several problems, a line each. */
static void add_problem(struct check *check, const char *model, const char *what) {
    for (const char *line = what; line; check->problems++) {
        const char *end = strchrnul(line, '\n');
        buffer_add_format(check->report, "%s: %.*s\n", model, (int)(end - line), line);
        line = *end ? end + 1 : NULL;
    }
}

static void add_finding(void *context, const char *model, bool problem, const char *what) {
    struct check *check = context;
    if (problem)
        add_problem(check, model, what);
    else
        buffer_add_format(check->report, "%s: note: %s\n", model, what);
}

/* True when it loads. */
static bool check_version(struct check *check, const struct scan_model *model,
                          const struct scan_version *version, const struct model_options *options) {
    const struct model_manager_options *manager = check->options;
    struct engine_model *loaded = NULL;
    struct load_decision decision = {0};
    struct err_text text;
    uint64_t before = clock_now(manager->clock);
    const struct load_order order = {manager, model->name, version->number, options, NULL};
    enum err e = version->trouble ? err_set(&text, ERR_INVALID, "%s", version->trouble)
                                  : load_model(&order, &loaded, &text);
    if (e == ERR_OK)
        e = load_warm_up(&order, loaded, &decision, &text);
    if (loaded)
        manager->engine->ops->unload(&loaded);
    buffer_add_format(check->report, "%s version %" PRId64 ": ", model->name, version->number);
    if (e != ERR_OK) {
        buffer_add_format(check->report, "%s\n", text.s);
        check->problems++;
        return false;
    }
    buffer_add_format(check->report, "ok (%.1f ms; batching %s: %s",
                      (double)(clock_now(manager->clock) - before) / NS_PER_MS,
                      decision.batching ? "on" : "off", decision.reason);
    if (decision.recorded.requests)
        buffer_add_format(check->report, "; recorded requests answered: %" PRIu32,
                          decision.recorded.requests);
    buffer_add_c(check->report, ")\n");
    return true;
}

/* Loads what the policy wants; a version that fails makes it want others. */
static void check_versions(struct check *check, const struct scan_model *model,
                           const struct model_options *options) {
    size_t count = model->version_count;
    struct policy_version *rows = mem_new_array(count, sizeof *rows);
    bool *checked = mem_new_array(count, sizeof *checked);
    bool any = false, again = true;
    for (size_t i = 0; i < count; i++)
        rows[i].number = model->versions[i].number;
    while (again) {
        again = false;
        policy_apply(options, rows, count);
        for (size_t i = count; i-- > 0 && !again;) {
            if (!rows[i].wanted || checked[i])
                continue;
            checked[i] = any = true;
            rows[i].failed = !check_version(check, model, &model->versions[i], options);
            again = true;
        }
    }
    if (count > 0 && !any)
        add_problem(check, model->name, "its version policy wants none of the versions there");
    mem_free(&rows);
    mem_free(&checked);
}

static void check_settings(struct check *check, const struct scan_model *model,
                           const struct model_options *options) {
    int64_t *numbers = mem_new_array(model->version_count, sizeof *numbers);
    for (size_t i = 0; i < model->version_count; i++)
        numbers[i] = model->versions[i].number;
    review_settings(&(struct review){add_finding, check}, options, check->options->engine,
                    &(struct review_model){model->name, numbers, model->version_count});
    mem_free(&numbers);
}

static void check_model(struct check *check, const struct scan_model *model) {
    const struct model_manager_options *manager = check->options;
    struct model_options options = {0};
    struct err_text text;
    if (model->trouble || model->settings_trouble) {
        add_problem(check, model->name, model->trouble ? model->trouble : model->settings_trouble);
        return;
    }
    char *folder = mem_format("%s/%s", manager->root, model->name);
    enum err e = manager->read_options(manager->context, folder, &options, &text);
    mem_free(&folder);
    if (e != ERR_OK) {
        add_problem(check, model->name, text.s);
        return;
    }
    if (model->version_count == 0)
        add_problem(check, model->name, "no version folder (1/model.onnx)");
    else
        check_settings(check, model, &options);
    check_versions(check, model, &options);
    if (manager->free_options)
        manager->free_options(manager->context, &options);
}

size_t model_repository_check(const struct model_manager_options *options, struct buffer *report) {
    struct check check = {.options = options, .report = report};
    struct scan scan;
    scan_read(&scan, options->root, NULL);
    if (scan.trouble) {
        buffer_add_format(report, "%s\n", scan.trouble);
        check.problems++;
    } else if (scan.model_count == 0) {
        buffer_add_format(report, "%s: no models (<model>/<version>/model.onnx)\n", options->root);
        check.problems++;
    }
    for (size_t i = 0; i < scan.ignored_count; i++) {
        buffer_add_format(report, "%s: ignored: %s\n", scan.ignored[i].path, scan.ignored[i].why);
        check.problems += !scan.ignored[i].file;
    }
    if (!scan.trouble)
        review_names(&(struct review){add_finding, &check}, options, &scan);
    for (size_t i = 0; i < scan.model_count; i++)
        check_model(&check, &scan.models[i]);
    scan_done(&scan);
    return check.problems;
}
