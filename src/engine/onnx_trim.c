/* Giving the arena's free memory back. ONNX Runtime has no call for it: a run with the option
 * `memory.enable_memory_arena_shrinkage` frees, when it ends, the regions of the arena that hold
 * nothing.
 *
 * What must not happen is that the run's own outputs lie in the one large region that is to go. So
 * the small inputs are run twice: once to learn the outputs' shapes, then with memory of ours for
 * the outputs. Thread: any off the serving path. Owns that memory for the time of the call. */
#include "engine/onnx.h"

#include "base/check.h"
#include "base/memory.h"

#include <malloc.h>

struct trim {
    struct onnx_model *model;
    const OrtApi *api;
    OrtValue *inputs[SIGNATURE_TENSORS_MAX];
    OrtValue *outputs[SIGNATURE_TENSORS_MAX];
    void *memory[SIGNATURE_TENSORS_MAX]; /* of the outputs */
};

/* Texts are ONNX Runtime's own objects, on the heap: they need no place. */
static OrtStatus *make_output(struct trim *trim, size_t i, const struct tensor *like) {
    const struct onnx_engine *engine = trim->model->engine;
    if (like->datatype == DATATYPE_BYTES)
        return NULL;
    trim->memory[i] = mem_new(tensor_bytes(like));
    return trim->api->CreateTensorWithDataAsOrtValue(
        engine->memory, trim->memory[i], tensor_bytes(like), like->shape, like->rank,
        (ONNXTensorElementDataType)datatype_to_onnx(like->datatype), &trim->outputs[i]);
}

static OrtStatus *make_values(struct trim *trim, const struct tensor *inputs,
                              const struct engine_result *shapes) {
    struct onnx_model *model = trim->model;
    const struct signature *signature = &model->signature;
    OrtStatus *status = NULL;
    for (size_t i = 0; !status && i < signature->input_count; i++)
        status = onnx_make_input(model->engine, &inputs[i], &trim->inputs[i]);
    for (size_t i = 0; !status && i < signature->output_count; i++)
        status = make_output(trim, i, &shapes->outputs[i]);
    return status;
}

static OrtStatus *run_and_shrink(struct trim *trim) {
    struct onnx_model *model = trim->model;
    const struct signature *signature = &model->signature;
    return trim->api->Run(model->session, model->shrink, model->input_names,
                          (const OrtValue *const *)trim->inputs, signature->input_count,
                          model->output_names, signature->output_count, trim->outputs);
}

static void trim_done(struct trim *trim) {
    for (size_t i = 0; i < SIGNATURE_TENSORS_MAX; i++) {
        if (trim->inputs[i])
            trim->api->ReleaseValue(trim->inputs[i]);
        if (trim->outputs[i])
            trim->api->ReleaseValue(trim->outputs[i]);
        mem_free(&trim->memory[i]);
    }
}

/* Was a run since the last time far larger than what is usual? */
static bool has_peaked(struct onnx_model *model) {
    uint64_t usual = atomic_load_explicit(&model->usual_bytes, memory_order_relaxed);
    uint64_t peak = atomic_exchange_explicit(&model->peak_bytes, 0, memory_order_relaxed);
    return peak / ONNX_PEAK_FACTOR > usual;
}

static enum err trim_now(struct onnx_model *model, const struct tensor *inputs) {
    struct engine_result *shapes = NULL;
    uint64_t usual = atomic_load_explicit(&model->usual_bytes, memory_order_relaxed);
    if (onnx_run(&model->model, inputs, UINT64_MAX, &shapes, NULL) != ERR_OK)
        return ERR_INVALID;
    atomic_store_explicit(&model->usual_bytes, usual, memory_order_relaxed); /* it was no request */
    struct trim trim = {.model = model, .api = model->engine->api};
    OrtStatus *status = make_values(&trim, inputs, shapes);
    engine_result_unref(&shapes); /* first: its outputs lie in the arena */
    if (!status)
        status = run_and_shrink(&trim);
    trim_done(&trim);
    enum err e = onnx_error(model->engine->api, status, "trim", NULL);
    malloc_trim(0); /* what lies between what other threads use goes too */
    return e == ERR_OK ? ERR_OK : ERR_INVALID;
}

enum err onnx_trim(struct engine_model *base, const struct tensor *inputs) {
    struct onnx_model *model = CONTAINER_OF(base, struct onnx_model, model);
    if (!model->shrink)
        return ERR_OK;
    bool peaked = has_peaked(model);
    if (inputs)
        return trim_now(model, inputs);
    if (peaked)
        atomic_store_explicit(&model->shrink_next, true, memory_order_relaxed);
    return ERR_OK;
}
