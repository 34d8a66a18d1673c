// layer: protocol
// gRPC messages in pieces: the first byte chooses the coding, the second how the rest is cut up.
// Whatever the cuts, the same messages must come out; what one whole body holds, a unary call reads
// too; and each message compressed comes back.
#include "base/check.h"
#include "protocol/grpc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 4096 };

struct outcome {
    size_t count;
    size_t total;
    uint64_t hash; // of the messages and their borders
    enum err e;
    bool ended;
    struct buffer first;
};

static uint64_t add_hash(uint64_t hash, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)p[i]) * 0x100000001b3;
    return (hash ^ 0x100) * 0x100000001b3;
}

static void take(struct outcome *outcome, struct buffer *message) {
    CHECK(message->used <= MESSAGE_MAX);
    memset(message->data + message->used, 0x5a, GRPC_MESSAGE_SPARE);
    outcome->hash = add_hash(outcome->hash, message->data, message->used);
    outcome->total += message->used;
    if (outcome->count++ == 0)
        outcome->first = *message;
    else
        buffer_done(message);
}

static struct outcome read_stream(enum coding coding, struct str stream, size_t piece) {
    struct outcome outcome = {0};
    struct err_text text = {""};
    struct grpc_reader reader;
    buffer_init(&outcome.first, 0);
    grpc_reader_init(&reader, coding, MESSAGE_MAX);
    while (stream.n > 0 && !outcome.e) {
        struct str bytes = {stream.p, stream.n < piece ? stream.n : piece};
        stream = (struct str){stream.p + bytes.n, stream.n - bytes.n};
        bool complete = true;
        while (complete && !outcome.e) {
            struct buffer message;
            size_t before = bytes.n;
            outcome.e = grpc_reader_feed(&reader, &bytes, &message, &complete, &text);
            CHECK(!outcome.e || (!complete && text.s[0]));
            CHECK(!complete || bytes.n < before || before == 0);
            if (complete)
                take(&outcome, &message);
        }
        CHECK(outcome.e || bytes.n == 0);
        CHECK(reader.message.capacity <= MESSAGE_MAX + GRPC_MESSAGE_SPARE);
    }
    outcome.ended = !outcome.e && grpc_reader_end(&reader, &text) == ERR_OK;
    grpc_reader_done(&reader);
    return outcome;
}

// The unary reader agrees with a stream of one message.
static void read_unary(enum coding coding, struct str body, const struct outcome *stream) {
    struct buffer inflated;
    struct str message = {NULL, 0};
    struct err_text text = {""};
    buffer_init(&inflated, 0);
    enum err e = grpc_unary_read(body, coding, MESSAGE_MAX, &inflated, &message, &text);
    CHECK((e != ERR_OK) == (text.s[0] != '\0'));
    CHECK((e == ERR_OK) == (stream->count == 1 && stream->ended));
    if (!e)
        CHECK(str_eq(message, buffer_str(&stream->first)));
    buffer_done(&inflated);
}

static void compress_again(enum coding coding, struct str message) {
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, message.n);
    struct str parts[] = {{prefix, sizeof prefix}, message};
    struct buffer out, inflated;
    struct str again;
    struct err_text text;
    buffer_init(&out, SIZE_MAX);
    buffer_init(&inflated, 0);
    CHECK(grpc_message_compress(coding, parts, 2, &out, &text) == ERR_OK);
    CHECK(grpc_unary_read(buffer_str(&out), coding, MESSAGE_MAX, &inflated, &again, &text) ==
          ERR_OK);
    CHECK(str_eq(again, message));
    buffer_done(&inflated);
    buffer_done(&out);
}

// The rest as headers: nothing but refusals and numbers may come of them.
static void read_headers(struct str value) {
    struct arena arena;
    struct err_text text;
    uint64_t ns;
    enum coding coding;
    arena_init(&arena);
    (void)!grpc_timeout_read(value, &ns, &text);
    (void)!grpc_coding_read(value, &coding, &text);
    (void)grpc_coding_accepted(value);
    struct str encoded = grpc_message_encode(&arena, value);
    CHECK(encoded.n <= GRPC_STATUS_MESSAGE_MAX);
    for (size_t i = 0; i < encoded.n; i++)
        CHECK(encoded.p[i] >= 0x20 && encoded.p[i] <= 0x7e);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    enum coding coding = (enum coding)(data[0] % 3);
    size_t piece = (size_t)data[1] % 64 + 1;
    struct str stream = {(const char *)data + 2, size - 2};
    struct outcome whole = read_stream(coding, stream, SIZE_MAX);
    struct outcome pieces = read_stream(coding, stream, piece);
    CHECK(whole.e == pieces.e && whole.hash == pieces.hash && whole.ended == pieces.ended);
    read_unary(coding, stream, &whole);
    if (whole.count > 0)
        compress_again(coding, buffer_str(&whole.first));
    buffer_done(&whole.first);
    buffer_done(&pieces.first);
    read_headers(stream);
    return 0;
}
