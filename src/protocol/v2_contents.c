/* protobuf-c has unpacked the elements into arrays already; those of 4 and 8 bytes are the tensor's
 * data as they are. */
#include "protocol/v2_contents.h"

#include "base/check.h"

#include <inference.pb-c.h>

enum { FIELD_COUNT = 8 };

struct field {
    const char *name;
    size_t count;
    void *elements;
};

static void list_fields(const Inference__InferTensorContents *contents,
                        struct field fields[FIELD_COUNT]) {
    const struct field all[FIELD_COUNT] = {
        {"bool_contents", contents->n_bool_contents, contents->bool_contents},
        {"int_contents", contents->n_int_contents, contents->int_contents},
        {"int64_contents", contents->n_int64_contents, contents->int64_contents},
        {"uint_contents", contents->n_uint_contents, contents->uint_contents},
        {"uint64_contents", contents->n_uint64_contents, contents->uint64_contents},
        {"fp32_contents", contents->n_fp32_contents, contents->fp32_contents},
        {"fp64_contents", contents->n_fp64_contents, contents->fp64_contents},
        {"bytes_contents", contents->n_bytes_contents, contents->bytes_contents},
    };
    memcpy(fields, all, sizeof all);
}

/* The field that a datatype's elements are in; NULL: none. */
static const char *field_of(enum datatype datatype) {
    static const char *const names[DATATYPE_COUNT] = {
        [DATATYPE_BOOL] = "bool_contents",     [DATATYPE_UINT8] = "uint_contents",
        [DATATYPE_UINT16] = "uint_contents",   [DATATYPE_UINT32] = "uint_contents",
        [DATATYPE_UINT64] = "uint64_contents", [DATATYPE_INT8] = "int_contents",
        [DATATYPE_INT16] = "int_contents",     [DATATYPE_INT32] = "int_contents",
        [DATATYPE_INT64] = "int64_contents",   [DATATYPE_FP32] = "fp32_contents",
        [DATATYPE_FP64] = "fp64_contents",     [DATATYPE_BYTES] = "bytes_contents",
    };
    return names[datatype];
}

bool v2_contents_given(const Inference__InferTensorContents *contents) {
    if (!contents)
        return false;
    struct field fields[FIELD_COUNT];
    list_fields(contents, fields);
    size_t count = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        count |= fields[i].count;
    return count > 0;
}

/* The field of the tensor's datatype, with as many elements as it has; no other field has any. */
static enum err find_field(const struct v2_reader *reader,
                           const Inference__InferTensorContents *contents,
                           const struct tensor_spec *spec, const struct tensor *tensor,
                           struct field *ret) {
    const char *model = reader->signature->model;
    const char *expected = field_of(tensor->datatype);
    struct field fields[FIELD_COUNT];
    list_fields(contents, fields);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (expected && strcmp(fields[i].name, expected) == 0) {
            *ret = fields[i];
        } else if (fields[i].count > 0) {
            return err_set(reader->text, ERR_INVALID,
                           "Unable to parse 'contents': input '%s' for model '%s' has data in "
                           "'%s', expected it in '%s' (%s)",
                           spec->name, model, fields[i].name,
                           expected ? expected : "raw_input_contents",
                           datatype_name(tensor->datatype));
        }
    }
    CHECK(expected); /* without, the data that there is was not expected */
    if (ret->count != (size_t)tensor->count) {
        char shape[SHAPE_TEXT_SIZE];
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse 'contents': input '%s' for model '%s' got %zu values, "
                       "expected %lld for shape %s",
                       spec->name, model, ret->count, (long long)tensor->count,
                       shape_format(tensor->shape, tensor->rank, shape, sizeof shape));
    }
    return ERR_OK;
}

static enum err fail_range(const struct v2_reader *reader, const struct tensor_spec *spec,
                           size_t at, long long min, long long max) {
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'contents': element %zu of input '%s' for model '%s' is a "
                   "number outside %lld to %lld (%s)",
                   at, spec->name, reader->signature->model, min, max,
                   datatype_name(spec->datatype));
}

/* INT8, INT16 from 32 bits. */
static enum err narrow_signed(const struct v2_reader *reader, const struct tensor_spec *spec,
                              const struct field *field, void *out) {
    size_t size = datatype_size(spec->datatype);
    int32_t max = size == 1 ? INT8_MAX : INT16_MAX;
    const int32_t *values = field->elements;
    for (size_t i = 0; i < field->count; i++) {
        if (values[i] > max || values[i] < -max - 1)
            return fail_range(reader, spec, i, -max - 1, max);
        memcpy((char *)out + i * size, &values[i], size); /* little-endian */
    }
    return ERR_OK;
}

/* UINT8, UINT16 from 32 bits. */
static enum err narrow_unsigned(const struct v2_reader *reader, const struct tensor_spec *spec,
                                const struct field *field, void *out) {
    size_t size = datatype_size(spec->datatype);
    uint32_t max = size == 1 ? UINT8_MAX : UINT16_MAX;
    const uint32_t *values = field->elements;
    for (size_t i = 0; i < field->count; i++) {
        if (values[i] > max)
            return fail_range(reader, spec, i, 0, max);
        memcpy((char *)out + i * size, &values[i], size);
    }
    return ERR_OK;
}

static void narrow_booleans(const struct field *field, void *out) {
    const protobuf_c_boolean *values = field->elements;
    for (size_t i = 0; i < field->count; i++)
        ((uint8_t *)out)[i] = values[i] != 0;
}

static void list_bytes(const struct field *field, void *out) {
    const ProtobufCBinaryData *values = field->elements;
    for (size_t i = 0; i < field->count; i++) {
        const char *p = values[i].len > 0 ? (const char *)values[i].data : "";
        ((struct str *)out)[i] = (struct str){p, values[i].len};
    }
}

enum err v2_contents_read(struct v2_reader *reader, const Inference__InferTensorContents *contents,
                          const struct tensor_spec *spec, struct tensor *tensor) {
    struct field field = {NULL, 0, NULL};
    enum err e = find_field(reader, contents, spec, tensor, &field);
    if (e)
        return e;
    size_t size = datatype_size(tensor->datatype);
    if (size == 4 || size == 8) {
        tensor->data = field.elements;
        return ERR_OK;
    }
    e = v2_reader_take(reader, spec, field.count, size, &tensor->data);
    if (e)
        return e;
    if (tensor->datatype == DATATYPE_BYTES)
        list_bytes(&field, tensor->data);
    else if (tensor->datatype == DATATYPE_BOOL)
        narrow_booleans(&field, tensor->data);
    else if (datatype_json(tensor->datatype) == DATATYPE_JSON_SIGNED)
        return narrow_signed(reader, spec, &field, tensor->data);
    else
        return narrow_unsigned(reader, spec, &field, tensor->data);
    return ERR_OK;
}
