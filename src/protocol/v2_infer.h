/* The v2 inference request and response: JSON and the binary tensor extension, both ways.
 * Pure: bytes in, tensors out, and back. Everything read lives in the arena or points into the
 * body. Source: Open Inference Protocol, inference_rest; Triton's extension_binary_data,
 * extension_parameters, extension_schedule_policy. */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "tensor/tensor.h"

enum {
    V2_JSON_DEPTH_MAX = 64,  /* nesting of values we do not interpret */
    V2_ID_MAX = 1024,        /* bytes of the request id */
    V2_PARAMETERS_MAX = 256, /* members of one `parameters` object */
    V2_BODY_SPARE = 16,      /* writable bytes that stand behind a body */
};

struct v2_limits {
    /* Memory that one request's tensors may take beyond its body; as much again for its JSON. */
    size_t tensor_bytes_max;
};

struct v2_output_request {
    size_t index; /* into signature->outputs */
    bool binary;
};

struct v2_infer_request {
    struct str id; /* p == NULL: none was given */
    uint64_t priority;
    uint64_t timeout_us;   /* 0: none */
    struct tensor *inputs; /* signature->input_count, in the model's order, with their data */
    /* As asked, in the asked order; all of them when none were named. */
    struct v2_output_request *outputs;
    size_t output_count;
    bool outputs_named; /* the request listed outputs */
};

enum { V2_NO_HEADER_LENGTH = -1 };

/* Reads a whole body. `json_length` is the Inference-Header-Content-Length (V2_NO_HEADER_LENGTH
 * when the header is absent; 0 asks for the raw binary request: the body is the one input). `body`
 * must stay alive and unmoved as long as ret: binary inputs are views into it when their alignment
 * allows (datatype size), else copied. May write into body[0..n) and the V2_BODY_SPARE bytes behind
 * it (in-situ parsing). Anything wrong is ERR_INVALID with a text that names model, tensor, what
 * was expected and what came, but no input values; tensors or JSON past the limit are
 * ERR_BODY_TOO_LARGE.
 *
 * What is accepted beyond the letter: unknown members (kserve's client sends model_name), at most
 * V2_JSON_DEPTH_MAX deep; null for `id`, `parameters`, `outputs` and `data` (absent); an empty
 * `outputs` (all of them); integral reals for integer datatypes (v2_values.h); numbers for FP16 and
 * BF16; binary input without binary_data_size when datatype and shape give it. Refused: sequence_*,
 * classification and shared memory parameters that ask for something, `headers`, `triton_*`;
 * numbers for BOOL; NaN and Infinity in JSON (binary data carries them). */
enum err v2_infer_read(struct arena *arena, char *body, size_t body_length, int64_t json_length,
                       const struct signature *signature, const struct v2_limits *limits,
                       struct v2_infer_request *ret, struct err_text *text) MUST_CHECK;

/* Reads the value of the Inference-Header-Content-Length header: digits, at most body_length. */
enum err v2_header_length_read(struct str value, size_t body_length, int64_t *ret,
                               struct err_text *text) MUST_CHECK;

enum v2_nonfinite { V2_NONFINITE_NULL, V2_NONFINITE_LITERAL }; /* NaN, Infinity in JSON answers */

struct v2_infer_response {
    const struct signature *signature;
    const struct v2_infer_request *request;
    const struct tensor *outputs; /* one for each request->outputs entry, same order */
    enum v2_nonfinite nonfinite;
};

/* Appends the JSON part to `json` (heap buffer of the caller) and lists the binary blobs that
 * follow it: parts[i] are views of output data, or (BYTES) of arena memory; parts has room for
 * output_count. *ret_part_count > 0 means: send Inference-Header-Content-Length = bytes appended to
 * json and Content-Type application/octet-stream; else application/json. ERR_INTERNAL when the
 * buffer was too small. */
enum err v2_infer_write(struct arena *arena, const struct v2_infer_response *response,
                        struct buffer *json, struct str *parts, size_t *ret_part_count,
                        struct err_text *text) MUST_CHECK;

/* {"error": "..."}: the body of every failure. */
void v2_error_write(struct buffer *json, const char *text);
