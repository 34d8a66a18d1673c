/* HTTP as a service sees it, whatever carries it (HTTP/1.1, or a stream of HTTP/2):
 * requests whole, with their body; one response each; cancellation. Thread: the connection's loop,
 * for everything here.
 *
 * Life of an exchange: request() is called once the whole request is there. The handler answers
 * with http_respond, now or later, exactly once. If the peer goes away before, cancelled() is
 * called; the handler must still call http_respond once (at once or later; it then sends nothing).
 * A peer that only closes its sending side while its request waits counts as gone: the two look the
 * same here, and nginx and Go's net/http take them so too.
 * When the response is written out or dropped, finished() is called and then the exchange, its
 * arena and every view into the request are gone. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct listener;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_header {
    struct str name; /* as sent; compare without case */
    struct str value;
};

struct http_request {
    enum http_method method;
    struct str method_text;
    struct str path;  /* as sent, still percent-encoded, without query; starts with '/' */
    struct str query; /* without '?'; may be empty */
    const struct http_header *headers;
    size_t header_count;
    /* Writable, with 16 spare bytes after body_length that the handler may overwrite; there until
     * finished(). */
    char *body;
    size_t body_length;
    bool http2; /* :authority comes as the header "host", other pseudo headers not at all */
};

/* The first one of that name; p == NULL: absent. */
struct str http_header_find(const struct http_request *request, struct str name);

struct http_exchange {
    struct http_request request;
    struct arena arena; /* for the handler; reset after finished() */
    struct loop *loop;
    struct listener *listener;
    uint64_t started_ns;    /* first byte of the request seen (monotonic) */
    uint64_t wire_bytes_in; /* head and body as they came */
    bool cancelled;
    void *user; /* the handler's */
};

enum { HTTP_RESPONSE_HEADERS_MAX = 24, HTTP_RESPONSE_PARTS_MAX = 66 };

struct http_response {
    int status;
    /* Besides Content-Length and Connection, which are net's. Date is not sent. */
    const struct http_header *headers;
    size_t header_count;
    /* The body, in pieces; must live until finished(). To HEAD only the lengths count. */
    const struct str *parts;
    size_t part_count;
    bool close; /* close the connection after this response */
    /* HTTP/2 only (HTTP/1.1 drops them): sent after the body. Read during the call. */
    const struct http_header *trailers;
    size_t trailer_count;
};

/* Headers and parts arrays are read during the call; the bytes that parts point to live until
 * finished(), which may be called before this returns: touch nothing of the exchange after it. */
void http_respond(struct http_exchange *exchange, const struct http_response *response);

/* Before http_respond: keeps the exchange (its arena, body and views) past the response. finished()
 * waits for http_exchange_release, and so does the connection's next request. For a response that
 * goes out while a model run still reads the inputs. */
void http_exchange_hold(struct http_exchange *exchange);
/* May call finished() before it returns. */
void http_exchange_release(struct http_exchange *exchange);

/* ---- Streams: requests and responses in pieces, HTTP/2 only ----
 * When handler->streams says so at the end of the request's head, request() is called at once with
 * an empty body; its bytes come by data(). The answer is either one http_respond (a failure), or
 * http_stream_begin, any number of http_stream_write, http_stream_end. After cancelled(), writes
 * are dropped, and http_stream_end (or http_respond) is still owed once. */

/* The head of the answer: status 200. Headers are copied. */
void http_stream_begin(struct http_exchange *exchange, const struct http_header *headers,
                       size_t header_count);
/* Appends to the answer; the bytes are copied. Returns how many bytes of the answer wait for the
 * peer's window and the socket: the handler stops reading requests while it is large. */
size_t http_stream_write(struct http_exchange *exchange, const struct str *parts,
                         size_t part_count);
/* finished() may be called before this returns. Trailers are copied. */
void http_stream_end(struct http_exchange *exchange, const struct http_header *trailers,
                     size_t trailer_count);
/* `n` bytes that data() brought are dealt with: the peer may send as many more. */
void http_stream_consumed(struct http_exchange *exchange, size_t n);

struct http_sent {
    int status;
    uint64_t bytes_out; /* head and body put on the wire (before TLS) */
    bool complete;      /* false: the peer went away first */
};

enum http_refusal_reason {
    HTTP_REFUSED_MALFORMED, /* also: not supported */
    HTTP_REFUSED_TIMEOUT,
    HTTP_REFUSED_TOO_LARGE,
    HTTP_REFUSED_CONNECTIONS,
    HTTP_REFUSED_TLS,
};

enum { HTTP_REFUSAL_HEADERS_MAX = 6 };

/* net answers (or drops) by itself, and tells before it does. Views are good during the call. A
 * client that goes away inside a request is none. */
struct http_refusal {
    enum err err;
    enum http_refusal_reason reason;
    const char *text;
    struct str method, path; /* what was understood; may be empty */
    uint64_t bytes_in;       /* of the request, as far as it came */
    uint64_t duration_ns;    /* since its first byte; 0: none came */
    bool answered;           /* an answer follows */
    /* HTTP/2: the request's head, with what has come of its body; NULL when it was not understood,
     * and always with HTTP/1.1. */
    const struct http_request *request;
    /* For the handler to change, HTTP/2 only: that answer's status (err's), and whether it goes out
     * without a body: a gRPC client reads its headers instead. */
    int status;
    bool without_body;
    /* For the handler to fill: headers of that answer. Their bytes must live until the handler is
     * called again or the loop's turn is over. */
    struct http_header extra[HTTP_REFUSAL_HEADERS_MAX];
    size_t extra_count;
};

/* request() is never called from inside another callback or http_respond. */
struct http_handler {
    void (*request)(void *context, struct http_exchange *exchange);
    void (*cancelled)(void *context, struct http_exchange *exchange);
    void (*finished)(void *context, struct http_exchange *exchange, const struct http_sent *sent);
    void (*refused)(void *context, struct loop *loop, struct http_refusal *refusal);
    /* HTTP/2: is this a stream? Called with the head only. NULL: none is. */
    bool (*streams)(void *context, const struct http_request *request);
    /* A piece of a stream's body, good during the call; last: nothing follows (n may be 0). Not
     * called after the answer has ended. */
    void (*data)(void *context, struct http_exchange *exchange, struct str bytes, bool last);
    /* The answer's waiting bytes (see http_stream_write) have fallen below half a megabyte again.
     * May be NULL. */
    void (*writable)(void *context, struct http_exchange *exchange);
};
