/* What the parts of the v2 request reader share while one request is read. Internal to the layer.
 */
#pragma once

#include "base/arena.h"
#include "base/num.h"
#include "tensor/tensor.h"

struct v2_reader {
    struct arena *arena;
    const struct signature *signature;
    size_t bytes_max;     /* memory that tensors may take (limits->tensor_bytes_max) */
    size_t bytes_used;    /* of it */
    size_t value_count;   /* JSON values in the request: no tensor in JSON has more elements */
    struct str blobs;     /* binary data that no input has taken yet */
    bool has_blobs;       /* the request said where its JSON ends */
    struct v2_lift *lift; /* number arrays that are not in the JSON; NULL: none */
    bool binary_default;  /* answer with binary data where an output does not say */
    struct err_text *text;
};

/* A name from the request in an error text: cut, since it may be as long as the body. */
enum { V2_NAME_TEXT_MAX = 128 };
#define V2_NAME_ARG(s) (int)MIN((s).n, (size_t)V2_NAME_TEXT_MAX), ((s).p ? (s).p : "")

/* Memory for a tensor of the request: ERR_BODY_TOO_LARGE beyond bytes_max, ERR_NO_MEMORY. Size 0
 * gives a pointer too. */
enum err v2_reader_take(struct v2_reader *reader, const struct tensor_spec *spec, size_t count,
                        size_t size, void **ret) MUST_CHECK;
/* ERR_NO_MEMORY, with a text. */
enum err v2_reader_fail_memory(const struct v2_reader *reader);
