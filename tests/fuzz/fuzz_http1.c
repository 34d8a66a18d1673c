// layer: net
// The HTTP/1 codec, fed like a connection feeds it. The first four bytes are sizes of pieces, used
// in turn; the rest is the wire. Whatever the pieces, the messages, their bodies and the error are
// those of the wire fed whole.
#include "base/buffer.h"
#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "net/http1.h"

#include <stdint.h>

enum { SIZES = 4 };

static const struct http1_limits limits = {
    .body_bytes_max = 3000,
    .header_bytes_max = 600,
    .header_count_max = 10,
    .target_bytes_max = 120,
};

struct side {
    struct http1 codec;
    char *data;
    size_t used;
    struct buffer seen;
};

static void add_span(struct buffer *out, const char *data, struct http1_span span) {
    buffer_add(out, data + span.at, span.n);
    buffer_add_char(out, '\n');
}

static void note_request(struct side *side) {
    const struct http1 *codec = &side->codec;
    CHECK(codec->end <= side->used);
    CHECK(codec->head_bytes + codec->body_length <= codec->end);
    CHECK(codec->body_length <= limits.body_bytes_max);
    CHECK(codec->field_count <= limits.header_count_max);
    CHECK(codec->target.n > 0 && codec->target.n <= limits.target_bytes_max);
    CHECK(codec->head_bytes <= limits.header_bytes_max);
    add_span(&side->seen, side->data, codec->method);
    add_span(&side->seen, side->data, codec->target);
    for (uint32_t i = 0; i < codec->field_count; i++) {
        add_span(&side->seen, side->data, codec->fields[i].name);
        add_span(&side->seen, side->data, codec->fields[i].value);
    }
    buffer_add_format(&side->seen, "%u %d %d %d %llu\n", (unsigned)codec->minor_version,
                      codec->keep_alive, codec->expect_continue, codec->chunked,
                      (unsigned long long)codec->wire_bytes);
    buffer_add(&side->seen, side->data + codec->head_bytes, codec->body_length);
}

/* False after an error. */
static bool drain(struct side *side) {
    while (side->used > 0) {
        switch (http1_feed(&side->codec, side->data, &side->used)) {
        case HTTP1_ERROR:
            CHECK(side->codec.error != ERR_OK && side->codec.error_text);
            buffer_add_format(&side->seen, "!%d %d", (int)side->codec.error,
                              side->codec.framing_lost);
            return false;
        case HTTP1_MORE:
        case HTTP1_HEAD:
            return true;
        case HTTP1_REQUEST:
            note_request(side);
            side->used -= side->codec.end;
            memmove(side->data, side->data + side->codec.end, side->used);
            http1_start(&side->codec, &limits);
        }
    }
    return true;
}

static void run(struct side *side, const uint8_t *wire, size_t n, const uint8_t *sizes) {
    http1_init(&side->codec);
    http1_start(&side->codec, &limits);
    buffer_init(&side->seen, SIZE_MAX / 2);
    bool ok = true;
    size_t turn = 0;
    for (size_t fed = 0; fed < n && ok;) {
        size_t piece = sizes ? (size_t)sizes[turn++ % SIZES] + 1 : n;
        piece = MIN(piece, n - fed);
        side->data = mem_resize(side->data, side->used + piece);
        memcpy(side->data + side->used, wire + fed, piece);
        side->used += piece;
        fed += piece;
        ok = drain(side);
    }
    http1_done(&side->codec);
    mem_free(&side->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SIZES)
        return 0;
    struct side whole = {.used = 0};
    struct side pieces = {.used = 0};
    run(&whole, data + SIZES, size - SIZES, NULL);
    run(&pieces, data + SIZES, size - SIZES, data);
    CHECK(str_eq(buffer_str(&whole.seen), buffer_str(&pieces.seen)));
    buffer_done(&whole.seen);
    buffer_done(&pieces.seen);
    return 0;
}
