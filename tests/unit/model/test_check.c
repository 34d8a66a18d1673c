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
    assert_int_equal(check(), 8);
    expect("a version 2: ");
    expect("no such operator");
    expect("a version 1: ok"); /* what would serve in its place */
    expect("b version 1: model.onnx is missing");
    expect("c: model.yaml: 'bad' is bad");
    expect("d: no version folder");
    expect("e/v1: ignored: ");
    expect("f: versions.default: version 5 is not there");
    expect("g: its version policy wants none");
    expect("g: versions.listed: version 3 is not there");
}

static void test_what_the_configuration_names_must_be_there(void **state) {
    (void)state;
    static const char *const startup[] = {"a", "gone"};
    static const char *const ready[] = {"away", "a"};
    place_write(&keeper.place, "a/1/model.onnx", FAKE_MODEL);
    keeper.options.startup = startup;
    keeper.options.startup_count = 2;
    assert_int_equal(check(), 0); /* everything is loaded: the list is not used */
    keeper.options.explicit_only = true;
    keeper.options.ready = ready;
    keeper.options.ready_count = 2;
    assert_int_equal(check(), 2);
    expect("gone: repository.startup names it, but the repository has no such model");
    expect("away: ready.models names it, but the repository has no such model");
}

static void test_what_may_be_right_all_the_same_is_a_note(void **state) {
    (void)state;
    place_write(&keeper.place, "a/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "a/model.yaml", "setting unknown.key\n");
    place_write(&keeper.place, "a/config.pbtxt", "max_batch_size: 8\n");
    assert_int_equal(check(), 0);
    expect("a: note: execution.session: the key 'unknown.key' is not one that this server knows");
    expect("a/config.pbtxt: ignored: Triton's settings are not read");
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
        TEST(test_what_the_configuration_names_must_be_there),
        TEST(test_what_may_be_right_all_the_same_is_a_note),
        TEST(test_an_empty_or_missing_repository_is_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
