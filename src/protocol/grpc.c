/* gRPC's headers and messages. A stream's message is put together in a buffer that grows with the
 * bytes that came, so that a prefix which promises gigabytes costs its sender as many. */
#include "protocol/grpc.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>

enum { TIMEOUT_DIGITS_MAX = 8, VALUE_TEXT_MAX = 64, FLAG_COMPRESSED = 1 };

/* A value from the wire in an error text. */
#define VALUE_ARG(s) (int)MIN((s).n, (size_t)VALUE_TEXT_MAX), ((s).p ? (s).p : "")

enum err grpc_timeout_read(struct str value, uint64_t *ret_ns, struct err_text *text) {
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {
        {'H', (uint64_t)3600 * NS_PER_S},
        {'M', (uint64_t)60 * NS_PER_S},
        {'S', NS_PER_S},
        {'m', NS_PER_MS},
        {'u', NS_PER_US},
        {'n', 1},
    };
    uint64_t number;
    if (value.n >= 2 && value.n <= TIMEOUT_DIGITS_MAX + 1 &&
        str_to_u64((struct str){value.p, value.n - 1}, &number)) {
        for (size_t i = 0; i < ARRAY_LEN(units); i++) {
            if (units[i].unit != value.p[value.n - 1])
                continue;
            *ret_ns = number > UINT64_MAX / units[i].ns ? UINT64_MAX : number * units[i].ns;
            return ERR_OK;
        }
    }
    return err_set(text, ERR_INVALID,
                   "grpc-timeout is '%.*s', expected 1 to 8 digits and one of H, M, S, m, u, n",
                   VALUE_ARG(value));
}

static bool coding_from_name(struct str name, enum coding *ret) {
    static const enum coding all[] = {CODING_GZIP, CODING_DEFLATE, CODING_IDENTITY};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (str_eq_c(name, coding_name(all[i]))) {
            *ret = all[i];
            return true;
        }
    }
    return false;
}

enum err grpc_coding_read(struct str value, enum coding *ret, struct err_text *text) {
    value = str_trim(value);
    if (value.n == 0) {
        *ret = CODING_IDENTITY;
        return ERR_OK;
    }
    if (coding_from_name(value, ret))
        return ERR_OK;
    return err_set(text, ERR_BAD_CODING, "grpc-encoding '%.*s' is not supported: use one of %s",
                   VALUE_ARG(value), GRPC_ACCEPT_ENCODING);
}

enum coding grpc_coding_accepted(struct str value) {
    enum coding best = CODING_IDENTITY;
    struct str name;
    while (str_split(&value, ',', &name)) {
        enum coding coding;
        if (!coding_from_name(str_trim(name), &coding))
            continue;
        if (coding == CODING_GZIP)
            return CODING_GZIP;
        if (coding == CODING_DEFLATE)
            best = CODING_DEFLATE;
    }
    return best;
}

const char *grpc_status(enum err e) {
    static const char *const texts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                        "9", "10", "11", "12", "13", "14", "15", "16"};
    int code = err_grpc_code(e);
    CHECK(code >= 0 && (size_t)code < ARRAY_LEN(texts));
    return texts[code];
}

/* How many bytes the character that begins at p[0] has; 1 for what is none. */
static size_t character_size(const char *p, size_t n) {
    unsigned char first = (unsigned char)p[0];
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    return str_is_utf8((struct str){p, MIN(size, n)}) ? MIN(size, n) : 1;
}

struct str grpc_message_encode(struct arena *arena, struct str text) {
    static const char hex[] = "0123456789ABCDEF";
    size_t n = MIN(text.n, (size_t)GRPC_STATUS_MESSAGE_MAX);
    char *out = arena_new(arena, MIN(n * 3, (size_t)GRPC_STATUS_MESSAGE_MAX) + 1);
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        size_t size = character_size(text.p + i, text.n - i);
        bool plain = text.p[i] >= 0x20 && text.p[i] <= 0x7e && text.p[i] != '%';
        if (used + (plain ? 1 : size * 3) > GRPC_STATUS_MESSAGE_MAX)
            break;
        if (plain)
            out[used++] = text.p[i];
        for (size_t k = 0; !plain && k < size; k++) {
            unsigned char byte = (unsigned char)text.p[i + k];
            out[used++] = '%';
            out[used++] = hex[byte >> 4];
            out[used++] = hex[byte & 15];
        }
        i += size;
    }
    return (struct str){out, used};
}

/* ---- Messages out ---- */

void grpc_prefix_write(char out[GRPC_PREFIX_SIZE], bool compressed, size_t length) {
    CHECK(length <= UINT32_MAX);
    out[0] = compressed ? FLAG_COMPRESSED : 0;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (char)(length >> (24 - 8 * i) & 0xff);
}

enum err grpc_message_compress(enum coding coding, const struct str *parts, size_t part_count,
                               struct buffer *out, struct err_text *text) {
    struct str content[GRPC_PARTS_MAX];
    CHECK(part_count >= 1 && part_count <= GRPC_PARTS_MAX && parts[0].n >= GRPC_PREFIX_SIZE);
    memcpy(content, parts, part_count * sizeof *parts);
    content[0].p += GRPC_PREFIX_SIZE;
    content[0].n -= GRPC_PREFIX_SIZE;
    size_t start = out->used;
    if (buffer_reserve(out, GRPC_PREFIX_SIZE))
        out->used += GRPC_PREFIX_SIZE;
    enum err e = out->full
                     ? err_set(text, ERR_INTERNAL, "the answer is larger than %zu bytes", out->max)
                     : coding_deflate(coding, content, part_count, out, text);
    if (e) {
        out->used = start;
        return e;
    }
    grpc_prefix_write(out->data + start, coding != CODING_IDENTITY,
                      out->used - start - GRPC_PREFIX_SIZE);
    return ERR_OK;
}

/* ---- Messages in ---- */

static size_t with_spare(size_t max) {
    return max > SIZE_MAX - GRPC_MESSAGE_SPARE ? SIZE_MAX : max + GRPC_MESSAGE_SPARE;
}

static enum err read_prefix(const unsigned char prefix[GRPC_PREFIX_SIZE], enum coding coding,
                            size_t message_max, size_t *ret_length, struct err_text *text) {
    size_t length = 0;
    for (int i = 1; i < GRPC_PREFIX_SIZE; i++)
        length = length << 8 | prefix[i];
    if (prefix[0] > FLAG_COMPRESSED) {
        return err_set(text, ERR_INVALID,
                       "a gRPC message begins with the flag byte %u, expected 0 or 1", prefix[0]);
    }
    if (prefix[0] == FLAG_COMPRESSED && coding == CODING_IDENTITY) {
        return err_set(text, ERR_INVALID,
                       "a gRPC message is flagged as compressed, and no grpc-encoding says how");
    }
    if (length > message_max) {
        return err_set(text, ERR_BODY_TOO_LARGE,
                       "the gRPC message has %zu bytes, and at most %zu are accepted", length,
                       message_max);
    }
    *ret_length = length;
    return ERR_OK;
}

/* `out` is empty; its maximum is set here. */
static enum err inflate(enum coding coding, struct str message, size_t message_max,
                        struct buffer *out, struct err_text *text) {
    out->max = message_max;
    enum err e = coding_inflate(coding, message, out, text);
    out->max = with_spare(message_max);
    if (e == ERR_BODY_TOO_LARGE) {
        return err_set(text, e,
                       "the gRPC message of %zu bytes (%s) has more than %zu bytes when "
                       "decompressed, and at most %zu are accepted",
                       message.n, coding_name(coding), message_max, message_max);
    }
    if (!e && !buffer_reserve(out, GRPC_MESSAGE_SPARE))
        return err_set(text, ERR_NO_MEMORY, "no memory to decompress the gRPC message");
    return e;
}

enum err grpc_unary_read(struct str body, enum coding coding, size_t message_max,
                         struct buffer *inflated, struct str *ret, struct err_text *text) {
    if (body.n < GRPC_PREFIX_SIZE) {
        return err_set(text, ERR_INVALID, "the request has %s gRPC message",
                       body.n == 0 ? "no" : "a cut");
    }
    size_t length;
    enum err e = read_prefix((const unsigned char *)body.p, coding, message_max, &length, text);
    if (e)
        return e;
    size_t came = body.n - GRPC_PREFIX_SIZE;
    if (came != length) {
        return err_set(text, ERR_INVALID,
                       came < length
                           ? "the gRPC message is cut short: it has %zu bytes, and %zu came"
                           : "the call takes one gRPC message of %zu bytes, and %zu bytes came",
                       length, came);
    }
    struct str message = {body.p + GRPC_PREFIX_SIZE, length};
    if (body.p[0] == FLAG_COMPRESSED) {
        buffer_clear(inflated);
        e = inflate(coding, message, message_max, inflated, text);
        message = buffer_str(inflated);
    }
    if (!e)
        *ret = message;
    return e;
}

void grpc_reader_init(struct grpc_reader *reader, enum coding coding, size_t message_max) {
    *reader = (struct grpc_reader){.coding = coding, .message_max = message_max};
    buffer_init(&reader->message, with_spare(message_max));
}

void grpc_reader_done(struct grpc_reader *reader) {
    buffer_done(&reader->message);
}

/* The message is whole: moves it out, and starts over. */
static enum err take_message(struct grpc_reader *reader, struct buffer *ret,
                             struct err_text *text) {
    struct buffer whole = reader->message;
    reader->prefix_used = 0;
    buffer_init(&reader->message, with_spare(reader->message_max));
    if (reader->prefix[0] != FLAG_COMPRESSED) {
        *ret = whole;
        return ERR_OK;
    }
    struct buffer inflated;
    buffer_init(&inflated, 0);
    enum err e = inflate(reader->coding, buffer_str(&whole), reader->message_max, &inflated, text);
    buffer_done(&whole);
    if (e)
        buffer_done(&inflated);
    else
        *ret = inflated;
    return e;
}

enum err grpc_reader_feed(struct grpc_reader *reader, struct str *bytes, struct buffer *ret,
                          bool *ret_complete, struct err_text *text) {
    size_t n = MIN(bytes->n, GRPC_PREFIX_SIZE - reader->prefix_used);
    if (n > 0)
        memcpy(reader->prefix + reader->prefix_used, bytes->p, n);
    reader->prefix_used += n;
    *bytes = (struct str){bytes->p + n, bytes->n - n};
    *ret_complete = false;
    if (reader->prefix_used < GRPC_PREFIX_SIZE)
        return ERR_OK;
    size_t length;
    enum err e = read_prefix(reader->prefix, reader->coding, reader->message_max, &length, text);
    if (e)
        return e;
    n = MIN(bytes->n, length - reader->message.used);
    /* The spare bytes come with the first piece, so that a message in one piece is one allocation.
     */
    if (!buffer_reserve(&reader->message, n + GRPC_MESSAGE_SPARE))
        return err_set(text, ERR_NO_MEMORY, "no memory for a gRPC message of %zu bytes", length);
    buffer_add(&reader->message, bytes->p, n);
    *bytes = (struct str){bytes->p + n, bytes->n - n};
    if (reader->message.used < length)
        return ERR_OK;
    e = take_message(reader, ret, text);
    *ret_complete = !e;
    return e;
}

enum err grpc_reader_end(const struct grpc_reader *reader, struct err_text *text) {
    if (reader->prefix_used == 0)
        return ERR_OK;
    return err_set(text, ERR_INVALID, "the stream ends inside a gRPC message");
}
