/* The manager when the file system fails for a while, lags, or has not settled. */
#include "model/support.h"

#include "base/num.h"

#include <fcntl.h>
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

/* From now on `path` is a link to itself: it is there, and cannot be looked at. And back again. */
static void swap_with_loop(const char *path, const char *hidden, const char *target) {
    const struct place *place = &keeper.place;
    if (target)
        place_link(place, hidden, target);
    assert_int_equal(renameat2(AT_FDCWD, place_path(place, path), AT_FDCWD,
                               place_path(place, hidden), RENAME_EXCHANGE),
                     0);
}

static void test_a_fault_of_the_file_system_unloads_nothing(void **state) {
    (void)state;
    keeper.options.watch = false;
    keeper.options.poll_ns = UINT64_C(20) * NS_PER_MS;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1 n=1");
    struct model_version *m = keeper_version(&keeper, "m", "1");
    struct model_version *n = keeper_version(&keeper, "n", "1");
    swap_with_loop("m", ".m", "m");
    swap_with_loop("n/1", "n/.1", "1");
    keeper_wait_log(&keeper, "model_folder_unreadable", "\"model\":\"m\"");
    keeper_wait_log(&keeper, "model_folder_unreadable", "version 1 cannot be looked at");
    pause_ms(150);
    keeper_wait(&keeper, "m=1 m/1=READY n=1 n/1=READY");
    struct catalog *catalog = keeper_catalog(&keeper);
    assert_non_null(strstr(catalog->models[0].reason, "cannot be looked at"));
    assert_non_null(strstr(catalog->models[1].reason, "cannot be looked at"));
    catalog_unref(&catalog);
    swap_with_loop("m", ".m", NULL);
    swap_with_loop("n/1", "n/.1", NULL);
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "n/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=2 n=2");
    model_version_unref(&m);
    model_version_unref(&n);
    place_delete(&keeper.place, "m/2"); /* gone is gone */
    keeper_wait(&keeper, "m=1 m/2=none");
}

/* A clock an hour ahead of the file server's. */
static uint64_t wall_ahead(const struct clock *clock) {
    (void)clock;
    return clock_real.wall_ns(&clock_real) + UINT64_C(3600) * NS_PER_S;
}

static void test_files_times_are_believed_at_the_start_only(void **state) {
    (void)state;
    struct clock clock = clock_real;
    clock.wall_ns = wall_ahead;
    keeper.options.clock = &clock;
    keeper.options.settle_ns = UINT64_C(400) * NS_PER_MS;
    place_write(&keeper.place, "old/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "old/model.yaml", "latest 1\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "old=1");
    /* What comes while the process runs looks as old, and is half a model for a while. */
    for (size_t i = 1; i <= 8; i++) {
        char part[64];
        snprintf(part, sizeof part, "inp%.*s", (int)i, "ut A FP3");
        place_write(&keeper.place, "m/1/model.onnx", part);
        place_write(&keeper.place, "old/2/model.onnx", part);
        pause_ms(100);
    }
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "old/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=1 old=2");
    assert_int_equal(keeper_count_log(&keeper, "model_version_state", "\"to\":\"FAILED\""), 0);
    keeper_stop(&keeper); /* before its clock goes */
}

static void test_a_model_whose_settings_are_young_is_settling(void **state) {
    (void)state;
    keeper.options.settle_ns = UINT64_C(300) * NS_PER_MS;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "m/model.yaml", "latest 1\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=none");
    struct catalog *catalog = keeper_catalog(&keeper);
    assert_true(catalog->models[0].settling);
    struct buffer missing;
    buffer_init(&missing, 4096);
    assert_false(catalog_ready(catalog, READY_ALL, NULL, 0, &missing));
    buffer_add_char(&missing, '\0');
    assert_string_equal(missing.data, "[{\"model\":\"m\",\"version\":\"\",\"state\":\"SETTLING\","
                                      "\"reason\":\"waiting for its files to be still\"}]");
    buffer_done(&missing);
    catalog_unref(&catalog);
    keeper_wait(&keeper, "m=1");
    catalog = keeper_catalog(&keeper);
    assert_false(catalog->models[0].settling);
    catalog_unref(&catalog);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_fault_of_the_file_system_unloads_nothing),
        TEST(test_files_times_are_believed_at_the_start_only),
        TEST(test_a_model_whose_settings_are_young_is_settling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
