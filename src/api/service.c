/* From the net layer's calls to the handlers, and back to metrics and the access line.
 * Thread: the loop's, but for api_loop_send_*, which send messages. */
#include "api/service.h"

#include "api/access.h"
#include "api/call.h"
#include "api/handlers.h"
#include "base/memory.h"

/* A request id from the client: visible ASCII, not too long; else one of ours. */
static void take_request_id(struct call *call) {
    struct str given = http_header_find(&call->exchange->request, STR("X-Request-Id"));
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

static struct call *call_new(struct api_loop *loop, struct http_exchange *exchange) {
    struct call *call = arena_new_zero(&exchange->arena, sizeof *call);
    call->exchange = exchange;
    call->loop = loop;
    exchange->user = call;
    take_request_id(call);
    struct str traceparent = http_header_find(&exchange->request, STR("traceparent"));
    call->traced = traceparent.p && trace_context_read(traceparent, &call->trace);
    access_read_origin(call);
    return call;
}

static void on_request(void *context, struct http_exchange *exchange) {
    struct api_loop *loop = context;
    struct call *call = call_new(loop, exchange);
    const struct service_options *options = &loop->service->options;
    struct err_text text;
    enum err e =
        route_find(&exchange->arena, &exchange->request, loop->door,
                   options->admin_on_data ? DOOR_DATA : 0, &call->match, &call->allow, &text);
    if (e == ERR_BAD_METHOD && exchange->request.method == HTTP_OPTIONS) {
        access_respond_options(call);
        return;
    }
    if (!e)
        e = access_check(call, &text);
    if (e)
        call_fail(call, e, &text);
    else
        call->match.route->handle(call);
}

static void on_cancelled(void *context, struct http_exchange *exchange) {
    (void)context;
    infer_cancelled(call_of(exchange));
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

static void on_finished(void *context, struct http_exchange *exchange,
                        const struct http_sent *sent) {
    struct api_loop *loop = context;
    struct call *call = call_of(exchange);
    struct metric_group *process = loop->service->process;
    metric_add(process, loop->shard, METRIC_HTTP_REQUESTS,
               metric_code_variant(sent->complete ? sent->status : 499), 1);
    metric_add(process, loop->shard, METRIC_HTTP_BYTES_IN, 0, exchange->wire_bytes_in);
    metric_add(process, loop->shard, METRIC_HTTP_BYTES_OUT, 0, sent->bytes_out);
    access_log_request(call, sent);
    infer_finished(call, sent);
    buffer_done(&call->inflated);
    buffer_done(&call->deflated);
    body_give_back(call);
}

static void on_refused(void *context, struct loop *event_loop, struct http_refusal *refusal) {
    static const enum metric_refusal reasons[] = {
        [HTTP_REFUSED_MALFORMED] = REFUSAL_MALFORMED,
        [HTTP_REFUSED_TIMEOUT] = REFUSAL_TIMEOUT,
        [HTTP_REFUSED_TOO_LARGE] = REFUSAL_TOO_LARGE,
        [HTTP_REFUSED_CONNECTIONS] = REFUSAL_CONNECTIONS,
        [HTTP_REFUSED_TLS] = REFUSAL_TLS,
    };
    (void)event_loop;
    struct api_loop *loop = context;
    struct metric_group *process = loop->service->process;
    CHECK(refusal->reason < ARRAY_LEN(reasons));
    metric_add(process, loop->shard, METRIC_HTTP_REFUSED, reasons[refusal->reason], 1);
    if (refusal->answered) {
        metric_add(process, loop->shard, METRIC_HTTP_REQUESTS,
                   metric_code_variant(err_http_status(refusal->err)), 1);
        id_make(loop->refusal_id);
        refusal->extra[refusal->extra_count++] =
            (struct http_header){STR("X-Request-Id"), {loop->refusal_id, ID_SIZE - 1}};
    }
    access_log_refusal(loop, refusal);
}

const struct http_handler service_handler = {on_request, on_cancelled, on_finished, on_refused};

void api_loop_init(struct api_loop *loop, struct service *service, struct loop *event_loop,
                   enum door door, uint32_t shard) {
    *loop = (struct api_loop){.service = service, .loop = event_loop, .door = door, .shard = shard};
    if (door == DOOR_DATA)
        loop->turn = batch_turn_new(shard, service->clock);
    loop->ring = log_ring_new(service->log);
}

void api_loop_done(struct api_loop *loop) {
    while (loop->spare_buffers) {
        struct body_buffer *spare = loop->spare_buffers;
        loop->spare_buffers = spare->next;
        buffer_done(&spare->buffer);
        mem_free(&spare);
    }
    batch_turn_free(&loop->turn);
    catalog_unref(&loop->catalog);
    mem_free(&loop->admin_token);
    mem_free(&loop->data_token);
}

bool api_loop_turn_end(void *context) {
    struct api_loop *loop = context;
    batch_turn_run(loop->turn);
    return batch_turn_pending(loop->turn);
}

/* News for a loop: a catalog, or tokens. */
struct news {
    struct message message; /* first */
    struct api_loop *loop;
    struct catalog *catalog;
    char *admin_token, *data_token;
};

static void receive_catalog(struct message *message) {
    struct news *news = (struct news *)(void *)message;
    catalog_unref(&news->loop->catalog);
    news->loop->catalog = news->catalog;
    mem_free(&news);
}

void api_loop_send_catalog(struct api_loop *loop, struct catalog *catalog) {
    struct news *news = mem_new(sizeof *news);
    catalog_ref(catalog);
    *news = (struct news){.message.receive = receive_catalog, .loop = loop, .catalog = catalog};
    mailbox_send(loop_mailbox(loop->loop), &news->message);
}

static void receive_tokens(struct message *message) {
    struct news *news = (struct news *)(void *)message;
    mem_free(&news->loop->admin_token);
    mem_free(&news->loop->data_token);
    news->loop->admin_token = news->admin_token;
    news->loop->data_token = news->data_token;
    mem_free(&news);
}

void api_loop_send_tokens(struct api_loop *loop, const char *admin, const char *data) {
    struct news *news = mem_new(sizeof *news);
    *news = (struct news){.message.receive = receive_tokens,
                          .loop = loop,
                          .admin_token = mem_copy_c(admin),
                          .data_token = mem_copy_c(data)};
    mailbox_send(loop_mailbox(loop->loop), &news->message);
}
