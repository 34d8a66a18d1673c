/* Datatypes, shapes and half-precision numbers: see tensor.h. */
#include "tensor/tensor.h"

#include "base/check.h"
#include "base/num.h"

_Static_assert(sizeof(struct str) == 16, "datatype.def gives the size of a BYTES element");

static const struct {
    struct str name;
    size_t size;
    int onnx;
    enum datatype_json json;
} rows[DATATYPE_COUNT] = {
#define DATATYPE(name, size, onnx, json)                                                           \
    {{#name, sizeof #name - 1}, size, onnx, DATATYPE_JSON_##json},
#include "tensor/datatype.def"
#undef DATATYPE
};

const char *datatype_name(enum datatype datatype) {
    CHECK(datatype < DATATYPE_COUNT);
    return rows[datatype].name.p;
}

size_t datatype_size(enum datatype datatype) {
    CHECK(datatype < DATATYPE_COUNT);
    return rows[datatype].size;
}

enum datatype_json datatype_json(enum datatype datatype) {
    CHECK(datatype < DATATYPE_COUNT);
    return rows[datatype].json;
}

int datatype_to_onnx(enum datatype datatype) {
    CHECK(datatype < DATATYPE_COUNT);
    return rows[datatype].onnx;
}

bool datatype_from_name(struct str name, enum datatype *ret) {
    for (size_t i = 0; i < DATATYPE_COUNT; i++) {
        if (str_eq(name, rows[i].name)) {
            *ret = (enum datatype)i;
            return true;
        }
    }
    return false;
}

bool datatype_from_onnx(int onnx, enum datatype *ret) {
    for (size_t i = 0; i < DATATYPE_COUNT; i++) {
        if (rows[i].onnx == onnx) {
            *ret = (enum datatype)i;
            return true;
        }
    }
    return false;
}

/* The product of the dimensions; false when negative or over TENSOR_COUNT_MAX. Dimensions of 0 are
 * left out while multiplying, so that [0,2^62,2^62] is refused as [1,2^62,2^62] is. */
static bool shape_count(const int64_t *shape, size_t rank, int64_t *ret) {
    int64_t product = 1;
    bool empty = false;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return false;
        empty |= shape[i] == 0;
        if (shape[i] > 0 &&
            (!num_mul_i64(product, shape[i], &product) || product > TENSOR_COUNT_MAX)) {
            return false;
        }
    }
    *ret = empty ? 0 : product;
    return true;
}

enum err tensor_set(struct tensor *ret, enum datatype datatype, const int64_t *shape, size_t rank,
                    struct err_text *text) {
    if (rank > TENSOR_RANK_MAX) {
        return err_set(text, ERR_INVALID, "a shape has at most %d dimensions, got %zu",
                       TENSOR_RANK_MAX, rank);
    }
    int64_t count;
    if (!shape_count(shape, rank, &count)) {
        char found[SHAPE_TEXT_SIZE];
        shape_format(shape, rank, found, sizeof found);
        for (size_t i = 0; i < rank; i++)
            if (shape[i] < 0)
                return err_set(text, ERR_INVALID, "a dimension is at least 0, got shape %s", found);
        return err_set(text, ERR_INVALID, "a tensor has at most %lld elements, got shape %s",
                       (long long)TENSOR_COUNT_MAX, found);
    }
    *ret = (struct tensor){.datatype = datatype, .rank = (uint32_t)rank, .count = count};
    if (rank > 0)
        memcpy(ret->shape, shape, rank * sizeof *shape);
    return ERR_OK;
}

/* Digits by hand: every answer writes a shape or two, and snprintf would take half of its time. */
const char *shape_format(const int64_t *shape, size_t rank, char *out, size_t size) {
    CHECK(size > 0);
    size_t used = 0;
    for (size_t i = 0; i < rank; i++) {
        char text[24]; /* a bracket or comma, a sign, 19 digits */
        size_t at = sizeof text;
        uint64_t rest = shape[i] < 0 ? 0 - (uint64_t)shape[i] : (uint64_t)shape[i];
        do {
            text[--at] = (char)('0' + rest % 10);
            rest /= 10;
        } while (rest > 0);
        if (shape[i] < 0)
            text[--at] = '-';
        text[--at] = i == 0 ? '[' : ',';
        size_t n = MIN(sizeof text - at, size - 1 - used);
        memcpy(out + used, text + at, n);
        used += n;
    }
    const char *end = rank == 0 ? "[]" : "]";
    while (*end && used < size - 1)
        out[used++] = *end++;
    out[used] = '\0';
    return out;
}

static bool specs_find(const struct tensor_spec *specs, size_t count, struct str name,
                       size_t *ret_index) {
    for (size_t i = 0; i < count; i++) {
        if (str_eq_c(name, specs[i].name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool signature_find_input(const struct signature *signature, struct str name, size_t *ret_index) {
    return specs_find(signature->inputs, signature->input_count, name, ret_index);
}

bool signature_find_output(const struct signature *signature, struct str name, size_t *ret_index) {
    return specs_find(signature->outputs, signature->output_count, name, ret_index);
}

enum err tensor_check_spec(const struct tensor *tensor, const struct tensor_spec *spec,
                           const struct signature *signature, struct err_text *text) {
    if (tensor->datatype != spec->datatype) {
        return err_set(text, ERR_INVALID,
                       "inference input '%s' data-type is '%s', but model '%s' expects '%s'",
                       spec->name, datatype_name(tensor->datatype), signature->model,
                       datatype_name(spec->datatype));
    }
    bool fits = tensor->rank == spec->rank;
    for (uint32_t i = 0; fits && i < spec->rank; i++)
        fits = spec->shape[i] < 0 || spec->shape[i] == tensor->shape[i];
    if (!fits) {
        char expected[SHAPE_TEXT_SIZE];
        char found[SHAPE_TEXT_SIZE];
        return err_set(text, ERR_INVALID,
                       "unexpected shape for input '%s' for model '%s'. Expected %s, got %s",
                       spec->name, signature->model,
                       shape_format(spec->shape, spec->rank, expected, sizeof expected),
                       shape_format(tensor->shape, tensor->rank, found, sizeof found));
    }
    return ERR_OK;
}

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* `bits` without its lowest `drop` bits, rounded to nearest, ties to even. A carry out of the
 * significand lands in the exponent, which is what rounding up to the next power of two means. */
static uint32_t round_even(uint32_t bits, unsigned drop) {
    uint32_t half = (uint32_t)1 << (drop - 1);
    uint32_t odd = (bits >> drop) & 1;
    return (bits + (half - 1) + odd) >> drop;
}

/* IEEE 754-2019: binary32 has 8 bits of exponent (bias 127) and 23 of fraction, binary16 5 (15) and
 * 10. */
uint16_t fp16_from_float(float value) {
    uint32_t bits = float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | (bits >> 13 & 0x1FF));
    if (bits >= 0x47800000) /* 2^16 and more: beyond the range however it rounds */
        return (uint16_t)(sign | 0x7C00);
    if (bits >= 0x38800000) /* 2^-14: the smallest normal number */
        return (uint16_t)(sign | round_even(bits - (112u << 23), 13));
    uint32_t exponent = bits >> 23;
    if (exponent < 102) /* below 2^-25, half of the smallest: zero */
        return (uint16_t)sign;
    return (uint16_t)(sign | round_even((bits & 0x7FFFFF) | 0x800000, 126 - exponent));
}

float fp16_to_float(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = bits >> 10 & 31;
    uint32_t fraction = bits & 0x3FF;
    if (exponent == 31)
        return float_of_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24F;
        return sign ? -magnitude : magnitude;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t bf16_from_float(float value) {
    uint32_t bits = float_bits(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40); /* quiet, so that it stays NaN without the low bits */
    return (uint16_t)round_even(bits, 16);
}

float bf16_to_float(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}
