/* The head of an HTTP/1.1 response as bytes: pure. */
#pragma once

#include "base/buffer.h"
#include "net/http.h"

struct http1_head {
    int status;
    const struct http_header *headers;
    size_t header_count;
    uint64_t body_length;
    uint8_t minor_version; /* the request's */
    bool close;
};

/* Appends status line, headers, Content-Length (but for a status without a body), Connection where
 * it must be said, and the empty line. CR, LF and NUL in a header's value become blanks: nothing
 * that was echoed can end a header. */
void http1_write_head(struct buffer *out, const struct http1_head *head);

enum {
    HTTP1_REFUSAL_HEADERS_MAX = 2 + HTTP_REFUSAL_HEADERS_MAX,
    HTTP1_ERROR_BYTES_MAX = ERR_TEXT_MAX * 8, /* every byte may be escaped */
};
/* The headers of net's own answers, for http1_head; their number. */
size_t http1_refusal_headers(const struct http_refusal *refusal,
                             struct http_header to[HTTP1_REFUSAL_HEADERS_MAX]);
/* Their body: {"error": text}. */
void http1_write_error(struct buffer *out, const char *text);

/* 1xx, 204 and 304 have none, whatever the handler gave. */
bool http1_status_has_body(int status);
