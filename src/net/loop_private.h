/* What the files of this layer know about a loop beyond loop.h: its libuv loop, the memory its
 * connections share, and the connections that have more to do in this turn. Thread: the loop's. */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "net/block.h"
#include "net/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

/* A connection that has buffered input left after its response was given outside its own callback.
 * It runs when the turn's callbacks and turn_end are over, so that request() is never called from
 * inside another callback. */
struct loop_ready {
    struct list_node node;
    void (*run)(struct loop_ready *ready);
};

struct loop_now {
    uint64_t ns;
    bool valid;
};

enum {
    LOOP_SCRATCH_BYTES = 65536, /* bytes to be thrown away, and ciphertext before it is decrypted */
    LOOP_EXCHANGES_KEPT = 256,
    LOOP_HEAD_BYTES_MAX = 1 << 20,
    LOOP_CIPHERTEXT_BYTES_MAX = 4 << 20, /* a step of transport.c takes a tenth of it */
};

struct loop {
    struct loop_options options;
    char name[16];
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* runs while a turn left something to do: poll does not wait */
    uv_poll_t timer_poll;
    int timer_fd;
    uint64_t timer_armed_ns; /* 0: not armed */
    struct loop_timer **timers;
    size_t timer_count;
    size_t timer_capacity;

    struct mailbox mailbox;
    _Atomic(bool) stop_asked;
    _Atomic(bool) running;
    bool started;
    uv_thread_t thread;
    struct loop_now *now; /* a cache that a const loop may fill */
    struct list ready;
    struct list ready_now; /* those that run in this round */

    struct block_pool blocks;
    struct list exchanges; /* spare ones */
    size_t exchange_count;
    void (*exchange_free)(struct list_node *spare);
    struct buffer head;       /* response heads are written here */
    struct buffer ciphertext; /* TLS records on their way to a socket */
    char *scratch;            /* LOOP_SCRATCH_BYTES */
};

/* Stops the process when called on another thread than the loop's (any thread while it does not
 * run). */
void loop_check_thread(const struct loop *loop);
void loop_ready_add(struct loop *loop, struct loop_ready *ready);
void loop_ready_remove(struct loop_ready *ready);

/* timer.c */
void loop_timers_init(struct loop *loop);
void loop_timers_close(struct loop *loop);
void loop_timers_free(struct loop *loop);
