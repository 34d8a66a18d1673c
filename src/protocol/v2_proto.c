/* Any message, to and from its bytes, by protobuf-c. What it allocates comes from the arena and is
 * counted, since a few bytes on the wire can ask for many in memory (an empty submessage: two for a
 * hundred); nothing is given back before the arena goes. */
#include "protocol/v2_proto.h"

#include "base/check.h"
#include "base/num.h"

#include <inference.pb-c.h>

struct allocator {
    ProtobufCAllocator base; /* allocator_data: this */
    struct arena *arena;
    size_t left;
    bool refused; /* more than `left` was asked for */
    bool no_memory;
};

/* What the arena may add to round a size up. */
enum { ROUNDING = 16 };

static void *allocate(void *data, size_t size) {
    struct allocator *allocator = data;
    size_t cost = MIN(size, SIZE_MAX - (size_t)ROUNDING) + ROUNDING;
    if (cost > allocator->left) {
        allocator->refused = true;
        return NULL;
    }
    void *p = arena_try_new(allocator->arena, size, 1, allocator->left);
    allocator->left -= cost;
    allocator->no_memory = allocator->no_memory || !p;
    return p;
}

static void release(void *data, void *pointer) {
    (void)data;
    (void)pointer;
}

enum err v2_proto_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                         struct str message, size_t bytes_max, ProtobufCMessage **ret,
                         struct err_text *text) {
    struct allocator allocator = {{allocate, release, &allocator}, arena, bytes_max, false, false};
    ProtobufCMessage *read = protobuf_c_message_unpack(descriptor, &allocator.base, message.n,
                                                       (const uint8_t *)message.p);
    if (allocator.no_memory)
        return err_set(text, ERR_NO_MEMORY, "no memory to read the %s", descriptor->short_name);
    if (allocator.refused) {
        return err_set(text, ERR_BODY_TOO_LARGE,
                       "the %s of %zu bytes takes more than %zu bytes in memory",
                       descriptor->short_name, message.n, bytes_max);
    }
    if (!read) {
        return err_set(text, ERR_INVALID,
                       "Unable to parse the %s: its %zu bytes are no such message",
                       descriptor->short_name, message.n);
    }
    *ret = read;
    return ERR_OK;
}

void v2_proto_pack(struct buffer *out, const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > INT32_MAX) { /* no reader of protobuf takes more */
        out->full = true;
        return;
    }
    char *to = buffer_reserve(out, GRPC_PREFIX_SIZE + size);
    if (!to)
        return;
    grpc_prefix_write(to, false, size);
    size_t packed = protobuf_c_message_pack(message, (uint8_t *)to + GRPC_PREFIX_SIZE);
    CHECK(packed == size);
    out->used += GRPC_PREFIX_SIZE + size;
}

void v2_proto_stream_error_write(struct buffer *out, const char *error, struct str id) {
    char text[ERR_TEXT_MAX];
    char id_text[V2_ID_MAX + 1];
    size_t n = MIN(strlen(error), sizeof text - 1);
    memcpy(text, error, n);
    text[n] = '\0';
    /* A string of protobuf is UTF-8, and the text may quote what the request had. */
    for (size_t i = 0; i < n && !str_is_utf8((struct str){text, n}); i++)
        if ((unsigned char)text[i] >= 0x80)
            text[i] = '?';
    Inference__ModelInferResponse response;
    Inference__ModelStreamInferResponse message;
    inference__model_infer_response__init(&response);
    inference__model_stream_infer_response__init(&message);
    message.error_message = text;
    message.infer_response = &response;
    if (id.n > 0 && id.n <= V2_ID_MAX && str_is_utf8(id)) {
        memcpy(id_text, id.p, id.n);
        id_text[id.n] = '\0';
        response.id = id_text;
    }
    v2_proto_pack(out, &message.base);
}
