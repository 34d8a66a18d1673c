/* Drives the HTTP/1 codec the way a connection does, and writes down what came out as one line of
 * text. */
#pragma once

#include "base/buffer.h"
#include "net/http1.h"

/* The size of the piece that ends the input after `fed` bytes; at least 1. */
typedef size_t piece_size(void *context, size_t fed, size_t total);

/* Feeds the input in pieces. Appends, per message, "METHOD TARGET v=1.1 keep=1 name:value;...
 * body=... wire=N|", then
 * "!ERROR" and stop, or "..." when the input ends inside a message. */
void codec_run(const struct http1_limits *limits, struct str input, piece_size *piece,
               void *context, struct buffer *out);
