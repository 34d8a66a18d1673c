/* A server in its own thread whose handler is steered by the path, and a client that speaks bytes.
 */
#pragma once

#include "base/buffer.h"
#include "net/listener.h"
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST_MS ((uint64_t)1000000)

/* How a path is answered: /now from request(), /turn at the turn's end, /message from a message to
 * the loop, /hold when server_release is called, /big?N with N bytes, /close with close, /late?N
 * after N milliseconds, /held?N at once but kept for N milliseconds, /trailers with x-end: done
 * after the body. Bodies are "METHOD PATH QUERY BODY". Streams (HTTP/2): /echo gives back what
 * comes, /pour?N gives N bytes as fast as they are taken, /early answers without the body. */
struct server;

struct server_counts {
    unsigned requests, cancelled, finished, complete, refused;
    enum err last_refusal;
    enum http_refusal_reason last_reason;
    bool last_answered;
    uint64_t last_bytes_in, last_duration_ns;
    char last_text[200];
    char last_path[100];
    uint64_t bytes_out;
    uint64_t data_bytes, poured; /* of streams: what came, what was written */
    unsigned writable;
};

struct http_limits server_default_limits(void);
/* tls may be NULL. */
struct server *server_new(const struct http_limits *limits, struct tls *tls);
void server_free(
    struct server *server); /* stops, and checks that every request was finished once */
uint16_t server_port(const struct server *server);
struct server_counts server_counts(struct server *server);
/* Runs `call` on the loop and waits for it. */
void server_call(struct server *server, void (*call)(struct listener *listener));
void server_release(struct server *server); /* answers what is held */
uint32_t server_connections(struct server *server);
uint32_t server_active(struct server *server);
/* Waits (at most 5 s) until the counter has the value; fails the test otherwise. */
#define SERVER_WAIT(server, field, value)                                                          \
    do {                                                                                           \
        for (int tries = 0; server_counts(server).field != (value) && tries < 500; tries++) {      \
            test_sleep_ms(10);                                                                     \
        }                                                                                          \
        assert_int_equal(server_counts(server).field, (value));                                    \
    } while (0)

struct client {
    int fd;
    struct buffer in; /* received, not yet taken */
    struct buffer response;
};

struct client client_new(uint16_t port);
void client_done(struct client *client);
void client_send(struct client *client, const char *text);
bool client_try_send_n(struct client *client, const void *p, size_t n);
void client_send_n(struct client *client, const void *p, size_t n);
/* One whole response by its Content-Length (no body after `head_only`). Valid until the next call;
 * NUL-terminated. Fails the test when none comes in 5 s. */
const char *client_response(struct client *client, bool head_only);
/* The same for threads other than the test's: NULL instead of a failure. */
const char *client_try_response(struct client *client, bool head_only);
/* Waits for the end of the connection; false when it does not end in `ms` or more bytes come. */
bool client_sees_end(struct client *client, int ms);
/* Reads for `ms`; true when nothing came and the connection stands. */
bool client_sees_nothing(struct client *client, int ms);

void test_sleep_ms(int ms);
uint64_t test_now_ms(void);
void assert_starts(const char *text, const char *start);
void assert_contains(const char *text, const char *part);
