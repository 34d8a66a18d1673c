/* The v2 protocol as protobuf messages (src/protocol/proto/inference.proto): ModelInfer both ways,
 * and what any other message needs. Pure. What is read lives in the arena or points into the
 * message; the same struct v2_infer_request as JSON's comes out, so that all behind it is shared.
 *
 * The generated structs are in <inference.pb-c.h>, <grpc/health/v1/health.pb-c.h>,
 * <grpc/reflection/v1/reflection.pb-c.h>: include them where you fill them (link inferd::proto).
 * Source: Open Inference Protocol, inference_grpc; Triton, grpc_service.proto. */
#pragma once

#include "protocol/grpc.h"
#include "protocol/v2_infer.h"

#include <protobuf-c/protobuf-c.h>

struct Inference__ModelInferRequest;

/* ---- ModelInfer, in: first what finds the model, then the rest against its signature ---- */

struct v2_proto_infer {
    struct str model_name;
    struct str model_version; /* n == 0: none was given */
    struct str id;            /* p == NULL: none was given */
    /* Internal: the message without its raw_input_contents, and these as views into it. */
    const struct Inference__ModelInferRequest *message;
    const struct str *raws;
    size_t raw_count;
};

/* Reads a ModelInferRequest. `message` must stay alive and unmoved as long as the tensors that
 * v2_proto_infer_read makes of it, and be writable; raw inputs are views into it where their
 * alignment allows. ERR_INVALID: not protobuf; ERR_BODY_TOO_LARGE: its fields would take more than
 * limits->tensor_bytes_max beyond the message.
 */
enum err v2_proto_infer_open(struct arena *arena, struct str message,
                             const struct v2_limits *limits, struct v2_proto_infer *ret,
                             struct err_text *text) MUST_CHECK;

/* The second step. Same checks and sentences as v2_infer_read; an id that is not UTF-8 is refused.
 * Every output is asked for as binary data. Accepted beyond the letter: the parameters that
 * v2_infer.h lists, and triton_enable_empty_final_response (an answer on a stream always says that
 * it is the last). */
enum err v2_proto_infer_read(struct arena *arena, const struct v2_proto_infer *open,
                             const struct signature *signature, const struct v2_limits *limits,
                             struct v2_infer_request *ret, struct err_text *text) MUST_CHECK;

/* ---- ModelInfer, out ---- */

/* parts[] of one answer at most: fits HTTP_RESPONSE_PARTS_MAX. */
enum { V2_PROTO_PARTS_MAX = GRPC_PARTS_MAX };

/* Writes a ModelInferResponse, with its gRPC prefix, as pieces in the order of the wire: arena
 * memory and views of the outputs' data (small outputs are copied, and large ones too once there
 * are more than parts[] can list). `stream` wraps it as the infer_response of a
 * ModelStreamInferResponse with the parameter triton_final_response. ERR_INTERNAL: over 2 GiB,
 * which no protobuf reader takes; ERR_NO_MEMORY. */
enum err v2_proto_infer_write(struct arena *arena, const struct v2_infer_response *response,
                              bool stream, struct str parts[V2_PROTO_PARTS_MAX],
                              size_t *ret_part_count, struct err_text *text) MUST_CHECK;

/* A ModelStreamInferResponse with an error_message, with its prefix: how one failed request of a
 * stream is answered without ending the stream. `id` goes into an otherwise empty infer_response
 * (p == NULL: none), as Triton does, so that a client knows which of its requests failed. */
void v2_proto_stream_error_write(struct buffer *out, const char *error, struct str id);

/* ---- Any message ---- */

/* Appends the message with its gRPC prefix. out->full when it does not fit. */
void v2_proto_pack(struct buffer *out, const ProtobufCMessage *message);

/* Reads a message into the arena; there is nothing to free. At most `bytes_max` of memory; strings
 * are NUL-terminated copies, not checked to be UTF-8. ERR_INVALID: not protobuf;
 * ERR_BODY_TOO_LARGE; ERR_NO_MEMORY. */
enum err v2_proto_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                         struct str message, size_t bytes_max, ProtobufCMessage **ret,
                         struct err_text *text) MUST_CHECK;

/* Answers one ServerReflectionRequest (grpc.reflection.v1 and v1alpha are the same on the wire):
 * appends a ServerReflectionResponse with its prefix. Files and symbols are those of the protocol's
 * own definitions; what is not found is an error_response with NOT_FOUND, not a failure.
 * ERR_INVALID: not protobuf; ERR_BODY_TOO_LARGE: over 64 KiB. */
enum err v2_proto_reflect(struct arena *arena, struct str message, struct buffer *out,
                          struct err_text *text) MUST_CHECK;
