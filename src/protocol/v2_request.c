/* The checks of a v2 request that do not depend on how it was written. */
#include "protocol/v2_request.h"

#include "base/check.h"

#include <stdio.h>

enum { NAMES_MAX = 256 }; /* of the names in an error text */

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

/* "['A','B']" of the specs whose bit in `mask` is `set`, cut when long. */
static const char *list_names(const struct tensor_spec *specs, size_t count, uint64_t mask,
                              bool set, char out[NAMES_MAX]) {
    size_t used = 0;
    const char *before = "[";
    for (size_t i = 0; i < count && used < NAMES_MAX; i++) {
        if (((mask >> i & 1) != 0) == set) {
            used += (size_t)snprintf(out + used, NAMES_MAX - used, "%s'%s'", before, specs[i].name);
            before = ",";
        }
    }
    if (used < NAMES_MAX)
        snprintf(out + used, NAMES_MAX - used, "%s]", used == 0 ? "[" : "");
    return out;
}

static enum err fail_name(const struct v2_reader *reader, const char *side, struct str name,
                          const struct tensor_spec *specs, size_t count) {
    char names[NAMES_MAX];
    return err_set(reader->text, ERR_INVALID,
                   "unexpected inference %s '%.*s' for model '%s': its %ss are %s", side,
                   V2_NAME_ARG(name), reader->signature->model, side,
                   list_names(specs, count, 0, false, names));
}

/* ---- Inputs ---- */

enum err v2_request_add_input(struct v2_request *request, struct str name, size_t *ret_index) {
    const struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    size_t index;
    if (!signature_find_input(signature, name, &index))
        return fail_name(reader, "input", name, signature->inputs, signature->input_count);
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

enum err v2_request_check_inputs(const struct v2_request *request) {
    const struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    size_t given = (size_t)__builtin_popcountll(request->inputs_given);
    if (given < signature->input_count) {
        const struct tensor_spec *inputs = signature->inputs;
        size_t count = signature->input_count;
        char got[NAMES_MAX];
        char missing[NAMES_MAX];
        list_names(inputs, count, request->inputs_given, true, got);
        list_names(inputs, count, request->inputs_given, false, missing);
        return err_set(reader->text, ERR_INVALID,
                       "expected %zu inputs but got %zu inputs for model '%s'. Got inputs %s, but "
                       "missing required inputs %s. Please provide all required inputs.",
                       count, given, signature->model, got, missing);
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
    if (!signature_find_output(signature, name, &index))
        return fail_name(reader, "output", name, signature->outputs, signature->output_count);
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
