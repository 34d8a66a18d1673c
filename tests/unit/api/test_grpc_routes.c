/* From a gRPC path to a row of grpc_routes.def, and that a row asks for what its REST twin does. */
#include "api/router.h"

#include "api/rpcs.h"
#include "api/service.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define V2 "/inference.GRPCInferenceService/"

static enum err ask(const char *path, unsigned door, unsigned extra, struct route_match *ret,
                    struct err_text *text) {
    const struct http_request request = {
        .method = HTTP_POST, .method_text = STR("POST"), .path = str_of(path), .http2 = true};
    return route_find_rpc(&request, door, extra, ret, text);
}

static const struct route *row(const char *path, unsigned door) {
    struct route_match match = {.route = NULL};
    struct err_text text;
    return ask(path, door, 0, &match, &text) ? NULL : match.route;
}

static void test_inference_is_on_the_listeners_whose_loops_run_models(void **state) {
    (void)state;
    assert_true(row(V2 "ModelInfer", DOOR_GRPC)->handle == handle_infer);
    assert_true(row(V2 "ModelInfer", DOOR_DATA)->handle == handle_infer);
    assert_null(row(V2 "ModelInfer", DOOR_MANAGEMENT));
    assert_null(row(V2 "ModelStreamInfer", DOOR_MANAGEMENT));
}

static void test_only_some_calls_are_streams(void **state) {
    (void)state;
    static const char *const streams[] = {
        V2 "ModelStreamInfer",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    static const char *const others[] = {V2 "ModelInfer", V2 "ServerLive",
                                         "/grpc.health.v1.Health/Check"};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        assert_true(route_of_rpc(str_of(streams[i]))->stream);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(route_of_rpc(str_of(others[i]))->stream);
}

static void test_what_is_no_row_is_unsupported_and_named(void **state) {
    (void)state;
    static const char *const paths[] = {
        V2 "Nothing", V2, "/", "/inference.Other/ModelInfer", V2 "ModelInfer/", V2 "modelinfer"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct route_match match = {.model = STR("untouched")};
        struct err_text text;
        assert_int_equal(ask(paths[i], DOOR_GRPC, 0, &match, &text), ERR_UNSUPPORTED);
        assert_non_null(strstr(text.s, paths[i]));
        assert_true(str_eq_c(match.model, "untouched"));
    }
}

static void test_only_post(void **state) {
    (void)state;
    const struct http_request request = {
        .method = HTTP_GET, .method_text = STR("GET"), .path = STR(V2 "ServerLive")};
    struct route_match match;
    struct err_text text;
    assert_int_equal(route_find_rpc(&request, DOOR_GRPC, 0, &match, &text), ERR_BAD_METHOD);
}

static void test_admin_calls_are_elsewhere_only_when_told(void **state) {
    (void)state;
    static const char load[] = V2 "RepositoryModelLoad";
    struct route_match match;
    struct err_text text;
    assert_true(row(load, DOOR_MANAGEMENT)->handle == rpc_repository_load);
    assert_null(row(load, DOOR_GRPC));
    assert_null(row(load, DOOR_DATA));
    assert_int_equal(ask(load, DOOR_GRPC, DOOR_DATA | DOOR_GRPC, &match, &text), ERR_OK);
    /* Only admin calls come along. */
    assert_int_equal(ask(V2 "ModelInfer", DOOR_MANAGEMENT, DOOR_MANAGEMENT, &match, &text),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(text.s, "the gRPC listener (port: grpc.port)"));
    assert_int_equal(ask(load, DOOR_GRPC, 0, &match, &text), ERR_UNSUPPORTED);
    assert_non_null(strstr(text.s, "the management listener (port: management.port)"));
}

/* Either protocol asks for the same token, and says as much of it in the log. */
static void test_a_call_and_its_rest_twin_ask_for_the_same(void **state) {
    (void)state;
    static const struct {
        const char *rpc, *path;
        enum http_method method;
    } twins[] = {
        {V2 "ServerLive", "/v2/health/live", HTTP_GET},
        {V2 "ServerReady", "/v2/health/ready", HTTP_GET},
        {V2 "ModelReady", "/v2/models/m/ready", HTTP_GET},
        {V2 "ServerMetadata", "/v2", HTTP_GET},
        {V2 "ModelMetadata", "/v2/models/m", HTTP_GET},
        {V2 "ModelConfig", "/v2/models/m/config", HTTP_GET},
        {V2 "ModelStatistics", "/v2/models/m/stats", HTTP_GET},
        {V2 "RepositoryIndex", "/v2/repository/index", HTTP_POST},
        {V2 "RepositoryModelLoad", "/v2/repository/models/m/load", HTTP_POST},
        {V2 "RepositoryModelUnload", "/v2/repository/models/m/unload", HTTP_POST},
    };
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        struct route_match match;
        struct err_text text;
        const char *allow;
        const struct http_request request = {.method = twins[i].method,
                                             .path = str_of(twins[i].path)};
        assert_int_equal(route_find(&arena, &request, DOOR_MANAGEMENT, 0, &match, &allow, &text),
                         ERR_OK);
        const struct route *rpc = route_of_rpc(str_of(twins[i].rpc));
        assert_int_equal(rpc->needs, match.route->needs);
        assert_int_equal(rpc->kind, match.route->kind);
        assert_int_equal(rpc->doors & ~(unsigned)DOOR_GRPC, match.route->doors);
    }
    arena_done(&arena);
    assert_int_equal(route_of_rpc(STR(V2 "ModelInfer"))->needs, NEEDS_DATA_TOKEN);
    assert_int_equal(route_of_rpc(STR(V2 "ModelStreamInfer"))->needs, NEEDS_DATA_TOKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inference_is_on_the_listeners_whose_loops_run_models),
        cmocka_unit_test(test_only_some_calls_are_streams),
        cmocka_unit_test(test_what_is_no_row_is_unsupported_and_named),
        cmocka_unit_test(test_only_post),
        cmocka_unit_test(test_admin_calls_are_elsewhere_only_when_told),
        cmocka_unit_test(test_a_call_and_its_rest_twin_ask_for_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
