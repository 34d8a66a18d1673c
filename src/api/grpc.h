/* gRPC's side of a call: from an HTTP/2 request to a row of grpc_routes.def, and answers as gRPC
 * messages with their status. A failure before any message is "trailers only": one header list.
 * Thread: the call's loop. Source: gRPC over HTTP2 (PROTOCOL-HTTP2), gRPC health checking, server
 * reflection. */
#pragma once

#include "api/call.h"
#include "protocol/v2_proto.h"

extern const struct call_codec grpc_codec;

/* Does the request speak gRPC (content-type application/grpc, with +proto or without)? */
bool grpc_is_request(const struct http_request *request);
/* Does its row of grpc_routes.def want the messages one by one? */
bool grpc_is_stream(const struct http_request *request);
/* Answers a gRPC request. */
void grpc_handle(struct call *call);

/* The answer's one message, with status OK. */
void grpc_respond(struct call *call, const ProtobufCMessage *message);
/* The request's message, in the call's arena. ERR_INVALID when it is none of that kind. */
enum err grpc_read(struct call *call, const ProtobufCMessageDescriptor *descriptor,
                   ProtobufCMessage **ret, struct err_text *text) MUST_CHECK;

/* The largest message of the call: as sent, or inflated when its messages may be compressed. */
size_t grpc_message_max(const struct call *call);
/* What grpc_codec and a stream's messages share. */
enum err grpc_infer_open(struct call *call, struct err_text *text) MUST_CHECK;
enum err grpc_infer_read(struct call *call, struct v2_infer_request *ret,
                         struct err_text *text) MUST_CHECK;

enum { GRPC_TRAILERS_MAX = 5 };
/* Writes the trailers that say how the call ended: grpc-status and what belongs to it. Returns how
 * many. The texts are constants or the call's arena's. */
size_t grpc_trailers(struct call *call, struct http_header out[GRPC_TRAILERS_MAX]);

/* What the client is told of how it ended, as gRPC's code; 1 (CANCELLED) when it went away. */
int grpc_code(const struct call *call, const struct http_sent *sent);

/* Net answers by itself: in gRPC's form when the request was one. */
void grpc_refused(struct api_loop *loop, struct http_refusal *refusal);
