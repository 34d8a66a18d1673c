/* Recorded requests of a version: the files <model>/<version>/warmup/NAME.json, each the JSON of
 * one v2 inference request, whose binary tensors follow in NAME.bin where there is such a file.
 * They are run, in the order of their names, before the version serves; one that cannot be read,
 * does not fit the model or fails says that the version is not what it should be.
 *
 * The protocol is above this layer: it is read through a callback. Thread: any, blocks. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "engine/engine.h"

enum {
    RECORDED_FILES_MAX = 64,
    RECORDED_BYTES_MAX = 256 << 20, /* of one request, both files */
    RECORDED_SPARE = 16             /* writable bytes that stand behind a body */
};

struct recorded_body {
    struct arena *arena; /* for what the reader makes */
    char *data;          /* the reader may write into it */
    size_t length;
    bool binary; /* binary tensors begin at json_length */
    size_t json_length;
};

/* Lives in the body and its arena. */
struct recorded_request {
    const struct tensor *inputs; /* signature->input_count */
    uint64_t output_mask;
};

/* ERR_INVALID (or another error) and why when it is no request for this model. */
typedef enum err recorded_read(void *context, const struct recorded_body *body,
                               const struct signature *signature, struct recorded_request *ret,
                               struct err_text *text);

struct recorded_options {
    const char *root;   /* of the repository: no path leaves it */
    const char *folder; /* <version>/warmup, with the root */
    recorded_read *read;
    void *context;
    struct engine_model *model;
    const struct signature *signature; /* with the names of model and version */
    const struct clock *clock;
    uint32_t runs;            /* of each request */
    const _Atomic bool *stop; /* may be NULL: ends it early */
};

struct recorded_result {
    uint32_t requests; /* that were run; 0: there is no such folder, or it is empty */
    uint64_t run_ns;   /* the quickest run of the slowest request */
    uint64_t elements; /* of all its inputs */
};

/* ERR_INVALID names the file ("warmup/a.json: ..."). */
enum err recorded_run(const struct recorded_options *options, struct recorded_result *ret,
                      struct err_text *text) MUST_CHECK;
