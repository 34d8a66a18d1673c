/* What a session says of its inputs and outputs, read once at load, as a signature.
 *
 * The v2 protocol knows dense tensors of the datatypes in datatype.def. A model that takes or gives
 * anything else (sequences, maps, complex numbers, float8, 4-bit integers) is refused at load with
 * the tensor's name, not at the first request. An optional tensor counts as a tensor: given None it
 * is an error of the run. A free dimension, named or not, is -1. */
#include "engine/onnx.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdio.h>

/* One side of the session: the calls differ between inputs and outputs, little else does. */
struct side {
    const struct onnx_engine *engine;
    const OrtSession *session;
    const char *word;  /* "input" */
    bool shape_needed; /* a tensor of any rank cannot be checked against the signature */
    OrtStatusPtr(ORT_API_CALL *count)(const OrtSession *session, size_t *ret);
    OrtStatusPtr(ORT_API_CALL *name)(const OrtSession *session, size_t index,
                                     OrtAllocator *allocator, char **ret);
    OrtStatusPtr(ORT_API_CALL *type)(const OrtSession *session, size_t index, OrtTypeInfo **ret);
};

static const char *kind_text(ONNXType kind) {
    switch (kind) {
    case ONNX_TYPE_SEQUENCE:
        return "a sequence";
    case ONNX_TYPE_MAP:
        return "a map";
    case ONNX_TYPE_OPAQUE:
        return "an opaque value";
    case ONNX_TYPE_SPARSETENSOR:
        return "a sparse tensor";
    case ONNX_TYPE_UNKNOWN:
    case ONNX_TYPE_TENSOR:
    case ONNX_TYPE_OPTIONAL:
        break;
    }
    return "a value of unknown kind";
}

/* skl2onnx gives a classifier's probabilities as a sequence of maps unless it is told not to. */
static const char *kind_hint(ONNXType kind, const struct side *side) {
    bool zipmap = !side->shape_needed && (kind == ONNX_TYPE_SEQUENCE || kind == ONNX_TYPE_MAP);
    return zipmap ? ": a scikit-learn classifier is exported with zipmap off "
                    "(options={id(model): {'zipmap': False}})"
                  : "";
}

static const char *element_text(ONNXTensorElementDataType element, char *out, size_t size) {
    static const struct {
        ONNXTensorElementDataType element;
        const char *name;
    } known[] = {{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN, "FLOAT8E4M3FN"},
                 {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ, "FLOAT8E4M3FNUZ"},
                 {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2, "FLOAT8E5M2"},
                 {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ, "FLOAT8E5M2FNUZ"},
                 {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4, "UINT4"},
                 {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4, "INT4"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].element == element)
            return known[i].name;
    snprintf(out, size, "ONNX type %d", (int)element);
    return out;
}

static enum err read_tensor(const struct side *side, const OrtTensorTypeAndShapeInfo *info,
                            struct tensor_spec *spec, struct err_text *text) {
    const struct onnx_engine *engine = side->engine;
    const OrtApi *api = engine->api;
    const char *word = side->word;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    OrtStatus *status = api->GetTensorElementType(info, &element);
    if (!status)
        status = api->GetDimensionsCount(info, &rank);
    enum err e = onnx_error(api, status, word, text);
    if (e != ERR_OK)
        return e;
    char other[32];
    if (!datatype_from_onnx((int)element, &spec->datatype))
        return err_set(text, ERR_INVALID,
                       "%s '%s' has the datatype %s, which the protocol does not have", word,
                       spec->name, element_text(element, other, sizeof other));
    if (side->shape_needed && engine->newer.has_shape && !engine->newer.has_shape(info))
        return err_set(text, ERR_INVALID,
                       "%s '%s' has no shape in the model: at least its rank is needed", word,
                       spec->name);
    if (rank > TENSOR_RANK_MAX)
        return err_set(text, ERR_INVALID, "%s '%s' has %zu dimensions, the limit is %d", word,
                       spec->name, rank, TENSOR_RANK_MAX);
    spec->rank = (uint32_t)rank;
    e = onnx_error(api, api->GetDimensions(info, spec->shape, rank), word, text);
    for (size_t i = 0; i < rank; i++)
        spec->shape[i] = spec->shape[i] < 0 ? -1 : spec->shape[i];
    return e;
}

static enum err read_type(const struct side *side, const OrtTypeInfo *type,
                          struct tensor_spec *spec, struct err_text *text) {
    const OrtApi *api = side->engine->api;
    const char *word = side->word;
    ONNXType kind = ONNX_TYPE_UNKNOWN;
    enum err e = onnx_error(api, api->GetOnnxTypeFromTypeInfo(type, &kind), word, text);
    if (e != ERR_OK)
        return e;
    if (kind == ONNX_TYPE_OPTIONAL) {
        const OrtOptionalTypeInfo *optional = NULL;
        OrtTypeInfo *contained = NULL;
        OrtStatus *status = api->CastTypeInfoToOptionalTypeInfo(type, &optional);
        if (!status)
            status = api->GetOptionalContainedTypeInfo(optional, &contained);
        e = onnx_error(api, status, word, text);
        if (e == ERR_OK)
            e = read_type(side, contained, spec, text); /* optional(optional) does not exist */
        if (contained)
            api->ReleaseTypeInfo(contained);
        return e;
    }
    if (kind != ONNX_TYPE_TENSOR)
        return err_set(text, ERR_INVALID, "%s '%s' is %s, the protocol knows tensors only%s", word,
                       spec->name, kind_text(kind), kind_hint(kind, side));
    const OrtTensorTypeAndShapeInfo *info = NULL;
    e = onnx_error(api, api->CastTypeInfoToTensorInfo(type, &info), word, text);
    return e == ERR_OK ? read_tensor(side, info, spec, text) : e;
}

static enum err read_spec(const struct side *side, size_t index, struct tensor_spec *spec,
                          struct err_text *text) {
    const OrtApi *api = side->engine->api;
    OrtAllocator *allocator = side->engine->allocator;
    char *name = NULL;
    enum err e =
        onnx_error(api, side->name(side->session, index, allocator, &name), side->word, text);
    if (e != ERR_OK)
        return e;
    spec->name = mem_copy_c(name);
    allocator->Free(allocator, name);
    OrtTypeInfo *type = NULL;
    e = onnx_error(api, side->type(side->session, index, &type), side->word, text);
    if (e == ERR_OK)
        e = read_type(side, type, spec, text);
    if (type)
        api->ReleaseTypeInfo(type);
    return e;
}

static enum err read_side(const struct side *side, struct tensor_spec **ret_specs,
                          size_t *ret_count, struct err_text *text) {
    size_t count = 0;
    enum err e =
        onnx_error(side->engine->api, side->count(side->session, &count), side->word, text);
    if (e != ERR_OK)
        return e;
    if (count > SIGNATURE_TENSORS_MAX)
        return err_set(text, ERR_INVALID, "the model has %zu %ss, the limit is %d", count,
                       side->word, SIGNATURE_TENSORS_MAX);
    *ret_specs = mem_new_array(count, sizeof **ret_specs);
    *ret_count = count;
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = read_spec(side, i, &(*ret_specs)[i], text);
    return e;
}

static bool rows_are_free(const struct tensor_spec *specs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (specs[i].rank == 0 || specs[i].shape[0] != -1)
            return false;
    return count > 0;
}

enum err onnx_signature_read(const struct onnx_engine *engine, const OrtSession *session,
                             struct signature *ret, struct err_text *text) {
    const OrtApi *api = engine->api;
    const struct side input = {engine,
                               session,
                               "input",
                               true,
                               api->SessionGetInputCount,
                               api->SessionGetInputName,
                               api->SessionGetInputTypeInfo};
    const struct side output = {engine,
                                session,
                                "output",
                                false,
                                api->SessionGetOutputCount,
                                api->SessionGetOutputName,
                                api->SessionGetOutputTypeInfo};
    struct signature signature = {.model = "", .version = ""};
    enum err e = read_side(&input, &signature.inputs, &signature.input_count, text);
    if (e == ERR_OK)
        e = read_side(&output, &signature.outputs, &signature.output_count, text);
    if (e == ERR_OK && signature.output_count == 0)
        e = err_set(text, ERR_INVALID, "the model has no outputs");
    if (e != ERR_OK) {
        onnx_signature_done(&signature);
        return e;
    }
    signature.batchable = rows_are_free(signature.inputs, signature.input_count) &&
                          rows_are_free(signature.outputs, signature.output_count);
    *ret = signature;
    return ERR_OK;
}

static void free_specs(struct tensor_spec **specs, size_t count) {
    for (size_t i = 0; *specs && i < count; i++)
        mem_free(&(*specs)[i].name);
    mem_free(specs);
}

void onnx_signature_done(struct signature *signature) {
    free_specs(&signature->inputs, signature->input_count);
    free_specs(&signature->outputs, signature->output_count);
}
