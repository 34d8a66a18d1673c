/* A v2 inference request, from its body to tensors in the model's order. Each input is read as its
 * JSON object is met, so binary data is taken in the order of the objects. Nothing is kept of a
 * request that fails but its error text. */
#include "base/check.h"
#include "protocol/v2_binary.h"
#include "protocol/v2_infer.h"
#include "protocol/v2_lift.h"
#include "protocol/v2_numbers.h"
#include "protocol/v2_parameters.h"
#include "protocol/v2_request.h"
#include "protocol/v2_values.h"

#include <stdio.h>

_Static_assert(V2_BODY_SPARE >= YYJSON_PADDING_SIZE, "in-situ parsing");
_Static_assert((int)V2_BODY_SPARE >= (int)V2_NUMBERS_SPARE, "reading lifted arrays");

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

static enum err read_shape(const struct v2_reader *reader, yyjson_val *array,
                           const struct tensor_spec *spec, int64_t shape[TENSOR_RANK_MAX],
                           size_t *ret_rank) {
    struct str input = str_of(spec->name);
    if (!yyjson_is_arr(array))
        return fail_member(reader, "shape", "an array of integers", array, input);
    size_t rank = yyjson_arr_size(array);
    enum err e = v2_request_check_rank(reader, spec, rank);
    if (e)
        return e;
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
    enum err e =
        v2_request_find_datatype(reader, spec, v2_json_str(datatype_value), &ret->datatype);
    if (e)
        return e;
    int64_t shape[TENSOR_RANK_MAX];
    size_t rank = 0;
    e = read_shape(reader, shape_value, spec, shape, &rank);
    return e ? e : v2_request_set_shape(reader, spec, shape, rank, ret);
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

static enum err read_input(struct v2_request *request, yyjson_val *object) {
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
    e = v2_request_add_input(request, name, &index);
    if (e)
        return e;
    const struct tensor_spec *spec = &signature->inputs[index];

    struct v2_parameters list = v2_parameters_from_json(reader, members[PARAMETERS].value);
    struct v2_input_parameters parameters;
    e = v2_parameters_read_input(reader, &list, name, &parameters);
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

static enum err check_inputs(const struct v2_request *request) {
    const struct v2_reader *reader = request->reader;
    enum err e = v2_request_check_inputs(request);
    if (e)
        return e;
    if (reader->blobs.n > 0) {
        return err_set(
            reader->text, ERR_INVALID,
            "unexpected additional input data for model '%s': %zu bytes follow the data of "
            "the last input",
            reader->signature->model, reader->blobs.n);
    }
    return ERR_OK;
}

static enum err read_inputs(struct v2_request *request, yyjson_val *array) {
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

static enum err read_output(struct v2_request *request, yyjson_val *object) {
    struct v2_reader *reader = request->reader;
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
    e = v2_request_add_output(request, name, &index);
    if (e)
        return e;
    struct v2_parameters list = v2_parameters_from_json(reader, members[PARAMETERS].value);
    bool binary = reader->binary_default;
    e = v2_parameters_read_output(reader, &list, name, &binary);
    if (!e) {
        request->ret->outputs[request->ret->output_count++] =
            (struct v2_output_request){index, binary};
    }
    return e;
}

static enum err read_outputs(struct v2_request *request, yyjson_val *array) {
    struct v2_reader *reader = request->reader;
    if (array && !yyjson_is_arr(array))
        return fail_member(reader, "outputs", "an array", array, (struct str){NULL, 0});
    if (!array || yyjson_arr_size(array) == 0) {
        v2_request_ask_for_all(request);
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
    enum err e = v2_request_check_id(reader, id);
    if (!e)
        *ret = id;
    return e;
}

static enum err read_members(struct v2_request *request, char *json, size_t length) {
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
    if (!e) {
        struct v2_parameters list = v2_parameters_from_json(reader, members[PARAMETERS].value);
        e = v2_parameters_read_request(reader, &list, request->ret);
    }
    if (!e)
        e = read_outputs(request, members[OUTPUTS].value);
    return e ? e : read_inputs(request, members[INPUTS].value);
}

/* Without its large arrays of numbers, which are read from their text. What this cannot read, for
 * whatever reason, is read again as it is: only that says what is wrong. */
static bool read_lifted(struct v2_request *request, const char *json, size_t length) {
    struct v2_lift lift;
    struct v2_reader reader = *request->reader;
    struct v2_infer_request ret = *request->ret;
    struct v2_request lifted = {&reader, &ret, 0, 0};
    reader.lift = &lift;
    reader.text = NULL;
    if (!v2_lift_arrays(reader.arena, json, length, &lift) ||
        read_members(&lifted, lift.json, lift.length) || lift.taken < lift.count) {
        return false;
    }
    *request->ret = ret;
    return true;
}

/* The JSON; it is copied when blobs stand where in-situ parsing would write. */
static enum err read_json(struct v2_request *request, char *body, size_t length) {
    struct v2_reader *reader = request->reader;
    if (length >= V2_LIFT_MIN && read_lifted(request, body, length))
        return ERR_OK;
    char *json = body;
    if (reader->blobs.n > 0) {
        json = arena_try_new(reader->arena, length + YYJSON_PADDING_SIZE, 1, SIZE_MAX);
        if (!json)
            return v2_reader_fail_memory(reader);
        memcpy(json, body, length);
    }
    return read_members(request, json, length);
}

enum err v2_infer_read(struct arena *arena, char *body, size_t body_length, int64_t json_length,
                       const struct signature *signature, const struct v2_limits *limits,
                       struct v2_infer_request *ret, struct err_text *text) {
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
    struct v2_infer_request read;
    struct v2_request request;
    v2_request_init(&request, &reader, &read);
    enum err e;
    if (json_length == 0) {
        v2_request_ask_for_all(&request);
        e = v2_blob_read_raw(&reader, (struct str){body, body_length}, read.inputs);
    } else {
        size_t length = reader.has_blobs ? (size_t)json_length : body_length;
        reader.blobs = (struct str){body + length, body_length - length};
        e = read_json(&request, body, length);
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
