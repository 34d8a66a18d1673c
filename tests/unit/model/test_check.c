/* A repository checked without serving. */
#include "model/support.h"

static struct keeper keeper;
static struct buffer report;

static int make(void **state) {
    (void)state;
    keeper_make(&keeper);
    buffer_init(&report, 1 << 16);
    return 0;
}

static int unmake(void **state) {
    (void)state;
    buffer_done(&report);
    keeper_remove(&keeper);
    return 0;
}

static size_t check(void) {
    /* What `inferd check` has: no queues, no metrics, no log. */
    keeper.options.metrics = NULL;
    keeper.options.log = NULL;
    buffer_clear(&report);
    size_t problems = model_repository_check(&keeper.options, &report);
    buffer_add_char(&report, '\0');
    assert_int_equal(keeper.options_read, 0);
    return problems;
}

static void expect(const char *line) {
    if (!strstr(report.data, line))
        fail_msg("'%s' is not in:\n%s", line, report.data);
}

static void test_a_sound_repository_has_no_problems(void **state) {
    (void)state;
    place_write(&keeper.place, "a/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "a/2/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "b/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "b/model.yaml", "batching off\n");
    assert_int_equal(check(), 0);
    expect("a version 2: ok (");
    expect("batching on: ");
    expect("b version 1: ok (");
    expect("batching off: by the settings");
    assert_null(strstr(report.data, "a version 1")); /* not wanted */
}

static void test_each_problem_has_its_line(void **state) {
    (void)state;
    place_write(&keeper.place, "a/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "a/2/model.onnx", FAKE_MODEL "fail_load no such operator\n");
    place_write(&keeper.place, "b/1/", "");
    place_write(&keeper.place, "c/model.yaml", "bad\n");
    place_write(&keeper.place, "d/", "");
    place_write(&keeper.place, "e/v1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "e/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "f/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "f/model.yaml", "default 5\n");
    place_write(&keeper.place, "g/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "g/model.yaml", "listed 3\n");
    assert_int_equal(check(), 7);
    expect("a version 2: ");
    expect("no such operator");
    expect("a version 1: ok"); /* what would serve in its place */
    expect("b version 1: model.onnx is missing");
    expect("c: model.yaml: 'bad' is bad");
    expect("d: no version folder");
    expect("e/v1: ignored: ");
    expect("f: versions.default: that version is not there");
    expect("g: its version policy wants none");
}

static void test_an_empty_or_missing_repository_is_a_problem(void **state) {
    (void)state;
    assert_int_equal(check(), 1);
    expect("no models");
    keeper.options.root = place_path(&keeper.place, "nowhere");
    assert_int_equal(check(), 1);
    expect("nowhere cannot be read");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_sound_repository_has_no_problems),
        TEST(test_each_problem_has_its_line),
        TEST(test_an_empty_or_missing_repository_is_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
