/* loop_timer: a binary heap by time, driven by one timerfd (libuv's own timers tick in
 * milliseconds; a batch's delay is given in microseconds). Invariants: heap[i]->heap_index == i; no
 * timer is earlier than its parent; the timerfd is armed no later than the earliest timer, but may
 * fire for nothing: stopping a timer does not rearm, so a timer that is started and stopped with
 * each request costs no system call. Thread: the loop's. */
#include "net/loop_private.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void heap_put(struct loop *loop, size_t at, struct loop_timer *timer) {
    loop->timers[at] = timer;
    timer->heap_index = at;
}

static void heap_up(struct loop *loop, size_t at, struct loop_timer *timer) {
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (loop->timers[parent]->at_ns <= timer->at_ns)
            break;
        heap_put(loop, at, loop->timers[parent]);
        at = parent;
    }
    heap_put(loop, at, timer);
}

static void heap_down(struct loop *loop, size_t at, struct loop_timer *timer) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop->timer_count)
            break;
        if (child + 1 < loop->timer_count &&
            loop->timers[child + 1]->at_ns < loop->timers[child]->at_ns) {
            child++;
        }
        if (timer->at_ns <= loop->timers[child]->at_ns)
            break;
        heap_put(loop, at, loop->timers[child]);
        at = child;
    }
    heap_put(loop, at, timer);
}

/* Asks the kernel for a wake-up at `at_ns` of the loop's clock. */
static void arm(struct loop *loop, uint64_t at_ns) {
    uint64_t now = clock_now(loop->options.clock);
    uint64_t wait = at_ns > now ? at_ns - now : 1;
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S)}};
    CHECK(timerfd_settime(loop->timer_fd, 0, &spec, NULL) == 0);
    loop->timer_armed_ns = at_ns ? at_ns : 1;
}

static void arm_earliest(struct loop *loop) {
    if (loop->timer_count == 0)
        return;
    uint64_t at_ns = loop->timers[0]->at_ns;
    if (loop->timer_armed_ns == 0 || at_ns < loop->timer_armed_ns)
        arm(loop, at_ns);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t at_ns,
                      void (*fire)(struct loop_timer *timer)) {
    loop_check_thread(loop);
    if (timer->loop) {
        CHECK(timer->loop == loop);
        loop_timer_stop(timer);
    }
    if (loop->timer_count == loop->timer_capacity) {
        loop->timer_capacity = loop->timer_capacity ? loop->timer_capacity * 2 : 64;
        loop->timers = mem_resize(loop->timers, loop->timer_capacity * sizeof *loop->timers);
    }
    *timer = (struct loop_timer){.loop = loop, .at_ns = at_ns, .fire = fire};
    heap_up(loop, loop->timer_count++, timer);
    if (timer->heap_index == 0)
        arm_earliest(loop);
}

void loop_timer_stop(struct loop_timer *timer) {
    struct loop *loop = timer->loop;
    if (!loop)
        return;
    loop_check_thread(loop);
    size_t at = timer->heap_index;
    CHECK(at < loop->timer_count && loop->timers[at] == timer);
    struct loop_timer *last = loop->timers[--loop->timer_count];
    timer->loop = NULL;
    if (last == timer)
        return;
    if (at > 0 && last->at_ns < loop->timers[(at - 1) / 2]->at_ns)
        heap_up(loop, at, last);
    else
        heap_down(loop, at, last);
}

static void on_timer(uv_poll_t *poll, int status, int events) {
    struct loop *loop = poll->data;
    (void)events;
    uint64_t expirations;
    ssize_t n = read(loop->timer_fd, &expirations, sizeof expirations);
    if (status < 0 || (n < 0 && errno == EAGAIN))
        return;
    loop->timer_armed_ns = 0;
    uint64_t now = clock_now(loop->options.clock);
    while (loop->timer_count > 0 && loop->timers[0]->at_ns <= now) {
        struct loop_timer *timer = loop->timers[0];
        loop_timer_stop(timer);
        timer->fire(timer);
    }
    arm_earliest(loop);
}

void loop_timers_init(struct loop *loop) {
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(loop->timer_fd >= 0);
    CHECK(uv_poll_init(&loop->uv, &loop->timer_poll, loop->timer_fd) == 0);
    loop->timer_poll.data = loop;
    CHECK(uv_poll_start(&loop->timer_poll, UV_READABLE, on_timer) == 0);
}

void loop_timers_close(struct loop *loop) {
    uv_poll_stop(&loop->timer_poll);
    uv_close((uv_handle_t *)&loop->timer_poll, NULL);
}

void loop_timers_free(struct loop *loop) {
    while (loop->timer_count > 0)
        loop->timers[--loop->timer_count]->loop = NULL;
    mem_free(&loop->timers);
    close(loop->timer_fd);
}
