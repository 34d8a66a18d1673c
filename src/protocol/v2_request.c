/* The checks of a v2 request that do not depend on how it was written. */
#include "protocol/v2_request.h"

#include "base/check.h"

#include <stdio.h>

void v2_request_init(struct v2_request *request, struct v2_reader *reader,
                     struct v2_infer_request *ret) {
    const struct signature *signature = reader->signature;
    CHECK(signature->input_count <= SIGNATURE_TENSORS_MAX);
    CHECK(signature->output_count <= SIGNATURE_TENSORS_MAX);
    *ret = (struct v2_infer_request){
        .inputs = arena_new(reader->arena, signature->input_count * sizeof *ret->inputs),
        .outputs = arena_new(reader->arena, signature->output_count * sizeof *ret->outputs),
    };
    *request = (struct v2_request){reader, ret, 0, 0};
}

enum err v2_request_check_id(const struct v2_reader *reader, struct str id) {
    if (id.n <= V2_ID_MAX)
        return ERR_OK;
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'id' for model '%s': it has %zu bytes, expected at most %d",
                   reader->signature->model, id.n, V2_ID_MAX);
}

/* ---- Inputs ---- */

enum err v2_request_add_input(struct v2_request *request, struct str name, size_t *ret_index) {
    const struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    size_t index;
    if (!signature_find_input(signature, name, &index)) {
        return err_set(reader->text, ERR_INVALID,
                       "unexpected inference input '%.*s' for model '%s'", V2_NAME_ARG(name),
                       signature->model);
    }
    if (request->inputs_given & (uint64_t)1 << index) {
        return err_set(reader->text, ERR_INVALID,
                       "input '%s' already exists in request for model '%s'",
                       signature->inputs[index].name, signature->model);
    }
    request->inputs_given |= (uint64_t)1 << index;
    *ret_index = index;
    return ERR_OK;
}

enum err v2_request_find_datatype(const struct v2_reader *reader, const struct tensor_spec *spec,
                                  struct str name, enum datatype *ret) {
    if (datatype_from_name(name, ret))
        return ERR_OK;
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'datatype': input '%s' for model '%s' expected '%s', got the "
                   "unknown datatype '%.*s'",
                   spec->name, reader->signature->model, datatype_name(spec->datatype),
                   V2_NAME_ARG(name));
}

enum err v2_request_check_rank(const struct v2_reader *reader, const struct tensor_spec *spec,
                               size_t rank) {
    if (rank <= TENSOR_RANK_MAX)
        return ERR_OK;
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'shape': input '%s' for model '%s' has %zu dimensions, "
                   "expected at most %d",
                   spec->name, reader->signature->model, rank, TENSOR_RANK_MAX);
}

enum err v2_request_set_shape(const struct v2_reader *reader, const struct tensor_spec *spec,
                              const int64_t *shape, size_t rank, struct tensor *tensor) {
    struct err_text why;
    enum err e = tensor_set(tensor, tensor->datatype, shape, rank, &why);
    if (e) {
        return err_set(
            reader->text, e,
            "Unable to parse 'shape': unexpected shape for input '%s' for model '%s': %s",
            spec->name, reader->signature->model, why.s);
    }
    return tensor_check_spec(tensor, spec, reader->signature, reader->text);
}

/* "['A','B']" of the inputs whose bit in `mask` is `set`, cut when long. */
static void list_inputs(const struct signature *signature, uint64_t mask, bool set, char *out,
                        size_t size) {
    size_t used = 0;
    const char *before = "[";
    out[0] = '\0';
    for (size_t i = 0; i < signature->input_count && used < size; i++) {
        if (((mask >> i & 1) != 0) == set) {
            used += (size_t)snprintf(out + used, size - used, "%s'%s'", before,
                                     signature->inputs[i].name);
            before = ",";
        }
    }
    if (used < size)
        snprintf(out + used, size - used, "%s]", used == 0 ? "[" : "");
}

enum err v2_request_check_inputs(const struct v2_request *request) {
    const struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    size_t given = (size_t)__builtin_popcountll(request->inputs_given);
    if (given < signature->input_count) {
        char got[256];
        char missing[256];
        list_inputs(signature, request->inputs_given, true, got, sizeof got);
        list_inputs(signature, request->inputs_given, false, missing, sizeof missing);
        return err_set(reader->text, ERR_INVALID,
                       "expected %zu inputs but got %zu inputs for model '%s'. Got inputs %s, but "
                       "missing required inputs %s. Please provide all required inputs.",
                       signature->input_count, given, signature->model, got, missing);
    }
    const struct tensor *inputs = request->ret->inputs;
    for (size_t i = 1; signature->batchable && i < signature->input_count; i++) {
        if (inputs[i].shape[0] != inputs[0].shape[0]) {
            return err_set(
                reader->text, ERR_INVALID,
                "input '%s' batch size does not match other inputs for '%s'. Expected %lld "
                "(as input '%s'), got %lld",
                signature->inputs[i].name, signature->model, (long long)inputs[0].shape[0],
                signature->inputs[0].name, (long long)inputs[i].shape[0]);
        }
    }
    return ERR_OK;
}

/* ---- Outputs ---- */

enum err v2_request_add_output(struct v2_request *request, struct str name, size_t *ret_index) {
    const struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    size_t index;
    if (!signature_find_output(signature, name, &index)) {
        return err_set(reader->text, ERR_INVALID,
                       "unexpected inference output '%.*s' for model '%s'", V2_NAME_ARG(name),
                       signature->model);
    }
    if (request->outputs_given & (uint64_t)1 << index) {
        return err_set(reader->text, ERR_INVALID, "output '%.*s' already requested for model '%s'",
                       V2_NAME_ARG(name), signature->model);
    }
    request->outputs_given |= (uint64_t)1 << index;
    *ret_index = index;
    return ERR_OK;
}

void v2_request_ask_for_all(struct v2_request *request) {
    struct v2_infer_request *ret = request->ret;
    ret->output_count = request->reader->signature->output_count;
    for (size_t i = 0; i < ret->output_count; i++)
        ret->outputs[i] = (struct v2_output_request){i, request->reader->binary_default};
}
