/* gRPC's own layer on HTTP/2: messages with their 5-byte prefix, timeouts, status texts, codings.
 * Pure. Source: gRPC over HTTP2 (PROTOCOL-HTTP2), gRPC compression. */
#pragma once

#include "base/arena.h"
#include "protocol/coding.h"

enum {
    GRPC_PREFIX_SIZE = 5,           /* compressed flag (0, 1), length in 4 bytes, big-endian */
    GRPC_MESSAGE_SPARE = 16,        /* writable bytes behind a message that was read */
    GRPC_PARTS_MAX = 64,            /* pieces of one message that goes out */
    GRPC_STATUS_MESSAGE_MAX = 3072, /* a whole err_text, each byte as %XX, fits */
};

/* What this server understands: the answer's header grpc-accept-encoding. */
#define GRPC_ACCEPT_ENCODING "identity,deflate,gzip"

/* ---- Headers ---- */

/* grpc-timeout: 1 to 8 digits and a unit (H M S m u n). Too many hours for nanoseconds give
 * UINT64_MAX; 0 is a deadline that has passed. ERR_INVALID else. */
enum err grpc_timeout_read(struct str value, uint64_t *ret_ns, struct err_text *text) MUST_CHECK;

/* grpc-encoding of a request: "" (absent), identity, gzip, deflate; else ERR_BAD_CODING, naming
 * what came (the answer then carries grpc-accept-encoding). */
enum err grpc_coding_read(struct str value, enum coding *ret, struct err_text *text) MUST_CHECK;
/* grpc-accept-encoding of a request (a list without weights): the coding to answer with when the
 * answer is worth it: gzip, else deflate, else identity. */
enum coding grpc_coding_accepted(struct str value);

/* grpc-status: err_grpc_code(e) as text. Static. */
const char *grpc_status(enum err e);
/* grpc-message: percent-encoded, all but 0x20..0x7E without '%'. In the arena. Cut (between
 * characters of UTF-8) so that at most GRPC_STATUS_MESSAGE_MAX bytes come out. */
struct str grpc_message_encode(struct arena *arena, struct str text);

/* ---- Messages out ---- */

/* Writes the prefix of a message of `length` bytes. CHECKs that 4 bytes can say it. */
void grpc_prefix_write(char out[GRPC_PREFIX_SIZE], bool compressed, size_t length);
/* parts[0..part_count), at most GRPC_PARTS_MAX: one whole message with its prefix (at least
 * GRPC_PREFIX_SIZE bytes in parts[0]), not compressed. Appends the same message compressed, with
 * its prefix. */
enum err grpc_message_compress(enum coding coding, const struct str *parts, size_t part_count,
                               struct buffer *out, struct err_text *text) MUST_CHECK;

/* ---- Messages in ---- */

/* The one message of a unary request, from its whole body. *ret is a view into `body`, or, when it
 * came compressed, of `inflated` (initialised by the caller with any max; its max becomes
 * message_max + GRPC_MESSAGE_SPARE; the caller's to free). GRPC_MESSAGE_SPARE writable bytes follow
 * either way (net gives a body as many).
 * ERR_BODY_TOO_LARGE (RESOURCE_EXHAUSTED) names the message's size and message_max. ERR_INVALID:
 * no message, more than one, one cut short, a bad flag, one compressed without grpc-encoding (where
 * gRPC would have INTERNAL: but it is the client's doing, and must not look like ours), damaged
 * compression. */
enum err grpc_unary_read(struct str body, enum coding coding, size_t message_max,
                         struct buffer *inflated, struct str *ret,
                         struct err_text *text) MUST_CHECK;

/* A stream's messages, put together from pieces. Memory grows with what has come, not with what a
 * prefix promises. Owned by the stream's handler. */
struct grpc_reader {
    enum coding coding; /* of messages whose flag says compressed */
    size_t message_max;
    size_t prefix_used; /* bytes of the prefix that have come */
    unsigned char prefix[GRPC_PREFIX_SIZE];
    struct buffer message; /* as far as it has come */
};

void grpc_reader_init(struct grpc_reader *reader, enum coding coding, size_t message_max);
void grpc_reader_done(struct grpc_reader *reader);
/* Takes bytes off *bytes until a message is whole or they are used up. A whole message is moved,
 * uncompressed, to *ret (never initialised before; the caller's to buffer_done, which may outlive
 * the reader; GRPC_MESSAGE_SPARE writable bytes follow; data may be NULL when it is empty) and
 * *ret_complete is true: call again, also with nothing left. Errors as grpc_unary_read; the reader
 * must not be fed after one. */
enum err grpc_reader_feed(struct grpc_reader *reader, struct str *bytes, struct buffer *ret,
                          bool *ret_complete, struct err_text *text) MUST_CHECK;
/* At the end of the stream: ERR_INVALID when a message was cut short. */
enum err grpc_reader_end(const struct grpc_reader *reader, struct err_text *text) MUST_CHECK;
