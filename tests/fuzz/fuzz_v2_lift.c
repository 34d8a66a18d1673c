// layer: protocol
// A large array of numbers, which is read from its text, and the same array under a name spelled
// with an escape, which is parsed like the rest: tensors, errors and texts must be the same. One
// byte chooses the datatype, one the shape, the rest is the array.
#include "base/check.h"
#include "protocol/v2_infer.h"
#include "protocol/v2_lift.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct buffer body;
    struct arena arena;
    struct v2_infer_request request;
    struct err_text text;
    enum err err;
};

static const struct shape {
    const char *text;
    uint32_t rank;
} shapes[] = {{"[1]", 1},   {"[2]", 1},   {"[3]", 1},     {"[1,2]", 2},
              {"[2,2]", 2}, {"[3,1]", 2}, {"[2,1,2]", 3}, {"[1,3,1]", 3}};

static void read_array(struct reading *reading, const struct tensor_spec *spec, const char *shape,
                       const char *name, struct str array) {
    struct signature signature = {
        .model = "m", .version = "1", .inputs = (struct tensor_spec *)(uintptr_t)spec};
    signature.input_count = 1;
    struct buffer *body = &reading->body;
    buffer_init(body, SIZE_MAX);
    buffer_add_format(body,
                      "{\"inputs\":[{\"name\":\"X\",\"shape\":%s,\"datatype\":\"%s\",%-13s:", shape,
                      datatype_name(spec->datatype), name);
    buffer_add(body, array.p, array.n - 1);
    for (size_t i = 0; i < V2_LIFT_MIN; i++)
        buffer_add_char(body, ' ');
    buffer_add_c(body, "]}]}");
    CHECK(buffer_reserve(body, V2_BODY_SPARE));
    memset(body->data + body->used, '1', V2_BODY_SPARE);
    arena_init(&reading->arena);
    reading->text.s[0] = '\0';
    struct v2_limits limits = {1 << 24};
    reading->err = v2_infer_read(&reading->arena, body->data, body->used, V2_NO_HEADER_LENGTH,
                                 &signature, &limits, &reading->request, &reading->text);
}

static void done(struct reading *reading) {
    buffer_done(&reading->body);
    arena_done(&reading->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || data[2] != '[' || data[size - 1] != ']')
        return 0;
    const struct shape *shape = &shapes[data[1] % 8];
    struct tensor_spec spec = {.name = (char[]){"X"},
                               .datatype = (enum datatype)(data[0] % DATATYPE_BYTES),
                               .rank = shape->rank,
                               .shape = {-1, -1, -1}};
    struct str array = {(const char *)data + 2, size - 2};
    struct reading lifted;
    struct reading parsed;
    read_array(&lifted, &spec, shape->text, "\"data\"", array);
    read_array(&parsed, &spec, shape->text, "\"d\\u0061ta\"", array);
    CHECK(lifted.err == parsed.err);
    CHECK(strcmp(lifted.text.s, parsed.text.s) == 0);
    if (!lifted.err) {
        const struct tensor *tensor = lifted.request.inputs;
        CHECK(memcmp(tensor->data, parsed.request.inputs->data, tensor_bytes(tensor)) == 0);
    }
    done(&lifted);
    done(&parsed);
    return 0;
}
