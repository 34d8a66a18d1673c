#include "api/call.h"

#include "base/memory.h"
#include "protocol/coding.h"

struct call *call_of(struct http_exchange *exchange) {
    return exchange->user;
}

struct buffer *call_body(struct call *call) {
    if (call->body)
        return &call->body->buffer;
    struct body_buffer *spare = call->loop->spare_buffers;
    if (spare) {
        call->loop->spare_buffers = spare->next;
        call->loop->spare_buffer_count--;
    } else {
        spare = mem_new(sizeof *spare);
        buffer_init(&spare->buffer, call->loop->service->options.response_bytes_max);
    }
    call->body = spare;
    return &spare->buffer;
}

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

/* Compresses the answer into call->deflated when the client asks and it pays. */
static enum coding compress(struct call *call, const struct str *parts, size_t part_count) {
    const struct service_options *options = &call->loop->service->options;
    if (!options->compression)
        return CODING_IDENTITY;
    struct str accept = http_header_find(&call->exchange->request, STR("Accept-Encoding"));
    size_t total = 0;
    for (size_t i = 0; i < part_count; i++)
        total += parts[i].n;
    if (!accept.p || total < options->compression_bytes_min ||
        total > options->compression_bytes_max)
        return CODING_IDENTITY;
    enum coding coding = coding_from_accept_encoding(accept);
    if (coding == CODING_IDENTITY)
        return coding;
    buffer_init(&call->deflated, total); /* not smaller: not worth it */
    if (coding_deflate(coding, parts, part_count, &call->deflated, NULL) != ERR_OK)
        return CODING_IDENTITY;
    return coding;
}

void call_respond_parts(struct call *call, int status, const char *content_type,
                        const struct str *blobs, size_t blob_count) {
    CHECK(!call->responded);
    if (call->body && call->body->buffer.full) {
        struct err_text text;
        call_fail(call,
                  err_set(&text, ERR_INTERNAL,
                          "the answer is larger than limits.response_max (%zu bytes)",
                          call->body->buffer.max),
                  &text);
        return;
    }
    call->responded = true;
    struct str parts[HTTP_RESPONSE_PARTS_MAX];
    CHECK(blob_count < HTTP_RESPONSE_PARTS_MAX);
    size_t part_count = 0;
    if (call->body && call->body->buffer.used > 0)
        parts[part_count++] = buffer_str(&call->body->buffer);
    for (size_t i = 0; i < blob_count; i++)
        parts[part_count++] = blobs[i];
    struct headers headers = {.count = 0};
    add_common_headers(call, &headers, status, content_type);
    enum coding coding = compress(call, parts, part_count);
    if (coding != CODING_IDENTITY) {
        parts[0] = buffer_str(&call->deflated);
        part_count = 1;
        add_header(&headers, STR("Content-Encoding"), str_of(coding_name(coding)));
        add_header(&headers, STR("Vary"), STR("Accept-Encoding"));
    }
    http_respond(call->exchange, &(struct http_response){.status = status,
                                                         .headers = headers.list,
                                                         .header_count = headers.count,
                                                         .parts = parts,
                                                         .part_count = part_count});
}

void call_respond(struct call *call, int status, const char *content_type) {
    call_respond_parts(call, status, content_type, NULL, 0);
}

void call_fail(struct call *call, enum err e, const struct err_text *text) {
    call->err = e;
    call->inference_header = NULL;
    struct buffer *body = call_body(call);
    buffer_clear(body);
    call->reason = text ? arena_copy(&call->exchange->arena, str_of(text->s)) : err_default_text(e);
    v2_error_write(body, call->reason);
    call_respond(call, err_http_status(e), "application/json");
}
