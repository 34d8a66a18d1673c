/* A ModelInferRequest, from its bytes to tensors in the model's order. raw_input_contents, which is
 * nearly all of a large request, never goes through protobuf-c: a scan of the top level takes its
 * entries as views, and what is left, most often one run of bytes before them, is unpacked. */
#include "base/check.h"
#include "protocol/v2_binary.h"
#include "protocol/v2_contents.h"
#include "protocol/v2_parameters.h"
#include "protocol/v2_proto.h"
#include "protocol/v2_request.h"
#include "protocol/v2_wire.h"

#include <inference.pb-c.h>

enum field_number { MODEL_NAME = 1, MODEL_VERSION = 2, ID = 3, RAW_INPUT_CONTENTS = 7 };

/* ---- The first step ---- */

/* What the scan of the top level finds. */
struct scan {
    struct v2_proto_infer *found;
    struct str *raws; /* SIGNATURE_TENSORS_MAX of them */
    struct str rest;  /* one run without raw_input_contents, while it is one */
    size_t rest_bytes;
    bool torn; /* it is more than one */
};

static void add_rest(struct scan *scan, struct str field) {
    if (scan->rest_bytes == 0)
        scan->rest = (struct str){field.p, 0};
    else if (scan->rest.p + scan->rest.n != field.p)
        scan->torn = true;
    scan->rest_bytes += field.n;
    scan->rest.n += field.n;
}

static enum err scan_message(struct scan *scan, struct str message, struct err_text *text) {
    struct v2_proto_infer *found = scan->found;
    struct str rest = message;
    struct v2_wire_field field;
    while (v2_wire_next(&rest, &field)) {
        if (field.number == RAW_INPUT_CONTENTS && field.type == V2_WIRE_BYTES) {
            if (found->raw_count == SIGNATURE_TENSORS_MAX) {
                return err_set(text, ERR_INVALID,
                               "the request has more than %d entries of 'raw_input_contents'",
                               SIGNATURE_TENSORS_MAX);
            }
            scan->raws[found->raw_count++] = field.bytes;
            continue;
        }
        if (field.type == V2_WIRE_BYTES && field.number == MODEL_NAME)
            found->model_name = field.bytes;
        else if (field.type == V2_WIRE_BYTES && field.number == MODEL_VERSION)
            found->model_version = field.bytes;
        else if (field.type == V2_WIRE_BYTES && field.number == ID && field.bytes.n > 0)
            found->id = field.bytes;
        add_rest(scan, field.whole);
    }
    if (rest.n > 0) {
        return err_set(text, ERR_INVALID,
                       "Unable to parse the ModelInferRequest: its %zu bytes are no such message "
                       "(at byte %zu)",
                       message.n, message.n - rest.n);
    }
    return ERR_OK;
}

/* The fields that are not raw_input_contents, side by side. */
static enum err join_rest(struct arena *arena, const struct scan *scan, struct str message,
                          size_t bytes_max, struct str *ret, struct err_text *text) {
    if (scan->rest_bytes > bytes_max) {
        return err_set(text, ERR_BODY_TOO_LARGE,
                       "the ModelInferRequest has %zu bytes beside 'raw_input_contents', and at "
                       "most %zu are accepted",
                       scan->rest_bytes, bytes_max);
    }
    char *out = arena_try_new(arena, scan->rest_bytes, 1, bytes_max);
    if (!out)
        return err_set(text, ERR_NO_MEMORY, "no memory to read the ModelInferRequest");
    *ret = (struct str){out, scan->rest_bytes};
    struct v2_wire_field field;
    while (v2_wire_next(&message, &field)) {
        if (field.number == RAW_INPUT_CONTENTS && field.type == V2_WIRE_BYTES)
            continue;
        memcpy(out, field.whole.p, field.whole.n);
        out += field.whole.n;
    }
    return ERR_OK;
}

enum err v2_proto_infer_open(struct arena *arena, struct str message,
                             const struct v2_limits *limits, struct v2_proto_infer *ret,
                             struct err_text *text) {
    struct v2_proto_infer found = {.model_name = STR(""), .model_version = STR("")};
    struct scan scan = {
        .found = &found,
        .raws = arena_new(arena, SIGNATURE_TENSORS_MAX * sizeof *scan.raws),
        .rest = STR(""),
    };
    found.raws = scan.raws;
    enum err e = scan_message(&scan, message, text);
    if (!e && scan.torn)
        e = join_rest(arena, &scan, message, limits->tensor_bytes_max, &scan.rest, text);
    ProtobufCMessage *unpacked = NULL;
    if (!e) {
        e = v2_proto_unpack(arena, &inference__model_infer_request__descriptor, scan.rest,
                            limits->tensor_bytes_max, &unpacked, text);
    }
    if (e)
        return e;
    found.message = (const Inference__ModelInferRequest *)(const void *)unpacked;
    *ret = found;
    return ERR_OK;
}

/* ---- Parameters ---- */

static struct v2_parameter parameter_of(const char *key, const Inference__InferParameter *value) {
    struct v2_parameter ret = {.name = str_of(key)};
    switch (value ? value->parameter_choice_case
                  : INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE__NOT_SET) {
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_BOOL_PARAM:
        ret.kind = V2_PARAMETER_BOOLEAN;
        ret.boolean = value->bool_param != 0;
        ret.zero = !ret.boolean;
        break;
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_INT64_PARAM:
        ret.kind = value->int64_param < 0 ? V2_PARAMETER_NUMBER : V2_PARAMETER_UNSIGNED;
        ret.whole = (uint64_t)value->int64_param;
        ret.zero = ret.whole == 0;
        break;
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_UINT64_PARAM:
        ret.kind = V2_PARAMETER_UNSIGNED;
        ret.whole = value->uint64_param;
        ret.zero = ret.whole == 0;
        break;
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_DOUBLE_PARAM:
        ret.kind = V2_PARAMETER_NUMBER;
        ret.zero = value->double_param == 0;
        break;
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_STRING_PARAM:
        ret.kind = V2_PARAMETER_TEXT;
        ret.zero = value->string_param[0] == '\0';
        break;
    case INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE__NOT_SET:
    default:
        break;
    }
    return ret;
}

/* Room for a list of `count`; without, when there are too many, which the list then says. */
static struct v2_parameter *list_new(const struct v2_reader *reader, size_t count,
                                     struct v2_parameters *ret) {
    struct v2_parameter *items = NULL;
    *ret = (struct v2_parameters){.fault = v2_parameters_check_count(count)};
    if (!ret->fault) {
        items = arena_new(reader->arena, count * sizeof *items);
        *ret = (struct v2_parameters){items, count, NULL};
    }
    return items;
}

static enum err read_request_parameters(struct v2_reader *reader,
                                        const Inference__ModelInferRequest *message,
                                        struct v2_infer_request *ret) {
    struct v2_parameters list;
    struct v2_parameter *items = list_new(reader, message->n_parameters, &list);
    for (size_t i = 0; items && i < message->n_parameters; i++) {
        struct v2_parameter item =
            parameter_of(message->parameters[i]->key, message->parameters[i]->value);
        /* Whatever it says: an answer on a stream always is the request's last. */
        if (str_eq(item.name, STR("triton_enable_empty_final_response")))
            list.count--;
        else
            *items++ = item;
    }
    return v2_parameters_read_request(reader, &list, ret);
}

static enum err
read_input_parameters(const struct v2_reader *reader,
                      const Inference__ModelInferRequest__InferInputTensor *message) {
    struct v2_parameters list;
    struct v2_parameter *items = list_new(reader, message->n_parameters, &list);
    for (size_t i = 0; items && i < message->n_parameters; i++)
        items[i] = parameter_of(message->parameters[i]->key, message->parameters[i]->value);
    struct v2_input_parameters unused; /* the size of raw data is its entry's */
    return v2_parameters_read_input(reader, &list, str_of(message->name), &unused);
}

static enum err
read_output_parameters(const struct v2_reader *reader,
                       const Inference__ModelInferRequest__InferRequestedOutputTensor *message) {
    struct v2_parameters list;
    struct v2_parameter *items = list_new(reader, message->n_parameters, &list);
    for (size_t i = 0; items && i < message->n_parameters; i++)
        items[i] = parameter_of(message->parameters[i]->key, message->parameters[i]->value);
    bool unused; /* all outputs are binary */
    return v2_parameters_read_output(reader, &list, str_of(message->name), &unused);
}

/* ---- The second step ---- */

static enum err read_id(const struct v2_reader *reader, struct str id, struct str *ret) {
    enum err e = v2_request_check_id(reader, id);
    if (!e && !str_is_utf8(id)) {
        return err_set(reader->text, ERR_INVALID,
                       "Unable to parse 'id' for model '%s': it is not UTF-8",
                       reader->signature->model);
    }
    if (!e)
        *ret = id;
    return e;
}

static enum err read_outputs(struct v2_request *request,
                             const Inference__ModelInferRequest *message) {
    if (message->n_outputs == 0) {
        v2_request_ask_for_all(request);
        return ERR_OK;
    }
    request->ret->outputs_named = true;
    for (size_t i = 0; i < message->n_outputs; i++) {
        size_t index;
        enum err e = v2_request_add_output(request, str_of(message->outputs[i]->name), &index);
        if (!e)
            e = read_output_parameters(request->reader, message->outputs[i]);
        if (e)
            return e;
        request->ret->outputs[request->ret->output_count++] =
            (struct v2_output_request){index, true};
    }
    return ERR_OK;
}

static enum err read_type(const struct v2_reader *reader, const struct tensor_spec *spec,
                          const Inference__ModelInferRequest__InferInputTensor *message,
                          struct tensor *ret) {
    enum err e = v2_request_find_datatype(reader, spec, str_of(message->datatype), &ret->datatype);
    if (!e)
        e = v2_request_check_rank(reader, spec, message->n_shape);
    return e ? e : v2_request_set_shape(reader, spec, message->shape, message->n_shape, ret);
}

/* An input, and how many raw entries its predecessors have taken: they stand in the order of the
 * inputs, and those whose data is typed have none. */
static enum err read_input(struct v2_request *request, const struct v2_proto_infer *open,
                           const Inference__ModelInferRequest__InferInputTensor *message,
                           size_t *raws_taken) {
    struct v2_reader *reader = request->reader;
    size_t index;
    enum err e = v2_request_add_input(request, str_of(message->name), &index);
    if (!e)
        e = read_input_parameters(reader, message);
    if (e)
        return e;
    const struct tensor_spec *spec = &reader->signature->inputs[index];
    struct tensor *tensor = &request->ret->inputs[index];
    e = read_type(reader, spec, message, tensor);
    if (e)
        return e;
    if (v2_contents_given(message->contents))
        return v2_contents_read(reader, message->contents, spec, tensor);
    if (*raws_taken < open->raw_count)
        return v2_blob_read(reader, open->raws[(*raws_taken)++], spec, tensor);
    if (tensor->count == 0)
        return ERR_OK;
    return err_set(reader->text, ERR_INVALID,
                   "Unable to parse 'contents': input '%s' for model '%s' has neither 'contents' "
                   "nor an entry of 'raw_input_contents'",
                   spec->name, reader->signature->model);
}

static enum err read_inputs(struct v2_request *request, const struct v2_proto_infer *open) {
    const struct v2_reader *reader = request->reader;
    size_t raws_taken = 0;
    for (size_t i = 0; i < open->message->n_inputs; i++) {
        enum err e = read_input(request, open, open->message->inputs[i], &raws_taken);
        if (e)
            return e;
    }
    enum err e = v2_request_check_inputs(request);
    if (!e && raws_taken < open->raw_count) {
        return err_set(reader->text, ERR_INVALID,
                       "unexpected additional input data for model '%s': 'raw_input_contents' has "
                       "%zu entries, and the inputs without 'contents' took %zu",
                       reader->signature->model, open->raw_count, raws_taken);
    }
    return e;
}

enum err v2_proto_infer_read(struct arena *arena, const struct v2_proto_infer *open,
                             const struct signature *signature, const struct v2_limits *limits,
                             struct v2_infer_request *ret, struct err_text *text) {
    struct v2_reader reader = {
        .arena = arena,
        .signature = signature,
        .bytes_max = limits->tensor_bytes_max,
        .text = text,
    };
    struct v2_infer_request read;
    struct v2_request request;
    v2_request_init(&request, &reader, &read);
    enum err e = read_id(&reader, open->id, &read.id);
    if (!e)
        e = read_request_parameters(&reader, open->message, &read);
    reader.binary_default = true; /* whatever binary_data_output says */
    if (!e)
        e = read_outputs(&request, open->message);
    if (!e)
        e = read_inputs(&request, open);
    if (!e)
        *ret = read;
    return e;
}
