#include "api/rest.h"

#include "api/body.h"
#include "protocol/coding.h"

static const char json_type[] = "application/json";

struct headers {
    struct http_header list[HTTP_RESPONSE_HEADERS_MAX];
    size_t count;
};

static void add_header(struct headers *headers, struct str name, struct str value) {
    CHECK(headers->count < ARRAY_LEN(headers->list));
    headers->list[headers->count++] = (struct http_header){name, value};
}

static void add_common_headers(struct call *call, struct headers *headers, int status,
                               const char *content_type) {
    if (content_type)
        add_header(headers, STR("Content-Type"), str_of(content_type));
    if (call->inference_header)
        add_header(headers, STR("Inference-Header-Content-Length"), str_of(call->inference_header));
    add_header(headers, STR("X-Request-Id"), call->request_id);
    if (call->origin.p) {
        add_header(headers, STR("Access-Control-Allow-Origin"), call->origin);
        add_header(headers, STR("Vary"), STR("Origin"));
        add_header(headers, STR("Access-Control-Expose-Headers"),
                   STR("X-Request-Id, Inference-Header-Content-Length, Retry-After"));
    }
    if (call->allow)
        add_header(headers, STR("Allow"), str_of(call->allow));
    if (call->err == ERR_QUEUE_FULL || status == 503)
        add_header(headers, STR("Retry-After"), STR("1"));
    if (call->err == ERR_UNAUTHENTICATED)
        add_header(headers, STR("WWW-Authenticate"), STR("Bearer"));
}

static uint64_t str_total(const struct str *parts, size_t count) {
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].n;
    return total;
}

/* The coding that the client asks for and that pays for so many bytes. */
static enum coding coding_wanted(const struct call *call, uint64_t bytes) {
    const struct service_options *options = &call->loop->service->options;
    if (!options->compression || bytes < options->compression_bytes_min ||
        bytes > options->compression_bytes_max)
        return CODING_IDENTITY;
    struct str accept = http_header_find(&call->exchange->request, STR("Accept-Encoding"));
    return accept.p ? coding_from_accept_encoding(accept) : CODING_IDENTITY;
}

/* Compresses the answer into call->deflated when it pays. */
static enum coding compress(struct call *call, const struct str *parts, size_t part_count) {
    uint64_t total = str_total(parts, part_count);
    enum coding coding = coding_wanted(call, total);
    if (coding == CODING_IDENTITY)
        return coding;
    buffer_done(&call->deflated);
    buffer_init(&call->deflated, total); /* not smaller: not worth it */
    if (coding_deflate(coding, parts, part_count, &call->deflated, NULL) != ERR_OK)
        return CODING_IDENTITY;
    return coding;
}

/* The answer as it will be sent has been compressed, or not, by now. */
static void respond_parts(struct call *call, int status, const char *content_type,
                          const struct answer *answer) {
    CHECK(!call->responded);
    call->responded = true;
    const struct str *parts = answer->parts;
    size_t part_count = answer->count;
    struct headers headers = {.count = 0};
    add_common_headers(call, &headers, status, content_type);
    struct str deflated;
    if (call->answer_coding != CODING_IDENTITY) {
        deflated = buffer_str(&call->deflated);
        parts = &deflated;
        part_count = 1;
        add_header(&headers, STR("Content-Encoding"), str_of(coding_name(call->answer_coding)));
        add_header(&headers, STR("Vary"), STR("Accept-Encoding"));
    }
    http_respond(call->exchange, &(struct http_response){.status = status,
                                                         .headers = headers.list,
                                                         .header_count = headers.count,
                                                         .parts = parts,
                                                         .part_count = part_count});
}

void rest_respond(struct call *call, int status, const char *content_type) {
    struct answer answer = {.count = 0};
    if (call->body) {
        struct err_text text;
        enum err e = call_check_body(&call->body->buffer, &text);
        if (e) {
            call_fail(call, e, &text);
            return;
        }
        if (call->body->buffer.used > 0)
            answer.parts[answer.count++] = buffer_str(&call->body->buffer);
    }
    call->answer_coding = compress(call, answer.parts, answer.count);
    respond_parts(call, status, content_type, &answer);
}

/* {"error": text} */
static void rest_fail(struct call *call) {
    call->inference_header = NULL;
    struct buffer *body = call_body(call);
    buffer_clear(body);
    v2_error_write(body, call->reason);
    rest_respond(call, err_http_status(call->err), json_type);
}

static void rest_succeed(struct call *call) {
    rest_respond(call, 200, NULL);
}

/* ---- Inference ---- */

/* The route's pattern has named it. */
static enum err rest_infer_open(struct call *call, struct err_text *text) {
    (void)call;
    (void)text;
    return ERR_OK;
}

/* The Inference-Header-Content-Length; two of them could be read differently by two readers. */
static enum err read_json_length(const struct http_request *request, size_t body_length,
                                 int64_t *ret, struct err_text *text) {
    static const struct str name = {"Inference-Header-Content-Length", 31};
    size_t found = 0;
    for (size_t i = 0; i < request->header_count; i++)
        found += str_eq_nocase(request->headers[i].name, name);
    *ret = V2_NO_HEADER_LENGTH;
    if (found == 0)
        return ERR_OK;
    if (found > 1)
        return err_set(text, ERR_INVALID, "%s came %zu times", name.p, found);
    return v2_header_length_read(http_header_find(request, name), body_length, ret, text);
}

static enum err rest_infer_read(struct call *call, struct v2_infer_request *ret,
                                struct err_text *text) {
    char *body;
    size_t length;
    enum err e = call_plain_body(call, &body, &length, text);
    if (e)
        return e;
    int64_t json_length;
    e = read_json_length(&call->exchange->request, length, &json_length, text);
    if (e)
        return e;
    struct v2_limits limits = {call->loop->service->options.tensor_bytes_max};
    return v2_infer_read(call->arena, body, length, json_length, &call->version->signature, &limits,
                         ret, text);
}

/* Inflating makes much of little; binary data is checked or copied at most, many bytes at once. A
 * header that is wrong is so found out. */
static uint64_t rest_infer_read_size(const struct call *call) {
    enum { INFLATED = 256, BINARY = 16 };
    const struct http_request *request = &call->exchange->request;
    uint64_t bytes = request->body_length;
    struct err_text text;
    int64_t json_length;
    if (http_header_find(request, STR("Content-Encoding")).n > 0)
        return bytes * INFLATED;
    if (read_json_length(request, bytes, &json_length, &text) || json_length == V2_NO_HEADER_LENGTH)
        return bytes;
    const struct signature *signature = &call->version->signature;
    for (size_t i = 0; i < signature->input_count; i++)
        if (signature->inputs[i].datatype == DATATYPE_BYTES)
            return bytes;
    return (uint64_t)json_length + (bytes - (uint64_t)json_length) / BINARY;
}

/* What an element takes as JSON, about (of a text, what stands around it); and compressing a byte
 * is as much work as writing several. */
static uint64_t rest_infer_write_size(const struct call *call,
                                      const struct v2_infer_response *response) {
    enum { ELEMENT = 10, QUOTES = 3, DEFLATED = 4 };
    uint64_t binary = 0;
    uint64_t json = 0;
    for (size_t i = 0; i < response->request->output_count; i++) {
        const struct tensor *tensor = &response->outputs[i];
        if (tensor->datatype == DATATYPE_BYTES)
            json +=
                str_total(tensor->data, (size_t)tensor->count) + (uint64_t)tensor->count * QUOTES;
        else if (response->request->outputs[i].binary)
            binary += tensor_bytes(tensor);
        else
            json += (uint64_t)tensor->count * ELEMENT;
    }
    bool compressed = coding_wanted(call, binary + json) != CODING_IDENTITY;
    return compressed ? (json + binary) * DEFLATED : json;
}

static enum err rest_infer_write(struct call *call, const struct v2_infer_response *response,
                                 struct answer *ret, struct err_text *text) {
    _Static_assert(SIGNATURE_TENSORS_MAX + 1 <= HTTP_RESPONSE_PARTS_MAX, "the JSON, then blobs");
    struct buffer *body = call_body(call);
    size_t blob_count = 0;
    enum err e = v2_infer_write(call->arena, response, body, ret->parts + 1, &blob_count, text);
    if (!e)
        e = call_check_body(body, text);
    if (e)
        return e;
    ret->parts[0] = buffer_str(body);
    ret->count = blob_count + 1;
    if (blob_count > 0)
        call->inference_header = arena_format(call->arena, "%zu", body->used);
    call->answer_coding = compress(call, ret->parts, ret->count);
    return ERR_OK;
}

static void rest_infer_send(struct call *call, const struct answer *answer) {
    respond_parts(call, 200, answer->count > 1 ? "application/octet-stream" : json_type, answer);
}

static void rest_hold(struct call *call) {
    http_exchange_hold(call->exchange);
}

static void rest_release(struct call *call) {
    http_exchange_release(call->exchange);
}

const struct call_codec rest_codec = {
    .fail = rest_fail,
    .succeed = rest_succeed,
    .infer_open = rest_infer_open,
    .infer_read = rest_infer_read,
    .infer_write = rest_infer_write,
    .infer_read_size = rest_infer_read_size,
    .infer_write_size = rest_infer_write_size,
    .infer_send = rest_infer_send,
    .hold = rest_hold,
    .release = rest_release,
};
