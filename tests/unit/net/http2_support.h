/* An HTTP/2 client for tests: nghttp2's own session over a socket of net_support.h, and frames made
 * by hand for what that session would never send. */
#pragma once

#include "net_support.h"

#include <nghttp2/nghttp2.h>

enum { H2_STREAMS = 64, H2_HEADERS_TEXT = 4096, H2_HEAD_BYTES = 9 };

struct h2_stream {
    int32_t id; /* 0: unused */
    int status;
    bool ended;  /* END_STREAM came */
    bool closed; /* error_code says how */
    uint32_t error_code;
    struct buffer body;
    char headers[H2_HEADERS_TEXT]; /* "name: value\n", trailers after a line "--" */
    const char *out;
    size_t out_n;
    bool out_open; /* more of the request will follow */
};

struct h2_client {
    struct client client;
    nghttp2_session *session;
    struct h2_stream streams[H2_STREAMS];
    bool manual_windows; /* the test says what was consumed */
    unsigned goaways;
    int32_t goaway_last[2]; /* of the first and the newest */
    uint32_t goaway_error;
    unsigned continues;
    bool ended; /* the server has closed */
};

struct h2_options {
    uint32_t window; /* of a stream; 0: the default of 65535 */
    bool manual_windows;
};

/* NULL: defaults. */
struct h2_client *h2_client_new(uint16_t port, const struct h2_options *options);
void h2_client_free(struct h2_client **client);
/* A request in the making; `body` lives until it is sent (NULL: none). */
struct h2_stream *h2_request(struct h2_client *client, const char *method, const char *path,
                             const char *body, size_t n);
/* The same with one more header, and more of the body to come when `open`. */
struct h2_stream *h2_request_with(struct h2_client *client, const char *path, const char *name,
                                  const char *value, bool open);
void h2_add(struct h2_client *client, struct h2_stream *stream, const char *body, size_t n,
            bool last);
void h2_reset(struct h2_client *client, struct h2_stream *stream);
/* Sends what there is and takes what comes for at most `ms`. False: nothing came. */
bool h2_turn(struct h2_client *client, int ms);
/* Until the condition holds; fails the test after ten seconds. */
#define H2_UNTIL(client, condition)                                                                \
    do {                                                                                           \
        uint64_t until_ms = test_now_ms() + 10000;                                                 \
        while (!(condition) && test_now_ms() < until_ms)                                           \
            h2_turn(client, 20);                                                                   \
        assert_true(condition);                                                                    \
    } while (0)
void h2_finish(struct h2_client *client, struct h2_stream *stream); /* until it is closed */

/* A frame made by hand. */
void h2_send_frame(struct h2_client *client, uint8_t type, uint8_t flags, uint32_t id,
                   const void *payload, size_t n);
/* The client's preface and SETTINGS, without a session. */
void h2_send_preface(struct client *client);
/* The head of GET /now, HPACK without a table; its length. */
size_t h2_plain_head(uint8_t to[64]);
size_t h2_hold_head(uint8_t to[64]); /* of GET /hold */
