/* zlib behind two calls: whole in, whole out, with the output's bound as the guard against a body
 * that inflates without end. A z_stream lives for one call: what deflating needs is sized by its
 * input, and inflating takes 40 KB, so keeping streams would save little. */
#include "protocol/coding.h"

#include "base/check.h"
#include "base/num.h"

#include <limits.h>
#include <zlib.h>

enum {
    WINDOW_MAX = 15,     /* zlib: log2 of its window */
    GZIP_WRAPPER = 16,   /* added to the window: zlib writes and reads gzip */
    CHUNK_MIN = 4096,    /* room offered to zlib at once, at least */
    CHUNK_MAX = 1 << 30, /* zlib counts in unsigned int */
};

static const struct {
    struct str name;
    enum coding coding;
} names[] = {
    {{"identity", 8}, CODING_IDENTITY},
    {{"gzip", 4}, CODING_GZIP},
    {{"x-gzip", 6}, CODING_GZIP},
    {{"deflate", 7}, CODING_DEFLATE},
};

static bool from_name(struct str name, enum coding *ret) {
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(name, names[i].name)) {
            *ret = names[i].coding;
            return true;
        }
    }
    return false;
}

enum err coding_from_content_encoding(struct str value, enum coding *ret, struct err_text *text) {
    value = str_trim(value);
    if (value.n == 0) {
        *ret = CODING_IDENTITY;
        return ERR_OK;
    }
    if (from_name(value, ret))
        return ERR_OK;
    return err_set(text, ERR_BAD_CODING,
                   "unsupported Content-Encoding '%.*s': gzip, deflate and identity are supported, "
                   "one at a time",
                   (int)MIN(value.n, (size_t)64), value.p);
}

/* RFC 9110 12.4.2: "0" to "1" with at most three decimals, in thousandths; -1 when it is not that.
 */
static int read_weight(struct str s) {
    if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
        return -1;
    int weight = (s.p[0] - '0') * 1000;
    int unit = 100;
    for (size_t i = 2; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        weight += (s.p[i] - '0') * unit;
        unit /= 10;
    }
    return weight <= 1000 ? weight : -1;
}

/* Takes "gzip;q=0.5" apart; a weight that cannot be read excludes the coding. */
static int read_preference(struct str part, struct str *ret_name) {
    struct str name = {NULL, 0};
    struct str parameter;
    int weight = 1000;
    if (str_split(&part, ';', &name)) {
        while (str_split(&part, ';', &parameter)) {
            parameter = str_trim(parameter);
            if (parameter.n >= 2 && (parameter.p[0] | 0x20) == 'q' && parameter.p[1] == '=')
                weight = read_weight((struct str){parameter.p + 2, parameter.n - 2});
        }
    }
    *ret_name = str_trim(name);
    return MAX(weight, 0);
}

enum coding coding_from_accept_encoding(struct str value) {
    int weights[] = {[CODING_IDENTITY] = -1, [CODING_GZIP] = -1, [CODING_DEFLATE] = -1};
    int any = 0;
    struct str part;
    while (str_split(&value, ',', &part)) {
        struct str name;
        enum coding coding;
        int weight = read_preference(part, &name);
        if (str_eq(name, STR("*")))
            any = weight;
        else if (from_name(name, &coding))
            weights[coding] = MAX(weights[coding], weight);
    }
    if (weights[CODING_GZIP] < 0)
        weights[CODING_GZIP] = any;
    /* Identity need not be listed; only when it is does its weight compete. */
    enum coding best = CODING_IDENTITY;
    int best_weight = MAX(weights[CODING_IDENTITY], 0);
    if (weights[CODING_DEFLATE] > 0 && weights[CODING_DEFLATE] >= best_weight) {
        best = CODING_DEFLATE;
        best_weight = weights[CODING_DEFLATE];
    }
    if (weights[CODING_GZIP] > 0 && weights[CODING_GZIP] >= best_weight)
        best = CODING_GZIP;
    return best;
}

const char *coding_name(enum coding coding) {
    switch (coding) {
    case CODING_GZIP:
        return "gzip";
    case CODING_DEFLATE:
        return "deflate";
    case CODING_IDENTITY:
        break;
    }
    return "identity";
}

/* zlib's header (RFC 1950 2.2): method 8, window at most 32 KiB, a multiple of 31. Without it the
 * body is taken for raw deflate. */
static bool has_zlib_header(struct str in) {
    const unsigned char *p = (const unsigned char *)in.p;
    return in.n >= 2 && (p[0] & 15) == 8 && p[0] >> 4 <= 7 && (p[0] << 8 | p[1]) % 31 == 0;
}

static int window_of(enum coding coding, struct str in) {
    if (coding == CODING_GZIP)
        return WINDOW_MAX + GZIP_WRAPPER;
    return has_zlib_header(in) ? WINDOW_MAX : -WINDOW_MAX;
}

/* Hands zlib the next piece of what is left. */
static void feed(z_stream *stream, struct str *left) {
    if (stream->avail_in == 0 && left->n > 0) {
        size_t n = MIN(left->n, (size_t)CHUNK_MAX);
        stream->next_in = (z_const Bytef *)(uintptr_t)left->p; /* zlib does not write there */
        stream->avail_in = (uInt)n;
        left->p += n;
        left->n -= n;
    }
}

/* Room for zlib to write to; when the buffer is full, one byte elsewhere, to learn whether more
 * would come. False: no memory. */
static bool offer(z_stream *stream, struct buffer *out, Bytef *spill) {
    size_t room = MIN(out->max - out->used, MAX(out->capacity - out->used, (size_t)CHUNK_MIN));
    room = MIN(room, (size_t)CHUNK_MAX);
    stream->next_out = room > 0 ? (Bytef *)buffer_reserve(out, room) : spill;
    stream->avail_out = room > 0 ? (uInt)room : 1;
    return stream->next_out != NULL;
}

static enum err fail_memory(const char *name, struct err_text *text) {
    return err_set(text, ERR_NO_MEMORY, "no memory to decompress the %s body", name);
}

static enum err inflate_all(z_stream *stream, enum coding coding, struct str left,
                            struct buffer *out, struct err_text *text) {
    const char *name = coding_name(coding);
    for (;;) {
        Bytef spill;
        feed(stream, &left);
        if (!offer(stream, out, &spill))
            return fail_memory(name, text);
        uInt room = stream->avail_out;
        bool spilled = stream->next_out == &spill;
        int status = inflate(stream, Z_NO_FLUSH);
        size_t made = room - stream->avail_out;
        if (spilled && made > 0) {
            return err_set(text, ERR_BODY_TOO_LARGE,
                           "the %s body is larger than %zu bytes when decompressed", name,
                           out->max);
        }
        out->used += made;
        bool more = stream->avail_in > 0 || left.n > 0;
        if (status == Z_STREAM_END) {
            if (!more)
                return ERR_OK;
            /* RFC 1952 2.2: a gzip file may be several members, one after the other. */
            if (coding != CODING_GZIP || inflateReset(stream) != Z_OK) {
                return err_set(text, ERR_INVALID,
                               "the %s body is followed by bytes that do not belong to it", name);
            }
        } else if (status == Z_MEM_ERROR) {
            return fail_memory(name, text);
        } else if (status != Z_OK && status != Z_BUF_ERROR) {
            return err_set(text, ERR_INVALID, "the %s body is damaged: %s", name,
                           stream->msg ? stream->msg : "not in this format");
        } else if (!more && stream->avail_out > 0) {
            return err_set(text, ERR_INVALID, "the %s body is cut short", name);
        }
    }
}

enum err coding_inflate(enum coding coding, struct str in, struct buffer *out,
                        struct err_text *text) {
    if (coding == CODING_IDENTITY) {
        if (in.n > out->max - out->used)
            return err_set(text, ERR_BODY_TOO_LARGE, "the body is larger than %zu bytes", out->max);
        buffer_add_str(out, in);
        return out->full ? fail_memory("plain", text) : ERR_OK;
    }
    size_t used = out->used;
    z_stream stream = {0};
    if (inflateInit2(&stream, window_of(coding, in)) != Z_OK)
        return fail_memory(coding_name(coding), text);
    enum err e = inflate_all(&stream, coding, in, out, text);
    inflateEnd(&stream);
    if (e)
        out->used = used;
    return e;
}

/* Memory in proportion to the input: zlib's full window and tables take 268 KB for any answer. */
static int deflate_init(z_stream *stream, enum coding coding, size_t total) {
    int window = 9;
    while (window < WINDOW_MAX && (size_t)1 << window < total)
        window++;
    int level = window - 7; /* 2 to 8: zlib's default 8 goes with the full window */
    return deflateInit2(stream, Z_BEST_SPEED, Z_DEFLATED,
                        window + (coding == CODING_GZIP ? GZIP_WRAPPER : 0), level,
                        Z_DEFAULT_STRATEGY);
}

static bool deflate_some(z_stream *stream, struct str left, int flush, struct buffer *out) {
    for (;;) {
        feed(stream, &left);
        size_t room = MIN(out->max - out->used, MAX(out->capacity - out->used, (size_t)CHUNK_MIN));
        room = MIN(room, (size_t)CHUNK_MAX);
        if (room == 0)
            return false;
        stream->next_out = (Bytef *)buffer_reserve(out, room);
        if (!stream->next_out)
            return false;
        stream->avail_out = (uInt)room;
        int status = deflate(stream, left.n > 0 ? Z_NO_FLUSH : flush);
        out->used += room - stream->avail_out;
        if (status == Z_STREAM_END || (flush == Z_NO_FLUSH && stream->avail_out > 0 &&
                                       stream->avail_in == 0 && left.n == 0)) {
            return true;
        }
    }
}

enum err coding_deflate(enum coding coding, const struct str *parts, size_t part_count,
                        struct buffer *out, struct err_text *text) {
    size_t total = 0;
    for (size_t i = 0; i < part_count; i++)
        total += parts[i].n;
    size_t used = out->used;
    bool fits = true;
    if (coding == CODING_IDENTITY) {
        fits = total <= out->max - out->used;
        for (size_t i = 0; fits && i < part_count; i++)
            buffer_add_str(out, parts[i]);
    } else {
        z_stream stream = {0};
        if (deflate_init(&stream, coding, total) != Z_OK)
            return err_set(text, ERR_NO_MEMORY, "no memory to compress the answer");
        for (size_t i = 0; fits && i < part_count; i++)
            fits = deflate_some(&stream, parts[i], Z_NO_FLUSH, out);
        fits = fits && deflate_some(&stream, (struct str){NULL, 0}, Z_FINISH, out);
        deflateEnd(&stream);
    }
    if (!fits) {
        out->used = used;
        return err_set(text, ERR_INTERNAL, "the compressed answer is larger than %zu bytes",
                       out->max);
    }
    return ERR_OK;
}
