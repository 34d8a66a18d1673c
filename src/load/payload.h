/* Requests as bytes: what a wire sends, for every protocol. Pure. Everything lives in the arena. */
#pragma once

#include "load/wire.h"
#include "protocol/v2_infer.h"

enum payload_protocol {
    PAYLOAD_REST,
    PAYLOAD_REST_BINARY,
    PAYLOAD_GRPC,
    PAYLOAD_GET,
    PAYLOAD_POST
};

enum { PAYLOAD_BYTES_MAX = 1 << 30 };

struct payload_target {
    enum payload_protocol protocol;
    const char *authority;    /* "host:port" */
    const char *model;        /* rest, rest-binary, grpc */
    const char *version;      /* "": none */
    const char *path;         /* get, post */
    const char *content_type; /* post */
};

/* What asks for the model's metadata, by the target's own protocol. */
void payload_make_metadata(struct arena *arena, const struct payload_target *target,
                           struct wire_request *ret);
/* get: `body` is empty. post, and rest with a body that is there already. */
void payload_make_plain(struct arena *arena, const struct payload_target *target, struct str body,
                        struct wire_request *ret);
/* An inference request with these inputs (and outputs, when it names some), for rest, rest-binary
 * and grpc. ERR_INVALID: texts that are not UTF-8 in JSON, or more than PAYLOAD_BYTES_MAX. */
enum err payload_make(struct arena *arena, const struct payload_target *target,
                      const struct signature *signature, const struct v2_infer_request *request,
                      struct wire_request *ret, struct err_text *text) MUST_CHECK;
