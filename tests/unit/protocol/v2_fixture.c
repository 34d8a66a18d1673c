#include "v2_fixture.h"

#include "base/check.h"

static char input_names[][2] = {"X", "Y", "Z", "W"};
static char output_names[][2] = {"A", "B", "C", "D"};

void v2_fixture_init(struct v2_fixture *f) {
    *f = (struct v2_fixture){0};
    f->limits.tensor_bytes_max = 1 << 20;
    f->signature = (struct signature){.model = "m", .version = "7"};
    f->signature.inputs = f->inputs;
    f->signature.outputs = f->outputs;
    arena_init(&f->arena);
    buffer_init(&f->json, 1 << 22);
}

void v2_fixture_done(struct v2_fixture *f) {
    arena_done(&f->arena);
    buffer_done(&f->json);
    free(f->body);
}

static void set_spec(struct tensor_spec *spec, char *name, enum datatype datatype,
                     const int64_t *shape) {
    *spec = (struct tensor_spec){.name = name, .datatype = datatype};
    while (spec->rank < TENSOR_RANK_MAX && shape[spec->rank] != 0) {
        spec->shape[spec->rank] = shape[spec->rank];
        spec->rank++;
    }
}

void v2_fixture_input(struct v2_fixture *f, enum datatype datatype, const int64_t *shape) {
    size_t i = f->signature.input_count++;
    set_spec(&f->inputs[i], input_names[i], datatype, shape);
}

void v2_fixture_output(struct v2_fixture *f, enum datatype datatype, const int64_t *shape) {
    size_t i = f->signature.output_count++;
    set_spec(&f->outputs[i], output_names[i], datatype, shape);
}

void v2_fixture_init_one(struct v2_fixture *f, enum datatype datatype, const int64_t *shape) {
    v2_fixture_init(f);
    v2_fixture_input(f, datatype, shape);
    v2_fixture_output(f, datatype, shape);
}

enum err v2_fixture_read(struct v2_fixture *f, struct str body, int64_t json_length) {
    free(f->body);
    f->body = malloc(body.n + V2_BODY_SPARE);
    assert_non_null(f->body);
    if (body.n > 0)
        memcpy(f->body, body.p, body.n);
    /* What a cut request would go on with, were it read past its end. */
    memcpy(f->body + body.n, "]}]}]}]}]}]}]}]}", V2_BODY_SPARE);
    arena_reset(&f->arena);
    f->text.s[0] = '\0';
    struct v2_infer_request untouched = {.priority = 4711};
    f->request = untouched;
    enum err e = v2_infer_read(&f->arena, f->body, body.n, json_length, &f->signature, &f->limits,
                               &f->request, &f->text);
    if (e) {
        assert_memory_equal(&f->request, &untouched, sizeof untouched);
        assert_true(f->text.s[0] != '\0');
    }
    return e;
}

enum err v2_fixture_read_json(struct v2_fixture *f, const char *json) {
    return v2_fixture_read(f, str_of(json), V2_NO_HEADER_LENGTH);
}

enum err v2_fixture_read_binary(struct v2_fixture *f, const char *json, struct str blobs) {
    size_t length = strlen(json);
    char *body = malloc(length + blobs.n + 1);
    assert_non_null(body);
    memcpy(body, json, length);
    if (blobs.n > 0)
        memcpy(body + length, blobs.p, blobs.n);
    enum err e = v2_fixture_read(f, (struct str){body, length + blobs.n}, (int64_t)length);
    free(body);
    return e;
}

enum err v2_fixture_read_data(struct v2_fixture *f, const char *shape, const char *data) {
    struct buffer json;
    buffer_init(&json, SIZE_MAX);
    buffer_add_format(
        &json, "{\"inputs\":[{\"name\":\"X\",\"shape\":%s,\"datatype\":\"%s\",\"data\":%s}]}",
        shape, datatype_name(f->inputs[0].datatype), data);
    enum err e = v2_fixture_read(f, buffer_str(&json), V2_NO_HEADER_LENGTH);
    buffer_done(&json);
    return e;
}

void v2_expect_text(const struct v2_fixture *f, const char *expected) {
    size_t length = strlen(expected);
    if (length >= 3 && strcmp(expected + length - 3, "...") == 0 &&
        strncmp(f->text.s, expected, length - 3) == 0) {
        return;
    }
    assert_string_equal(f->text.s, expected);
}

enum err v2_fixture_write(struct v2_fixture *f, const struct tensor *outputs,
                          enum v2_nonfinite nonfinite) {
    buffer_clear(&f->json);
    f->text.s[0] = '\0';
    struct v2_infer_response response = {&f->signature, &f->request, outputs, nonfinite};
    return v2_infer_write(&f->arena, &response, &f->json, f->parts, &f->part_count, &f->text);
}

void v2_expect_json(const struct v2_fixture *f, const char *expected) {
    char *text = malloc(f->json.used + 1);
    assert_non_null(text);
    memcpy(text, f->json.data, f->json.used);
    text[f->json.used] = '\0';
    assert_string_equal(text, expected);
    free(text);
}
