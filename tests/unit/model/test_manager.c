/* The manager with the fake engine: what it does when the repository changes. */
#include "model/support.h"

#include "base/num.h"

#include <stdio.h>

static struct keeper keeper;

static int make(void **state) {
    (void)state;
    keeper_make(&keeper);
    return 0;
}

static int unmake(void **state) {
    (void)state;
    keeper_remove(&keeper);
    return 0;
}

static void test_what_is_there_at_the_start_is_loaded(void **state) {
    (void)state;
    place_write(&keeper.place, "one/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "one/2/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "two/7/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "one=2 one/1=none two=7 two/7=READY");
    struct model_version *version = keeper_version(&keeper, "one", "");
    assert_string_equal(version->signature.model, "one");
    assert_string_equal(version->signature.version, "2");
    assert_int_equal(version->signature.input_count, 1);
    assert_true(version->batching);
    assert_int_equal(version->rows_max, 16);
    assert_true(batch_queue_run_ns(version->queue) > 0);
    model_version_unref(&version);
}

static void test_an_empty_root_is_scanned_and_models_appear(void **state) {
    (void)state;
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=absent");
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=1");
}

static void see_a_new_version_replace_the_old(void) {
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=2 m/1=none");
    place_delete(&keeper.place, "m/2");
    keeper_wait(&keeper, "m=1 m/2=none");
    place_delete(&keeper.place, "m");
    keeper_wait(&keeper, "m=absent");
}

static void test_changes_are_seen_by_watching_alone(void **state) {
    (void)state;
    see_a_new_version_replace_the_old();
}

static void test_changes_are_seen_by_scanning_alone(void **state) {
    (void)state;
    keeper.options.watch = false;
    keeper.options.poll_ns = UINT64_C(40) * NS_PER_MS;
    see_a_new_version_replace_the_old();
}

static void test_a_folder_still_being_copied_is_not_loaded(void **state) {
    (void)state;
    keeper.options.settle_ns = UINT64_C(400) * NS_PER_MS;
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=absent");
    /* The file grows for longer than it takes to settle; half of it is no model. */
    for (size_t n = 1; n <= 8; n++) {
        char part[64];
        snprintf(part, sizeof part, "inp%.*s", (int)n, "ut A FP3");
        place_write(&keeper.place, "m/1/model.onnx", part);
        pause_ms(100);
        struct catalog *catalog = keeper_catalog(&keeper);
        assert_false(catalog_shows(catalog, "m/1=FAILED"));
        assert_false(catalog_shows(catalog, "m/1=READY"));
        catalog_unref(&catalog);
    }
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=1");
    assert_int_equal(keeper_count_log(&keeper, "model_version_state", "\"to\":\"FAILED\""), 0);
}

static void test_a_bad_version_fails_with_its_reason_and_others_serve(void **state) {
    (void)state;
    place_write(&keeper.place, "bad/1/model.onnx", FAKE_MODEL "fail_load no such operator: Foo\n");
    place_write(&keeper.place, "empty/1/", "");
    place_write(&keeper.place, "garbage/1/model.onnx", "\x7f\x01\x02");
    place_write(&keeper.place, "good/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "good=1 bad/1=FAILED bad=none empty/1=FAILED garbage/1=FAILED");
    assert_non_null(strstr(keeper_reason(&keeper, "bad", 1), "no such operator: Foo"));
    assert_string_equal(keeper_reason(&keeper, "empty", 1), "model.onnx is missing");
    assert_true(strlen(keeper_reason(&keeper, "garbage", 1)) > 0);
    keeper_wait_log(&keeper, "\"model\":\"bad\"", "\"to\":\"FAILED\"");
}

static void test_a_mended_version_is_tried_again(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "fail_load broken\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=FAILED");
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=1 m/1=READY");
    assert_string_equal(keeper_reason(&keeper, "m", 1), "");
}

static void test_a_new_version_that_fails_leaves_the_old_one_serving(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL "fail_load broken\n");
    keeper_wait(&keeper, "m=1 m/1=READY m/2=FAILED");
    /* and a restart comes to the same */
    keeper_stop(&keeper);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1 m/1=READY m/2=FAILED");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=2 m/1=none");
}

static void test_changed_files_are_swapped_in_while_references_are_held(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    struct model_version *old = keeper_version(&keeper, "m", "1");
    place_write(&keeper.place, "m/1/model.onnx", "input NEW FP32 [-1,2]\noutput B FP32 [-1,2]\n");
    struct model_version *now = NULL;
    for (int i = 0; i < 2000; i++) {
        now = keeper_version(&keeper, "m", "1"); /* always there */
        if (now != old)
            break;
        model_version_unref(&now);
        pause_ms(10);
    }
    assert_non_null(now);
    assert_string_equal(now->signature.inputs[0].name, "NEW");
    assert_string_equal(old->signature.inputs[0].name, "A");
    assert_int_equal(atomic_load(&old->state), MODEL_UNLOADING);
    assert_ptr_equal(old->stats, now->stats); /* counted on */
    assert_int_equal(keeper_count_log(&keeper, "model_version_state", "\"to\":\"UNLOADED\""), 0);
    model_version_unref(&now);
    model_version_unref(&old);
    keeper_wait_log(&keeper, "model_version_state", "\"to\":\"UNLOADED\"");
}

static void test_new_files_that_fail_leave_the_old_ones_serving(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "fail_load broken\n");
    keeper_wait_log(&keeper, "model_version_state", "\"to\":\"FAILED\"");
    keeper_wait(&keeper, "m=1 m/1=READY");
    for (int i = 0; i < 1000 && !strstr(keeper_reason(&keeper, "m", 1), "broken"); i++)
        pause_ms(10);
    assert_non_null(strstr(keeper_reason(&keeper, "m", 1), "newer files cannot be loaded"));
    struct model_version *version = keeper_version(&keeper, "m", "");
    assert_string_equal(version->signature.inputs[0].name, "A");
    model_version_unref(&version);
}

static void test_a_lost_root_keeps_what_is_loaded_and_comes_back(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    char away[80];
    snprintf(away, sizeof away, "%s-away", keeper.place.root);
    assert_int_equal(rename(keeper.place.root, away), 0);
    keeper_wait_log(&keeper, "repository_scan_failed", keeper.place.root);
    keeper_wait(&keeper, "m=1 m/1=READY");
    struct catalog *catalog = keeper_catalog(&keeper);
    assert_true(strlen(catalog->trouble) > 0);
    catalog_unref(&catalog);
    assert_int_equal(rename(away, keeper.place.root), 0);
    keeper_wait_log(&keeper, "repository_scan_recovered", keeper.place.root);
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=2");
    assert_int_equal(keeper_count_log(&keeper, "repository_scan_failed", ""), 1);
}

static void test_folders_that_are_no_models_are_warned_of_once(void **state) {
    (void)state;
    place_write(&keeper.place, "bad name/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "m/v1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "n=1");
    keeper_wait_log(&keeper, "repository_folder_ignored", "bad name");
    keeper_wait_log(&keeper, "repository_folder_ignored", "m/v1");
    assert_int_equal(keeper_count_log(&keeper, "repository_folder_ignored", "bad name"), 1);
    assert_int_equal(keeper_count_log(&keeper, "repository_folder_ignored", "m/v1"), 1);
}

static void test_what_settings_name_and_is_not_there_is_warned_of_once(void **state) {
    (void)state;
    static const char *const ready[] = {"away", "m"};
    keeper.options.ready = ready;
    keeper.options.ready_count = 2;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "m/config.pbtxt", "x");
    place_write(&keeper.place, "m/model.yaml", "listed 1\nlisted 3\nsetting unknown.key\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "n=1");
    keeper_wait_log(&keeper, "configured_model_missing", "\"model\":\"away\"");
    keeper_wait_log(&keeper, "repository_file_ignored", "m/config.pbtxt");
    keeper_wait_log(&keeper, "model_settings_doubtful", "versions.listed: version 3 is not there");
    keeper_wait_log(&keeper, "model_settings_doubtful", "'unknown.key'");
    assert_int_equal(keeper_count_log(&keeper, "configured_model_missing", ""), 1);
    assert_int_equal(keeper_count_log(&keeper, "repository_file_ignored", ""), 1);
    assert_int_equal(keeper_count_log(&keeper, "model_settings_doubtful", ""), 2);
}

static void test_metrics_follow_the_versions(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL "fail_load broken\n");
    keeper_wait(&keeper, "m/2=FAILED");
    struct catalog *catalog = keeper_catalog(&keeper);
    catalog_collect(catalog);
    catalog_unref(&catalog);
    struct buffer text;
    buffer_init(&text, 1 << 20);
    metrics_write(keeper.metrics, false, &text);
    buffer_add_char(&text, '\0');
    static const char *const LINES[] = {
        "inferd_model_state{model=\"m\",state=\"ready\"} 1",
        "inferd_model_state{model=\"m\",state=\"failed\"} 1",
        "inferd_model_state{model=\"m\",state=\"loading\"} 0",
        "inferd_model_ready{model=\"m\"} 1",
        "inferd_model_loads_total{model=\"m\",result=\"ok\"} 1",
        "inferd_model_loads_total{model=\"m\",result=\"failed\"} 1",
        "inferd_queue_depth{model=\"m\",version=\"1\"} 0",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++)
        if (!strstr(text.data, LINES[i]))
            fail_msg("%s is not in\n%s", LINES[i], text.data);
    buffer_done(&text);
    place_delete(&keeper.place, "m");
    keeper_wait(&keeper, "m=absent");
}

static void test_a_model_that_warm_up_cannot_run_is_ready_without_batching(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "fail shapes do not fit\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
    struct model_version *version = keeper_version(&keeper, "m", "");
    assert_false(version->batching);
    assert_int_equal(version->rows_max, 1);
    assert_int_equal(batch_queue_run_ns(version->queue), 0);
    model_version_unref(&version);
    keeper_wait_log(&keeper, "model_warmup_refused", "shapes do not fit");
}

static void test_stopping_in_the_middle_of_loads_is_clean(void **state) {
    (void)state;
    for (int i = 1; i <= 20; i++) {
        char path[64];
        snprintf(path, sizeof path, "m%d/1/model.onnx", i);
        place_write(&keeper.place, path, FAKE_MODEL "load_us 20000\n");
    }
    keeper_start(&keeper);
    keeper_wait(&keeper, "m1=1");
    keeper_stop(&keeper);
}

static void test_a_stop_waits_for_a_load_no_longer_than_told(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "load_us 600000\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=LOADING");
    uint64_t from_ns = clock_now(&clock_real);
    assert_false(model_manager_stop_within(keeper.manager, UINT64_C(50) * NS_PER_MS));
    assert_true(clock_now(&clock_real) - from_ns < UINT64_C(400) * NS_PER_MS);
    struct catalog *catalog = keeper_catalog(&keeper);
    assert_true(model_manager_stop_within(keeper.manager, UINT64_MAX)); /* the load's end */
    struct catalog *later = keeper_catalog(&keeper);
    assert_ptr_equal(catalog, later); /* READY, but nobody was told */
    catalog_unref(&catalog);
    catalog_unref(&later);
    assert_true(model_manager_stop_within(keeper.manager, 0)); /* again */
    assert_true(model_manager_stop_within(NULL, 0));
}

static void test_a_root_that_is_no_folder_is_refused(void **state) {
    (void)state;
    struct err_text text;
    struct model_manager *manager = NULL;
    place_write(&keeper.place, "file", "x");
    keeper.options.root = place_path(&keeper.place, "file");
    assert_int_equal(model_manager_new(&keeper.options, &manager, &text), ERR_INVALID);
    assert_non_null(strstr(text.s, "not a folder"));
    keeper.options.root = place_path(&keeper.place, "nowhere");
    assert_int_equal(model_manager_new(&keeper.options, &manager, &text), ERR_INVALID);
    assert_non_null(strstr(text.s, "nowhere"));
    assert_null(manager);
    model_manager_free(&manager);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_there_at_the_start_is_loaded),
        TEST(test_an_empty_root_is_scanned_and_models_appear),
        TEST(test_changes_are_seen_by_watching_alone),
        TEST(test_changes_are_seen_by_scanning_alone),
        TEST(test_a_folder_still_being_copied_is_not_loaded),
        TEST(test_a_bad_version_fails_with_its_reason_and_others_serve),
        TEST(test_a_mended_version_is_tried_again),
        TEST(test_a_new_version_that_fails_leaves_the_old_one_serving),
        TEST(test_changed_files_are_swapped_in_while_references_are_held),
        TEST(test_new_files_that_fail_leave_the_old_ones_serving),
        TEST(test_a_lost_root_keeps_what_is_loaded_and_comes_back),
        TEST(test_folders_that_are_no_models_are_warned_of_once),
        TEST(test_what_settings_name_and_is_not_there_is_warned_of_once),
        TEST(test_metrics_follow_the_versions),
        TEST(test_a_model_that_warm_up_cannot_run_is_ready_without_batching),
        TEST(test_stopping_in_the_middle_of_loads_is_clean),
        TEST(test_a_stop_waits_for_a_load_no_longer_than_told),
        TEST(test_a_root_that_is_no_folder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
