/* Recorded requests: which files are read, what each failure says, and what is run. The reader of
 * these tests takes a body's bytes, after a first line, as the row of the fake's one input. */
#include "model/support.h"

#include "model/recorded.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define UINT8_MODEL "input A UINT8 [-1,4]\noutput B UINT8 [-1,4]\n"

static struct place place;
static struct engine *engine;
static struct engine_model *loaded;
static char seen[256]; /* the first lines that were read, "/" after each, "+" where binary */

static int start(void **state) {
    (void)state;
    place_make(&place);
    engine = engine_fake_new();
    seen[0] = '\0';
    return 0;
}

static int stop(void **state) {
    (void)state;
    engine->ops->unload(&loaded);
    engine->ops->free(&engine);
    place_remove(&place);
    return 0;
}

static enum err read_request(void *context, const struct recorded_body *body,
                             const struct signature *signature, struct recorded_request *ret,
                             struct err_text *text) {
    (void)context;
    struct str rest = {body->data, body->length}, line;
    assert_string_equal(signature->model, "m");
    assert_true(body->binary ? body->json_length < body->length
                             : body->json_length == body->length);
    memset(body->data + body->length, 0xff, RECORDED_SPARE); /* it may */
    if (!str_split(&rest, '\n', &line) || rest.n != 4)
        return err_set(text, ERR_INVALID, "%zu bytes are no row", rest.n);
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%.*s%s/", STR_ARG(line),
             body->binary ? "+" : "");
    const int64_t shape[] = {1, 4};
    struct tensor *input = arena_new_zero(body->arena, sizeof *input);
    assert_int_equal(tensor_set(input, DATATYPE_UINT8, shape, 2, NULL), ERR_OK);
    input->data = body->data + body->length - 4;
    *ret = (struct recorded_request){input, 1};
    return ERR_OK;
}

static enum err run(const char *content, uint32_t runs, const _Atomic bool *stopped,
                    struct recorded_result *ret, struct err_text *text) {
    struct engine_options engine_options = {1, 1, "all", false, true, true, NULL, 0};
    place_write(&place, "m/1/model.onnx", content);
    if (loaded)
        engine->ops->unload(&loaded);
    assert_int_equal(engine->ops->load(engine, place_path(&place, "m/1/model.onnx"),
                                       &engine_options, &loaded, text),
                     ERR_OK);
    struct signature signature = *engine->ops->signature(loaded);
    signature.model = "m";
    char folder[128];
    snprintf(folder, sizeof folder, "%s", place_path(&place, "m/1/warmup"));
    struct recorded_options options = {.root = place.root,
                                       .folder = folder,
                                       .read = read_request,
                                       .model = loaded,
                                       .signature = &signature,
                                       .clock = &clock_real,
                                       .runs = runs,
                                       .stop = stopped};
    return recorded_run(&options, ret, text);
}

static void assert_fails(const char *content, const char *one, const char *other) {
    struct recorded_result result;
    struct err_text text = {""};
    assert_int_equal(run(content, 1, NULL, &result, &text), ERR_INVALID);
    if (!strstr(text.s, one) || !strstr(text.s, other))
        fail_msg("'%s' has no '%s' or no '%s'", text.s, one, other);
}

static void test_without_a_folder_nothing_is_run(void **state) {
    (void)state;
    struct recorded_result result;
    struct err_text text;
    assert_int_equal(run(UINT8_MODEL "fail no\n", 1, NULL, &result, &text), ERR_OK);
    assert_int_equal(result.requests, 0);
    assert_true(result.run_ns == 0);
}

static void test_requests_run_in_the_order_of_their_names(void **state) {
    (void)state;
    struct recorded_result result;
    struct err_text text;
    place_write(&place, "m/1/warmup/b.json", "second\n1234");
    place_write(&place, "m/1/warmup/a.json", "first\n");
    place_write(&place, "m/1/warmup/a.bin", "5678");
    place_write(&place, "m/1/warmup/.c.json", "hidden");
    place_write(&place, "m/1/warmup/README.md", "no request");
    place_write(&place, "m/1/warmup/lonely.bin", "1234");
    assert_int_equal(run(UINT8_MODEL "run_us 200\n", 3, NULL, &result, &text), ERR_OK);
    assert_string_equal(seen, "first+/second/");
    assert_int_equal(result.requests, 2);
    assert_true(result.run_ns >= 200000);
    assert_int_equal(result.elements, 4);
}

static void test_each_request_is_run_as_often_as_is_asked(void **state) {
    (void)state;
    struct recorded_result result;
    struct err_text text;
    place_write(&place, "m/1/warmup/a.json", "a\n1234");
    assert_int_equal(run(UINT8_MODEL "fail_every 4\n", 3, NULL, &result, &text), ERR_OK);
    assert_fails(UINT8_MODEL "fail_every 1\n", "warmup/a.json", "fails");
    assert_int_equal(run(UINT8_MODEL "fail_every 4\n", 4, NULL, &result, &text), ERR_INVALID);
}

static void test_what_fits_not_names_the_file_and_the_reason(void **state) {
    (void)state;
    place_write(&place, "m/1/warmup/a.json", "fine\n1234");
    place_write(&place, "m/1/warmup/bad.json", "short\n12");
    assert_fails(UINT8_MODEL, "warmup/bad.json: ", "2 bytes are no row");
}

static void test_what_the_model_refuses_names_the_file(void **state) {
    (void)state;
    place_write(&place, "m/1/warmup/a.json", "fine\n1234");
    place_write(&place, "m/1/warmup/p.json", "poisoned\nA234");
    assert_fails(UINT8_MODEL "poison 65\n", "warmup/p.json: ", "poisoned");
}

static void test_no_file_leads_out_of_the_repository(void **state) {
    (void)state;
    struct recorded_result result;
    struct err_text text;
    char outside[] = "/tmp/inferd-outside-XXXXXX";
    int fd = mkstemp(outside);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a\n1234", 6), 6);
    close(fd);
    place_write(&place, "m/1/warmup/a.json", "a\n1234");
    place_link(&place, "m/1/warmup/b.json", outside);
    assert_fails(UINT8_MODEL, "warmup/b.json", "leads out of the repository");
    place_delete(&place, "m/1/warmup/b.json");
    place_link(&place, "m/1/warmup/a.bin", outside);
    assert_fails(UINT8_MODEL, "warmup/a.bin", "leads out of the repository");
    place_delete(&place, "m/1/warmup/a.bin");
    place_link(&place, "m/1/warmup/b.json", "a.json"); /* within: fine */
    assert_int_equal(run(UINT8_MODEL, 1, NULL, &result, &text), ERR_OK);
    assert_int_equal(result.requests, 2);
    assert_int_equal(unlink(outside), 0);
}

static void test_a_file_that_cannot_be_read_fails(void **state) {
    (void)state;
    place_write(&place, "m/1/warmup/a.json/file", "a folder");
    assert_fails(UINT8_MODEL, "warmup/a.json", "");
    place_delete(&place, "m/1/warmup/a.json");
    place_link(&place, "m/1/warmup/a.json", "nowhere");
    assert_fails(UINT8_MODEL, "warmup/a.json", "");
}

static void test_there_are_not_too_many(void **state) {
    (void)state;
    for (int i = 0; i <= RECORDED_FILES_MAX; i++) {
        char name[64];
        snprintf(name, sizeof name, "m/1/warmup/%d.json", i);
        place_write(&place, name, "a\n1234");
    }
    assert_fails(UINT8_MODEL, "more than 64", "");
    assert_string_equal(seen, "");
}

static void test_a_stop_ends_it(void **state) {
    (void)state;
    struct recorded_result result;
    struct err_text text;
    static const _Atomic bool stopped = true;
    place_write(&place, "m/1/warmup/a.json", "a\n1234");
    assert_int_equal(run(UINT8_MODEL "fail no\n", 1, &stopped, &result, &text), ERR_OK);
    assert_int_equal(result.requests, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_folder_nothing_is_run),
        TEST(test_requests_run_in_the_order_of_their_names),
        TEST(test_each_request_is_run_as_often_as_is_asked),
        TEST(test_what_fits_not_names_the_file_and_the_reason),
        TEST(test_what_the_model_refuses_names_the_file),
        TEST(test_no_file_leads_out_of_the_repository),
        TEST(test_a_file_that_cannot_be_read_fails),
        TEST(test_there_are_not_too_many),
        TEST(test_a_stop_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
