// Server reflection, asked in bytes and answered in bytes.
#include "protocol/v2_proto.h"
#include "protocol/v2_wire.h"

#include <cmocka.h>

enum { VALID_HOST = 1, ORIGINAL_REQUEST = 2, FILES = 4, NUMBERS = 5, SERVICES = 6, FAILURE = 7 };

struct reflection {
    struct arena arena;
    struct buffer out;
    struct err_text text;
};

static void reflection_init(struct reflection *r) {
    arena_init(&r->arena);
    buffer_init(&r->out, 1 << 20);
}

static void reflection_done(struct reflection *r) {
    arena_done(&r->arena);
    buffer_done(&r->out);
}

// The n-th field of that number; p == NULL: none.
static struct str field_of(struct str message, uint32_t number, size_t n) {
    struct v2_wire_field field;
    while (v2_wire_next(&message, &field))
        if (field.number == number && n-- == 0)
            return field.bytes;
    assert_int_equal(message.n, 0);
    return (struct str){NULL, 0};
}

// Asks with one field; what the answer has in field `expected`.
static struct str ask(struct reflection *r, uint32_t number, struct str asked, uint32_t expected) {
    char message[256];
    struct str request = {message, (size_t)(v2_wire_put_str(message, number, asked) - message)};
    buffer_clear(&r->out);
    arena_reset(&r->arena);
    assert_int_equal(v2_proto_reflect(&r->arena, request, &r->out, &r->text), ERR_OK);
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, r->out.used - GRPC_PREFIX_SIZE);
    assert_memory_equal(r->out.data, prefix, GRPC_PREFIX_SIZE);
    struct str answer = {r->out.data + GRPC_PREFIX_SIZE, r->out.used - GRPC_PREFIX_SIZE};
    assert_true(str_eq(field_of(answer, ORIGINAL_REQUEST, 0), request));
    for (uint32_t i = FILES; i <= FAILURE; i++)
        assert_true((field_of(answer, i, 0).p != NULL) == (i == expected));
    return field_of(answer, expected, 0);
}

static void expect_not_found(struct reflection *r, uint32_t number, struct str asked,
                             const char *text) {
    struct str failure = ask(r, number, asked, FAILURE);
    assert_true(str_eq(field_of(failure, 1, 0), STR("\5")));
    assert_true(str_eq_c(field_of(failure, 2, 0), text));
}

static void test_all_services_are_listed(void **state) {
    (void)state;
    static const char *const expected[] = {
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService"};
    struct reflection r;
    reflection_init(&r);
    struct str services = ask(&r, 7, STR(""), SERVICES);
    for (size_t i = 0; i < 4; i++)
        assert_true(str_eq_c(field_of(field_of(services, 1, i), 1, 0), expected[i]));
    assert_null(field_of(services, 1, 4).p);
    reflection_done(&r);
}

static void test_a_file_comes_with_what_it_depends_on(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    struct str files = ask(&r, 3, STR("inference.proto"), FILES);
    assert_true(str_eq(field_of(field_of(files, 1, 0), 1, 0), STR("inference.proto")));
    assert_true(str_eq(field_of(field_of(files, 1, 1), 1, 0), STR("model_config.proto")));
    assert_null(field_of(files, 1, 2).p);
    files = ask(&r, 3, STR("model_config.proto"), FILES);
    assert_null(field_of(files, 1, 1).p);
    expect_not_found(&r, 3, STR("other.proto"), "unknown file 'other.proto'");
    reflection_done(&r);
}

static void test_a_symbol_of_any_kind_names_its_file(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"inference.GRPCInferenceService", "inference.proto"},
        {"inference.GRPCInferenceService.ModelInfer", "inference.proto"},
        {"inference.ModelInferRequest", "inference.proto"},
        {"inference.ModelInferRequest.InferInputTensor", "inference.proto"},
        {"inference.ModelInferRequest.InferInputTensor.shape", "inference.proto"},
        {"inference.DataType", "model_config.proto"},
        {"inference.ModelInput.Format", "model_config.proto"},
        {"grpc.health.v1.Health", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
        {"grpc.reflection.v1.ErrorResponse", "grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"},
    };
    struct reflection r;
    reflection_init(&r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str files = ask(&r, 4, str_of(cases[i][0]), FILES);
        assert_true(str_eq_c(field_of(field_of(files, 1, 0), 1, 0), cases[i][1]));
    }
    reflection_done(&r);
}

static void test_unknown_symbols_are_not_found(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    expect_not_found(&r, 4, STR(""), "unknown symbol ''");
    expect_not_found(&r, 4, STR("inference"), "unknown symbol 'inference'");
    expect_not_found(&r, 4, STR("inference."), "unknown symbol 'inference.'");
    expect_not_found(&r, 4, STR("inference.ModelInfer"), "unknown symbol 'inference.ModelInfer'");
    expect_not_found(&r, 4, STR("inference.ModelInferRequest.x"),
                     "unknown symbol 'inference.ModelInferRequest.x'");
    expect_not_found(&r, 4, STR("inference.ModelInferRequest.id.x"),
                     "unknown symbol 'inference.ModelInferRequest.id.x'");
    expect_not_found(&r, 4, STR("grpc.health.v1"), "unknown symbol 'grpc.health.v1'");
    reflection_done(&r);
}

static void test_no_message_has_extensions(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    struct str numbers = ask(&r, 6, STR("inference.ModelInferRequest"), NUMBERS);
    assert_true(str_eq(field_of(numbers, 1, 0), STR("inference.ModelInferRequest")));
    assert_null(field_of(numbers, 2, 0).p);
    expect_not_found(&r, 6, STR("inference.DataType"), "unknown message 'inference.DataType'");
    expect_not_found(&r, 5, STR("\x0a\1x"), "there are no extensions ''");
    reflection_done(&r);
}

static void test_the_host_is_echoed_and_the_last_question_counts(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    assert_int_equal(v2_proto_reflect(&r.arena, STR("\x1a\1x\x0a\1h\x3a\0"), &r.out, &r.text),
                     ERR_OK);
    struct str answer = {r.out.data + GRPC_PREFIX_SIZE, r.out.used - GRPC_PREFIX_SIZE};
    assert_true(str_eq(field_of(answer, VALID_HOST, 0), STR("h")));
    assert_non_null(field_of(answer, SERVICES, 0).p);
    reflection_done(&r);
}

static void test_a_question_without_one_is_an_invalid_argument(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    struct str failure = ask(&r, 1, STR("host"), FAILURE);
    assert_true(str_eq(field_of(failure, 1, 0), STR("\3")));
    reflection_done(&r);
}

static void test_what_is_not_a_question_is_refused(void **state) {
    (void)state;
    struct reflection r;
    reflection_init(&r);
    const struct str cases[] = {STR("\x0a"), STR("\x18\1"), STR("\x22\1\xff")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(v2_proto_reflect(&r.arena, cases[i], &r.out, &r.text), ERR_INVALID);
        assert_int_equal(r.out.used, 0);
    }
    static char large[65537];
    assert_int_equal(v2_proto_reflect(&r.arena, (struct str){large, sizeof large}, &r.out, &r.text),
                     ERR_BODY_TOO_LARGE);
    reflection_done(&r);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_services_are_listed),
        cmocka_unit_test(test_a_file_comes_with_what_it_depends_on),
        cmocka_unit_test(test_a_symbol_of_any_kind_names_its_file),
        cmocka_unit_test(test_unknown_symbols_are_not_found),
        cmocka_unit_test(test_no_message_has_extensions),
        cmocka_unit_test(test_the_host_is_echoed_and_the_last_question_counts),
        cmocka_unit_test(test_a_question_without_one_is_an_invalid_argument),
        cmocka_unit_test(test_what_is_not_a_question_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
