/* Tensors as views: a datatype, a shape whose product was checked, and borrowed memory.
 * Data is little-endian, row-major, without padding; BYTES data is an array of struct str.
 * Pure: no allocation, no I/O. */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum datatype {
#define DATATYPE(name, size, onnx, json) DATATYPE_##name,
#include "tensor/datatype.def"
#undef DATATYPE
    DATATYPE_COUNT
};

enum datatype_json {
    DATATYPE_JSON_BOOLEAN,
    DATATYPE_JSON_UNSIGNED,
    DATATYPE_JSON_SIGNED,
    DATATYPE_JSON_REAL,
    DATATYPE_JSON_TEXT
};

const char *datatype_name(enum datatype datatype);
/* Bytes an element in memory (BYTES: sizeof(struct str)). */
size_t datatype_size(enum datatype datatype);
enum datatype_json datatype_json(enum datatype datatype);
bool datatype_from_name(struct str name, enum datatype *ret);
bool datatype_from_onnx(int onnx, enum datatype *ret); /* ONNX TensorProto.DataType */
int datatype_to_onnx(enum datatype datatype);

enum { TENSOR_RANK_MAX = 8 };
/* Elements a tensor may have: keeps every byte count far from overflow. */
#define TENSOR_COUNT_MAX ((int64_t)1 << 36)

struct tensor {
    enum datatype datatype;
    uint32_t rank;
    int64_t shape[TENSOR_RANK_MAX];
    int64_t count; /* product of shape; 1 for rank 0 */
    void *data;    /* borrowed; count × datatype_size bytes; may be NULL when count is 0 */
};

static inline size_t tensor_bytes(const struct tensor *tensor) {
    return (size_t)tensor->count * datatype_size(tensor->datatype);
}

/* Sets datatype, shape, count; data = NULL. ERR_INVALID on rank > TENSOR_RANK_MAX, a negative
 * dimension, or a product over TENSOR_COUNT_MAX (a dimension of 0 does not hide an overflow of the
 * others). */
enum err tensor_set(struct tensor *ret, enum datatype datatype, const int64_t *shape, size_t rank,
                    struct err_text *text) MUST_CHECK;

/* Writes "[2,30]" (-1 for free dimensions), cut at size. Returns out. */
const char *shape_format(const int64_t *shape, size_t rank, char *out, size_t size);
enum { SHAPE_TEXT_SIZE = TENSOR_RANK_MAX * 21 + 3 };

/* What a model says of one input or output. */
struct tensor_spec {
    char *name;
    enum datatype datatype;
    uint32_t rank;
    int64_t shape[TENSOR_RANK_MAX]; /* -1: free */
};

/* What a model version says of itself; owned by the engine's model. */
struct signature {
    const char *model;   /* for error texts; may be "" */
    const char *version; /* ditto */
    struct tensor_spec *inputs;
    size_t input_count;
    struct tensor_spec *outputs;
    size_t output_count;
    bool batchable; /* dimension 0 is free in every input and output (rank >= 1 everywhere) */
};

enum { SIGNATURE_TENSORS_MAX = 64 }; /* inputs, and outputs: a mask of 64 bits names them */

bool signature_find_input(const struct signature *signature, struct str name, size_t *ret_index);
bool signature_find_output(const struct signature *signature, struct str name, size_t *ret_index);

/* ERR_INVALID naming model, input, expected and found when datatype or shape do not fit the spec.
 * Text begins with Triton's prefix: "unexpected shape for input 'X' for model 'm'. Expected
 * [-1,30], got [1,4]". */
enum err tensor_check_spec(const struct tensor *tensor, const struct tensor_spec *spec,
                           const struct signature *signature, struct err_text *text) MUST_CHECK;

/* IEEE 754 binary16 and bfloat16, round to nearest even; NaN stays NaN. */
uint16_t fp16_from_float(float value);
float fp16_to_float(uint16_t bits);
uint16_t bf16_from_float(float value);
float bf16_to_float(uint16_t bits);
