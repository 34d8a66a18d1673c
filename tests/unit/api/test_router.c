/* From method and path to a row of routes.def: what fits, what is refused and how. */
#include "api/router.h"

#include "api/handlers.h"
#include "api/service.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BOTH_DOORS = DOOR_DATA | DOOR_MANAGEMENT };

struct answer {
    enum err err;
    struct route_match match;
    const char *allow;
    struct err_text text;
};

static struct arena arena;

static int make(void **state) {
    (void)state;
    arena_init(&arena);
    return 0;
}

static int drop(void **state) {
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct answer ask(enum http_method method, const char *method_text, const char *path,
                         unsigned door, unsigned extra_admin_doors) {
    struct answer answer = {.match = {.model = STR("untouched")}, .allow = "untouched"};
    const struct http_request request = {
        .method = method, .method_text = str_of(method_text), .path = str_of(path)};
    answer.err = route_find(&arena, &request, door, extra_admin_doors, &answer.match, &answer.allow,
                            &answer.text);
    return answer;
}

static struct answer get(const char *path, unsigned door) {
    return ask(HTTP_GET, "GET", path, door, 0);
}

static struct answer post(const char *path, unsigned door) {
    return ask(HTTP_POST, "POST", path, door, 0);
}

static void assert_route(struct answer answer, void (*handle)(struct call *call), const char *model,
                         const char *version) {
    assert_int_equal(answer.err, ERR_OK);
    assert_true(answer.match.route->handle == handle);
    assert_int_equal(answer.match.model.n, strlen(model));
    assert_true(str_eq_c(answer.match.model, model));
    assert_int_equal(answer.match.version.n, strlen(version));
    assert_true(str_eq_c(answer.match.version, version));
    assert_string_equal(answer.allow, "untouched");
}

static void assert_not_found(struct answer answer) {
    assert_int_equal(answer.err, ERR_NOT_FOUND);
    assert_string_equal(answer.allow, "untouched");
    assert_true(str_eq_c(answer.match.model, "untouched"));
}

static void test_inference_with_and_without_a_version(void **state) {
    (void)state;
    assert_route(post("/v2/models/m/infer", DOOR_DATA), handle_infer, "m", "");
    assert_route(post("/v2/models/breast-cancer/versions/12/infer", DOOR_DATA), handle_infer,
                 "breast-cancer", "12");
    assert_not_found(post("/v2/models/m/infer", DOOR_MANAGEMENT));
}

static void test_every_path_of_the_protocol_has_its_handler(void **state) {
    (void)state;
    static const struct {
        const char *path;
        void (*handle)(struct call *call);
        const char *model, *version;
    } cases[] = {
        {"/v2", handle_server_metadata, "", ""},
        {"/v2/health/live", handle_live, "", ""},
        {"/v2/health/ready", handle_ready, "", ""},
        {"/v2/models/stats", handle_statistics, "", ""},
        {"/v2/models/m", handle_model_metadata, "m", ""},
        {"/v2/models/m/ready", handle_model_ready, "m", ""},
        {"/v2/models/m/config", handle_model_config, "m", ""},
        {"/v2/models/m/stats", handle_statistics, "m", ""},
        {"/v2/models/m/versions/1", handle_model_metadata, "m", "1"},
        {"/v2/models/m/versions/1/ready", handle_model_ready, "m", "1"},
        {"/v2/models/m/versions/1/config", handle_model_config, "m", "1"},
        {"/v2/models/m/versions/1/stats", handle_statistics, "m", "1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (unsigned door = DOOR_DATA; door <= DOOR_MANAGEMENT; door *= 2)
            assert_route(get(cases[i].path, door), cases[i].handle, cases[i].model,
                         cases[i].version);
    assert_route(post("/v2/repository/index", DOOR_DATA), handle_repository_index, "", "");
}

static void test_management_paths_are_not_on_the_data_listener(void **state) {
    (void)state;
    static const struct {
        const char *path;
        void (*handle)(struct call *call);
    } cases[] = {{"/livez", handle_live},
                 {"/readyz", handle_ready},
                 {"/startupz", handle_startup},
                 {"/metrics", handle_metrics_page}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_route(get(cases[i].path, DOOR_MANAGEMENT), cases[i].handle, "", "");
        assert_not_found(get(cases[i].path, DOOR_DATA));
    }
}

static void test_admin_calls_are_on_the_data_listener_only_when_told(void **state) {
    (void)state;
    static const char load[] = "/v2/repository/models/m/load";
    static const char unload[] = "/v2/repository/models/m/unload";
    assert_route(post(load, DOOR_MANAGEMENT), handle_repository_load, "m", "");
    assert_route(post(unload, DOOR_MANAGEMENT), handle_repository_unload, "m", "");
    assert_int_equal(post(load, DOOR_MANAGEMENT).match.route->needs, NEEDS_ADMIN_TOKEN);
    assert_not_found(post(load, DOOR_DATA));
    assert_not_found(post(unload, DOOR_DATA));
    assert_route(ask(HTTP_POST, "POST", load, DOOR_DATA, DOOR_DATA), handle_repository_load, "m",
                 "");
    /* Only admin calls come along. */
    assert_not_found(ask(HTTP_GET, "GET", "/metrics", DOOR_DATA, DOOR_DATA));
}

static void test_health_needs_no_token_and_is_not_logged(void **state) {
    (void)state;
    static const char *const paths[] = {
        "/v2/health/live", "/v2/health/ready", "/v2/models/m/ready",           "/livez",
        "/readyz",         "/startupz",        "/v2/models/m/versions/1/ready"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const struct route *route = get(paths[i], DOOR_MANAGEMENT).match.route;
        assert_int_equal(route->needs, NEEDS_NOTHING);
        assert_int_equal(route->kind, ROUTE_QUIET);
    }
    assert_int_equal(post("/v2/models/m/infer", DOOR_DATA).match.route->needs, NEEDS_DATA_TOKEN);
    assert_int_equal(post("/v2/models/m/infer", DOOR_DATA).match.route->kind, ROUTE_INFER);
    assert_int_equal(get("/v2/models/m", DOOR_DATA).match.route->needs, NEEDS_DATA_TOKEN);
}

static void test_one_slash_at_the_end_makes_no_difference(void **state) {
    (void)state;
    assert_route(get("/v2/", DOOR_DATA), handle_server_metadata, "", "");
    assert_route(get("/v2/models/m/", DOOR_DATA), handle_model_metadata, "m", "");
    assert_not_found(get("/v2//", DOOR_DATA));
    assert_not_found(get("/", BOTH_DOORS));
}

static void test_what_is_nearly_a_path_is_none(void **state) {
    (void)state;
    static const char *const paths[] = {"/v",
                                        "/v2x",
                                        "/V2",
                                        "/v3/models/m",
                                        "/v2/models",
                                        "/v2/models//ready",
                                        "/v2/models/m/readymade",
                                        "/v2/models/m/read",
                                        "/v2/models/m/versions",
                                        "/v2/models/m/versions//ready",
                                        "/v2/models/m/n/ready",
                                        "/v2/health",
                                        "/v2/health/live/now",
                                        "//v2",
                                        "*",
                                        ""};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        assert_not_found(get(paths[i], DOOR_DATA));
}

static void test_an_unknown_path_is_named(void **state) {
    (void)state;
    assert_string_equal(get("/v2/nothing", DOOR_DATA).text.s, "no such path: /v2/nothing");
}

static void test_a_path_of_the_other_listener_is_not_found_and_says_where_it_is(void **state) {
    (void)state;
    struct answer answer = get("/metrics", DOOR_DATA);
    assert_not_found(answer);
    assert_string_equal(answer.text.s, "no such path on this listener: /metrics; the management "
                                       "listener (port: management.port) answers it");
    answer = post("/v2/models/m/infer", DOOR_MANAGEMENT);
    assert_not_found(answer);
    assert_string_equal(answer.text.s, "no such path on this listener: /v2/models/m/infer; the "
                                       "data listener (port: http.port) answers it");
    answer = post("/v2/repository/models/m/load", DOOR_DATA);
    assert_non_null(strstr(answer.text.s, "management.port"));
}

static void test_head_is_answered_wherever_get_is(void **state) {
    (void)state;
    assert_route(ask(HTTP_HEAD, "HEAD", "/v2/health/live", DOOR_DATA, 0), handle_live, "", "");
    struct answer answer = ask(HTTP_HEAD, "HEAD", "/v2/models/m/infer", DOOR_DATA, 0);
    assert_int_equal(answer.err, ERR_BAD_METHOD);
}

static void test_another_method_is_refused_with_what_is_allowed(void **state) {
    (void)state;
    struct answer answer = get("/v2/models/m/infer", DOOR_DATA);
    assert_int_equal(answer.err, ERR_BAD_METHOD);
    assert_string_equal(answer.allow, "POST, OPTIONS");
    assert_string_equal(answer.text.s, "method GET is not allowed for /v2/models/m/infer; allowed: "
                                       "POST, OPTIONS");
    answer = post("/v2/models/m", DOOR_DATA);
    assert_int_equal(answer.err, ERR_BAD_METHOD);
    assert_string_equal(answer.allow, "GET, HEAD, OPTIONS");
    answer = ask(HTTP_OTHER, "BREW", "/metrics", DOOR_MANAGEMENT, 0);
    assert_int_equal(answer.err, ERR_BAD_METHOD);
    assert_non_null(strstr(answer.text.s, "BREW"));
    assert_true(str_eq_c(answer.match.model, "untouched"));
    /* A path that the door does not have is not found, whatever the method. */
    assert_not_found(ask(HTTP_DELETE, "DELETE", "/metrics", DOOR_DATA, 0));
}

static void test_names_are_percent_decoded(void **state) {
    (void)state;
    assert_route(get("/v2/models/a%20b/versions/%31", DOOR_DATA), handle_model_metadata, "a b",
                 "1");
    assert_route(get("/v2/models/%c3%BC", DOOR_DATA), handle_model_metadata, "\xC3\xBC", "");
    assert_route(get("/v2/models/%25", DOOR_DATA), handle_model_metadata, "%", "");
    /* An escaped slash is part of the name, not of the path; names with slashes do not exist. */
    assert_route(get("/v2/models/..%2f..%2fetc", DOOR_DATA), handle_model_metadata, "../../etc",
                 "");
    struct answer zero = get("/v2/models/a%00b", DOOR_DATA);
    assert_int_equal(zero.err, ERR_OK);
    assert_true(str_eq(zero.match.model, STR("a\0b")));
    /* The rest of the path is compared as it was sent. */
    assert_not_found(get("/v2/models/m/%72eady", DOOR_DATA));
}

static void test_a_broken_escape_is_refused(void **state) {
    (void)state;
    static const char *const paths[] = {
        "/v2/models/%",    "/v2/models/a%2", "/v2/models/%zz",  "/v2/models/%2g",
        "/v2/models/%%41", "/v2/models/%4",  "/v2/models/% 41", "/v2/models/m/versions/%"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct answer answer = get(paths[i], DOOR_DATA);
        assert_int_equal(answer.err, ERR_INVALID);
        assert_non_null(strstr(answer.text.s, "percent-escape"));
        assert_true(str_eq_c(answer.match.model, "untouched"));
    }
    /* What stands behind the path in memory is not part of it. */
    const struct http_request cut = {.method = HTTP_GET, .path = {"/v2/models/%41", 13}};
    struct answer answer;
    assert_int_equal(
        route_find(&arena, &cut, DOOR_DATA, 0, &answer.match, &answer.allow, &answer.text),
        ERR_INVALID);
}

#define ROUTER_TEST(function) cmocka_unit_test_setup_teardown(function, make, drop)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROUTER_TEST(test_inference_with_and_without_a_version),
        ROUTER_TEST(test_every_path_of_the_protocol_has_its_handler),
        ROUTER_TEST(test_management_paths_are_not_on_the_data_listener),
        ROUTER_TEST(test_admin_calls_are_on_the_data_listener_only_when_told),
        ROUTER_TEST(test_health_needs_no_token_and_is_not_logged),
        ROUTER_TEST(test_one_slash_at_the_end_makes_no_difference),
        ROUTER_TEST(test_what_is_nearly_a_path_is_none),
        ROUTER_TEST(test_an_unknown_path_is_named),
        ROUTER_TEST(test_a_path_of_the_other_listener_is_not_found_and_says_where_it_is),
        ROUTER_TEST(test_head_is_answered_wherever_get_is),
        ROUTER_TEST(test_another_method_is_refused_with_what_is_allowed),
        ROUTER_TEST(test_names_are_percent_decoded),
        ROUTER_TEST(test_a_broken_escape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
