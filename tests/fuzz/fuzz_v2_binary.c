// layer: protocol
// A request with binary data: one byte chooses the model; the next are the value of the header
// Inference-Header-Content-Length up to a newline; the rest is the body. The answer is all inputs
// as binary outputs, whose parts must be the data again.
#include "v2_models.h"

static void check_parts(const struct signature *signature, const struct v2_infer_request *request,
                        struct arena *arena) {
    struct v2_output_request outputs[3];
    for (size_t i = 0; i < signature->input_count; i++)
        outputs[i] = (struct v2_output_request){i, true};
    struct v2_infer_request all = *request;
    all.outputs = outputs;
    all.output_count = signature->input_count;
    struct v2_infer_response response = {signature, &all, request->inputs, V2_NONFINITE_NULL};
    struct str parts[3];
    size_t part_count = 99;
    struct err_text text;
    struct buffer json;
    buffer_init(&json, SIZE_MAX);
    CHECK(v2_infer_write(arena, &response, &json, parts, &part_count, &text) == ERR_OK);
    CHECK(part_count == signature->input_count);
    for (size_t i = 0; i < part_count; i++) {
        const struct tensor *tensor = &request->inputs[i];
        fuzz_touch(parts[i].p, parts[i].n);
        CHECK(tensor->datatype == DATATYPE_BYTES || parts[i].n == tensor_bytes(tensor));
    }
    buffer_done(&json);
}

static void read_body(const struct signature *signature, struct str in, int64_t json_length) {
    char *body = malloc(in.n + V2_BODY_SPARE);
    CHECK(body);
    memcpy(body, in.p, in.n);
    struct arena arena;
    arena_init(&arena);
    struct v2_limits limits = {1 << 24};
    struct v2_infer_request request;
    struct err_text text = {""};
    enum err e =
        v2_infer_read(&arena, body, in.n, json_length, signature, &limits, &request, &text);
    if (e) {
        CHECK(e == ERR_INVALID || e == ERR_BODY_TOO_LARGE);
        CHECK(text.s[0] != '\0' && memchr(text.s, '\0', sizeof text.s));
    } else {
        fuzz_check_request(signature, &request);
        check_parts(signature, &request, &arena);
    }
    arena_done(&arena);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!newline || newline == data)
        return 0;
    struct signature signature = fuzz_signature(data[0]);
    struct str header = {(const char *)data + 1, (size_t)(newline - data) - 1};
    struct str body = {(const char *)newline + 1, size - (size_t)(newline - data) - 1};
    int64_t json_length;
    struct err_text text;
    if (v2_header_length_read(header, body.n, &json_length, &text) == ERR_OK) {
        CHECK(json_length >= 0 && (size_t)json_length <= body.n);
        read_body(&signature, body, json_length);
    }
    return 0;
}
