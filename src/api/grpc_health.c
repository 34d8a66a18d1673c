/* grpc.health.v1: Check answers once, Watch whenever it changes. Service "" and the inference
 * service stand for the whole server, under its readiness policy; any other name is a model's.
 * Thread: the call's loop. */
#include "api/grpc_stream.h"
#include "api/rpcs.h"
#include "base/memory.h"

#include <grpc/health/v1/health.pb-c.h>

typedef Grpc__Health__V1__HealthCheckRequest health_request;
typedef Grpc__Health__V1__HealthCheckResponse health_response;
enum {
    NO_STATUS = -1,
    SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
    SERVICE_UNKNOWN = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
};

static int status_of(const struct api_loop *loop, struct str name) {
    const struct catalog *catalog = loop->catalog;
    if (name.n == 0 || str_eq(name, STR("inference.GRPCInferenceService")))
        return service_is_ready(loop->service, catalog) ? SERVING : NOT_SERVING;
    const struct catalog_model *model = catalog ? catalog_find_model(catalog, name) : NULL;
    if (!model)
        return SERVICE_UNKNOWN;
    /* acquire: pairs with the release of the store at SIGTERM */
    bool draining = atomic_load_explicit(&loop->service->draining, memory_order_acquire);
    return model->default_version && !draining ? SERVING : NOT_SERVING;
}

static enum err read_request(struct call *call, struct str *ret_name, struct err_text *text) {
    ProtobufCMessage *message;
    enum err e =
        grpc_read(call, &grpc__health__v1__health_check_request__descriptor, &message, text);
    if (!e)
        *ret_name = str_of(((const health_request *)(const void *)message)->service);
    return e;
}

void rpc_health_check(struct call *call) {
    struct str name;
    struct err_text text;
    enum err e = read_request(call, &name, &text);
    int status = e ? NO_STATUS : status_of(call->loop, name);
    if (!e && status == SERVICE_UNKNOWN)
        e = err_set(&text, ERR_NOT_FOUND, "no service or model of the name '%.*s'", STR_ARG(name));
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    health_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    grpc_respond(call, &response.base);
}

/* ---- Watch ---- */

struct watch {
    bool named;      /* the request has come */
    struct str name; /* in the call's arena */
    int status;      /* the newest that was sent */
};

static void send_changes(struct grpc_stream *stream) {
    struct watch *watch = stream->own;
    if (!watch->named)
        return;
    int status = status_of(stream->call->loop, watch->name);
    if (status == watch->status)
        return;
    watch->status = status;
    health_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    struct buffer *body = call_body(stream->call);
    buffer_clear(body);
    v2_proto_pack(body, &response.base);
    struct str part = buffer_str(body);
    grpc_stream_write(stream, &part, 1);
}

static void on_message(struct grpc_stream *stream, struct buffer *message) {
    struct watch *watch = stream->own;
    struct call *call = stream->call;
    struct err_text text;
    enum err e = ERR_OK;
    if (watch->named)
        e = err_set(&text, ERR_INVALID, "Watch takes one request");
    call->message = buffer_str(message);
    if (!e)
        e = read_request(call, &watch->name, &text);
    call->message = (struct str){NULL, 0};
    buffer_done(message);
    if (e) {
        grpc_stream_fail(stream, e, &text);
        return;
    }
    watch->named = true;
    stream->in_flight = 1; /* it lasts until the client goes */
    send_changes(stream);
}

/* Nothing is left to wait for. */
static void let_go(struct grpc_stream *stream) {
    stream->in_flight = 0;
}

static void free_own(struct grpc_stream *stream) {
    struct watch *watch = stream->own;
    mem_free(&watch);
}

static const struct grpc_stream_type watch_type = {.message = on_message,
                                                   .cancel = let_go,
                                                   .tell = send_changes,
                                                   .free = free_own,
                                                   .ends_in_drain = true};

void rpc_health_watch(struct call *call) {
    struct watch *watch = mem_new(sizeof *watch);
    watch->status = NO_STATUS;
    grpc_stream_open(call, &watch_type, watch);
}
