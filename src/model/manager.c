/* The thread that keeps the loaded models as the repository wants them: scan, take the cheap steps,
 * load one version, look at the mail, and again; else sleep until a folder changes, mail comes, or
 * the next scan is due.
 *
 * 1. Nothing waits for another thread but for the file system and the engine.
 * 2. Every turn begins with the mail: an order or a stop waits for one load at most.
 * 3. From the stop on no catalog is published: the loops are gone. Orders are answered up to the
 * thread's end, so that their owners can free them. Owns the entries, their versions' first
 * references, and the watch. */
#include "model/repository.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEBOUNCE_NS (UINT64_C(50) * NS_PER_MS)
#define SLEEP_NS_MAX (UINT64_C(60) * NS_PER_S)
/* How long model_manager_free waits for references that should all be gone. */
#define FREE_PATIENCE_NS (UINT64_C(10) * NS_PER_S)
#define PATIENCE_NS_MAX (UINT64_C(86400) * NS_PER_S)

static void wake(void *context) {
    struct model_manager *manager = context;
    uint64_t one = 1;
    /* EAGAIN: the counter is full, so the reader is awake anyway. */
    (void)!write(manager->wake_fd, &one, sizeof one);
}

enum err model_manager_new(const struct model_manager_options *options, struct model_manager **ret,
                           struct err_text *text) {
    struct stat s;
    if (stat(options->root, &s) != 0)
        return err_set(text, ERR_INVALID, "the model repository %s cannot be read: %s",
                       options->root, strerrordesc_np(errno));
    if (!S_ISDIR(s.st_mode))
        return err_set(text, ERR_INVALID, "the model repository %s is not a folder", options->root);
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd < 0)
        return err_set(text, ERR_INTERNAL, "eventfd: %s", strerrordesc_np(errno));
    struct model_manager *manager = mem_new(sizeof *manager);
    manager->options = *options;
    manager->options.root = mem_copy_c(options->root);
    manager->wake_fd = wake_fd;
    mailbox_init(&manager->mailbox, wake, manager);
    list_init(&manager->figures);
    list_init(&manager->orders);
    CHECK(pthread_mutex_init(&manager->outward, NULL) == 0);
    CHECK(pthread_cond_init(&manager->end, NULL) == 0);
    atomic_init(&manager->stop, false);
    if (options->log)
        manager->ring = log_ring_new(options->log);
    if (options->watch && !(manager->watch = watch_new()))
        log_model_event(manager, LOG_WARN, "repository_watch_failed", NULL, strerrordesc_np(errno));
    *ret = manager;
    return ERR_OK;
}

static void on_entering(void *context, const char *folder) {
    struct model_manager *manager = context;
    watch_add(manager->watch, folder);
}

static void read_repository(struct model_manager *manager) {
    struct scan scan;
    struct scan_watcher watcher = {on_entering, manager};
    uint64_t began_ns = clock_now(manager->options.clock);
    unsigned refused_before = manager->watch ? watch_refused(manager->watch) : 0;
    if (manager->watch)
        watch_begin(manager->watch);
    scan_read(&scan, manager->options.root, manager->watch ? &watcher : NULL);
    if (manager->watch) {
        watch_end(manager->watch);
        if (!refused_before && watch_refused(manager->watch) && !scan.trouble)
            log_model_event(manager, LOG_WARN, "repository_watch_failed", NULL,
                            "some folders cannot be watched; the periodic scan sees them");
    }
    uint64_t now_ns = clock_now(manager->options.clock);
    log_scan(manager, &scan, now_ns - began_ns);
    uint64_t again_ns = entries_update(manager, &scan);
    manager->scanned |= !scan.trouble;
    uint64_t poll_ns = manager->options.poll_ns;
    manager->scan_at_ns = MIN(again_ns, poll_ns ? now_ns + poll_ns : UINT64_MAX);
    scan_done(&scan);
}

static void scan_and_step(struct model_manager *manager) {
    read_repository(manager);
    for (size_t i = 0; i < manager->entry_count; i++) {
        entry_read_settings(manager, manager->entries[i], false);
        entry_step(manager, manager->entries[i]);
    }
    orders_start(manager);
}

/* Sleeps until a folder changes, mail comes, or the next scan is due. */
static void wait_for_something(struct model_manager *manager) {
    uint64_t now_ns = clock_now(manager->options.clock);
    uint64_t until_ns = MIN(manager->scan_at_ns, now_ns + SLEEP_NS_MAX);
    if (manager->options.trim_ns)
        until_ns = MIN(until_ns, manager->trim_at_ns);
    uint64_t sleep_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct pollfd fds[2] = {
        {.fd = manager->wake_fd, .events = POLLIN},
        {.fd = manager->watch ? watch_fd(manager->watch) : -1, .events = POLLIN}};
    int timeout_ms = (int)((sleep_ns + NS_PER_MS - 1) / NS_PER_MS);
    if (poll(fds, 2, timeout_ms) <= 0)
        return;
    uint64_t count;
    if (fds[0].revents)
        (void)!read(manager->wake_fd, &count, sizeof count);
    /* Many changes come at once: look when they are over, or soon. */
    if (fds[1].revents && watch_read(manager->watch))
        manager->scan_at_ns =
            MIN(manager->scan_at_ns, clock_now(manager->options.clock) + DEBOUNCE_NS);
}

static bool stops(const struct model_manager *manager) {
    return atomic_load_explicit(&manager->stop, memory_order_relaxed);
}

/* Everything goes, and the last references come home. Thread: free's; the manager's is over. */
static void unload_all(struct model_manager *manager) {
    for (size_t i = 0; i < manager->entry_count; i++)
        entry_unload(manager, manager->entries[i]);
    uint64_t until_ns = clock_now(&clock_real) + FREE_PATIENCE_NS;
    while (mailbox_drain(&manager->mailbox), manager->alive > 0) {
        if (clock_now(&clock_real) > until_ns)
            return;
        struct pollfd fd = {.fd = manager->wake_fd, .events = POLLIN};
        uint64_t count;
        if (poll(&fd, 1, 100) > 0)
            (void)!read(manager->wake_fd, &count, sizeof count);
    }
}

static void *manager_main(void *argument) {
    struct model_manager *manager = argument;
    pthread_setname_np(pthread_self(), "inferd-models");
    manager->changed = true; /* a first catalog: the repository has not been read yet */
    publish_changes(manager);
    while (!stops(manager)) {
        mailbox_drain(&manager->mailbox);
        if (clock_now(manager->options.clock) >= manager->scan_at_ns)
            scan_and_step(manager);
        bool loaded = !stops(manager) && load_next(manager);
        if (!loaded && !stops(manager))
            trim_models(manager);
        entries_tidy(manager);
        publish_changes(manager);
        orders_finish(manager);
        if (!loaded && !stops(manager))
            wait_for_something(manager);
    }
    mailbox_drain(&manager->mailbox);
    orders_refuse(manager);
    CHECK(pthread_mutex_lock(&manager->outward) == 0);
    manager->ended = true;
    CHECK(pthread_cond_signal(&manager->end) == 0);
    CHECK(pthread_mutex_unlock(&manager->outward) == 0);
    return NULL;
}

void model_manager_start(struct model_manager *manager) {
    CHECK(!manager->started);
    manager->started = true;
    CHECK(pthread_create(&manager->thread, NULL, manager_main, manager) == 0);
}

void model_manager_order(struct model_manager *manager, struct model_order *order) {
    order->manager = manager;
    order->node = (struct list_node){0};
    order->message.receive = order_receive;
    mailbox_send(&manager->mailbox, &order->message);
}

static void begin_stop(struct model_manager *manager) {
    atomic_store_explicit(&manager->stop, true, memory_order_relaxed);
    CHECK(pthread_mutex_lock(&manager->outward) == 0);
    manager->published_last = true;
    manager->abandoned = false;
    CHECK(pthread_mutex_unlock(&manager->outward) == 0);
    wake(manager);
}

void model_manager_stop(struct model_manager *manager) {
    if (!manager || !manager->started)
        return;
    begin_stop(manager);
    CHECK(pthread_join(manager->thread, NULL) == 0);
    manager->started = false;
}

bool model_manager_stop_within(struct model_manager *manager, uint64_t patience_ns) {
    if (!manager || !manager->started)
        return true;
    begin_stop(manager);
    uint64_t until_ns = clock_now(&clock_real) + MIN(patience_ns, PATIENCE_NS_MAX);
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    CHECK(pthread_mutex_lock(&manager->outward) == 0);
    while (!manager->ended && pthread_cond_clockwait(&manager->end, &manager->outward,
                                                     CLOCK_MONOTONIC, &until) != ETIMEDOUT) {
    }
    bool ended = manager->ended;
    manager->abandoned = !ended;
    CHECK(pthread_mutex_unlock(&manager->outward) == 0);
    if (ended)
        model_manager_stop(manager);
    return ended;
}

bool model_manager_free(struct model_manager **pointer) {
    struct model_manager *manager = *pointer;
    *pointer = NULL;
    if (!manager)
        return true;
    model_manager_stop(manager);
    unload_all(manager);
    /* Somebody still refers to a version: leaking beats freeing what is in use. */
    if (ANOMALY(manager->alive > 0))
        return false;
    for (size_t i = 0; i < manager->entry_count; i++)
        entry_free(manager, manager->entries[i]);
    mem_free(&manager->entries);
    for (size_t i = 0; i < manager->ignored_count; i++)
        mem_free(&manager->ignored[i]);
    mem_free(&manager->ignored);
    mem_free(&manager->trouble);
    watch_free(&manager->watch);
    close(manager->wake_fd);
    CHECK(pthread_cond_destroy(&manager->end) == 0);
    CHECK(pthread_mutex_destroy(&manager->outward) == 0);
    mem_free_raw((void *)(uintptr_t)manager->options.root);
    mem_free(&manager);
    return true;
}
