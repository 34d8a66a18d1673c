#include "load/answer.h"

#include "base/num.h"
#include "protocol/v2_proto.h"

#include <inference.pb-c.h>
#include <yyjson.h>

enum { WORDS_MAX = 300 };

/* One output as an answer has it. */
struct output {
    struct str name, datatype;
    int64_t shape[TENSOR_RANK_MAX];
    size_t rank;
};

static enum err check_status(enum payload_protocol protocol, const struct wire_answer *answer,
                             struct err_text *text) {
    if (answer->grpc_status > 0)
        return err_set(text, ERR_INVALID, "the server answers grpc-status %d: %s",
                       answer->grpc_status, answer->grpc_message);
    if (answer->status / 100 != 2)
        return err_set(text, ERR_INVALID, "the server answers %d: %.*s", answer->status,
                       (int)MIN(answer->body.n, (size_t)WORDS_MAX),
                       answer->body.p ? answer->body.p : "");
    if (protocol == PAYLOAD_GRPC && answer->grpc_status == WIRE_NO_GRPC_STATUS)
        return err_set(text, ERR_INVALID, "the server answers without grpc-status");
    return ERR_OK;
}

/* Elements the output must have. */
static enum err check_output(const struct output *output, const struct signature *signature,
                             struct tensor *ret, struct err_text *text) {
    enum datatype datatype;
    size_t index;
    if (!signature_find_output(signature, output->name, &index))
        return err_set(text, ERR_INVALID, "the answer has an output '%.*s' that the model has not",
                       STR_ARG(output->name));
    if (!datatype_from_name(output->datatype, &datatype))
        return err_set(text, ERR_INVALID, "output '%.*s' has the datatype '%.*s'",
                       STR_ARG(output->name), STR_ARG(output->datatype));
    const struct tensor_spec *spec = &signature->outputs[index];
    enum err e = tensor_set(ret, datatype, output->shape, output->rank, text);
    return e ? e : tensor_check_spec(ret, spec, signature, text);
}

static enum err wrong_size(const struct output *output, uint64_t found, uint64_t expected,
                           struct err_text *text) {
    return err_set(text, ERR_INVALID,
                   "output '%.*s' has %llu elements or bytes where its shape asks for %llu",
                   STR_ARG(output->name), (unsigned long long)found, (unsigned long long)expected);
}

/* ---- REST ---- */

/* What is nested deeper than `depth` is no element: a hostile server does not say how deep we go.
 */
static uint64_t count_leaves(yyjson_val *value, unsigned depth) {
    size_t i, count;
    yyjson_val *one;
    uint64_t leaves = 0;
    if (!yyjson_is_arr(value))
        return 1;
    if (depth == 0)
        return 0;
    yyjson_arr_foreach(value, i, count, one) leaves += count_leaves(one, depth - 1);
    return leaves;
}

static enum err read_output(yyjson_val *value, struct output *ret, struct err_text *text) {
    yyjson_val *name = yyjson_obj_get(value, "name"), *datatype = yyjson_obj_get(value, "datatype"),
               *shape = yyjson_obj_get(value, "shape"), *dimension;
    size_t i, count;
    if (!yyjson_is_str(name) || !yyjson_is_str(datatype) || !yyjson_is_arr(shape) ||
        yyjson_arr_size(shape) > TENSOR_RANK_MAX)
        return err_set(text, ERR_INVALID, "an output without name, datatype or shape");
    *ret = (struct output){.name = {yyjson_get_str(name), yyjson_get_len(name)},
                           .datatype = {yyjson_get_str(datatype), yyjson_get_len(datatype)}};
    yyjson_arr_foreach(shape, i, count, dimension) {
        ret->shape[ret->rank++] = yyjson_is_int(dimension) ? yyjson_get_sint(dimension) : -1;
    }
    return ERR_OK;
}

/* *blobs: the bytes that no output has taken yet. */
static enum err check_json_output(yyjson_val *value, const struct signature *signature,
                                  uint64_t *blobs, struct err_text *text) {
    struct output output = {0};
    struct tensor tensor = {0};
    enum err e = read_output(value, &output, text);
    if (!e)
        e = check_output(&output, signature, &tensor, text);
    if (e)
        return e;
    yyjson_val *size = yyjson_obj_get(yyjson_obj_get(value, "parameters"), "binary_data_size");
    if (!size) {
        yyjson_val *data = yyjson_obj_get(value, "data");
        uint64_t found = yyjson_is_arr(data) ? count_leaves(data, TENSOR_RANK_MAX) : 0;
        return found == (uint64_t)tensor.count
                   ? ERR_OK
                   : wrong_size(&output, found, (uint64_t)tensor.count, text);
    }
    uint64_t bytes = yyjson_get_uint(size);
    if (tensor.datatype != DATATYPE_BYTES && bytes != tensor_bytes(&tensor))
        return wrong_size(&output, bytes, tensor_bytes(&tensor), text);
    if (bytes > *blobs)
        return wrong_size(&output, *blobs, bytes, text);
    *blobs -= bytes;
    return ERR_OK;
}

static enum err check_document(yyjson_val *root, const struct signature *signature, uint64_t blobs,
                               struct err_text *text) {
    yyjson_val *outputs = yyjson_obj_get(root, "outputs"), *one;
    size_t i, count;
    if (yyjson_arr_size(outputs) == 0)
        return err_set(text, ERR_INVALID, "the answer has no outputs");
    yyjson_arr_foreach(outputs, i, count, one) {
        enum err e = check_json_output(one, signature, &blobs, text);
        if (e)
            return e;
    }
    if (blobs > 0)
        return err_set(text, ERR_INVALID, "%llu bytes follow the answer's outputs",
                       (unsigned long long)blobs);
    return ERR_OK;
}

static enum err check_rest(const struct wire_answer *answer, const struct signature *signature,
                           struct err_text *text) {
    size_t json = answer->body.n;
    if (answer->json_length != WIRE_NO_JSON_LENGTH)
        json = (size_t)answer->json_length;
    if (json > answer->body.n)
        return err_set(text, ERR_INVALID,
                       "the answer is shorter than its Inference-Header-Content-Length");
    yyjson_doc *document = yyjson_read(answer->body.p, json, YYJSON_READ_ALLOW_INF_AND_NAN);
    if (!document)
        return err_set(text, ERR_INVALID, "the answer is not JSON");
    enum err e =
        check_document(yyjson_doc_get_root(document), signature, answer->body.n - json, text);
    yyjson_doc_free(document);
    return e;
}

/* ---- gRPC ---- */

enum err answer_grpc_message(const struct wire_answer *answer, struct str *ret,
                             struct err_text *text) {
    struct buffer none;
    enum err e = check_status(PAYLOAD_GRPC, answer, text);
    if (e)
        return e;
    buffer_init(&none, 0);
    e = grpc_unary_read(answer->body, CODING_IDENTITY, WIRE_BODY_MAX, &none, ret, text);
    buffer_done(&none);
    return e;
}

static enum err check_contents(const Inference__ModelInferResponse *answer, size_t i,
                               const struct output *output, const struct tensor *tensor,
                               struct err_text *text) {
    if (answer->n_raw_output_contents == 0) /* typed contents: another server's */
        return answer->outputs[i]->contents ? ERR_OK
                                            : wrong_size(output, 0, (uint64_t)tensor->count, text);
    uint64_t found = i < answer->n_raw_output_contents ? answer->raw_output_contents[i].len : 0;
    if (tensor->datatype != DATATYPE_BYTES && found != tensor_bytes(tensor))
        return wrong_size(output, found, tensor_bytes(tensor), text);
    return ERR_OK;
}

static enum err check_grpc(struct arena *arena, const struct wire_answer *wire,
                           const struct signature *signature, struct err_text *text) {
    struct str bytes;
    ProtobufCMessage *message;
    enum err e = answer_grpc_message(wire, &bytes, text);
    if (!e)
        e = v2_proto_unpack(arena, &inference__model_infer_response__descriptor, bytes,
                            WIRE_BODY_MAX, &message, text);
    if (e)
        return e;
    const Inference__ModelInferResponse *answer = (void *)message;
    if (answer->n_outputs == 0)
        return err_set(text, ERR_INVALID, "the answer has no outputs");
    for (size_t i = 0; i < answer->n_outputs; i++) {
        const Inference__ModelInferResponse__InferOutputTensor *one = answer->outputs[i];
        struct output output = {.name = str_of(one->name), .datatype = str_of(one->datatype)};
        struct tensor tensor = {0};
        for (; output.rank < one->n_shape && output.rank < TENSOR_RANK_MAX; output.rank++)
            output.shape[output.rank] = one->shape[output.rank];
        e = check_output(&output, signature, &tensor, text);
        if (!e)
            e = check_contents(answer, i, &output, &tensor, text);
        if (e)
            return e;
    }
    return ERR_OK;
}

enum err answer_check(enum payload_protocol protocol, const struct wire_answer *answer,
                      const struct signature *signature, struct err_text *text) {
    enum err e = check_status(protocol, answer, text);
    if (e || protocol == PAYLOAD_GET || protocol == PAYLOAD_POST)
        return e;
    if (protocol != PAYLOAD_GRPC)
        return check_rest(answer, signature, text);
    struct arena arena;
    arena_init(&arena);
    e = check_grpc(&arena, answer, signature, text);
    arena_done(&arena);
    return e;
}
