/* yyjson keeps a parsed document as one array of 16-byte values. The reader below sizes that array
 * by counting what can begin a value, so that it is allocated once, from the request's arena, and a
 * hostile body ("[[[[", "1,1,1,") is refused before it costs more than its limit. A short body is
 * not counted: yyjson's own estimate holds, or grows once or twice. Nothing recurses. */
#include "protocol/v2_json.h"

#include "base/check.h"
#include "protocol/v2_infer.h"

#include <ctype.h>

enum {
    SHORT_TEXT = 4096,
    STRIDE = 128, /* a fixed count, with sums that fit a byte: compilers vectorise that */
};

/* A value stands first in the text or follows one of these. */
static size_t count_values_at_most(const char *json, size_t length) {
    size_t count = 2;
    size_t i = 0;
    for (; length - i >= STRIDE; i += STRIDE) {
        uint8_t in_stride = 0;
        for (size_t k = 0; k < STRIDE; k++) {
            char c = json[i + k];
            in_stride = (uint8_t)(in_stride + (c == ',') + (c == ':') + (c == '[') + (c == '{'));
        }
        count += in_stride;
    }
    for (; i < length; i++) {
        char c = json[i];
        count += (size_t)((c == ',') + (c == ':') + (c == '[') + (c == '{'));
    }
    return count;
}

struct value_pool {
    struct arena *arena;
    size_t wanted; /* bytes that no document of this text outgrows; 0 when not counted */
    size_t held;
};

static void *pool_malloc(void *context, size_t size) {
    struct value_pool *pool = context;
    pool->held = MAX(size, pool->wanted);
    return arena_try_new(pool->arena, pool->held, 1, SIZE_MAX);
}

static void *pool_realloc(void *context, void *old, size_t old_size, size_t size) {
    struct value_pool *pool = context;
    if (size <= pool->held)
        return old;
    void *p = pool_malloc(pool, size);
    return p ? memcpy(p, old, old_size) : NULL;
}

static void pool_free(void *context, void *p) {
    (void)context;
    (void)p; /* the arena frees */
}

/* Binary data that is not announced reads as JSON with something behind it, or as no JSON. */
static const char *hint_of(const struct v2_reader *reader, const yyjson_read_err *error) {
    if (reader->has_blobs)
        return "";
    if (error->code == YYJSON_READ_ERROR_UNEXPECTED_CONTENT)
        return ": when binary data follows the JSON, the header Inference-Header-Content-Length "
               "gives the JSON's length";
    if (error->code == YYJSON_READ_ERROR_UNEXPECTED_CHARACTER && error->pos == 0)
        return ": when the body is one raw binary tensor, the header "
               "'Inference-Header-Content-Length: 0' says so";
    return "";
}

enum err v2_json_parse(struct v2_reader *reader, char *json, size_t length, yyjson_val **ret_root) {
    const char *model = reader->signature->model;
    size_t fit = reader->bytes_max / sizeof(yyjson_val);
    bool is_short = length <= SHORT_TEXT && length < fit;
    size_t at_most = is_short ? 0 : count_values_at_most(json, length);
    if (at_most > fit) {
        return err_set(reader->text, ERR_BODY_TOO_LARGE,
                       "the request JSON for model '%s' has about %zu values, which take more than "
                       "the limit of %zu bytes: send large tensors as binary data",
                       model, at_most, reader->bytes_max);
    }
    /* yyjson grows its array by half when it is full, and keeps a few values for itself. */
    size_t wanted = is_short ? 0 : (at_most + 16) * sizeof(yyjson_val) * 3 / 2;
    struct value_pool pool = {reader->arena, wanted, 0};
    yyjson_alc allocator = {pool_malloc, pool_realloc, pool_free, &pool};
    yyjson_read_flag flags =
        YYJSON_READ_INSITU | YYJSON_READ_BIGNUM_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN;
    memset(json + length, 0, YYJSON_PADDING_SIZE); /* else it reads on in what lay there before */
    yyjson_read_err error = {.msg = "the body is empty"};
    yyjson_doc *document = yyjson_read_opts(json, length, flags, &allocator, &error);
    if (!document && error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return v2_reader_fail_memory(reader);
    if (!document) {
        return err_set(reader->text, ERR_INVALID,
                       "failed to parse the request JSON buffer: %s at byte %zu (model '%s')%s",
                       error.msg, error.pos, model, hint_of(reader, &error));
    }
    reader->value_count = yyjson_doc_get_val_count(document);
    *ret_root = yyjson_doc_get_root(document);
    return ERR_OK;
}

bool v2_json_is_big_number(yyjson_val *value) {
    const char *raw = yyjson_get_raw(value);
    return raw && isdigit((unsigned char)raw[raw[0] == '-']);
}

const char *v2_json_kind(yyjson_val *value) {
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_NULL:
        return "null";
    case YYJSON_TYPE_BOOL:
        return "a boolean";
    case YYJSON_TYPE_NUM:
        return yyjson_is_real(value) ? "a real number" : "an integer";
    case YYJSON_TYPE_STR:
        return "a string";
    case YYJSON_TYPE_ARR:
        return "an array";
    case YYJSON_TYPE_OBJ:
        return "an object";
    case YYJSON_TYPE_RAW:
        return v2_json_is_big_number(value) ? "a very large number" : "NaN or Infinity";
    default:
        return "missing";
    }
}

struct str v2_json_str(yyjson_val *string) {
    return (struct str){unsafe_yyjson_get_str(string), unsafe_yyjson_get_len(string)};
}

/* Containers are followed by their content: a value's end is where its next sibling would stand. */
static enum err check_ignored(const struct v2_reader *reader, yyjson_val *value) {
    yyjson_val *ends[V2_JSON_DEPTH_MAX];
    size_t depth = 0;
    yyjson_val *end = unsafe_yyjson_get_next(value);
    for (yyjson_val *v = value; v < end; v++) {
        while (depth > 0 && v >= ends[depth - 1])
            depth--;
        if (yyjson_is_raw(v) && !v2_json_is_big_number(v)) {
            return err_set(reader->text, ERR_INVALID,
                           "failed to parse the request JSON buffer: NaN and Infinity are not JSON "
                           "(model '%s')",
                           reader->signature->model);
        }
        if (!yyjson_is_ctn(v))
            continue;
        if (depth == V2_JSON_DEPTH_MAX) {
            return err_set(reader->text, ERR_INVALID,
                           "failed to parse the request JSON buffer: nested deeper than %d "
                           "(model '%s')",
                           V2_JSON_DEPTH_MAX, reader->signature->model);
        }
        ends[depth++] = unsafe_yyjson_get_next(v);
    }
    return ERR_OK;
}

enum err v2_json_members(const struct v2_reader *reader, yyjson_val *object, const char *where,
                         struct v2_member *members, size_t count) {
    if (!yyjson_is_obj(object)) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse %s for model '%s': expected an object, got %s", where,
                       reader->signature->model, v2_json_kind(object));
    }
    uint64_t seen = 0;
    CHECK(count < 64);
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter));) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        size_t i = 0;
        while (i < count && !unsafe_yyjson_equals_str(key, members[i].name))
            i++;
        if (i == count) {
            enum err e = check_ignored(reader, value);
            if (e)
                return e;
            continue;
        }
        if (seen & (uint64_t)1 << i) {
            return err_set(reader->text, ERR_INVALID,
                           "Unable to parse %s for model '%s': '%s' is given twice", where,
                           reader->signature->model, members[i].name);
        }
        seen |= (uint64_t)1 << i;
        members[i].value = yyjson_is_null(value) ? NULL : value;
    }
    return ERR_OK;
}
