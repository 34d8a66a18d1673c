/* The loop of loop.h on libuv: prepare, poll, check are the frame of a turn.
 *
 * A turn's end: mailbox, turn_end, then the connections that have more requests buffered, again
 * until none is left (at most TURN_ROUNDS_MAX times, so that a peer with a deep pipeline cannot
 * keep the others from being read). It runs in the check phase; timers fire in the poll phase too
 * (timer.c), so nothing that a handler hears comes between a turn's end and the next poll but
 * closing callbacks. Owns what loop_private.h lists. A fault of the system at start (no descriptor,
 * no memory) stops the process. */
#include "net/loop_private.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <signal.h>

enum { TURN_ROUNDS_MAX = 16 };

static _Thread_local const struct loop *current;

void loop_check_thread(const struct loop *loop) {
    CHECK(current == loop || !atomic_load_explicit(&loop->running, memory_order_relaxed));
}

uint64_t loop_now_ns(const struct loop *loop) {
    loop_check_thread(loop);
    struct loop_now *now = loop->now;
    if (!now->valid || current != loop) {
        now->ns = clock_now(loop->options.clock);
        now->valid = true;
    }
    return now->ns;
}

void loop_ready_add(struct loop *loop, struct loop_ready *ready) {
    if (!list_linked(&ready->node))
        list_add_last(&loop->ready, &ready->node);
}

void loop_ready_remove(struct loop_ready *ready) {
    if (list_linked(&ready->node))
        list_remove(&ready->node);
}

static void on_idle(uv_idle_t *idle) {
    (void)idle;
}

/* Runs what is ready now, not what becomes ready meanwhile. */
static void run_ready(struct loop *loop) {
    for (struct list_node *node; (node = list_take_first(&loop->ready));)
        list_add_last(&loop->ready_now, node);
    for (struct list_node *node; (node = list_take_first(&loop->ready_now));) {
        struct loop_ready *ready = CONTAINER_OF(node, struct loop_ready, node);
        ready->run(ready);
    }
}

static void turn(struct loop *loop) {
    mailbox_drain(&loop->mailbox);
    bool more = false;
    for (int round = 0; round < TURN_ROUNDS_MAX; round++) {
        more = loop->options.turn_end && loop->options.turn_end(loop->options.context);
        if (list_empty(&loop->ready))
            break;
        run_ready(loop);
        more = true; /* what they brought waits for a turn_end */
    }
    /* What this turn left behind waits for the next one, which must then come at once. */
    if (!more && list_empty(&loop->ready))
        uv_idle_stop(&loop->idle);
    else
        uv_idle_start(&loop->idle, on_idle);
}

static void on_prepare(uv_prepare_t *prepare) {
    struct loop *loop = prepare->data;
    loop->now->valid = false;
}

static void on_check(uv_check_t *check) {
    struct loop *loop = check->data;
    if (atomic_load_explicit(&loop->running, memory_order_relaxed))
        turn(loop);
    loop->now->valid = false;
}

static void on_wake(uv_async_t *wake) {
    struct loop *loop = wake->data;
    if (!atomic_load_explicit(&loop->running, memory_order_relaxed))
        return;
    mailbox_drain(&loop->mailbox);
    /* acquire: pairs with the release in loop_stop */
    if (atomic_load_explicit(&loop->stop_asked, memory_order_acquire))
        uv_stop(&loop->uv);
}

static void wake_loop(void *context) {
    struct loop *loop = context;
    uv_async_send(&loop->wake);
}

struct loop *loop_new(const struct loop_options *options) {
    struct loop *loop = mem_new(sizeof *loop);
    loop->options = *options;
    if (!loop->options.clock)
        loop->options.clock = &clock_real;
    if (options->name) {
        struct str name = str_of(options->name);
        memcpy(loop->name, name.p, name.n < sizeof loop->name ? name.n : sizeof loop->name - 1);
    }
    loop->options.name = NULL; /* the caller's */
    loop->now = mem_new(sizeof *loop->now);
    CHECK(uv_loop_init(&loop->uv) == 0);
    CHECK(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    CHECK(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    CHECK(uv_prepare_start(&loop->prepare, on_prepare) == 0);
    CHECK(uv_check_init(&loop->uv, &loop->check) == 0);
    CHECK(uv_check_start(&loop->check, on_check) == 0);
    CHECK(uv_idle_init(&loop->uv, &loop->idle) == 0);
    loop->wake.data = loop->prepare.data = loop->check.data = loop->idle.data = loop;
    loop_timers_init(loop);
    mailbox_init(&loop->mailbox, wake_loop, loop);
    list_init(&loop->ready);
    list_init(&loop->ready_now);
    list_init(&loop->exchanges);
    block_pool_init(&loop->blocks);
    buffer_init(&loop->head, LOOP_HEAD_BYTES_MAX);
    buffer_init(&loop->ciphertext, LOOP_CIPHERTEXT_BYTES_MAX);
    loop->scratch = mem_new(LOOP_SCRATCH_BYTES);
    return loop;
}

static void close_unknown(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop **loop_at) {
    struct loop *loop = *loop_at;
    if (!loop)
        return;
    CHECK(!atomic_load_explicit(&loop->running, memory_order_acquire) && !loop->started);
    loop_timers_close(loop);
    uv_walk(&loop->uv, close_unknown, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
    CHECK(uv_loop_close(&loop->uv) == 0);
    loop_timers_free(loop);
    for (struct list_node *node; (node = list_take_first(&loop->exchanges));)
        loop->exchange_free(node);
    block_pool_done(&loop->blocks);
    buffer_done(&loop->head);
    buffer_done(&loop->ciphertext);
    mem_free(&loop->scratch);
    mem_free(&loop->now);
    mem_free(loop_at);
}

void loop_run(struct loop *loop) {
    CHECK(!current && !atomic_load_explicit(&loop->running, memory_order_relaxed));
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE); /* a peer that is gone is an error of the write, not a signal */
    CHECK(pthread_sigmask(SIG_BLOCK, &pipe, NULL) == 0);
    current = loop;
    loop->now->valid = false;
    atomic_store_explicit(&loop->running, true, memory_order_relaxed);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    mailbox_drain(&loop->mailbox); /* what came with or after the request to stop */
    atomic_store_explicit(&loop->stop_asked, false, memory_order_relaxed);
    atomic_store_explicit(&loop->running, false, memory_order_release);
    current = NULL;
}

static void thread_main(void *context) {
    struct loop *loop = context;
    if (loop->name[0])
        pthread_setname_np(pthread_self(), loop->name);
    loop_run(loop);
}

void loop_start(struct loop *loop) {
    CHECK(!loop->started);
    loop->started = true;
    CHECK(uv_thread_create(&loop->thread, thread_main, loop) == 0);
}

void loop_stop(struct loop *loop) {
    /* release: pairs with the acquire in on_wake */
    atomic_store_explicit(&loop->stop_asked, true, memory_order_release);
    uv_async_send(&loop->wake);
}

void loop_join(struct loop *loop) {
    if (loop->started) {
        CHECK(uv_thread_join(&loop->thread) == 0);
        loop->started = false;
    }
}

struct mailbox *loop_mailbox(struct loop *loop) {
    return &loop->mailbox;
}

struct uv_loop_s *loop_uv(struct loop *loop) {
    return &loop->uv;
}
