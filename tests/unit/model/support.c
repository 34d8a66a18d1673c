#include "model/support.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_S = 20, SHARDS = 4 };

void pause_ms(uint64_t ms) {
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000 * NS_PER_MS)};
    nanosleep(&t, NULL);
}

/* ---- the repository ---- */

void place_make(struct place *place) {
    const char *folder = getenv("TMPDIR");
    snprintf(place->root, sizeof place->root, "%s/inferd-model-XXXXXX", folder ? folder : "/tmp");
    assert_non_null(mkdtemp(place->root));
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk) {
    (void)s, (void)type, (void)walk;
    return remove(path);
}

void place_remove(struct place *place) {
    nftw(place->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *place_path(const struct place *place, const char *path) {
    static _Thread_local char texts[4][512];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%s/%s", place->root, path);
    return text;
}

static void make_folders(const char *path) {
    char *copy = mem_copy_c(path);
    for (char *at = strchr(copy + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0777) != 0)
            assert_int_equal(errno, EEXIST);
        *at = '/';
    }
    mem_free(&copy);
}

void place_write(const struct place *place, const char *path, const char *content) {
    const char *full = place_path(place, path);
    make_folders(full);
    if (full[strlen(full) - 1] == '/')
        return;
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void place_link(const struct place *place, const char *path, const char *target) {
    const char *full = place_path(place, path);
    make_folders(full);
    assert_int_equal(symlink(target, full), 0);
}

void place_delete(const struct place *place, const char *path) {
    assert_int_equal(nftw(place_path(place, path), remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void place_rename(const struct place *place, const char *from, const char *to) {
    assert_int_equal(rename(place_path(place, from), place_path(place, to)), 0);
}

/* ---- the keeper's callbacks ---- */

struct own_settings {
    struct engine_setting setting;
    char key[64];
};

static enum err read_line(struct str line, struct model_options *ret, struct err_text *text) {
    struct str key;
    uint64_t number = 0;
    str_split(&line, ' ', &key);
    (void)str_to_u64(line, &number);
    if (str_eq_c(key, "bad"))
        return err_set(text, ERR_INVALID, "model.yaml: 'bad' is bad");
    if (str_eq_c(key, "latest")) {
        ret->policy = VERSIONS_LATEST;
        ret->latest = (uint32_t)number;
    } else if (str_eq_c(key, "listed")) {
        ret->policy = VERSIONS_LISTED;
        ret->listed[ret->listed_count++] = (int64_t)number;
    } else if (str_eq_c(key, "all")) {
        ret->policy = VERSIONS_ALL;
    } else if (str_eq_c(key, "default")) {
        ret->default_version = (int64_t)number;
    } else if (str_eq_c(key, "timeout")) {
        ret->request_timeout_ns = number;
    } else if (str_eq_c(key, "batching")) {
        ret->batching = str_eq_c(line, "on")    ? BATCHING_ON
                        : str_eq_c(line, "off") ? BATCHING_OFF
                                                : BATCHING_AUTO;
    } else if (str_eq_c(key, "warmup")) {
        ret->warmup = false;
    } else if (str_eq_c(key, "setting")) {
        struct own_settings *own = ret->owned;
        snprintf(own->key, sizeof own->key, "%.*s", STR_ARG(line));
        own->setting = (struct engine_setting){own->key, own->key};
        ret->engine.session = &own->setting;
        ret->engine.session_count = 1;
    }
    return ERR_OK;
}

static enum err read_options(void *context, const char *model_dir, struct model_options *ret,
                             struct err_text *text) {
    struct keeper *keeper = context;
    char *path = mem_format("%s/model.yaml", model_dir);
    FILE *file = fopen(path, "re");
    mem_free(&path);
    *ret = keeper->defaults;
    ret->owned = mem_new(sizeof(struct own_settings));
    char line[128];
    enum err e = ERR_OK;
    while (file && e == ERR_OK && fgets(line, sizeof line, file)) {
        struct str s = str_of(line);
        s.n -= s.n > 0 && s.p[s.n - 1] == '\n';
        e = read_line(s, ret, text);
    }
    if (file)
        fclose(file);
    if (e != ERR_OK) {
        mem_free(&ret->owned);
        return e;
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->options_read++;
    pthread_mutex_unlock(&keeper->lock);
    return ERR_OK;
}

static void free_options(void *context, struct model_options *options) {
    struct keeper *keeper = context;
    mem_free(&options->owned);
    pthread_mutex_lock(&keeper->lock);
    keeper->options_read--;
    pthread_mutex_unlock(&keeper->lock);
}

static void on_publish(void *context, struct catalog *catalog) {
    struct keeper *keeper = context;
    catalog_ref(catalog);
    pthread_mutex_lock(&keeper->lock);
    struct catalog *old = keeper->catalog;
    keeper->catalog = catalog;
    pthread_cond_broadcast(&keeper->news);
    pthread_mutex_unlock(&keeper->lock);
    catalog_unref(&old);
}

static void on_wake(void *context) {
    struct keeper *keeper = context;
    pthread_mutex_lock(&keeper->lock);
    pthread_cond_broadcast(&keeper->news);
    pthread_mutex_unlock(&keeper->lock);
}

/* ---- the keeper ---- */

void keeper_make(struct keeper *keeper) {
    *keeper = (struct keeper){0};
    place_make(&keeper->place);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->news, &attributes);
    pthread_condattr_destroy(&attributes);
    mailbox_init(&keeper->mailbox, on_wake, keeper);
    keeper->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(keeper->log_fd >= 0);
    keeper->log = log_new(keeper->log_fd, LOG_DEBUG, &clock_real);
    keeper->metrics = metrics_new(SHARDS);
    keeper->defaults = (struct model_options){
        .policy = VERSIONS_LATEST,
        .latest = 1,
        .batch = {.rows_max = 16, .queue_max = 64, .inline_ns_max = NS_PER_MS},
        .engine = {.intra_op_threads = 1, .inter_op_threads = 1, .graph_optimization = "all"},
        .warmup = true,
    };
    keeper->options = (struct model_manager_options){
        .root = keeper->place.root,
        .settle_ns = UINT64_C(30) * NS_PER_MS,
        .watch = true,
        .shards = SHARDS,
        .engine = engine_fake_new(),
        .pool = batch_pool_new(1, 1, &clock_real),
        .metrics = keeper->metrics,
        .log = keeper->log,
        .clock = &clock_real,
        .read_options = read_options,
        .free_options = free_options,
        .publish = on_publish,
        .context = keeper,
    };
}

void keeper_start(struct keeper *keeper) {
    struct err_text text;
    assert_int_equal(model_manager_new(&keeper->options, &keeper->manager, &text), ERR_OK);
    model_manager_start(keeper->manager);
}

void keeper_stop(struct keeper *keeper) {
    model_manager_stop(keeper->manager);
    catalog_unref(&keeper->catalog);
    model_manager_free(&keeper->manager);
    assert_int_equal(keeper->options_read, 0);
}

void keeper_remove(struct keeper *keeper) {
    keeper_stop(keeper);
    batch_pool_free(&keeper->options.pool);
    keeper->options.engine->ops->free(&keeper->options.engine);
    metrics_free(&keeper->metrics);
    log_free(&keeper->log, NS_PER_S);
    close(keeper->log_fd);
    pthread_cond_destroy(&keeper->news);
    pthread_mutex_destroy(&keeper->lock);
    place_remove(&keeper->place);
}

static bool shows_version(const struct catalog_model *model, struct str number, struct str state) {
    for (size_t i = 0; model && i < model->version_count; i++) {
        const struct catalog_version *row = &model->versions[i];
        if (str_eq_c(number, row->version))
            return str_eq_c(state, model_state_name(row->state));
    }
    return str_eq_c(state, "none");
}

static bool shows_model(const struct catalog_model *model, struct str what) {
    if (!model)
        return str_eq_c(what, "absent");
    if (model->unloaded)
        return str_eq_c(what, "unloaded");
    return str_eq_c(what, model->default_version ? model->default_version->version : "none");
}

bool catalog_shows(const struct catalog *catalog, const char *condition) {
    struct str rest = str_of(condition), term, name, version;
    while (str_split(&rest, ' ', &term)) {
        struct str left, what = term;
        assert_true(str_split(&what, '=', &left));
        version = left;
        str_split(&version, '/', &name);
        const struct catalog_model *model = catalog_find_model(catalog, name);
        if (!(version.p ? shows_version(model, version, what) : shows_model(model, what)))
            return false;
    }
    return true;
}

static void print_catalog(const struct catalog *catalog) {
    for (size_t i = 0; catalog && i < catalog->model_count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        print_error("%s: default %s, unloaded %d, reason '%s'\n", model->name,
                    model->default_version ? model->default_version->version : "none",
                    model->unloaded, model->reason);
        for (size_t j = 0; j < model->version_count; j++)
            print_error("  %s: %s '%s'\n", model->versions[j].version,
                        model_state_name(model->versions[j].state), model->versions[j].reason);
    }
}

static struct timespec deadline(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += WAIT_S;
    return t;
}

void keeper_wait(struct keeper *keeper, const char *condition) {
    struct timespec until = deadline();
    int late = 0;
    pthread_mutex_lock(&keeper->lock);
    while (!late && !(keeper->catalog && keeper->catalog->scanned &&
                      catalog_shows(keeper->catalog, condition)))
        late = pthread_cond_timedwait(&keeper->news, &keeper->lock, &until);
    if (late)
        print_catalog(keeper->catalog);
    pthread_mutex_unlock(&keeper->lock);
    if (late)
        fail_msg("waited in vain for '%s'", condition);
}

struct catalog *keeper_catalog(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    struct catalog *catalog = keeper->catalog;
    if (catalog)
        catalog_ref(catalog);
    pthread_mutex_unlock(&keeper->lock);
    return catalog;
}

const char *keeper_reason(struct keeper *keeper, const char *model, int64_t version) {
    static char reason[ERR_TEXT_MAX * 2];
    struct catalog *catalog = keeper_catalog(keeper);
    const struct catalog_model *found = catalog_find_model(catalog, str_of(model));
    reason[0] = '\0';
    for (size_t i = 0; found && i < found->version_count; i++)
        if (found->versions[i].number == version)
            snprintf(reason, sizeof reason, "%s", found->versions[i].reason);
    catalog_unref(&catalog);
    return reason;
}

struct model_version *keeper_version(struct keeper *keeper, const char *model,
                                     const char *version) {
    struct catalog *catalog = keeper_catalog(keeper);
    struct model_version *found;
    struct err_text text;
    enum err e = catalog_find(catalog, str_of(model), str_of(version), &found, &text);
    if (e != ERR_OK)
        fail_msg("%s", text.s);
    model_version_ref(found);
    catalog_unref(&catalog);
    return found;
}

size_t keeper_count_log(struct keeper *keeper, const char *one, const char *other) {
    size_t count = 0;
    char *line = NULL;
    size_t room = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", keeper->log_fd);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (getline(&line, &room, file) > 0)
        count += strstr(line, one) && strstr(line, other);
    free(line);
    fclose(file);
    return count;
}

void keeper_wait_log(struct keeper *keeper, const char *one, const char *other) {
    for (int i = 0; i < WAIT_S * 100; i++) {
        if (keeper_count_log(keeper, one, other) > 0)
            return;
        pause_ms(10);
    }
    fail_msg("no line of the log has '%s' and '%s'", one, other);
}

static _Thread_local bool order_is_done;

static void on_order(struct model_order *order) {
    (void)order;
    order_is_done = true;
}

enum err keeper_order(struct keeper *keeper, const char *name, bool unload, struct err_text *text) {
    struct model_order order = {.unload = unload, .owner = &keeper->mailbox, .done = on_order};
    struct timespec until = deadline();
    int late = 0;
    snprintf(order.name, sizeof order.name, "%s", name);
    order_is_done = false;
    model_manager_order(keeper->manager, &order);
    while (!late && (mailbox_drain(&keeper->mailbox), !order_is_done)) {
        pthread_mutex_lock(&keeper->lock);
        if (!atomic_load(&keeper->mailbox.newest))
            late = pthread_cond_timedwait(&keeper->news, &keeper->lock, &until);
        pthread_mutex_unlock(&keeper->lock);
    }
    assert_int_equal(late, 0);
    if (order.err != ERR_OK)
        *text = order.text;
    return order.err;
}
