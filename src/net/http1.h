/* HTTP/1.x requests from bytes (RFC 9112), by llhttp: no socket, clock or log. The caller keeps the
 * bytes of one message in one growing buffer and feeds the codec as they arrive; results are
 * offsets into that buffer, so it may move between calls. Where the bytes were cut does not change
 * the result. Ownership: the codec owns its parser and the table of fields, kept over messages.
 * Thread: one at a time. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http1_limits {
    uint64_t body_bytes_max;
    uint32_t header_bytes_max; /* request line and headers */
    uint32_t header_count_max; /* also of trailers */
    uint32_t target_bytes_max;
};

/* Bytes [at, at + n) of the message's buffer. */
struct http1_span {
    uint32_t at;
    uint32_t n;
};

struct http1_field {
    struct http1_span name;
    struct http1_span value; /* without blanks around it */
};

enum http1_status {
    HTTP1_MORE,    /* everything fed was consumed; needs more bytes */
    HTTP1_HEAD,    /* once, when the head is there and fine, but not the whole body: feed again */
    HTTP1_REQUEST, /* whole; the next message begins at `end` */
    HTTP1_ERROR,   /* `error` and `error_text`; nothing more may be fed */
};

enum {
    HTTP1_CHUNK_OVERHEAD_BASE = 65536, /* chunk sizes, extensions and trailers: this, plus ... */
    HTTP1_CHUNK_OVERHEAD_SHIFT = 4,    /* ... body_bytes_max >> this */
};

struct http1 {
    struct http1_limits limits;
    void *parser; /* llhttp's; its type stays inside http1.c (its names collide with http.h's) */
    struct http1_field *fields;
    uint32_t field_capacity;
    int phase;

    /* Results, valid from HTTP1_HEAD on; method and target as soon as seen (n > 0). */
    uint32_t field_count;
    struct http1_span method;
    struct http1_span target; /* as sent: origin, absolute or asterisk form */
    uint8_t minor_version;
    bool keep_alive;      /* the client allows another request after this one */
    bool expect_continue; /* it waits for 100 before the body */
    bool chunked;
    size_t head_bytes;      /* the body is at data + head_bytes */
    size_t body_length;     /* body bytes there; chunked bodies are joined in place */
    uint64_t body_expected; /* Content-Length; 0 when chunked */
    size_t end;
    uint64_t wire_bytes; /* head and body as they came */

    enum err error;
    const char *error_text; /* static */
    bool framing_lost;      /* where the refused message ends is not known */

    /* Private to http1.c. */
    char *data;
    size_t parsed;
    size_t body_wire; /* bytes of the chunked body, framing included */
    uint32_t trailer_count;
    uint32_t version_at;
    bool in_name, target_done, trailing;
};

void http1_init(struct http1 *codec);
void http1_done(struct http1 *codec);
/* Before each message. */
void http1_start(struct http1 *codec, const struct http1_limits *limits);

/* `data` holds everything of this message so far, `*used` bytes. For a chunked body the framing is
 * cut out, and *used becomes smaller. Content-Length beyond the limit is refused before any of the
 * body; nothing is allocated for what a length claims. */
enum http1_status http1_feed(struct http1 *codec, char *data, size_t *used) MUST_CHECK;

/* Bytes of the whole message when that is known (head there, Content-Length), else 0. */
size_t http1_message_bytes(const struct http1 *codec);
