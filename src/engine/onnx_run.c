/* One run: our tensors in, ONNX Runtime's memory out.
 *
 * Inputs are wrapped, not copied; only BYTES are copied, because ONNX Runtime's strings are its own
 * objects. Only the outputs that were asked for are computed. They stay where ONNX Runtime wrote
 * them, the result shows them as views and releases them with its last reference; BYTES outputs are
 * copied once, behind the result. The result is one block of memory. Thread: any, at the same time
 * on one model. */
#include "engine/onnx.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <string.h>

/* A run this many times the usual size leaves an arena that later runs do not need. When it is
 * large in itself, the run gives its memory back. A smaller one may have been large within (the
 * square of a length): it is remembered for the next trim. */
enum { OUTLIER_FACTOR = 8, OUTLIER_BYTES_MIN = 1 << 20, USUAL_WEIGHT = 8 };

struct onnx_result {
    struct engine_result result; /* first */
    const OrtApi *api;
    uint32_t value_count;
    OrtValue **values; /* of the outputs asked for, in order */
    void **texts;      /* memory of each BYTES output, or NULL */
};

static void destroy_result(struct engine_result *base) {
    struct onnx_result *result = CONTAINER_OF(base, struct onnx_result, result);
    for (uint32_t i = 0; i < result->value_count; i++) {
        if (result->values[i])
            result->api->ReleaseValue(result->values[i]);
        mem_free(&result->texts[i]);
    }
    mem_free(&result);
}

static struct onnx_result *make_result(const struct onnx_model *model, uint32_t value_count) {
    size_t outputs = model->signature.output_count;
    size_t size = sizeof(struct onnx_result) + outputs * sizeof(struct tensor) +
                  value_count * (sizeof(OrtValue *) + sizeof(void *));
    /* Not mem_new: malloc's per-thread cache serves this size, calloc goes past it. */
    struct onnx_result *result = mem_resize(NULL, size);
    memset(result, 0, size);
    atomic_init(&result->result.references, 1);
    result->result.destroy = destroy_result;
    result->result.output_count = outputs;
    result->result.outputs = (struct tensor *)(void *)(result + 1);
    result->values = (OrtValue **)(void *)(result->result.outputs + outputs);
    result->texts = (void **)(void *)(result->values + value_count);
    result->api = model->engine->api;
    result->value_count = value_count;
    return result;
}

static OrtStatus *make_text_input(const struct onnx_engine *engine, const struct tensor *tensor,
                                  OrtValue **ret) {
    const OrtApi *api = engine->api;
    OrtStatus *status = api->CreateTensorAsOrtValue(engine->allocator, tensor->shape, tensor->rank,
                                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, ret);
    const struct str *texts = tensor->data;
    for (size_t i = 0; !status && i < (size_t)tensor->count; i++) {
        char *into = NULL;
        status = api->GetResizedStringTensorElementBuffer(*ret, i, texts[i].n, &into);
        if (!status && texts[i].n)
            memcpy(into, texts[i].p, texts[i].n);
    }
    return status;
}

OrtStatus *onnx_make_input(const struct onnx_engine *engine, const struct tensor *tensor,
                           OrtValue **ret) {
    static char nothing; /* an address for tensors without elements */
    if (tensor->datatype == DATATYPE_BYTES)
        return make_text_input(engine, tensor, ret);
    return engine->api->CreateTensorWithDataAsOrtValue(
        engine->memory, tensor->data ? tensor->data : &nothing, tensor_bytes(tensor), tensor->shape,
        tensor->rank, (ONNXTensorElementDataType)datatype_to_onnx(tensor->datatype), ret);
}

/* ONNX Runtime's strings, one after the other behind an array of struct str. */
static OrtStatus *copy_texts(const OrtApi *api, const OrtValue *value, struct tensor *output,
                             void **ret_memory) {
    size_t count = (size_t)output->count, bytes = 0, array, total;
    OrtStatus *status = api->GetStringTensorDataLength(value, &bytes);
    if (status)
        return status;
    if (!num_mul_size(count, sizeof(struct str) + sizeof(size_t), &array) ||
        !num_add_size(array, bytes, &total))
        return api->CreateStatus(ORT_FAIL, "the strings are too long");
    struct str *texts = mem_resize(NULL, total + 1);
    size_t *offsets = (size_t *)(void *)(texts + count);
    char *content = (char *)(offsets + count);
    *ret_memory = texts;
    output->data = texts;
    status = api->GetStringTensorContent(value, content, bytes, offsets, count);
    for (size_t i = 0; !status && i < count; i++) {
        size_t end = i + 1 < count ? offsets[i + 1] : bytes;
        texts[i] = (struct str){content + offsets[i], end - offsets[i]};
    }
    return status;
}

/* The way of libraries that lack shape_reference. */
static OrtStatus *read_shape_info(const OrtApi *api, const OrtValue *value,
                                  ONNXTensorElementDataType *ret, int64_t *ret_shape,
                                  size_t *ret_rank) {
    OrtTensorTypeAndShapeInfo *info = NULL;
    OrtStatus *status = api->GetTensorTypeAndShape(value, &info);
    if (!status)
        status = api->GetTensorElementType(info, ret);
    if (!status)
        status = api->GetDimensionsCount(info, ret_rank);
    if (!status && *ret_rank <= TENSOR_RANK_MAX)
        status = api->GetDimensions(info, ret_shape, *ret_rank);
    if (info)
        api->ReleaseTensorTypeAndShapeInfo(info);
    return status;
}

/* The output's datatype is the signature's, its shape the value's own. */
static enum err read_shape(const struct onnx_engine *engine, const OrtValue *value,
                           const struct tensor_spec *spec, struct tensor *output,
                           struct err_text *text) {
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    int64_t memory[TENSOR_RANK_MAX];
    const int64_t *shape = memory;
    size_t rank = 0;
    OrtStatus *status = engine->newer.shape_reference
                            ? engine->newer.shape_reference(value, &element, &shape, &rank)
                            : read_shape_info(engine->api, value, &element, memory, &rank);
    if (onnx_error(engine->api, status, spec->name, text) != ERR_OK)
        return ERR_INTERNAL;
    if ((int)element != datatype_to_onnx(spec->datatype))
        return err_set(text, ERR_INTERNAL, "output '%s' came as ONNX type %d", spec->name,
                       (int)element);
    enum err e = tensor_set(output, spec->datatype, shape, rank, text);
    return e == ERR_OK ? ERR_OK : ERR_INTERNAL;
}

/* Output i, which is the result's value v. */
static enum err read_output(const struct onnx_model *model, struct onnx_result *result, size_t i,
                            size_t v, struct err_text *text) {
    const OrtApi *api = result->api;
    const struct tensor_spec *spec = &model->signature.outputs[i];
    struct tensor *output = &result->result.outputs[i];
    OrtValue *value = result->values[v];
    int is_tensor = 0, has_value = 0;
    OrtStatus *status = value ? api->HasValue(value, &has_value) : NULL;
    if (!status && has_value)
        status = api->IsTensor(value, &is_tensor);
    if (onnx_error(api, status, spec->name, text) != ERR_OK)
        return ERR_INTERNAL;
    if (!is_tensor)
        return err_set(text, ERR_INTERNAL, "output '%s' has no tensor for these inputs",
                       spec->name);
    enum err e = read_shape(model->engine, value, spec, output, text);
    if (e != ERR_OK)
        return e;
    if (output->datatype == DATATYPE_BYTES)
        status = copy_texts(api, value, output, &result->texts[v]);
    else
        status = api->GetTensorMutableData(value, &output->data);
    return onnx_error(api, status, spec->name, text) == ERR_OK ? ERR_OK : ERR_INTERNAL;
}

static enum err read_outputs(const struct onnx_model *model, struct onnx_result *result,
                             uint64_t output_mask, struct err_text *text) {
    enum err e = ERR_OK;
    size_t v = 0;
    for (size_t i = 0; e == ERR_OK && i < model->signature.output_count; i++)
        if (output_mask >> i & 1)
            e = read_output(model, result, i, v++, text);
    return e;
}

#define RELAXED memory_order_relaxed

/* The options of this run: NULL, or the ones that shrink the arena: when it is far bigger than
 * usual, or a trim asked for it. */
static const OrtRunOptions *choose_options(struct onnx_model *model, const struct tensor *inputs) {
    if (!model->shrink)
        return NULL;
    uint64_t bytes = 1; /* never 0: that means nothing was measured */
    for (size_t i = 0; i < model->signature.input_count; i++)
        bytes += tensor_bytes(&inputs[i]);
    /* An update lost between two threads is no loss: it is an average, and a hint. */
    uint64_t usual = atomic_load_explicit(&model->usual_bytes, RELAXED);
    if (bytes > atomic_load_explicit(&model->peak_bytes, RELAXED))
        atomic_store_explicit(&model->peak_bytes, bytes, RELAXED);
    bool outlier = usual > 0 && bytes > OUTLIER_BYTES_MIN && bytes / OUTLIER_FACTOR > usual;
    /* An outlier moves the average too, but not far: what comes again and again becomes usual. */
    uint64_t sample = usual > 0 && bytes / 2 > usual ? usual * 2 : bytes;
    uint64_t next = usual == 0 ? bytes : usual - usual / USUAL_WEIGHT + sample / USUAL_WEIGHT;
    if (next != usual)
        atomic_store_explicit(&model->usual_bytes, next, RELAXED);
    if (atomic_load_explicit(&model->shrink_next, RELAXED)) {
        atomic_store_explicit(&model->shrink_next, false, RELAXED);
        return model->shrink;
    }
    return outlier ? model->shrink : NULL;
}

enum err onnx_run(struct engine_model *base, const struct tensor *inputs, uint64_t output_mask,
                  struct engine_result **ret, struct err_text *text) {
    struct onnx_model *model = CONTAINER_OF(base, struct onnx_model, model);
    const OrtApi *api = model->engine->api;
    size_t input_count = model->signature.input_count, value_count = 0;
    output_mask &= model->output_mask;
    if (!output_mask)
        return err_set(text, ERR_INVALID, "no output was asked for");
    const char *names[SIGNATURE_TENSORS_MAX];
    for (size_t i = 0; i < model->signature.output_count; i++)
        if (output_mask >> i & 1)
            names[value_count++] = model->output_names[i];

    OrtValue *values[SIGNATURE_TENSORS_MAX] = {NULL};
    OrtStatus *status = NULL;
    for (size_t i = 0; !status && i < input_count; i++)
        status = onnx_make_input(model->engine, &inputs[i], &values[i]);
    struct onnx_result *result = make_result(model, (uint32_t)value_count);
    if (!status)
        status = api->Run(model->session, choose_options(model, inputs), model->input_names,
                          (const OrtValue *const *)values, input_count, names, value_count,
                          result->values);
    for (size_t i = 0; i < input_count; i++)
        if (values[i])
            api->ReleaseValue(values[i]);
    enum err e = onnx_error(api, status, "ONNX Runtime", text);
    if (e == ERR_OK)
        e = read_outputs(model, result, output_mask, text);
    if (e != ERR_OK) {
        destroy_result(&result->result);
        return e;
    }
    *ret = &result->result;
    return ERR_OK;
}
