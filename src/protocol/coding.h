/* Content codings of HTTP bodies (RFC 9110 8.4.1): gzip and deflate (zlib wrapper; raw deflate is
 * accepted on reading, as browsers once sent it). Pure. */
#pragma once

#include "base/buffer.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE };

/* Content-Encoding of a request: "" and "identity", gzip, x-gzip, deflate; anything else (and lists
 * of two or more codings) is ERR_BAD_CODING, naming what came and what is supported. */
enum err coding_from_content_encoding(struct str value, enum coding *ret,
                                      struct err_text *text) MUST_CHECK;

/* Accept-Encoding with q-values: the coding to answer with, gzip before deflate when equal;
 * IDENTITY when nothing else is wanted ("*" counts as gzip; q=0 excludes). */
enum coding coding_from_accept_encoding(struct str value);
const char *coding_name(enum coding coding);

/* Inflates all of `in` to the end of `out` (whose max is the bound). ERR_BODY_TOO_LARGE when the
 * result would pass out->max; ERR_INVALID when damaged, cut short, or followed by other bytes;
 * ERR_NO_MEMORY. */
enum err coding_inflate(enum coding coding, struct str in, struct buffer *out,
                        struct err_text *text) MUST_CHECK;
/* Appends the compressed form of the parts, one after the other. */
enum err coding_deflate(enum coding coding, const struct str *parts, size_t part_count,
                        struct buffer *out, struct err_text *text) MUST_CHECK;
