/* One event loop, one thread (libuv). Everything a loop owns is touched by its thread only; others
 * send messages to its mailbox. A turn: poll for I/O, callbacks, messages, then turn_end, then the
 * next requests of connections that were answered meanwhile (and turn_end again). */
#pragma once

#include "base/clock.h"
#include "base/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct uv_loop_s;

struct loop_options {
    const char *name; /* thread name, at most 15 characters */
    /* After each turn's callbacks; may be NULL. True: there is more to do, so the next turn comes
     * without waiting for anything. */
    bool (*turn_end)(void *context);
    void *context;
    const struct clock *clock;
};

struct loop *loop_new(const struct loop_options *options);
/* Closes every handle the loop still has, frees. The thread must not be running; listeners are
 * freed before. NULL is accepted. */
void loop_free(struct loop **loop);
void loop_start(struct loop *loop); /* in a thread of its own */
/* Or in this thread, until loop_stop. The thread that runs a loop has SIGPIPE blocked from then on.
 */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* Thread: any */
void loop_join(struct loop *loop);

struct mailbox *loop_mailbox(struct loop *loop); /* send: any thread */
struct uv_loop_s *loop_uv(struct loop *loop);    /* for signals and files; Thread: loop */
uint64_t loop_now_ns(const struct loop *loop);   /* monotonic, read once a turn. Thread: loop */

/* One-shot timers, to a fraction of a millisecond. The caller's memory (zeroed before its first
 * use); stopped timers may be freed at once. Thread: loop. */
struct loop_timer {
    struct loop *loop; /* NULL: not running */
    uint64_t at_ns;
    void (*fire)(struct loop_timer *timer);
    size_t heap_index;
};
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t at_ns,
                      void (*fire)(struct loop_timer *timer));
void loop_timer_stop(struct loop_timer *timer);
