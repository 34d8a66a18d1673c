/* Loads and unloads by order, and a model's settings. */
#include "model/support.h"

#include "base/num.h"

static struct keeper keeper;
static struct err_text text;

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

static void begin_with_one_model(void) {
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1");
}

static void test_an_unloaded_model_stays_so_until_it_is_loaded(void **state) {
    (void)state;
    begin_with_one_model();
    assert_int_equal(keeper_order(&keeper, "m", true, &text), ERR_OK);
    keeper_wait(&keeper, "m=unloaded m/1=UNLOADED");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "n=1 m=unloaded");
    assert_int_equal(keeper_order(&keeper, "m", true, &text), ERR_OK); /* again: no harm */
    assert_int_equal(keeper_order(&keeper, "m", false, &text), ERR_OK);
    struct catalog *catalog = keeper_catalog(&keeper);
    assert_true(catalog_shows(catalog, "m=2 m/2=READY")); /* when the answer is there, it serves */
    catalog_unref(&catalog);
}

static void test_an_unloaded_model_is_remembered_while_its_folder_is_away(void **state) {
    (void)state;
    begin_with_one_model();
    assert_int_equal(keeper_order(&keeper, "m", true, &text), ERR_OK);
    place_rename(&keeper.place, "m", ".away");
    keeper_wait(&keeper, "m=absent");
    place_rename(&keeper.place, ".away", "m");
    keeper_wait(&keeper, "m=unloaded");
}

static void test_what_still_runs_is_unloading(void **state) {
    (void)state;
    begin_with_one_model();
    struct model_version *version = keeper_version(&keeper, "m", "");
    assert_int_equal(keeper_order(&keeper, "m", true, &text), ERR_OK);
    keeper_wait(&keeper, "m=unloaded m/1=UNLOADING");
    model_version_unref(&version);
    keeper_wait(&keeper, "m/1=UNLOADED");
}

static void test_a_name_that_is_not_there_is_not_found(void **state) {
    (void)state;
    begin_with_one_model();
    assert_int_equal(keeper_order(&keeper, "other", false, &text), ERR_NOT_FOUND);
    assert_string_equal(text.s, "failed to load 'other', the repository has no such model");
    assert_int_equal(keeper_order(&keeper, "../m", true, &text), ERR_NOT_FOUND);
    assert_string_equal(text.s, "failed to unload '../m', the repository has no such model");
}

static void test_an_order_sees_what_was_just_copied(void **state) {
    (void)state;
    keeper.options.watch = false;
    keeper.options.settle_ns = UINT64_C(3600) * NS_PER_S; /* an order does not wait for it */
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=absent");
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    assert_int_equal(keeper_order(&keeper, "m", false, &text), ERR_OK);
    keeper_wait(&keeper, "m=1");
}

static void test_a_load_that_fails_gives_the_reasons(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "fail_load one is broken\n");
    place_write(&keeper.place, "m/2/", "");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=FAILED m/2=FAILED");
    assert_int_equal(keeper_order(&keeper, "m", false, &text), ERR_INVALID);
    assert_non_null(strstr(text.s, "failed to load 'm', version 1: "));
    assert_non_null(strstr(text.s, "one is broken"));
    assert_non_null(strstr(text.s, "version 2: model.onnx is missing"));
}

static void test_an_order_tries_again_what_failed(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL "fail_load broken\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=FAILED");
    for (int i = 0; i < 3; i++)
        assert_int_equal(keeper_order(&keeper, "m", false, &text), ERR_INVALID);
    keeper_wait(&keeper, "m/1=FAILED");
    for (int i = 0; i < 500 && keeper_count_log(&keeper, "model_load_order", "broken") < 3; i++)
        pause_ms(10);
    assert_int_equal(keeper_count_log(&keeper, "model_load_order", "broken"), 3);
    keeper_wait_log(&keeper, "\"from\":\"FAILED\"", "\"to\":\"UNLOADED\"");
}

static void test_explicit_only_loads_nothing_until_asked(void **state) {
    (void)state;
    const char *startup[] = {"b"};
    keeper.options.explicit_only = true;
    keeper.options.startup = startup;
    keeper.options.startup_count = 1;
    place_write(&keeper.place, "a/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "b/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "a=unloaded a/1=UNLOADED b=1");
    assert_int_equal(keeper_order(&keeper, "a", false, &text), ERR_OK);
    keeper_wait(&keeper, "a=1 b=1");
}

static void test_orders_on_the_way_are_all_answered_when_it_stops(void **state) {
    (void)state;
    begin_with_one_model();
    struct model_order orders[50];
    struct mailbox owner;
    mailbox_init(&owner, NULL, NULL);
    for (size_t i = 0; i < 50; i++) {
        orders[i] = (struct model_order){.name = "m", .unload = i % 2, .owner = &owner};
        orders[i].done = NULL;
        model_manager_order(keeper.manager, &orders[i]);
    }
    model_manager_stop(keeper.manager);
    /* Each came back, done or refused: the stop answers what waited. */
    size_t count = 0;
    for (struct message *m = atomic_load(&owner.newest); m; m = m->next)
        count++;
    assert_int_equal(count, 50);
}

/* ---- settings ---- */

static void test_settings_choose_the_versions(void **state) {
    (void)state;
    for (int i = 1; i <= 3; i++) {
        char path[32] = "m/0/model.onnx";
        path[2] = (char)('0' + i);
        place_write(&keeper.place, path, FAKE_MODEL);
    }
    place_write(&keeper.place, "m/model.yaml", "latest 2\ndefault 2\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=2 m/1=none m/2=READY m/3=READY");
    struct model_version *third = keeper_version(&keeper, "m", "3");
    place_write(&keeper.place, "m/model.yaml", "listed 1\nlisted 3\n");
    keeper_wait(&keeper, "m=3 m/1=READY m/2=none");
    struct model_version *same = keeper_version(&keeper, "m", "3");
    assert_ptr_equal(third, same); /* a policy reloads nothing */
    model_version_unref(&third);
    model_version_unref(&same);
    place_delete(&keeper.place, "m/model.yaml");
    keeper_wait(&keeper, "m=3 m/1=none");
}

static void test_changed_settings_load_anew_beside_the_old(void **state) {
    (void)state;
    begin_with_one_model();
    struct model_version *old = keeper_version(&keeper, "m", "");
    place_write(&keeper.place, "m/model.yaml", "timeout 77\n");
    struct model_version *now = NULL;
    for (int i = 0; i < 2000; i++) {
        now = keeper_version(&keeper, "m", ""); /* never missing */
        if (now != old)
            break;
        model_version_unref(&now);
        pause_ms(10);
    }
    assert_non_null(now);
    assert_int_equal(now->request_timeout_ns, 77);
    assert_int_equal(old->request_timeout_ns, 0);
    model_version_unref(&now);
    model_version_unref(&old);
}

static void test_bad_settings_load_nothing_new_and_unload_nothing(void **state) {
    (void)state;
    begin_with_one_model();
    place_write(&keeper.place, "m/model.yaml", "bad\n");
    keeper_wait_log(&keeper, "model_settings_invalid", "'bad' is bad");
    place_write(&keeper.place, "m/2/model.onnx", FAKE_MODEL);
    keeper_wait(&keeper, "m=1 m/1=READY m/2=SETTLING");
    assert_non_null(strstr(keeper_reason(&keeper, "m", 2), "'bad' is bad"));
    assert_int_equal(keeper_order(&keeper, "m", false, &text), ERR_INVALID);
    assert_non_null(strstr(text.s, "failed to load 'm', model.yaml: 'bad' is bad"));
    place_write(&keeper.place, "m/model.yaml", "latest 1\n");
    keeper_wait(&keeper, "m=2");
}

static void test_settings_still_being_written_are_not_read(void **state) {
    (void)state;
    keeper.options.settle_ns = UINT64_C(400) * NS_PER_MS;
    begin_with_one_model();
    for (int i = 0; i < 6; i++) {
        place_write(&keeper.place, "m/model.yaml", i % 2 ? "bad\n" : "bad \n");
        pause_ms(100);
    }
    place_write(&keeper.place, "m/model.yaml", "timeout 5\n");
    keeper_wait_log(&keeper, "\"from\":\"READY\"", "replaced by newer files");
    assert_int_equal(keeper_count_log(&keeper, "model_settings_invalid", ""), 0);
}

static void test_bad_settings_from_the_start_are_said(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "m/model.yaml", "bad\n");
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "n=1 m=none");
    keeper_wait_log(&keeper, "model_settings_invalid", "'bad' is bad");
    struct catalog *catalog = NULL;
    struct buffer missing;
    buffer_init(&missing, 4096);
    for (int i = 0; i < 500; i++) { /* the settings settle, then are read */
        catalog = keeper_catalog(&keeper);
        buffer_clear(&missing);
        assert_false(catalog_ready(catalog, READY_ALL, NULL, 0, &missing));
        catalog_unref(&catalog);
        buffer_add_char(&missing, '\0');
        if (strstr(missing.data, "'bad' is bad"))
            break;
        pause_ms(10);
    }
    assert_non_null(strstr(missing.data, "\"model\":\"m\""));
    assert_non_null(strstr(missing.data, "'bad' is bad"));
    buffer_done(&missing);
}

static void test_batching_asked_of_a_model_that_cannot_fails(void **state) {
    (void)state;
    place_write(&keeper.place, "m/1/model.onnx", "input A FP32 [1,4]\noutput B FP32 [1,4]\n");
    place_write(&keeper.place, "m/model.yaml", "batching on\n");
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=FAILED");
    assert_non_null(strstr(keeper_reason(&keeper, "m", 1), "batching is on, but"));
    place_write(&keeper.place, "m/model.yaml", "batching auto\n");
    keeper_wait(&keeper, "m=1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_an_unloaded_model_stays_so_until_it_is_loaded),
        TEST(test_an_unloaded_model_is_remembered_while_its_folder_is_away),
        TEST(test_what_still_runs_is_unloading),
        TEST(test_a_name_that_is_not_there_is_not_found),
        TEST(test_an_order_sees_what_was_just_copied),
        TEST(test_a_load_that_fails_gives_the_reasons),
        TEST(test_an_order_tries_again_what_failed),
        TEST(test_explicit_only_loads_nothing_until_asked),
        TEST(test_orders_on_the_way_are_all_answered_when_it_stops),
        TEST(test_settings_choose_the_versions),
        TEST(test_changed_settings_load_anew_beside_the_old),
        TEST(test_bad_settings_load_nothing_new_and_unload_nothing),
        TEST(test_settings_still_being_written_are_not_read),
        TEST(test_bad_settings_from_the_start_are_said),
        TEST(test_batching_asked_of_a_model_that_cannot_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
