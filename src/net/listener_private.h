/* A listener as this layer sees it: socket, connections, their timeouts. Thread: the loop's
 * (counters: any reads). */
#pragma once

#include "base/list.h"
#include "net/listener.h"
#include "net/loop_private.h"

#include <stdatomic.h>

/* Each timeout has one length, so a list in order of arrival is in order of time. */
enum timeout_kind {
    TIMEOUT_HEADER,
    TIMEOUT_BODY,
    TIMEOUT_IDLE,
    TIMEOUT_QUIET,
    TIMEOUT_HANDSHAKE,
    TIMEOUT_WRITE,
    TIMEOUT_LINGER,
    TIMEOUT_NONE, /* and their number */
};

enum {
    /* Drain: so long may a request to an idle connection be on its way. */
    LISTENER_QUIET_NS = 500 * 1000 * 1000,
};

/* What has a timeout running: a connection, or a stream of one. */
struct timed {
    struct list_node node; /* in listener->timeouts[...] */
    uint64_t deadline_ns;
    void (*fire)(struct timed *timed);
};

struct listener {
    struct loop *loop;
    struct listener_options options;
    char *name;
    uint16_t port;
    int fd;
    int reserve_fd; /* given up for a moment when there are no more descriptors */
    uv_poll_t poll;
    bool polling;
    bool draining;
    bool stopping;
    _Atomic(bool) closed; /* relaxed: the socket is closed, for listener_closed */
    bool freed;           /* listener_free was called: the last handle to close frees the memory */
    struct loop_timer stop_timer;

    struct list connections;
    struct list timeouts[TIMEOUT_NONE];
    uint64_t timeout_ns[TIMEOUT_NONE]; /* 0: none */
    struct loop_timer tick;            /* runs while any list is not empty, or a little longer */
    uint32_t lingering_refused;
    _Atomic(uint32_t) connection_count;
    _Atomic(uint32_t) active_count;
    uint32_t handle_count; /* connections whose handle or exchange is still there, and the socket */
};

/* Written by the loop only, so no read-modify-write across threads. */
static inline void listener_count(_Atomic(uint32_t) *counter, int by) {
    uint32_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + (uint32_t)by, memory_order_relaxed);
}

void listener_connected(struct listener *listener, int by); /* a connection more or less */
void listener_refused(struct listener *listener, struct http_refusal *refusal);
/* Starts a timeout anew, or ends the one that runs (TIMEOUT_NONE, or a kind that is off). */
void listener_time(struct listener *listener, struct timed *timed, enum timeout_kind kind);
void listener_release(struct listener *listener); /* one handle less */

/* socket.c */
enum err socket_listen(const struct listener_options *options, bool probe, int *ret_fd,
                       struct err_text *text) MUST_CHECK;
uint16_t socket_port(int fd);
/* From now on the socket's SYNs are dropped, without a word to who sent them; false when the kernel
 * refuses. */
bool socket_drop_syns(int fd) MUST_CHECK;
