/* JSON values to elements. One pass, iterative: the nesting that is followed is that of the shape,
 * at most TENSOR_RANK_MAX, whatever the request holds. */
#include "protocol/v2_values.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

/* Why a value is not an element. */
enum fault { FAULT_NONE, FAULT_KIND, FAULT_RANGE, FAULT_FRACTION, FAULT_INEXACT };

static const char *const expected_of[] = {
    [DATATYPE_JSON_BOOLEAN] = "true or false", [DATATYPE_JSON_UNSIGNED] = "an integer",
    [DATATYPE_JSON_SIGNED] = "an integer",     [DATATYPE_JSON_REAL] = "a number",
    [DATATYPE_JSON_TEXT] = "a string",
};

static const struct {
    uint64_t unsigned_max;
    int64_t min, max;
} ranges[] = {
    [1] = {UINT8_MAX, INT8_MIN, INT8_MAX},
    [2] = {UINT16_MAX, INT16_MIN, INT16_MAX},
    [4] = {UINT32_MAX, INT32_MIN, INT32_MAX},
    [8] = {UINT64_MAX, INT64_MIN, INT64_MAX},
};

/* From here on a real number in the text may have been rounded to another integer, or to one at
 * all. */
#define EXACT_MAX 0x1p52

static enum fault real_as_integer(double real, int64_t *ret) {
    if (real != trunc(real))
        return FAULT_FRACTION;
    if (real >= EXACT_MAX || real <= -EXACT_MAX)
        return FAULT_INEXACT;
    *ret = (int64_t)real;
    return FAULT_NONE;
}

static enum fault read_unsigned(yyjson_val *value, uint64_t max, uint64_t *ret) {
    int64_t integer;
    enum fault fault = FAULT_NONE;
    if (yyjson_is_uint(value)) {
        *ret = unsafe_yyjson_get_uint(value);
        return *ret <= max ? FAULT_NONE : FAULT_RANGE;
    }
    if (yyjson_is_sint(value))
        integer = unsafe_yyjson_get_sint(value);
    else if (yyjson_is_real(value))
        fault = real_as_integer(unsafe_yyjson_get_real(value), &integer);
    else
        return v2_json_is_big_number(value) ? FAULT_RANGE : FAULT_KIND;
    if (fault)
        return fault;
    *ret = (uint64_t)integer;
    return integer >= 0 && *ret <= max ? FAULT_NONE : FAULT_RANGE;
}

static enum fault read_signed(yyjson_val *value, int64_t min, int64_t max, int64_t *ret) {
    enum fault fault = FAULT_NONE;
    if (yyjson_is_uint(value)) {
        uint64_t integer = unsafe_yyjson_get_uint(value);
        *ret = (int64_t)integer;
        return integer <= (uint64_t)max ? FAULT_NONE : FAULT_RANGE;
    }
    if (yyjson_is_sint(value))
        *ret = unsafe_yyjson_get_sint(value);
    else if (yyjson_is_real(value))
        fault = real_as_integer(unsafe_yyjson_get_real(value), ret);
    else
        return v2_json_is_big_number(value) ? FAULT_RANGE : FAULT_KIND;
    if (fault)
        return fault;
    return *ret >= min && *ret <= max ? FAULT_NONE : FAULT_RANGE;
}

static enum fault read_real(yyjson_val *value, double *ret) {
    if (yyjson_is_real(value)) {
        *ret = unsafe_yyjson_get_real(value);
    } else if (yyjson_is_uint(value)) {
        *ret = (double)unsafe_yyjson_get_uint(value);
    } else if (yyjson_is_sint(value)) {
        int64_t integer = unsafe_yyjson_get_sint(value);
        *ret = integer ? (double)integer : -0.0; /* only "-0" is a signed zero */
    } else if (v2_json_is_big_number(value)) {
        yyjson_val number;
        if (!yyjson_read_number(yyjson_get_raw(value), &number, 0, NULL, NULL))
            return FAULT_RANGE;
        *ret = yyjson_get_num(&number);
    } else {
        return FAULT_KIND;
    }
    return FAULT_NONE;
}

/* Rounds to odd: with the lowest bit set when something was cut off. Rounding that to a format with
 * two bits less or fewer gives what rounding the double at once would have given. */
static float float_round_odd(double value) {
    float rounded = (float)value;
    if ((double)rounded == value || isinf(rounded))
        return rounded;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    if (fabs((double)rounded) > fabs(value))
        bits--;
    bits |= 1;
    memcpy(&rounded, &bits, sizeof bits);
    return rounded;
}

static enum fault store_real(double value, enum datatype datatype, char *out) {
    uint16_t half;
    float single;
    if (datatype == DATATYPE_FP64) {
        memcpy(out, &value, sizeof value);
        return FAULT_NONE;
    }
    if (datatype == DATATYPE_FP32) {
        single = (float)value;
        memcpy(out, &single, sizeof single);
    } else if (datatype == DATATYPE_FP16) {
        half = fp16_from_float(float_round_odd(value));
        single = fp16_to_float(half);
        memcpy(out, &half, sizeof half);
    } else {
        half = bf16_from_float(float_round_odd(value));
        single = bf16_to_float(half);
        memcpy(out, &half, sizeof half);
    }
    return isfinite(single) ? FAULT_NONE : FAULT_RANGE;
}

/* One value into out[0..size). Little-endian hosts only, as the header says of all data. */
static enum fault read_value(yyjson_val *value, enum datatype datatype, size_t size, char *out) {
    uint64_t whole = 0;
    int64_t integer = 0;
    double real = 0;
    enum fault fault;
    switch (datatype_json(datatype)) {
    case DATATYPE_JSON_BOOLEAN:
        *out = (char)yyjson_is_true(value);
        return yyjson_is_bool(value) ? FAULT_NONE : FAULT_KIND;
    case DATATYPE_JSON_UNSIGNED:
        fault = read_unsigned(value, ranges[size].unsigned_max, &whole);
        memcpy(out, &whole, size);
        return fault;
    case DATATYPE_JSON_SIGNED:
        fault = read_signed(value, ranges[size].min, ranges[size].max, &integer);
        memcpy(out, &integer, size);
        return fault;
    case DATATYPE_JSON_REAL:
        fault = read_real(value, &real);
        return fault ? fault : store_real(real, datatype, out);
    case DATATYPE_JSON_TEXT:
        break;
    }
    if (!yyjson_is_str(value))
        return FAULT_KIND;
    struct str text = v2_json_str(value);
    memcpy(out, &text, sizeof text);
    return FAULT_NONE;
}

/* The values of one array, into the tensor's elements from `first` on. */
struct run {
    yyjson_val *array;
    size_t first;
};

/* The commonest values apart, without a choice for each: reals for FP32. Returns how many of
 * `count` it could read. */
static size_t read_floats(const yyjson_val *values, size_t count, float *out) {
    size_t i = 0;
    for (; i < count && values[i].tag == (YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL); i++) {
        float single = (float)values[i].uni.f64;
        if (!isfinite(single))
            break;
        out[i] = single;
    }
    return i;
}

/* yyjson keeps an array's scalars side by side; a container among them ends the loop as a fault. */
static enum fault read_run(struct run run, const struct tensor *tensor, size_t *ret_at,
                           yyjson_val **ret_value) {
    size_t size = datatype_size(tensor->datatype);
    size_t count = yyjson_arr_size(run.array);
    yyjson_val *values = unsafe_yyjson_get_first(run.array);
    char *out = (char *)tensor->data + run.first * size;
    for (size_t i = 0; i < count; i++) {
        if (tensor->datatype == DATATYPE_FP32) {
            i += read_floats(values + i, count - i, (float *)tensor->data + run.first + i);
            if (i == count)
                break;
        }
        enum fault fault = read_value(values + i, tensor->datatype, size, out + i * size);
        if (fault) {
            *ret_at = run.first + i;
            *ret_value = values + i;
            return fault;
        }
    }
    return FAULT_NONE;
}

static const char *range_text(enum datatype datatype, char *out, size_t size) {
    size_t bytes = datatype_size(datatype);
    enum datatype_json json = datatype_json(datatype);
    if (json == DATATYPE_JSON_UNSIGNED) {
        snprintf(out, size, "0 to %llu", (unsigned long long)ranges[bytes].unsigned_max);
    } else if (json == DATATYPE_JSON_SIGNED) {
        snprintf(out, size, "%lld to %lld", (long long)ranges[bytes].min,
                 (long long)ranges[bytes].max);
    } else {
        snprintf(out, size, "%s", "what the datatype can hold");
    }
    return out;
}

static enum err fail_at(const struct v2_reader *reader, const struct tensor_spec *spec,
                        enum fault fault, size_t at, yyjson_val *value) {
    const char *datatype = datatype_name(spec->datatype);
    const char *expected = expected_of[datatype_json(spec->datatype)];
    char range[48];
    char what[160];
    switch (fault) {
    case FAULT_RANGE:
        snprintf(what, sizeof what, "a number outside %s (%s)",
                 range_text(spec->datatype, range, sizeof range), datatype);
        break;
    case FAULT_FRACTION:
        snprintf(what, sizeof what, "a number with a fraction, expected %s (%s)", expected,
                 datatype);
        break;
    case FAULT_INEXACT:
        snprintf(what, sizeof what,
                 "a real number of 2^52 or more, which may not be exact: write %s (%s)", expected,
                 datatype);
        break;
    case FAULT_KIND:
    case FAULT_NONE:
        snprintf(what, sizeof what, "%s, expected %s (%s)", v2_json_kind(value), expected,
                 datatype);
        break;
    }
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'data': element %zu of input '%s' for model '%s' is %s", at,
                   spec->name, reader->signature->model, what);
}

static enum err fail_count(const struct v2_reader *reader, const struct tensor_spec *spec,
                           const struct tensor *tensor, size_t level, size_t found) {
    char shape[SHAPE_TEXT_SIZE];
    char depth[32] = "";
    int64_t expected = tensor->count;
    if (level > 0) {
        expected = tensor->shape[level - 1];
        snprintf(depth, sizeof depth, " at depth %zu", level);
    }
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'data': input '%s' for model '%s' got %zu values%s, expected "
                   "%lld for shape %s",
                   spec->name, reader->signature->model, found, depth, (long long)expected,
                   shape_format(tensor->shape, tensor->rank, shape, sizeof shape));
}

static enum err fail_nesting(const struct v2_reader *reader, const struct tensor_spec *spec,
                             const struct tensor *tensor, size_t level, yyjson_val *value) {
    char shape[SHAPE_TEXT_SIZE];
    return err_set(
        reader->text, ERR_INVALID,
        "Unable to parse 'data': input '%s' for model '%s' has %s at depth %zu, expected "
        "values either flat or nested to shape %s",
        spec->name, reader->signature->model, v2_json_kind(value), level,
        shape_format(tensor->shape, tensor->rank, shape, sizeof shape));
}

/* Without memory for the elements, only the structure is checked. */
static enum err read_array(const struct v2_reader *reader, const struct tensor_spec *spec,
                           const struct tensor *tensor, struct run run) {
    if (!tensor->data)
        return ERR_OK;
    size_t at = 0;
    yyjson_val *value = NULL;
    enum fault fault = read_run(run, tensor, &at, &value);
    return fault ? fail_at(reader, spec, fault, at, value) : ERR_OK;
}

/* Follows the nesting of the shape: iters[i] walks the array at depth i + 1. */
static enum err read_nested(const struct v2_reader *reader, yyjson_val *data,
                            const struct tensor_spec *spec, const struct tensor *tensor) {
    yyjson_arr_iter iters[TENSOR_RANK_MAX] = {{0}};
    size_t level = 0;
    size_t at = 0;
    yyjson_val *array = data;
    for (;;) {
        if (array) { /* one more level opens */
            size_t size = yyjson_arr_size(array);
            if (!yyjson_is_arr(array))
                return fail_nesting(reader, spec, tensor, level + 1, array);
            if ((int64_t)size != tensor->shape[level])
                return fail_count(reader, spec, tensor, level + 1, size);
            if (level + 1 == tensor->rank) {
                enum err e = read_array(reader, spec, tensor, (struct run){array, at});
                if (e)
                    return e;
                at += size;
            } else {
                iters[level++] = yyjson_arr_iter_with(array);
            }
        } else if (--level == 0) {
            return ERR_OK;
        }
        array = yyjson_arr_iter_next(&iters[level - 1]);
    }
}

enum err v2_values_read(struct v2_reader *reader, yyjson_val *data, const struct tensor_spec *spec,
                        struct tensor *tensor) {
    if (!yyjson_is_arr(data)) {
        return err_set(
            reader->text, ERR_INVALID,
            "Unable to parse 'data': input '%s' for model '%s' has %s, expected an array",
            spec->name, reader->signature->model, v2_json_kind(data));
    }
    size_t size = yyjson_arr_size(data);
    bool nested = yyjson_is_arr(yyjson_arr_get_first(data));
    if (nested && tensor->rank < 2)
        return fail_nesting(reader, spec, tensor, 2, yyjson_arr_get_first(data));
    if (!nested && (int64_t)size != tensor->count)
        return fail_count(reader, spec, tensor, 0, size);
    size_t count = (size_t)tensor->count;
    if (count >
        reader->value_count) { /* a short text that asks for much memory: say what is missing */
        enum err e = read_nested(reader, data, spec, tensor);
        CHECK(e);
        return e;
    }
    enum err e =
        v2_reader_take(reader, spec, count, datatype_size(tensor->datatype), &tensor->data);
    if (e)
        return e;
    return nested ? read_nested(reader, data, spec, tensor)
                  : read_array(reader, spec, tensor, (struct run){data, 0});
}
