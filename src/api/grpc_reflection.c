/* Server reflection, v1 and v1alpha: what grpcurl and its like ask before they call. Each question
 * is answered at once. Thread: the call's loop. */
#include "api/grpc_stream.h"
#include "api/rpcs.h"

static void on_message(struct grpc_stream *stream, struct buffer *message) {
    struct err_text text;
    struct arena arena; /* not the call's: a stream may ask for long */
    arena_init(&arena);
    struct buffer *body = call_body(stream->call);
    buffer_clear(body);
    enum err e = v2_proto_reflect(&arena, buffer_str(message), body, &text);
    if (!e)
        e = call_check_body(body, &text);
    if (e) {
        grpc_stream_fail(stream, e, &text);
    } else {
        struct str part = buffer_str(body);
        grpc_stream_write(stream, &part, 1);
    }
    arena_done(&arena);
    buffer_done(message);
}

static const struct grpc_stream_type reflection_type = {.message = on_message};

void rpc_reflection(struct call *call) {
    grpc_stream_open(call, &reflection_type, NULL);
}
