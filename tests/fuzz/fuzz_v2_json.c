// layer: protocol
// A whole JSON request: one byte chooses the model, the rest is the body. What can be read is
// answered with its own inputs as outputs; the answer, read as a request, must give the same
// tensors again.
#include "v2_models.h"

static void write_echo(const struct signature *signature, const struct v2_infer_request *request,
                       struct arena *arena, struct buffer *json) {
    struct v2_output_request outputs[3];
    for (size_t i = 0; i < signature->input_count; i++)
        outputs[i] = (struct v2_output_request){i, false};
    struct v2_infer_request all = *request;
    all.outputs = outputs;
    all.output_count = signature->input_count;
    struct v2_infer_response response = {signature, &all, request->inputs, V2_NONFINITE_NULL};
    struct str parts[3];
    size_t part_count = 99;
    struct err_text text;
    CHECK(v2_infer_write(arena, &response, json, parts, &part_count, &text) == ERR_OK);
    CHECK(part_count == 0);
}

static bool same_tensor(const struct tensor *a, const struct tensor *b) {
    if (a->count != b->count || a->rank != b->rank ||
        memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) != 0) {
        return false;
    }
    if (a->datatype != DATATYPE_BYTES)
        return a->count == 0 || memcmp(a->data, b->data, tensor_bytes(a)) == 0;
    bool same = true;
    for (int64_t i = 0; i < a->count; i++)
        same = same && str_eq(((const struct str *)a->data)[i], ((const struct str *)b->data)[i]);
    return same;
}

static void check_echo(const struct signature *signature, const struct v2_limits *limits,
                       const struct v2_infer_request *request) {
    struct arena arena;
    struct buffer json;
    struct err_text text = {""};
    arena_init(&arena);
    buffer_init(&json, SIZE_MAX);
    write_echo(signature, request, &arena, &json);
    // "outputs" of the answer becomes "inputs" of a request; the rest are members it passes over.
    char *name = memmem(json.data, json.used, "\"outputs\":[{\"name\"", 18);
    CHECK(name);
    memcpy(name, "\"inputs\" ", 9);
    CHECK(buffer_reserve(&json, V2_BODY_SPARE));
    struct v2_infer_request again;
    CHECK(v2_infer_read(&arena, json.data, json.used, V2_NO_HEADER_LENGTH, signature, limits,
                        &again, &text) == ERR_OK);
    for (size_t i = 0; i < signature->input_count; i++)
        CHECK(same_tensor(&request->inputs[i], &again.inputs[i]));
    CHECK(str_eq(request->id, again.id));
    buffer_done(&json);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct signature signature = fuzz_signature(data[0]);
    size_t length = size - 1;
    char *body = malloc(length + V2_BODY_SPARE);
    CHECK(body);
    memcpy(body, data + 1, length);
    struct arena arena;
    arena_init(&arena);
    struct v2_limits limits = {1 << 24};
    struct v2_infer_request request;
    struct err_text text = {""};
    enum err e = v2_infer_read(&arena, body, length, V2_NO_HEADER_LENGTH, &signature, &limits,
                               &request, &text);
    if (e) {
        CHECK(e == ERR_INVALID || e == ERR_BODY_TOO_LARGE);
        CHECK(text.s[0] != '\0' && memchr(text.s, '\0', sizeof text.s));
    } else {
        fuzz_check_request(&signature, &request);
        check_echo(&signature, &limits, &request);
    }
    arena_done(&arena);
    free(body);
    return 0;
}
