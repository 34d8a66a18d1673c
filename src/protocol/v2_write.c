/* A v2 inference response. Numbers are formatted into a small block on the stack that is appended
 * to the buffer when it is nearly full: one bound check for many values, and no byte too many. FP64
 * goes through yyjson, whose doubles are the shortest; it would write a float as a double with 17
 * digits, so the smaller formats go through decimal.h. */
#include "base/check.h"
#include "base/num.h"
#include "protocol/decimal.h"
#include "protocol/v2_binary.h"
#include "protocol/v2_infer.h"

#include <math.h>
#include <yyjson.h>

enum {
    BLOCK_SIZE = 1024,
    BLOCK_VALUE_MAX = DECIMAL_SIZE_MAX + 1, /* and a comma */
    DOUBLES_AT_ONCE = 256,
    DOUBLES_POOL = 32768, /* yyjson: 24 bytes a value to keep it, 32 to write it */
};

struct block {
    struct buffer *json;
    size_t used;
    char data[BLOCK_SIZE];
};

static void block_flush(struct block *block) {
    buffer_add(block->json, block->data, block->used);
    block->used = 0;
}

static char *block_room(struct block *block) {
    if (BLOCK_SIZE - block->used < BLOCK_VALUE_MAX)
        block_flush(block);
    return block->data + block->used;
}

static size_t put(char *out, struct str s) {
    memcpy(out, s.p, s.n);
    return s.n;
}

static size_t write_nonfinite(double value, enum v2_nonfinite nonfinite, char *out) {
    if (nonfinite == V2_NONFINITE_NULL)
        return put(out, STR("null"));
    if (isnan(value))
        return put(out, STR("NaN"));
    return put(out, value < 0 ? STR("-Infinity") : STR("Infinity"));
}

static size_t write_fp32(float value, enum v2_nonfinite nonfinite, char *out) {
    return isfinite(value) ? decimal_write_fp32(value, out)
                           : write_nonfinite((double)value, nonfinite, out);
}

static size_t write_fp16(uint16_t bits, enum v2_nonfinite nonfinite, char *out) {
    float value = fp16_to_float(bits);
    return isfinite(value) ? decimal_write_fp16(bits, out)
                           : write_nonfinite((double)value, nonfinite, out);
}

static size_t write_bf16(uint16_t bits, enum v2_nonfinite nonfinite, char *out) {
    float value = bf16_to_float(bits);
    return isfinite(value) ? decimal_write_bf16(bits, out)
                           : write_nonfinite((double)value, nonfinite, out);
}

/* Element `i` of a tensor that is neither FP64 nor BYTES. */
static size_t write_value(const struct tensor *tensor, size_t i, enum v2_nonfinite nonfinite,
                          char *out) {
    const void *data = tensor->data;
    switch (tensor->datatype) {
    case DATATYPE_BOOL:
        return put(out, ((const uint8_t *)data)[i] ? STR("true") : STR("false"));
    case DATATYPE_UINT8:
        return decimal_write_u64(((const uint8_t *)data)[i], out);
    case DATATYPE_UINT16:
        return decimal_write_u64(((const uint16_t *)data)[i], out);
    case DATATYPE_UINT32:
        return decimal_write_u64(((const uint32_t *)data)[i], out);
    case DATATYPE_UINT64:
        return decimal_write_u64(((const uint64_t *)data)[i], out);
    case DATATYPE_INT8:
        return decimal_write_i64(((const int8_t *)data)[i], out);
    case DATATYPE_INT16:
        return decimal_write_i64(((const int16_t *)data)[i], out);
    case DATATYPE_INT32:
        return decimal_write_i64(((const int32_t *)data)[i], out);
    case DATATYPE_INT64:
        return decimal_write_i64(((const int64_t *)data)[i], out);
    case DATATYPE_FP16:
        return write_fp16(((const uint16_t *)data)[i], nonfinite, out);
    case DATATYPE_BF16:
        return write_bf16(((const uint16_t *)data)[i], nonfinite, out);
    case DATATYPE_FP32:
        return write_fp32(((const float *)data)[i], nonfinite, out);
    case DATATYPE_FP64:
    case DATATYPE_BYTES:
    case DATATYPE_COUNT:
        break;
    }
    check_failed("a datatype of fixed size", __FILE__, __LINE__);
}

static void add_values(struct buffer *json, const struct tensor *tensor,
                       enum v2_nonfinite nonfinite) {
    struct block block;
    block.json = json;
    block.used = 0;
    size_t count = (size_t)tensor->count;
    for (size_t i = 0; i < count; i++) {
        char *out = block_room(&block);
        size_t n = 0;
        if (i > 0)
            out[n++] = ',';
        block.used += n + write_value(tensor, i, nonfinite, out + n);
    }
    block_flush(&block);
}

static void add_doubles(struct arena *arena, struct buffer *json, const struct tensor *tensor,
                        enum v2_nonfinite nonfinite) {
    const double *values = tensor->data;
    size_t count = (size_t)tensor->count;
    char *memory = count > 0 ? arena_new(arena, DOUBLES_POOL) : NULL;
    yyjson_write_flag flags = nonfinite == V2_NONFINITE_NULL ? YYJSON_WRITE_INF_AND_NAN_AS_NULL
                                                             : YYJSON_WRITE_ALLOW_INF_AND_NAN;
    for (size_t i = 0; i < count; i += DOUBLES_AT_ONCE) {
        yyjson_alc pool;
        CHECK(yyjson_alc_pool_init(&pool, memory, DOUBLES_POOL));
        yyjson_mut_doc *document = yyjson_mut_doc_new(&pool);
        size_t n = MIN(count - i, (size_t)DOUBLES_AT_ONCE);
        yyjson_mut_val *array = yyjson_mut_arr_with_double(document, values + i, n);
        size_t length = 0;
        char *text = yyjson_mut_val_write_opts(array, flags, &pool, &length, NULL);
        CHECK(text && length >= 2);
        text[0] = ',';                                            /* for '[' */
        buffer_add(json, text + (i == 0), length - 1 - (i == 0)); /* and without ']' */
    }
}

static enum err add_strings(struct buffer *json, const struct tensor *tensor,
                            const struct tensor_spec *spec, const struct signature *signature,
                            struct err_text *text) {
    const struct str *elements = tensor->data;
    for (size_t i = 0; i < (size_t)tensor->count; i++) {
        if (!str_is_utf8(elements[i])) {
            return err_set(
                text, ERR_INVALID,
                "output '%s' for model '%s' has bytes that are not UTF-8 (element %zu) and "
                "cannot be written as JSON: ask for it with the parameter "
                "'binary_data': true",
                spec->name, signature->model, i);
        }
        if (i > 0)
            buffer_add_char(json, ',');
        buffer_add_json_string(json, elements[i]);
    }
    return ERR_OK;
}

static enum err add_data(struct arena *arena, struct buffer *json,
                         const struct v2_infer_response *response, size_t i,
                         struct err_text *text) {
    const struct tensor *tensor = &response->outputs[i];
    const struct signature *signature = response->signature;
    enum err e = ERR_OK;
    buffer_add_str(json, STR(",\"data\":["));
    if (tensor->datatype == DATATYPE_BYTES) {
        size_t index = response->request->outputs[i].index;
        e = add_strings(json, tensor, &signature->outputs[index], signature, text);
    } else if (tensor->datatype == DATATYPE_FP64) {
        add_doubles(arena, json, tensor, response->nonfinite);
    } else {
        add_values(json, tensor, response->nonfinite);
    }
    buffer_add_str(json, STR("]}"));
    return e;
}

/* {"name":"X","datatype":"FP32","shape":[1,2] */
static void add_output_head(struct buffer *json, const char *name, const struct tensor *tensor) {
    buffer_add_str(json, STR("{\"name\":"));
    buffer_add_json_string(json, str_of(name));
    buffer_add_str(json, STR(",\"datatype\":\""));
    buffer_add_c(json, datatype_name(tensor->datatype));
    buffer_add_str(json, STR("\",\"shape\":"));
    char shape[SHAPE_TEXT_SIZE];
    buffer_add_c(json, shape_format(tensor->shape, tensor->rank, shape, sizeof shape));
}

static void add_head(struct buffer *json, const struct v2_infer_response *response) {
    buffer_add_char(json, '{');
    if (response->request->id.p) {
        buffer_add_str(json, STR("\"id\":"));
        buffer_add_json_string(json, response->request->id);
        buffer_add_char(json, ',');
    }
    buffer_add_str(json, STR("\"model_name\":"));
    buffer_add_json_string(json, str_of(response->signature->model));
    buffer_add_str(json, STR(",\"model_version\":"));
    buffer_add_json_string(json, str_of(response->signature->version));
    buffer_add_str(json, STR(",\"outputs\":["));
}

enum err v2_infer_write(struct arena *arena, const struct v2_infer_response *response,
                        struct buffer *json, struct str *parts, size_t *ret_part_count,
                        struct err_text *text) {
    const struct v2_infer_request *request = response->request;
    size_t part_count = 0;
    add_head(json, response);
    for (size_t i = 0; i < request->output_count; i++) {
        const struct tensor *tensor = &response->outputs[i];
        if (i > 0)
            buffer_add_char(json, ',');
        add_output_head(json, response->signature->outputs[request->outputs[i].index].name, tensor);
        enum err e;
        if (request->outputs[i].binary) {
            struct str *part = &parts[part_count++];
            e = v2_blob_write(arena, tensor, part, text);
            buffer_add_str(json, STR(",\"parameters\":{\"binary_data_size\":"));
            buffer_add_u64(json, e ? 0 : part->n);
            buffer_add_str(json, STR("}}"));
        } else {
            e = add_data(arena, json, response, i, text);
        }
        if (e)
            return e;
    }
    buffer_add_str(json, STR("]}"));
    if (json->full) {
        return err_set(text, ERR_INTERNAL,
                       "the answer of model '%s' as JSON is larger than %zu bytes: ask for binary "
                       "outputs",
                       response->signature->model, json->max);
    }
    *ret_part_count = part_count;
    return ERR_OK;
}

void v2_error_write(struct buffer *json, const char *text) {
    buffer_add_str(json, STR("{\"error\":"));
    buffer_add_json_string(json, str_of(text));
    buffer_add_char(json, '}');
}
