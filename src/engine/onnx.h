/* Inside of the ONNX Runtime engine: what its files share. Private to engine/onnx*.c.
 *
 * The environment, the allocator and the memory description live as long as the engine. A model is
 * one session with its signature and everything a run needs ready made, so that a run allocates
 * little: an OrtValue for each input, and one block for the result. All of it is constant after the
 * load but the figures that decide when to shrink; so runs may be concurrent without a lock. */
#pragma once

#include "engine/engine.h"

#include <onnxruntime_c_api.h>
#include <pthread.h>

enum { ONNX_API_VERSION = 21 }; /* of the header we build against: ONNX Runtime 1.21 and newer */

/* Functions newer than our header: of API 24, ONNX Runtime 1.24. The C API only ever appends, so
 * their places in the table are part of its binary interface. NULL where the library is older. */
struct onnx_newer {
    /* Does the tensor declare a shape? Without it, a free rank looks like rank 0. */
    bool(ORT_API_CALL *has_shape)(const OrtTensorTypeAndShapeInfo *info);
    /* A value's datatype and shape without the five calls and three allocations of the old way:
     * half of what a run of a small model costs over the bare run. */
    OrtStatusPtr(ORT_API_CALL *shape_reference)(const OrtValue *value,
                                                ONNXTensorElementDataType *ret,
                                                const int64_t **ret_shape, size_t *ret_rank);
};

struct onnx_engine {
    struct engine engine; /* first */
    const OrtApi *api;
    struct onnx_newer newer;
    OrtEnv *env;
    OrtMemoryInfo *memory;   /* CPU memory of the caller, for tensors over it */
    OrtAllocator *allocator; /* ONNX Runtime's default one: not ours to free */
    pthread_mutex_t create;  /* one CreateSession at a time: microsoft/onnxruntime#27089 */
};

struct onnx_model {
    struct engine_model model; /* first */
    struct onnx_engine *engine;
    OrtSession *session;
    struct signature signature;
    const char **input_names; /* of the signature, as Run wants them */
    const char **output_names;
    uint64_t output_mask;  /* all outputs */
    OrtRunOptions *shrink; /* a run with these gives the arena's free memory back; NULL: no arena */
    /* All relaxed: figures. */
    _Atomic uint64_t usual_bytes; /* moving average of a run's input bytes */
    _Atomic uint64_t peak_bytes;  /* the most since the arena was shrunk */
    _Atomic bool shrink_next;     /* the next run does it */
};

/* Sets `text` to "<what>: <ONNX Runtime's reason on one line>" and frees the status.
 * Returns ERR_INVALID for ORT_INVALID_ARGUMENT, else ERR_INTERNAL; ERR_OK for NULL. */
enum err onnx_error(const OrtApi *api, OrtStatus *status, const char *what,
                    struct err_text *text) MUST_CHECK;

/* Reads names, datatypes and shapes of the session. ERR_INVALID when the v2 protocol cannot say
 * them. */
enum err onnx_signature_read(const struct onnx_engine *engine, const OrtSession *session,
                             struct signature *ret, struct err_text *text) MUST_CHECK;
void onnx_signature_done(struct signature *signature);

OrtStatus *onnx_make_input(const struct onnx_engine *engine, const struct tensor *tensor,
                           OrtValue **ret);
/* A run this many times the usual size is remembered for the next trim. */
enum { ONNX_PEAK_FACTOR = 4 };
enum err onnx_trim(struct engine_model *model, const struct tensor *inputs);
bool onnx_knows_setting(const char *key);

enum err onnx_run(struct engine_model *model, const struct tensor *inputs, uint64_t output_mask,
                  struct engine_result **ret, struct err_text *text);
