/* The model under load: what it says of itself, and tensors that it takes. Pure. Everything lives
 * in the arena. */
#pragma once

#include "base/arena.h"
#include "load/random.h"
#include "tensor/tensor.h"

enum { SUBJECT_METADATA_MAX = 16 << 20, SUBJECT_TENSOR_BYTES_MAX = 256 << 20 };

/* Reads the answer of GET /v2/models/NAME. ERR_INVALID names what is missing or wrong. */
enum err subject_read_json(struct arena *arena, struct str metadata, struct signature *ret,
                           struct err_text *text) MUST_CHECK;
/* Reads the ModelMetadataResponse of gRPC, without its prefix. */
enum err subject_read_proto(struct arena *arena, struct str metadata, struct signature *ret,
                            struct err_text *text) MUST_CHECK;

enum subject_values { SUBJECT_RANDOM, SUBJECT_ZERO };

struct subject_options {
    struct str shape; /* "X:1,30,Y:1,4": of inputs with free dimensions; "" for none */
    int64_t batch;    /* a free first dimension that `shape` does not set; the others are 1 */
    enum subject_values values;
    int64_t integers_max;
};

/* Makes a tensor with data for every input, in the model's order. ERR_INVALID: `shape` is not
 * readable, names no input, or does not fit the model; or more than SUBJECT_TENSOR_BYTES_MAX. */
enum err subject_make_inputs(struct arena *arena, const struct signature *signature,
                             const struct subject_options *options, struct random *random,
                             struct tensor **ret, struct err_text *text) MUST_CHECK;
