/* JSON values to elements, one at a time. */
#include "protocol/v2_element.h"

#include <math.h>

const struct v2_range v2_ranges[] = {
    [1] = {UINT8_MAX, INT8_MIN, INT8_MAX},
    [2] = {UINT16_MAX, INT16_MIN, INT16_MAX},
    [4] = {UINT32_MAX, INT32_MIN, INT32_MAX},
    [8] = {UINT64_MAX, INT64_MIN, INT64_MAX},
};

/* From here on a real number in the text may have been rounded to another integer, or to one at
 * all. */
#define EXACT_MAX 0x1p52

static enum v2_fault real_as_integer(double real, int64_t *ret) {
    if (real != trunc(real))
        return V2_FAULT_FRACTION;
    if (real >= EXACT_MAX || real <= -EXACT_MAX)
        return V2_FAULT_INEXACT;
    *ret = (int64_t)real;
    return V2_FAULT_NONE;
}

static enum v2_fault read_unsigned(yyjson_val *value, uint64_t max, uint64_t *ret) {
    int64_t integer;
    enum v2_fault fault = V2_FAULT_NONE;
    if (yyjson_is_uint(value)) {
        *ret = unsafe_yyjson_get_uint(value);
        return *ret <= max ? V2_FAULT_NONE : V2_FAULT_RANGE;
    }
    if (yyjson_is_sint(value))
        integer = unsafe_yyjson_get_sint(value);
    else if (yyjson_is_real(value))
        fault = real_as_integer(unsafe_yyjson_get_real(value), &integer);
    else
        return v2_json_is_big_number(value) ? V2_FAULT_RANGE : V2_FAULT_KIND;
    if (fault)
        return fault;
    *ret = (uint64_t)integer;
    return integer >= 0 && *ret <= max ? V2_FAULT_NONE : V2_FAULT_RANGE;
}

static enum v2_fault read_signed(yyjson_val *value, int64_t min, int64_t max, int64_t *ret) {
    enum v2_fault fault = V2_FAULT_NONE;
    if (yyjson_is_uint(value)) {
        uint64_t integer = unsafe_yyjson_get_uint(value);
        *ret = (int64_t)integer;
        return integer <= (uint64_t)max ? V2_FAULT_NONE : V2_FAULT_RANGE;
    }
    if (yyjson_is_sint(value))
        *ret = unsafe_yyjson_get_sint(value);
    else if (yyjson_is_real(value))
        fault = real_as_integer(unsafe_yyjson_get_real(value), ret);
    else
        return v2_json_is_big_number(value) ? V2_FAULT_RANGE : V2_FAULT_KIND;
    if (fault)
        return fault;
    return *ret >= min && *ret <= max ? V2_FAULT_NONE : V2_FAULT_RANGE;
}

static enum v2_fault read_real(yyjson_val *value, double *ret) {
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
            return V2_FAULT_RANGE;
        *ret = yyjson_get_num(&number);
    } else {
        return V2_FAULT_KIND;
    }
    return V2_FAULT_NONE;
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

enum v2_fault v2_element_store_real(double value, enum datatype datatype, char *out) {
    uint16_t half;
    float single;
    if (datatype == DATATYPE_FP64) {
        memcpy(out, &value, sizeof value);
        return V2_FAULT_NONE;
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
    return isfinite(single) ? V2_FAULT_NONE : V2_FAULT_RANGE;
}

enum v2_fault v2_element_read(yyjson_val *value, enum datatype datatype, char *out) {
    size_t size = datatype_size(datatype);
    uint64_t whole = 0;
    int64_t integer = 0;
    double real = 0;
    enum v2_fault fault;
    switch (datatype_json(datatype)) {
    case DATATYPE_JSON_BOOLEAN:
        *out = (char)yyjson_is_true(value);
        return yyjson_is_bool(value) ? V2_FAULT_NONE : V2_FAULT_KIND;
    case DATATYPE_JSON_UNSIGNED:
        fault = read_unsigned(value, v2_ranges[size].unsigned_max, &whole);
        memcpy(out, &whole, size);
        return fault;
    case DATATYPE_JSON_SIGNED:
        fault = read_signed(value, v2_ranges[size].min, v2_ranges[size].max, &integer);
        memcpy(out, &integer, size);
        return fault;
    case DATATYPE_JSON_REAL:
        fault = read_real(value, &real);
        return fault ? fault : v2_element_store_real(real, datatype, out);
    case DATATYPE_JSON_TEXT:
        break;
    }
    if (!yyjson_is_str(value))
        return V2_FAULT_KIND;
    struct str text = v2_json_str(value);
    memcpy(out, &text, sizeof text);
    return V2_FAULT_NONE;
}
