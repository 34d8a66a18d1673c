/* From the net layer's calls to the handlers, and back to metrics and the access line.
 * Thread: the loop's, but for api_loop_send_*, which send messages. */
#include "api/service.h"

#include "api/access.h"
#include "api/grpc.h"
#include "api/grpc_stream.h"
#include "api/handlers.h"
#include "api/rest.h"
#include "base/memory.h"

static struct call *call_new(const struct api_door *door, struct http_exchange *exchange) {
    struct call *call = arena_new_zero(&exchange->arena, sizeof *call);
    call->exchange = exchange;
    call->arena = &exchange->arena;
    call->loop = door->loop;
    call->door = door->door;
    call->codec = &rest_codec;
    call->started_ns = exchange->started_ns;
    call->timeout_ns = UINT64_MAX;
    exchange->user = call;
    call_take_request_id(call, http_header_find(&exchange->request, STR("X-Request-Id")));
    struct str traceparent = http_header_find(&exchange->request, STR("traceparent"));
    call->traced = traceparent.p && trace_context_read(traceparent, &call->trace);
    return call;
}

static void handle_rest(struct call *call) {
    struct err_text text;
    access_read_origin(call);
    const struct service_options *options = &call->loop->service->options;
    enum err e =
        route_find(call->arena, &call->exchange->request, call->door,
                   options->admin_on_data ? DOOR_DATA : 0, &call->match, &call->allow, &text);
    if (e == ERR_BAD_METHOD && call->exchange->request.method == HTTP_OPTIONS) {
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

static void on_request(void *context, struct http_exchange *exchange) {
    struct call *call = call_new(context, exchange);
    bool grpc = grpc_is_request(&exchange->request);
    struct err_text text;
    if (grpc && exchange->request.http2) {
        call->codec = &grpc_codec;
        grpc_handle(call);
    } else if (grpc) {
        call_fail(call, err_set(&text, ERR_BAD_HTTP_VERSION, "gRPC needs HTTP/2"), &text);
    } else if (call->door == DOOR_GRPC) {
        call_fail(call,
                  err_set(&text, ERR_BAD_MEDIA_TYPE,
                          "this listener speaks gRPC: content-type application/grpc over HTTP/2"),
                  &text);
    } else {
        handle_rest(call);
    }
}

static bool on_streams(void *context, const struct http_request *request) {
    (void)context;
    return grpc_is_stream(request);
}

static void on_cancelled(void *context, struct http_exchange *exchange) {
    (void)context;
    struct call *call = call_of(exchange);
    if (call->stream)
        grpc_stream_cancelled(call->stream);
    else
        infer_cancelled(call);
}

static void on_finished(void *context, struct http_exchange *exchange,
                        const struct http_sent *sent) {
    struct api_loop *loop = ((struct api_door *)context)->loop;
    struct call *call = call_of(exchange);
    struct metric_group *process = loop->service->process;
    metric_add(process, loop->shard, METRIC_HTTP_REQUESTS,
               metric_code_variant(sent->complete ? sent->status : 499), 1);
    metric_add(process, loop->shard, METRIC_HTTP_BYTES_IN, 0, exchange->wire_bytes_in);
    metric_add(process, loop->shard, METRIC_HTTP_BYTES_OUT, 0, sent->bytes_out);
    if (call->codec->grpc)
        metric_add(process, loop->shard, METRIC_GRPC_REQUESTS, (uint32_t)grpc_code(call, sent), 1);
    call->bytes_in = exchange->wire_bytes_in;
    call_finish(call, sent);
    grpc_stream_free(&call->stream);
}

static void on_data(void *context, struct http_exchange *exchange, struct str bytes, bool last) {
    (void)context;
    struct call *call = call_of(exchange);
    if (call->stream)
        grpc_stream_data(call->stream, bytes, last);
}

static void on_writable(void *context, struct http_exchange *exchange) {
    (void)context;
    struct call *call = call_of(exchange);
    if (call->stream)
        grpc_stream_writable(call->stream);
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
    struct api_loop *loop = ((struct api_door *)context)->loop;
    struct metric_group *process = loop->service->process;
    CHECK(refusal->reason < ARRAY_LEN(reasons));
    metric_add(process, loop->shard, METRIC_HTTP_REFUSED, reasons[refusal->reason], 1);
    if (refusal->answered) {
        refusal->status = err_http_status(refusal->err);
        grpc_refused(loop, refusal);
        metric_add(process, loop->shard, METRIC_HTTP_REQUESTS, metric_code_variant(refusal->status),
                   1);
        id_make(loop->refusal_id);
        refusal->extra[refusal->extra_count++] =
            (struct http_header){STR("X-Request-Id"), {loop->refusal_id, ID_SIZE - 1}};
    }
    access_log_refusal(loop, refusal);
}

const struct http_handler service_handler = {
    .request = on_request,
    .cancelled = on_cancelled,
    .finished = on_finished,
    .refused = on_refused,
    .streams = on_streams,
    .data = on_data,
    .writable = on_writable,
};

void api_loop_init(struct api_loop *loop, struct service *service, struct loop *event_loop,
                   bool runs_models, uint32_t shard) {
    *loop = (struct api_loop){.service = service, .loop = event_loop, .shard = shard};
    loop->data = (struct api_door){loop, DOOR_DATA};
    loop->grpc = (struct api_door){loop, DOOR_GRPC};
    loop->management = (struct api_door){loop, DOOR_MANAGEMENT};
    list_init(&loop->streams);
    arena_init(&loop->refusal_arena);
    if (runs_models)
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
    grpc_streams_drop(loop);
    arena_done(&loop->refusal_arena);
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

/* News for a loop: a catalog, tokens, or the drain. */
struct news {
    struct message message; /* first */
    struct api_loop *loop;
    struct catalog *catalog;
    bool closing;
    char *admin_token, *data_token;
};

static void receive_catalog(struct message *message) {
    struct news *news = (struct news *)(void *)message;
    catalog_unref(&news->loop->catalog);
    news->loop->catalog = news->catalog;
    grpc_streams_tell(news->loop);
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

static void receive_drain(struct message *message) {
    struct news *news = (struct news *)(void *)message;
    if (news->closing)
        news->loop->closing = true;
    grpc_streams_tell(news->loop);
    mem_free(&news);
}

void api_loop_send_drain(struct api_loop *loop, bool closing) {
    struct news *news = mem_new(sizeof *news);
    *news = (struct news){.message.receive = receive_drain, .loop = loop, .closing = closing};
    mailbox_send(loop_mailbox(loop->loop), &news->message);
}
