/* ModelStreamInfer: each message is an inference of its own, a call like any other but for where
 * its answer goes. Answers come as they are ready, with the request's id; a failure is an answer
 * with an error_message, and the stream goes on. Each message's memory is its item, kept by the
 * stream for the next. Thread: the call's loop. */
#include "api/grpc_stream.h"
#include "api/rpcs.h"
#include "base/memory.h"

struct item {
    struct grpc_stream *stream;
    struct call call;
    struct arena arena;
    struct buffer message;
    uint64_t bytes_out;
    bool held; /* answered, but a run still reads its inputs */
    struct list_node node;
};

struct infer_stream {
    struct list items; /* not finished */
    struct list spares;
};

static struct item *item_of(struct call *call) {
    return CONTAINER_OF(call, struct item, call);
}

/* The stream may be gone after it. */
static void finish(struct item *item) {
    struct grpc_stream *stream = item->stream;
    struct infer_stream *own = stream->own;
    call_finish(&item->call, &(struct http_sent){.status = 200,
                                                 .bytes_out = item->bytes_out,
                                                 .complete = item->call.err != ERR_CANCELLED});
    arena_reset(&item->arena);
    list_remove(&item->node);
    list_add_last(&own->spares, &item->node);
    stream->in_flight--;
    stream->in_flight_bytes -= item->message.used;
    buffer_done(&item->message);
    grpc_stream_turn(stream);
}

static void send(struct call *call, const struct answer *answer) {
    struct item *item = item_of(call);
    struct grpc_stream *stream = item->stream;
    call->responded = true;
    if (stream->state == GRPC_STREAM_OPEN) {
        for (size_t i = 0; i < answer->count; i++)
            item->bytes_out += answer->parts[i].n;
        grpc_stream_write(stream, answer->parts, answer->count);
    } else { /* nobody gets it: counted as what the stream failed of */
        call->err = stream->call->err;
        call->reason = stream->call->reason;
    }
    if (!item->held)
        finish(item);
}

static void fail(struct call *call) {
    struct buffer *body = call_body(call);
    struct str id = call->open ? call->open->id : (struct str){NULL, 0};
    buffer_clear(body);
    v2_proto_stream_error_write(body, call->reason, id);
    struct answer answer;
    answer.parts[0] = buffer_str(body);
    answer.count = body->full ? 0 : 1;
    send(call, &answer);
}

static enum err infer_open(struct call *call, struct err_text *text) {
    enum err e = grpc_infer_open(call, text);
    if (!e && call->open->id.n > 0)
        call_take_request_id(call, call->open->id);
    return e;
}

static enum err infer_write(struct call *call, const struct v2_infer_response *response,
                            struct answer *ret, struct err_text *text) {
    return v2_proto_infer_write(call->arena, response, true, ret->parts, &ret->count, text);
}

static void hold(struct call *call) {
    item_of(call)->held = true;
}

static void release(struct call *call) {
    finish(item_of(call));
}

static const struct call_codec item_codec = {
    .protocol = "grpc",
    .grpc = true,
    .fail = fail,
    .infer_open = infer_open,
    .infer_read = grpc_infer_read,
    .infer_write = infer_write,
    .infer_send = send,
    .hold = hold,
    .release = release,
};

static struct item *item_new(struct grpc_stream *stream, struct buffer *message) {
    struct infer_stream *own = stream->own;
    struct list_node *spare = list_take_first(&own->spares);
    struct item *item = spare ? CONTAINER_OF(spare, struct item, node) : mem_new(sizeof *item);
    struct arena arena = item->arena;
    *item = (struct item){.stream = stream, .arena = arena, .message = *message};
    const struct call *parent = stream->call;
    struct call *call = &item->call;
    *call = (struct call){.exchange = parent->exchange,
                          .arena = &item->arena,
                          .loop = parent->loop,
                          .door = parent->door,
                          .codec = &item_codec,
                          .traced = parent->traced,
                          .trace = parent->trace,
                          .started_ns = clock_now(parent->loop->service->clock),
                          .timeout_ns = UINT64_MAX,
                          .bytes_in = message->used + GRPC_PREFIX_SIZE,
                          .message = buffer_str(message)};
    call->match.route = route_of_rpc(STR("/inference.GRPCInferenceService/ModelInfer"));
    call_take_request_id(call, (struct str){NULL, 0});
    list_add_last(&own->items, &item->node);
    stream->in_flight++;
    stream->in_flight_bytes += message->used;
    return item;
}

static void on_message(struct grpc_stream *stream, struct buffer *message) {
    handle_infer(&item_new(stream, message)->call);
}

/* Takes each item that waits out of its queue; one that runs ends by itself. */
static void cancel(struct grpc_stream *stream) {
    struct infer_stream *own = stream->own;
    struct list_node *next;
    bool turning = stream->turning;
    stream->turning = true; /* what is in flight gets less here, and the caller turns */
    for (struct list_node *node = list_first(&own->items); node; node = next) {
        next = list_next(&own->items, node);
        infer_cancelled(&CONTAINER_OF(node, struct item, node)->call);
    }
    stream->turning = turning;
}

static void free_own(struct grpc_stream *stream) {
    struct infer_stream *own = stream->own;
    struct list_node *node;
    CHECK(list_empty(&own->items));
    while ((node = list_take_first(&own->spares))) {
        struct item *item = CONTAINER_OF(node, struct item, node);
        arena_done(&item->arena);
        mem_free(&item);
    }
    mem_free(&own);
}

static const struct grpc_stream_type infer_stream_type = {
    .message = on_message, .cancel = cancel, .free = free_own};

void rpc_stream_infer(struct call *call) {
    struct infer_stream *own = mem_new(sizeof *own);
    list_init(&own->items);
    list_init(&own->spares);
    grpc_stream_open(call, &infer_stream_type, own);
}
