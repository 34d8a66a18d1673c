#include "api/grpc.h"

#include "api/access.h"

static const struct str content_type = {"content-type", 12};
static const struct str grpc_type = {"application/grpc", 16};

bool grpc_is_request(const struct http_request *request) {
    struct str value = http_header_find(request, content_type);
    if (value.n < grpc_type.n || !str_eq_nocase((struct str){value.p, grpc_type.n}, grpc_type))
        return false;
    struct str rest = {value.p + grpc_type.n, value.n - grpc_type.n};
    return rest.n == 0 || rest.p[0] == ';' || str_eq_nocase(rest, STR("+proto")) ||
           (rest.n > 6 && rest.p[6] == ';' &&
            str_eq_nocase((struct str){rest.p, 6}, STR("+proto")));
}

bool grpc_is_stream(const struct http_request *request) {
    const struct route *route = route_of_rpc(request->path);
    return route && route->stream && grpc_is_request(request);
}

/* ---- Answers ---- */

int grpc_code(const struct call *call, const struct http_sent *sent) {
    return err_grpc_code(sent->complete ? call->err : ERR_CANCELLED);
}

size_t grpc_trailers(struct call *call, struct http_header out[GRPC_TRAILERS_MAX]) {
    size_t count = 0;
    out[count++] = (struct http_header){STR("grpc-status"), str_of(grpc_status(call->err))};
    if (!call->err)
        return count;
    out[count++] = (struct http_header){STR("grpc-message"),
                                        grpc_message_encode(call->arena, str_of(call->reason))};
    if (call->err == ERR_QUEUE_FULL)
        out[count++] = (struct http_header){STR("grpc-retry-pushback-ms"), STR("1000")};
    if (call->err == ERR_BAD_CODING)
        out[count++] = (struct http_header){STR("grpc-accept-encoding"), STR(GRPC_ACCEPT_ENCODING)};
    return count;
}

static void grpc_fail(struct call *call) {
    call->responded = true;
    struct http_header headers[GRPC_TRAILERS_MAX + 2] = {{content_type, grpc_type},
                                                         {STR("x-request-id"), call->request_id}};
    size_t count = 2 + grpc_trailers(call, headers + 2);
    http_respond(call->exchange,
                 &(struct http_response){.status = 200, .headers = headers, .header_count = count});
}

/* A client whose own message came compressed gets its answer so, when it says it can read it and it
 * pays. Most clients list gzip without ever asking for it. */
static enum coding compress(struct call *call, const struct answer *answer) {
    const struct service_options *options = &call->loop->service->options;
    if (call->request_coding == CODING_IDENTITY || !options->compression)
        return CODING_IDENTITY;
    struct str accept = http_header_find(&call->exchange->request, STR("grpc-accept-encoding"));
    enum coding coding = grpc_coding_accepted(accept);
    size_t total = 0;
    for (size_t i = 0; i < answer->count; i++)
        total += answer->parts[i].n;
    if (coding == CODING_IDENTITY || total < options->compression_bytes_min ||
        total > options->compression_bytes_max)
        return CODING_IDENTITY;
    buffer_init(&call->deflated, total); /* not smaller: not worth it */
    if (grpc_message_compress(coding, answer->parts, answer->count, &call->deflated, NULL))
        return CODING_IDENTITY;
    return coding;
}

static void grpc_send(struct call *call, const struct answer *answer) {
    static const struct http_header ok = {{"grpc-status", 11}, {"0", 1}};
    CHECK(!call->responded);
    call->responded = true;
    enum coding coding = compress(call, answer);
    struct str deflated;
    struct http_response response = {.status = 200,
                                     .header_count = 2,
                                     .parts = answer->parts,
                                     .part_count = answer->count,
                                     .trailers = &ok,
                                     .trailer_count = 1};
    struct http_header headers[3] = {{content_type, grpc_type},
                                     {STR("x-request-id"), call->request_id}};
    response.headers = headers;
    if (coding != CODING_IDENTITY) {
        deflated = buffer_str(&call->deflated);
        response.parts = &deflated;
        response.part_count = 1;
        headers[response.header_count++] =
            (struct http_header){STR("grpc-encoding"), str_of(coding_name(coding))};
    }
    http_respond(call->exchange, &response);
}

void grpc_respond(struct call *call, const ProtobufCMessage *message) {
    struct buffer *body = call_body(call);
    v2_proto_pack(body, message);
    struct err_text text;
    enum err e = call_check_body(body, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    struct answer answer;
    answer.parts[0] = buffer_str(body);
    answer.count = 1;
    grpc_send(call, &answer);
}

/* An empty message, of whatever kind. */
static void grpc_succeed(struct call *call) {
    char *prefix = arena_new(call->arena, GRPC_PREFIX_SIZE);
    grpc_prefix_write(prefix, false, 0);
    struct answer answer;
    answer.parts[0] = (struct str){prefix, GRPC_PREFIX_SIZE};
    answer.count = 1;
    grpc_send(call, &answer);
}

/* ---- Requests ---- */

enum err grpc_read(struct call *call, const ProtobufCMessageDescriptor *descriptor,
                   ProtobufCMessage **ret, struct err_text *text) {
    return v2_proto_unpack(call->arena, descriptor, call->message,
                           call->loop->service->options.tensor_bytes_max, ret, text);
}

enum err grpc_infer_open(struct call *call, struct err_text *text) {
    struct v2_limits limits = {call->loop->service->options.tensor_bytes_max};
    struct v2_proto_infer *open = arena_new_zero(call->arena, sizeof *open);
    enum err e = v2_proto_infer_open(call->arena, call->message, &limits, open, text);
    if (e)
        return e;
    call->open = open;
    call->match.model = open->model_name;
    call->match.version = open->model_version;
    return ERR_OK;
}

enum err grpc_infer_read(struct call *call, struct v2_infer_request *ret, struct err_text *text) {
    struct v2_limits limits = {call->loop->service->options.tensor_bytes_max};
    return v2_proto_infer_read(call->arena, call->open, &call->version->signature, &limits, ret,
                               text);
}

static enum err grpc_infer_write(struct call *call, const struct v2_infer_response *response,
                                 struct answer *ret, struct err_text *text) {
    _Static_assert((int)V2_PROTO_PARTS_MAX <= (int)HTTP_RESPONSE_PARTS_MAX,
                   "a message is one response");
    return v2_proto_infer_write(call->arena, response, false, ret->parts, &ret->count, text);
}

static void grpc_hold(struct call *call) {
    http_exchange_hold(call->exchange);
}

static void grpc_release(struct call *call) {
    http_exchange_release(call->exchange);
}

const struct call_codec grpc_codec = {
    .protocol = "grpc",
    .grpc = true,
    .fail = grpc_fail,
    .succeed = grpc_succeed,
    .infer_open = grpc_infer_open,
    .infer_read = grpc_infer_read,
    .infer_write = grpc_infer_write,
    .infer_send = grpc_send,
    .hold = grpc_hold,
    .release = grpc_release,
};

static enum err read_headers(struct call *call, struct err_text *text) {
    const struct http_request *request = &call->exchange->request;
    struct str timeout = http_header_find(request, STR("grpc-timeout"));
    enum err e = timeout.p ? grpc_timeout_read(timeout, &call->timeout_ns, text) : ERR_OK;
    struct str encoding = http_header_find(request, STR("grpc-encoding"));
    return e ? e : grpc_coding_read(encoding, &call->request_coding, text);
}

size_t grpc_message_max(const struct call *call) {
    const struct service_options *options = &call->loop->service->options;
    return call->request_coding == CODING_IDENTITY ? options->message_bytes_max
                                                   : options->inflated_bytes_max;
}

static enum err read_message(struct call *call, struct err_text *text) {
    const struct http_request *request = &call->exchange->request;
    buffer_init(&call->inflated, 0);
    return grpc_unary_read((struct str){request->body, request->body_length}, call->request_coding,
                           grpc_message_max(call), &call->inflated, &call->message, text);
}

void grpc_handle(struct call *call) {
    const struct http_request *request = &call->exchange->request;
    const struct service_options *options = &call->loop->service->options;
    struct err_text text;
    enum err e = read_headers(call, &text);
    if (!e)
        e = route_find_rpc(request, call->door, options->admin_on_data ? DOOR_DATA | DOOR_GRPC : 0,
                           &call->match, &text);
    if (!e)
        e = access_check(call, &text);
    if (!e && !call->match.route->stream)
        e = read_message(call, &text);
    if (e)
        call_fail(call, e, &text);
    else
        call->match.route->handle(call);
}

/* ---- What net refuses ---- */

/* A body that is too large: both numbers, when the message's own prefix has come. */
static struct str refusal_text(struct api_loop *loop, const struct http_refusal *refusal) {
    const struct http_request *request = refusal->request;
    unsigned long long most = loop->service->options.message_bytes_max;
    if (refusal->err != ERR_BODY_TOO_LARGE)
        return str_of(refusal->text);
    if (request->body_length < GRPC_PREFIX_SIZE)
        return str_of(arena_format(&loop->refusal_arena,
                                   "the message is larger than the %llu bytes that fit "
                                   "limits.body_max",
                                   most));
    const unsigned char *length = (const unsigned char *)request->body + 1;
    uint32_t bytes = (uint32_t)length[0] << 24 | (uint32_t)length[1] << 16 |
                     (uint32_t)length[2] << 8 | (uint32_t)length[3];
    return str_of(arena_format(&loop->refusal_arena,
                               "the message has %u bytes; at most %llu fit limits.body_max", bytes,
                               most));
}

void grpc_refused(struct api_loop *loop, struct http_refusal *refusal) {
    if (!refusal->request || !grpc_is_request(refusal->request))
        return;
    metric_add(loop->service->process, loop->shard, METRIC_GRPC_REQUESTS,
               (uint32_t)err_grpc_code(refusal->err), 1);
    arena_reset(&loop->refusal_arena);
    struct str message = grpc_message_encode(&loop->refusal_arena, refusal_text(loop, refusal));
    const struct http_header headers[] = {
        {content_type, grpc_type},
        {STR("grpc-status"), str_of(grpc_status(refusal->err))},
        {STR("grpc-message"), message},
    };
    _Static_assert(ARRAY_LEN(headers) + 1 <= HTTP_REFUSAL_HEADERS_MAX, "with x-request-id");
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        refusal->extra[refusal->extra_count++] = headers[i];
    refusal->status = 200;
    refusal->without_body = true;
}
