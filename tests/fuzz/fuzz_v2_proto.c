// layer: protocol
// ModelInferRequest: one byte chooses the model, one the alignment; the rest is the message. What
// was read is answered with all inputs as outputs, on a stream or not, and the answer must be one
// well-formed message whose raw_output_contents are the data again. Bytes with a model of 0xff ask
// server reflection.
#include "protocol/v2_proto.h"
#include "protocol/v2_wire.h"
#include "v2_models.h"

enum { BYTES_MAX = 1 << 24, REFLECTION = 0xff, RAW_OUTPUT_CONTENTS = 6 };

// The pieces side by side, without the prefix, which must name their length.
static struct str join(const struct str *parts, size_t count, struct buffer *out) {
    char prefix[GRPC_PREFIX_SIZE];
    for (size_t i = 0; i < count; i++)
        buffer_add_str(out, parts[i]);
    CHECK(out->used >= GRPC_PREFIX_SIZE);
    grpc_prefix_write(prefix, false, out->used - GRPC_PREFIX_SIZE);
    CHECK(memcmp(out->data, prefix, GRPC_PREFIX_SIZE) == 0);
    return (struct str){out->data + GRPC_PREFIX_SIZE, out->used - GRPC_PREFIX_SIZE};
}

static void check_answer(struct str message, bool stream, const struct tensor *tensors,
                         size_t count) {
    struct v2_wire_field field;
    if (stream) {
        CHECK(v2_wire_next(&message, &field) && field.number == 2 && message.n == 0);
        message = field.bytes;
    }
    size_t found = 0;
    while (v2_wire_next(&message, &field)) {
        if (field.number != RAW_OUTPUT_CONTENTS)
            continue;
        CHECK(found < count);
        const struct tensor *tensor = &tensors[found++];
        if (tensor->datatype == DATATYPE_BYTES || tensor->count == 0)
            continue;
        CHECK(field.bytes.n == tensor_bytes(tensor));
        CHECK(memcmp(field.bytes.p, tensor->data, field.bytes.n) == 0);
    }
    CHECK(message.n == 0 && found == count);
}

static void answer(const struct signature *signature, const struct v2_infer_request *request,
                   struct arena *arena, bool stream) {
    struct v2_output_request outputs[3];
    for (size_t i = 0; i < signature->input_count; i++)
        outputs[i] = (struct v2_output_request){i, true};
    struct v2_infer_request all = *request;
    all.outputs = outputs;
    all.output_count = signature->input_count;
    struct v2_infer_response response = {signature, &all, request->inputs, V2_NONFINITE_NULL};
    struct str parts[V2_PROTO_PARTS_MAX];
    size_t part_count = 0;
    struct err_text text;
    struct buffer out;
    buffer_init(&out, SIZE_MAX);
    CHECK(v2_proto_infer_write(arena, &response, stream, parts, &part_count, &text) == ERR_OK);
    struct str message = join(parts, part_count, &out);
    check_answer(message, stream, request->inputs, signature->input_count);
    buffer_clear(&out);
    v2_proto_stream_error_write(&out, "failed", request->id);
    (void)join(NULL, 0, &out);
    buffer_done(&out);
}

static void read_message(const struct signature *signature, struct str message, bool stream) {
    struct arena arena;
    arena_init(&arena);
    struct v2_limits limits = {BYTES_MAX};
    struct v2_proto_infer open;
    struct v2_infer_request request;
    struct err_text text = {""};
    enum err e = v2_proto_infer_open(&arena, message, &limits, &open, &text);
    if (!e) {
        fuzz_touch(open.model_name.p, open.model_name.n);
        fuzz_touch(open.model_version.p, open.model_version.n);
        e = v2_proto_infer_read(&arena, &open, signature, &limits, &request, &text);
    }
    CHECK(arena.used <= (size_t)4 * BYTES_MAX);
    if (e) {
        CHECK(e == ERR_INVALID || e == ERR_BODY_TOO_LARGE);
        CHECK(text.s[0] != '\0' && memchr(text.s, '\0', sizeof text.s));
    } else {
        fuzz_check_request(signature, &request);
        answer(signature, &request, &arena, stream);
    }
    arena_done(&arena);
}

static void reflect(struct str message) {
    struct arena arena;
    struct buffer out;
    struct err_text text = {""};
    arena_init(&arena);
    buffer_init(&out, 1 << 20);
    enum err e = v2_proto_reflect(&arena, message, &out, &text);
    CHECK(e == ERR_INVALID || e == ERR_BODY_TOO_LARGE || e == ERR_OK);
    if (!e)
        (void)join(NULL, 0, &out);
    buffer_done(&out);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct signature signature = fuzz_signature(data[0]);
    size_t shift = data[1] % 8;
    size_t n = size - 2;
    char *body = malloc(shift + n + V2_BODY_SPARE);
    CHECK(body);
    memcpy(body + shift, data + 2, n);
    struct str message = {body + shift, n};
    if (data[0] == REFLECTION)
        reflect(message);
    else
        read_message(&signature, message, data[1] & 0x80);
    free(body);
    return 0;
}
