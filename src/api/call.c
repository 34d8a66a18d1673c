#include "api/call.h"

#include "api/access.h"
#include "api/handlers.h"
#include "base/memory.h"

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

enum err call_check_body(const struct buffer *body, struct err_text *text) {
    return body->full
               ? err_set(text, ERR_INTERNAL,
                         "the answer is larger than limits.response_max (%zu bytes)", body->max)
               : ERR_OK;
}

static void body_give_back(struct call *call) {
    struct body_buffer *body = call->body;
    call->body = NULL;
    if (!body)
        return;
    struct api_loop *loop = call->loop;
    if (body->buffer.capacity > BODY_BUFFER_KEEP_MAX ||
        loop->spare_buffer_count >= SPARE_BUFFERS_MAX) {
        buffer_done(&body->buffer);
        mem_free(&body);
        return;
    }
    buffer_clear(&body->buffer);
    body->next = loop->spare_buffers;
    loop->spare_buffers = body;
    loop->spare_buffer_count++;
}

void call_fail(struct call *call, enum err e, const struct err_text *text) {
    CHECK(!call->responded);
    call->err = e;
    call->reason = text ? arena_copy(call->arena, str_of(text->s)) : err_default_text(e);
    call->codec->fail(call);
}

int call_status(const struct call *call, const struct http_sent *sent) {
    if (!sent->complete)
        return err_http_status(ERR_CANCELLED);
    return call->err ? err_http_status(call->err) : sent->status;
}

void call_take_request_id(struct call *call, struct str given) {
    bool usable = given.n > 0 && given.n <= REQUEST_ID_MAX;
    for (size_t i = 0; usable && i < given.n; i++)
        usable = given.p[i] > 0x20 && given.p[i] < 0x7f;
    if (usable) {
        call->request_id = given;
        return;
    }
    id_make(call->request_id_made);
    call->request_id = (struct str){call->request_id_made, ID_SIZE - 1};
}

void call_finish(struct call *call, const struct http_sent *sent) {
    access_log_request(call, sent);
    infer_finished(call, sent);
    buffer_done(&call->inflated);
    buffer_done(&call->deflated);
    body_give_back(call);
}
