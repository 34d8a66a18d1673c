/* One connection of the load generator: a libuv socket around a wire, opened again whenever it
 * ends. Its callbacks may begin requests; none is called after client_close().
 *
 *   CONNECTING --connected--> OPEN --ended, or to be closed--> CLOSING --closed--> CONNECTING
 *        \--no connection--> CLOSING --closed--> PAUSED --100 ms--> CONNECTING
 * In every state but OPEN nothing is in flight but what is to be sent again (a server that ends a
 * connection names the requests it has not looked at), and client_can_begin() is false.
 * Thread: the loop's. Owns: handles, wire, slots. */
#pragma once

#include "load/result.h"
#include "load/wire.h"

#include <netinet/in.h>
#include <uv.h>

struct client;

/* A request in flight, as its owner sees it. */
struct client_slot {
    uint64_t due_ns;  /* latency counts from here */
    uint64_t sent_ns; /* the timeout counts from here */
    bool counted;     /* the owner's */
    bool busy;        /* the client's, like what follows */
    bool again;       /* to be sent on the next connection */
    const struct wire_request *request;
    struct client *client;
};

struct client_options {
    uv_loop_t *loop;
    const struct sockaddr *address;
    bool http2;
    bool keep_bodies;
    unsigned streams;
    void *context;
    /* Connected: requests may begin. */
    void (*ready)(void *context);
    /* An answer came; another request may begin when client_can_begin(). */
    void (*answered)(void *context, const struct client_slot *slot,
                     const struct wire_answer *answer);
    /* `slot` is NULL when no connection came about. Nothing may begin before `ready`, or before the
     * next answer. */
    void (*failed)(void *context, const struct client_slot *slot, enum failure failure,
                   const char *why);
};

/* Connects at once. */
struct client *client_new(const struct client_options *options);
/* Closes it for good; it frees itself when the loop has run. NULLs *client. */
void client_close(struct client **client);

bool client_can_begin(const struct client *client);
void client_begin(struct client *client, const struct wire_request *request,
                  struct client_slot slot);
/* Requests sent before `before_ns` fail with FAILURE_TIMEOUT. */
void client_time_out(struct client *client, uint64_t before_ns);
unsigned client_in_flight(const struct client *client);
/* Connections after the first. */
uint64_t client_reconnects(const struct client *client);
