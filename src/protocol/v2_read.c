/* A v2 inference request, from its body to tensors in the model's order. Each input is read as its
 * JSON object is met, so binary data is taken in the order of the objects. Nothing is kept of a
 * request that fails but its error text. */
#include "base/check.h"
#include "protocol/v2_binary.h"
#include "protocol/v2_infer.h"
#include "protocol/v2_parameters.h"
#include "protocol/v2_values.h"

#include <stdio.h>

_Static_assert(V2_BODY_SPARE >= YYJSON_PADDING_SIZE, "in-situ parsing");

enum { NAMES_MAX = 256 }; /* of the names in an error text */

struct request {
    struct v2_reader *reader;
    struct v2_infer_request *ret;
    uint64_t inputs_given; /* bits: indexes into the signature */
    uint64_t outputs_given;
};

static enum err fail_member(const struct v2_reader *reader, const char *member,
                            const char *expected, yyjson_val *found, struct str input) {
    const char *kind = found ? v2_json_kind(found) : "nothing";
    if (!input.p) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse '%s' for model '%s': expected %s, got %s", member,
                       reader->signature->model, expected, kind);
    }
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse '%s': input '%.*s' for model '%s' expected %s, got %s", member,
                   V2_NAME_ARG(input), reader->signature->model, expected, kind);
}

static enum err read_shape(const struct v2_reader *reader, yyjson_val *array, struct str input,
                           int64_t shape[TENSOR_RANK_MAX], size_t *ret_rank) {
    if (!yyjson_is_arr(array))
        return fail_member(reader, "shape", "an array of integers", array, input);
    size_t rank = yyjson_arr_size(array);
    if (rank > TENSOR_RANK_MAX) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse 'shape': input '%.*s' for model '%s' has %zu dimensions, "
                       "expected at most %d",
                       V2_NAME_ARG(input), reader->signature->model, rank, TENSOR_RANK_MAX);
    }
    size_t i = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *value; (value = yyjson_arr_iter_next(&iter)); i++) {
        bool fits =
            yyjson_is_uint(value) ? yyjson_get_uint(value) <= INT64_MAX : yyjson_is_sint(value);
        if (!fits)
            return fail_member(reader, "shape", "an array of 64-bit integers", value, input);
        shape[i] = yyjson_get_sint(value);
    }
    *ret_rank = rank;
    return ERR_OK;
}

/* Datatype and shape of an input, checked against the model's. */
static enum err read_type(const struct v2_reader *reader, const struct tensor_spec *spec,
                          yyjson_val *datatype_value, yyjson_val *shape_value, struct tensor *ret) {
    struct str input = str_of(spec->name);
    if (!yyjson_is_str(datatype_value))
        return fail_member(reader, "datatype", "a string", datatype_value, input);
    struct str name = v2_json_str(datatype_value);
    enum datatype datatype;
    if (!datatype_from_name(name, &datatype)) {
        return err_set(
            reader->text, ERR_INVALID,
            "Unable to parse 'datatype': input '%s' for model '%s' expected '%s', got the "
            "unknown datatype '%.*s'",
            spec->name, reader->signature->model, datatype_name(spec->datatype), V2_NAME_ARG(name));
    }
    int64_t shape[TENSOR_RANK_MAX];
    size_t rank = 0;
    enum err e = read_shape(reader, shape_value, input, shape, &rank);
    if (e)
        return e;
    struct err_text why;
    e = tensor_set(ret, datatype, shape, rank, &why);
    if (e) {
        return err_set(
            reader->text, e,
            "Unable to parse 'shape': unexpected shape for input '%s' for model '%s': %s",
            spec->name, reader->signature->model, why.s);
    }
    return tensor_check_spec(ret, spec, reader->signature, reader->text);
}

static enum err read_binary_input(struct v2_reader *reader, const struct tensor_spec *spec,
                                  const struct v2_input_parameters *parameters,
                                  struct tensor *tensor) {
    uint64_t size = parameters->size;
    if (!parameters->has_size) {
        if (tensor->count > 0 && (!reader->has_blobs || tensor->datatype == DATATYPE_BYTES)) {
            return err_set(
                reader->text, ERR_INVALID,
                "Unable to parse 'data': input '%s' for model '%s' has neither 'data' nor "
                "'binary_data_size'",
                spec->name, reader->signature->model);
        }
        size = tensor_bytes(tensor);
    }
    if (!reader->has_blobs && size > 0) {
        return err_set(
            reader->text, ERR_INVALID,
            "must specify valid 'Inference-Header-Content-Length' in request header and "
            "'binary_data_size' when passing inputs in binary data format (input '%s' for "
            "model '%s')",
            spec->name, reader->signature->model);
    }
    struct str blob;
    enum err e = v2_blob_take(reader, spec, size, &blob);
    return e ? e : v2_blob_read(reader, blob, spec, tensor);
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

static enum err read_input(struct request *request, yyjson_val *object) {
    struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    struct v2_member members[] = {
        {"name", NULL}, {"shape", NULL}, {"datatype", NULL}, {"data", NULL}, {"parameters", NULL}};
    enum { NAME, SHAPE, DATATYPE, DATA, PARAMETERS };
    enum err e =
        v2_json_members(reader, object, "an entry of 'inputs'", members, ARRAY_LEN(members));
    if (e)
        return e;
    if (!yyjson_is_str(members[NAME].value)) {
        return fail_member(reader, "name", "the input's name", members[NAME].value,
                           (struct str){NULL, 0});
    }
    struct str name = v2_json_str(members[NAME].value);
    size_t index;
    if (!signature_find_input(signature, name, &index))
        return fail_name(reader, "input", name, signature->inputs, signature->input_count);
    const struct tensor_spec *spec = &signature->inputs[index];
    if (request->inputs_given & (uint64_t)1 << index) {
        return err_set(reader->text, ERR_INVALID,
                       "input '%s' already exists in request for model '%s'", spec->name,
                       signature->model);
    }
    request->inputs_given |= (uint64_t)1 << index;

    struct v2_input_parameters parameters;
    e = v2_parameters_read_input(reader, members[PARAMETERS].value, name, &parameters);
    if (e)
        return e;
    struct tensor *tensor = &request->ret->inputs[index];
    e = read_type(reader, spec, members[DATATYPE].value, members[SHAPE].value, tensor);
    if (e)
        return e;
    if (!members[DATA].value)
        return read_binary_input(reader, spec, &parameters, tensor);
    if (parameters.has_size) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse 'data': input '%s' for model '%s' has both 'data' and "
                       "'binary_data_size'",
                       spec->name, signature->model);
    }
    return v2_values_read(reader, members[DATA].value, spec, tensor);
}

static enum err check_inputs(const struct request *request) {
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
    if (reader->blobs.n > 0) {
        return err_set(
            reader->text, ERR_INVALID,
            "unexpected additional input data for model '%s': %zu bytes follow the data of "
            "the last input",
            signature->model, reader->blobs.n);
    }
    return ERR_OK;
}

static enum err read_inputs(struct request *request, yyjson_val *array) {
    struct v2_reader *reader = request->reader;
    if (!yyjson_is_arr(array))
        return fail_member(reader, "inputs", "an array", array, (struct str){NULL, 0});
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *object; (object = yyjson_arr_iter_next(&iter));) {
        enum err e = read_input(request, object);
        if (e)
            return e;
    }
    return check_inputs(request);
}

static enum err read_output(struct request *request, yyjson_val *object) {
    struct v2_reader *reader = request->reader;
    const struct signature *signature = reader->signature;
    struct v2_member members[] = {{"name", NULL}, {"parameters", NULL}};
    enum { NAME, PARAMETERS };
    enum err e =
        v2_json_members(reader, object, "an entry of 'outputs'", members, ARRAY_LEN(members));
    if (e)
        return e;
    if (!yyjson_is_str(members[NAME].value)) {
        return fail_member(reader, "name", "the output's name", members[NAME].value,
                           (struct str){NULL, 0});
    }
    struct str name = v2_json_str(members[NAME].value);
    size_t index;
    if (!signature_find_output(signature, name, &index))
        return fail_name(reader, "output", name, signature->outputs, signature->output_count);
    if (request->outputs_given & (uint64_t)1 << index) {
        return err_set(reader->text, ERR_INVALID, "output '%.*s' already requested for model '%s'",
                       V2_NAME_ARG(name), signature->model);
    }
    request->outputs_given |= (uint64_t)1 << index;
    bool binary = reader->binary_default;
    e = v2_parameters_read_output(reader, members[PARAMETERS].value, name, &binary);
    if (!e) {
        request->ret->outputs[request->ret->output_count++] =
            (struct v2_output_request){index, binary};
    }
    return e;
}

static void ask_for_all(struct v2_infer_request *ret, const struct v2_reader *reader) {
    ret->output_count = reader->signature->output_count;
    for (size_t i = 0; i < ret->output_count; i++)
        ret->outputs[i] = (struct v2_output_request){i, reader->binary_default};
}

static enum err read_outputs(struct request *request, yyjson_val *array) {
    struct v2_reader *reader = request->reader;
    if (array && !yyjson_is_arr(array))
        return fail_member(reader, "outputs", "an array", array, (struct str){NULL, 0});
    if (yyjson_arr_size(array) == 0) {
        ask_for_all(request->ret, reader);
        return ERR_OK;
    }
    request->ret->outputs_named = true;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *object; (object = yyjson_arr_iter_next(&iter));) {
        enum err e = read_output(request, object);
        if (e)
            return e;
    }
    return ERR_OK;
}

static enum err read_id(const struct v2_reader *reader, yyjson_val *value, struct str *ret) {
    if (!value)
        return ERR_OK;
    if (!yyjson_is_str(value))
        return fail_member(reader, "id", "a string", value, (struct str){NULL, 0});
    struct str id = v2_json_str(value);
    if (id.n > V2_ID_MAX) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse 'id' for model '%s': it has %zu bytes, expected at most %d",
                       reader->signature->model, id.n, V2_ID_MAX);
    }
    *ret = id;
    return ERR_OK;
}

static enum err read_json(struct request *request, char *json, size_t length) {
    struct v2_reader *reader = request->reader;
    struct v2_member members[] = {
        {"id", NULL}, {"parameters", NULL}, {"inputs", NULL}, {"outputs", NULL}};
    enum { ID, PARAMETERS, INPUTS, OUTPUTS };
    yyjson_val *root;
    enum err e = v2_json_parse(reader, json, length, &root);
    if (!e)
        e = v2_json_members(reader, root, "the request", members, ARRAY_LEN(members));
    if (!e)
        e = read_id(reader, members[ID].value, &request->ret->id);
    if (!e)
        e = v2_parameters_read_request(reader, members[PARAMETERS].value, request->ret);
    if (!e)
        e = read_outputs(request, members[OUTPUTS].value);
    return e ? e : read_inputs(request, members[INPUTS].value);
}

enum err v2_infer_read(struct arena *arena, char *body, size_t body_length, int64_t json_length,
                       const struct signature *signature, const struct v2_limits *limits,
                       struct v2_infer_request *ret, struct err_text *text) {
    CHECK(signature->input_count <= SIGNATURE_TENSORS_MAX);
    CHECK(signature->output_count <= SIGNATURE_TENSORS_MAX);
    CHECK(json_length == V2_NO_HEADER_LENGTH ||
          (json_length >= 0 && (uint64_t)json_length <= body_length));
    struct v2_reader reader = {
        .arena = arena,
        .signature = signature,
        .bytes_max = limits->tensor_bytes_max,
        .has_blobs = json_length != V2_NO_HEADER_LENGTH,
        .binary_default = json_length == 0,
        .text = text,
    };
    struct v2_infer_request read = {
        .inputs = arena_new(arena, signature->input_count * sizeof *read.inputs),
        .outputs = arena_new(arena, signature->output_count * sizeof *read.outputs),
    };
    struct request request = {&reader, &read, 0, 0};
    enum err e;
    if (json_length == 0) {
        ask_for_all(&read, &reader);
        e = v2_blob_read_raw(&reader, (struct str){body, body_length}, read.inputs);
    } else {
        size_t length = reader.has_blobs ? (size_t)json_length : body_length;
        char *json = body;
        if (length < body_length) { /* the blobs stand where in-situ parsing would write */
            json = arena_new(arena, length + YYJSON_PADDING_SIZE);
            memcpy(json, body, length);
            reader.blobs = (struct str){body + length, body_length - length};
        }
        e = read_json(&request, json, length);
    }
    if (!e)
        *ret = read;
    return e;
}

enum err v2_header_length_read(struct str value, size_t body_length, int64_t *ret,
                               struct err_text *text) {
    uint64_t length;
    if (!str_to_u64(value, &length) || length > body_length) {
        return err_set(text, ERR_INVALID,
                       "inference header size should be in range (0, %zu), got: %.*s "
                       "(Inference-Header-Content-Length)",
                       body_length, V2_NAME_ARG(value));
    }
    *ret = (int64_t)length;
    return ERR_OK;
}
