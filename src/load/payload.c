#include "load/payload.h"

#include "base/check.h"
#include "base/num.h"
#include "protocol/v2_proto.h"

#include <inference.pb-c.h>

#define GRPC_SERVICE "/inference.GRPCInferenceService/"

/* What differs between requests of HTTP. */
struct head {
    const char *method;
    struct str path;
    const char *content_type; /* NULL: no body */
    size_t json_length;       /* 0: no Inference-Header-Content-Length */
    bool is_grpc;
};

/* ---- paths ---- */

static bool is_unreserved(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           strchr("-._~", c);
}

static void add_segment(struct buffer *path, const char *segment) {
    for (; *segment; segment++)
        if (is_unreserved(*segment))
            buffer_add_char(path, *segment);
        else
            buffer_add_format(path, "%%%02X", (unsigned)(unsigned char)*segment);
}

/* /v2/models/NAME[/versions/VERSION] and `tail`. */
static struct str model_path(struct arena *arena, const struct payload_target *target,
                             const char *tail) {
    struct buffer path;
    buffer_init(&path, 1 << 20);
    buffer_add_c(&path, "/v2/models/");
    add_segment(&path, target->model);
    if (target->version[0]) {
        buffer_add_c(&path, "/versions/");
        add_segment(&path, target->version);
    }
    buffer_add_c(&path, tail);
    struct str copy = {arena_copy(arena, buffer_str(&path)), path.used};
    buffer_done(&path);
    return copy;
}

/* ---- messages ---- */

static void add_field(struct wire_request *request, struct str name, struct str value) {
    CHECK(request->field_count < WIRE_FIELDS_MAX);
    request->fields[request->field_count++] = (struct wire_field){name, value};
}

static struct str number_text(struct arena *arena, size_t number) {
    return str_of(arena_format(arena, "%zu", number));
}

static void make_http2(struct arena *arena, const struct payload_target *target,
                       const struct head *head, struct str body, struct wire_request *ret) {
    add_field(ret, STR(":method"), str_of(head->method));
    add_field(ret, STR(":scheme"), STR("http"));
    add_field(ret, STR(":authority"), str_of(arena_copy(arena, str_of(target->authority))));
    add_field(ret, STR(":path"), head->path);
    if (head->is_grpc) {
        add_field(ret, STR("te"), STR("trailers"));
        add_field(ret, STR("content-type"), STR("application/grpc"));
    } else if (head->content_type) {
        add_field(ret, STR("content-type"), str_of(arena_copy(arena, str_of(head->content_type))));
        add_field(ret, STR("content-length"), number_text(arena, body.n));
    }
    if (head->json_length > 0)
        add_field(ret, STR("inference-header-content-length"),
                  number_text(arena, head->json_length));
    ret->body = body;
}

static void make_http1(struct arena *arena, const struct payload_target *target,
                       const struct head *head, struct str body, struct wire_request *ret) {
    struct buffer message;
    buffer_init(&message, PAYLOAD_BYTES_MAX + (1 << 20));
    buffer_add_format(&message, "%s %.*s HTTP/1.1\r\nHost: %s\r\n", head->method,
                      STR_ARG(head->path), target->authority);
    if (head->json_length > 0)
        buffer_add_format(&message, "Inference-Header-Content-Length: %zu\r\n", head->json_length);
    if (head->content_type)
        buffer_add_format(&message, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                          head->content_type, body.n);
    buffer_add_c(&message, "\r\n");
    buffer_add_str(&message, body);
    CHECK(!message.full);
    ret->http1 = (struct str){arena_copy(arena, buffer_str(&message)), message.used};
    buffer_done(&message);
}

/* The body's bytes live in the arena. */
static void make(struct arena *arena, const struct payload_target *target, const struct head *head,
                 struct str body, struct wire_request *ret) {
    *ret = (struct wire_request){0};
    make_http2(arena, target, head, body, ret);
    if (!head->is_grpc)
        make_http1(arena, target, head, body, ret);
}

static struct str keep(struct arena *arena, struct buffer *buffer) {
    struct str kept = {arena_copy(arena, buffer_str(buffer)), buffer->used};
    buffer_done(buffer);
    return kept;
}

/* ---- gRPC ---- */

static struct str pack(struct arena *arena, const ProtobufCMessage *message) {
    struct buffer packed;
    buffer_init(&packed, PAYLOAD_BYTES_MAX);
    v2_proto_pack(&packed, message);
    return packed.full ? (buffer_done(&packed), (struct str){0}) : keep(arena, &packed);
}

static void fill_input(struct arena *arena, const struct tensor *tensor,
                       const struct tensor_spec *spec,
                       Inference__ModelInferRequest__InferInputTensor *ret) {
    inference__model_infer_request__infer_input_tensor__init(ret);
    ret->name = spec->name;
    ret->datatype = arena_copy(arena, str_of(datatype_name(tensor->datatype)));
    ret->n_shape = tensor->rank;
    ret->shape = arena_new(arena, TENSOR_RANK_MAX * sizeof *ret->shape);
    memcpy(ret->shape, tensor->shape, sizeof tensor->shape);
}

static void fill_outputs(struct arena *arena, const struct signature *signature,
                         const struct v2_infer_request *request,
                         Inference__ModelInferRequest *message) {
    if (!request->outputs_named)
        return;
    message->n_outputs = request->output_count;
    message->outputs = arena_new(arena, request->output_count * sizeof *message->outputs);
    for (size_t i = 0; i < request->output_count; i++) {
        message->outputs[i] = arena_new(arena, sizeof **message->outputs);
        inference__model_infer_request__infer_requested_output_tensor__init(message->outputs[i]);
        message->outputs[i]->name = signature->outputs[request->outputs[i].index].name;
    }
}

static enum err pack_infer(struct arena *arena, const struct payload_target *target,
                           const struct signature *signature,
                           const struct v2_infer_request *request, const struct str *raws,
                           struct str *ret, struct err_text *text) {
    Inference__ModelInferRequest message;
    size_t count = signature->input_count;
    inference__model_infer_request__init(&message);
    message.model_name = arena_copy(arena, str_of(target->model));
    message.model_version = arena_copy(arena, str_of(target->version));
    message.n_inputs = message.n_raw_input_contents = count;
    message.inputs = arena_new(arena, count * sizeof *message.inputs);
    message.raw_input_contents = arena_new(arena, count * sizeof *message.raw_input_contents);
    for (size_t i = 0; i < count; i++) {
        message.inputs[i] = arena_new(arena, sizeof **message.inputs);
        fill_input(arena, &request->inputs[i], &signature->inputs[i], message.inputs[i]);
        /* protobuf-c does not write to what it packs. */
        message.raw_input_contents[i] =
            (ProtobufCBinaryData){raws[i].n, (uint8_t *)(uintptr_t)raws[i].p};
    }
    fill_outputs(arena, signature, request, &message);
    *ret = pack(arena, &message.base);
    return ret->p ? ERR_OK
                  : err_set(text, ERR_INVALID, "the request is larger than %d bytes",
                            PAYLOAD_BYTES_MAX);
}

/* ---- REST ---- */

/* An answer's outputs look as a request's inputs do; so the request is an answer of a model that
 * gives them, and its beginning is replaced. */
#define ANSWER_HEAD "{\"model_name\":\"\",\"model_version\":\"\",\"outputs\":["

static void add_request_head(const struct signature *signature,
                             const struct v2_infer_request *request, bool binary,
                             struct buffer *out) {
    buffer_add_char(out, '{');
    if (binary)
        buffer_add_c(out, "\"parameters\":{\"binary_data_output\":true},");
    if (request->outputs_named) {
        buffer_add_c(out, "\"outputs\":[");
        for (size_t i = 0; i < request->output_count; i++) {
            buffer_add_c(out, i ? ",{\"name\":" : "{\"name\":");
            buffer_add_json_string(out, str_of(signature->outputs[request->outputs[i].index].name));
            buffer_add_char(out, '}');
        }
        buffer_add_c(out, "],");
    }
    buffer_add_c(out, "\"inputs\":[");
}

/* The inputs, each as JSON or as a blob: the JSON goes to `json` behind ANSWER_HEAD. */
static enum err write_inputs(struct arena *arena, const struct signature *signature,
                             const struct v2_infer_request *request, bool binary,
                             struct buffer *json, struct str *parts, struct err_text *text) {
    size_t count = signature->input_count, part_count;
    struct signature mirrored = {
        .model = "", .version = "", .outputs = signature->inputs, .output_count = count};
    struct v2_infer_request all = {.output_count = count};
    all.outputs = arena_new(arena, count * sizeof *all.outputs);
    for (size_t i = 0; i < count; i++)
        all.outputs[i] = (struct v2_output_request){i, binary};
    struct v2_infer_response response = {.signature = &mirrored,
                                         .request = &all,
                                         .outputs = request->inputs,
                                         .nonfinite = V2_NONFINITE_NULL};
    return v2_infer_write(arena, &response, json, parts, &part_count, text);
}

static enum err write_rest(struct arena *arena, const struct signature *signature,
                           const struct v2_infer_request *request, bool binary, struct str *ret,
                           size_t *ret_json_length, struct err_text *text) {
    struct str parts[SIGNATURE_TENSORS_MAX];
    struct buffer json, body;
    buffer_init(&json, PAYLOAD_BYTES_MAX);
    buffer_init(&body, PAYLOAD_BYTES_MAX);
    enum err e = write_inputs(arena, signature, request, binary, &json, parts, text);
    if (!e) {
        struct str head = STR(ANSWER_HEAD), rest = buffer_str(&json);
        CHECK(str_starts(rest, head));
        add_request_head(signature, request, binary, &body);
        buffer_add(&body, rest.p + head.n, rest.n - head.n);
        *ret_json_length = binary ? body.used : 0;
        for (size_t i = 0; binary && i < signature->input_count; i++)
            buffer_add_str(&body, parts[i]);
        if (body.full)
            e = err_set(text, ERR_INVALID, "the request is larger than %d bytes",
                        PAYLOAD_BYTES_MAX);
    }
    buffer_done(&json);
    if (e)
        buffer_done(&body);
    else
        *ret = keep(arena, &body);
    return e;
}

static enum err write_grpc(struct arena *arena, const struct payload_target *target,
                           const struct signature *signature,
                           const struct v2_infer_request *request, struct str *ret,
                           struct err_text *text) {
    struct str parts[SIGNATURE_TENSORS_MAX];
    struct buffer json;
    buffer_init(&json, PAYLOAD_BYTES_MAX);
    enum err e = write_inputs(arena, signature, request, true, &json, parts, text);
    buffer_done(&json);
    return e ? e : pack_infer(arena, target, signature, request, parts, ret, text);
}

/* ---- the interface ---- */

void payload_make_metadata(struct arena *arena, const struct payload_target *target,
                           struct wire_request *ret) {
    if (target->protocol != PAYLOAD_GRPC) {
        struct head head = {.method = "GET", .path = model_path(arena, target, "")};
        make(arena, target, &head, (struct str){0}, ret);
        return;
    }
    Inference__ModelMetadataRequest message;
    inference__model_metadata_request__init(&message);
    message.name = arena_copy(arena, str_of(target->model));
    message.version = arena_copy(arena, str_of(target->version));
    struct head head = {
        .method = "POST", .path = STR(GRPC_SERVICE "ModelMetadata"), .is_grpc = true};
    make(arena, target, &head, pack(arena, &message.base), ret);
}

void payload_make_plain(struct arena *arena, const struct payload_target *target, struct str body,
                        struct wire_request *ret) {
    CHECK(target->protocol != PAYLOAD_GRPC && target->protocol != PAYLOAD_REST_BINARY);
    struct head head = {.method = "POST", .content_type = "application/json"};
    if (target->protocol == PAYLOAD_REST) {
        head.path = model_path(arena, target, "/infer");
    } else {
        head.path = str_of(arena_copy(arena, str_of(target->path)));
        head.content_type = target->content_type;
    }
    if (target->protocol == PAYLOAD_GET)
        head = (struct head){.method = "GET", .path = head.path};
    make(arena, target, &head, (struct str){arena_copy(arena, body), body.n}, ret);
}

enum err payload_make(struct arena *arena, const struct payload_target *target,
                      const struct signature *signature, const struct v2_infer_request *request,
                      struct wire_request *ret, struct err_text *text) {
    struct str body;
    struct head head = {.method = "POST", .content_type = "application/json"};
    bool binary = target->protocol == PAYLOAD_REST_BINARY;
    enum err e;
    if (target->protocol == PAYLOAD_GRPC) {
        head.is_grpc = true;
        head.path = STR(GRPC_SERVICE "ModelInfer");
        e = write_grpc(arena, target, signature, request, &body, text);
    } else {
        head.path = model_path(arena, target, "/infer");
        if (binary)
            head.content_type = "application/octet-stream";
        e = write_rest(arena, signature, request, binary, &body, &head.json_length, text);
    }
    if (!e)
        make(arena, target, &head, body, ret);
    return e;
}
