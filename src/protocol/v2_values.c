/* JSON values to elements: arrays that were lifted are read by v2_numbers; here are the small ones,
 * those of strings and booleans, and all that is wrong. One pass, iterative: the nesting that is
 * followed is that of the shape, at most TENSOR_RANK_MAX, whatever the request holds. */
#include "protocol/v2_values.h"

#include "base/check.h"
#include "protocol/v2_element.h"
#include "protocol/v2_lift.h"
#include "protocol/v2_numbers.h"

#include <math.h>
#include <stdio.h>

static const char *const expected_of[] = {
    [DATATYPE_JSON_BOOLEAN] = "true or false", [DATATYPE_JSON_UNSIGNED] = "an integer",
    [DATATYPE_JSON_SIGNED] = "an integer",     [DATATYPE_JSON_REAL] = "a number",
    [DATATYPE_JSON_TEXT] = "a string",
};

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
static enum v2_fault read_run(struct run run, const struct tensor *tensor, size_t *ret_at,
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
        enum v2_fault fault = v2_element_read(values + i, tensor->datatype, out + i * size);
        if (fault) {
            *ret_at = run.first + i;
            *ret_value = values + i;
            return fault;
        }
    }
    return V2_FAULT_NONE;
}

static const char *range_text(enum datatype datatype, char *out, size_t size) {
    size_t bytes = datatype_size(datatype);
    enum datatype_json json = datatype_json(datatype);
    if (json == DATATYPE_JSON_UNSIGNED) {
        snprintf(out, size, "0 to %llu", (unsigned long long)v2_ranges[bytes].unsigned_max);
    } else if (json == DATATYPE_JSON_SIGNED) {
        snprintf(out, size, "%lld to %lld", (long long)v2_ranges[bytes].min,
                 (long long)v2_ranges[bytes].max);
    } else {
        snprintf(out, size, "%s", "what the datatype can hold");
    }
    return out;
}

static enum err fail_at(const struct v2_reader *reader, const struct tensor_spec *spec,
                        enum v2_fault fault, size_t at, yyjson_val *value) {
    const char *datatype = datatype_name(spec->datatype);
    const char *expected = expected_of[datatype_json(spec->datatype)];
    char range[48];
    char what[160];
    switch (fault) {
    case V2_FAULT_RANGE:
        snprintf(what, sizeof what, "a number outside %s (%s)",
                 range_text(spec->datatype, range, sizeof range), datatype);
        break;
    case V2_FAULT_FRACTION:
        snprintf(what, sizeof what, "a number with a fraction, expected %s (%s)", expected,
                 datatype);
        break;
    case V2_FAULT_INEXACT:
        snprintf(what, sizeof what,
                 "a real number of 2^52 or more, which may not be exact: write %s (%s)", expected,
                 datatype);
        break;
    case V2_FAULT_KIND:
    case V2_FAULT_NONE:
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
    enum v2_fault fault = read_run(run, tensor, &at, &value);
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
    struct str lifted;
    if (reader->lift && yyjson_is_str(data) &&
        v2_lift_take(reader->lift, unsafe_yyjson_get_str(data), &lifted)) {
        return v2_numbers_read(reader, lifted, spec, tensor);
    }
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
