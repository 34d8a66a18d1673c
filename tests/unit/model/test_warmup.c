/* Warm-up: what it measures, and when rows count as independent. */
#include "model/support.h"

#include "model/load.h"
#include "model/warmup.h"

#include "base/memory.h"

static struct place place;
static struct engine *engine;
static struct engine_model *loaded;

static int start(void **state) {
    (void)state;
    place_make(&place);
    engine = engine_fake_new();
    return 0;
}

static int stop(void **state) {
    (void)state;
    if (loaded)
        engine->ops->unload(&loaded);
    engine->ops->free(&engine);
    place_remove(&place);
    return 0;
}

static struct engine_model *load(const char *content) {
    struct engine_options options = {1, 1, "all", false, true, true, NULL, 0};
    struct err_text text;
    place_write(&place, "m", content);
    if (loaded)
        engine->ops->unload(&loaded);
    if (engine->ops->load(engine, place_path(&place, "m"), &options, &loaded, &text) != ERR_OK)
        fail_msg("%s", text.s);
    return loaded;
}

static struct warmup_result warm(const char *content, uint32_t rows_max) {
    struct warmup_result result;
    load(content);
    struct warmup_options options = {engine,      loaded,   engine->ops->signature(loaded),
                                     &clock_real, rows_max, NULL};
    warmup_run(&options, &result);
    return result;
}

static void test_rows_that_come_back_are_independent(void **state) {
    (void)state;
    struct warmup_result result = warm(FAKE_MODEL, 16);
    assert_false(result.refused);
    assert_true(result.run_ns > 0);
    assert_int_equal(result.run_elements, 4); /* of one row, not of the batch */
    assert_true(result.rows_equal);
}

static void test_every_datatype_is_made_up(void **state) {
    (void)state;
    for (enum datatype type = 0; type < DATATYPE_COUNT; type++) {
        char *content = mem_format("input A %s [-1,3]\noutput B %s [-1,3]\n", datatype_name(type),
                                   datatype_name(type));
        struct warmup_result result = warm(content, 9);
        assert_false(result.refused);
        assert_true(result.rows_equal);
        mem_free(&content);
    }
}

static void test_an_output_without_all_rows_is_not_batched(void **state) {
    (void)state;
    struct warmup_result result = warm(FAKE_MODEL "collapse\n", 16);
    assert_false(result.refused);
    assert_false(result.rows_equal);
    assert_non_null(strstr(result.text.s, "output 'B'"));
}

static void test_a_batch_that_fails_is_not_batched(void **state) {
    (void)state;
    assert_false(warm(FAKE_MODEL "rows_limit 7\n", 8).rows_equal);
    assert_true(warm(FAKE_MODEL "rows_limit 8\n", 8).rows_equal);
    /* the largest batch is tried as well */
    assert_false(warm(FAKE_MODEL "rows_limit 31\n", 32).rows_equal);
}

static void test_a_model_that_refuses_is_not_measured(void **state) {
    (void)state;
    struct warmup_result result = warm(FAKE_MODEL "fail no\n", 8);
    assert_true(result.refused);
    assert_int_equal(result.run_ns, 0);
    assert_false(result.rows_equal);
    assert_non_null(strstr(result.text.s, "no"));
}

static void test_inputs_without_a_free_first_dimension_run_as_they_are(void **state) {
    (void)state;
    struct warmup_result result =
        warm("input A FP32 [2,-1]\ninput C BYTES []\noutput B FP32 [2,-1]\n", 8);
    assert_false(result.refused);
    assert_true(result.run_ns > 0);
    assert_false(result.rows_equal);
}

static void test_inputs_too_large_to_make_up_are_not_tried(void **state) {
    (void)state;
    struct warmup_result result =
        warm("input A FP64 [-1,4096,4096]\noutput B FP64 [-1,4096,4096]\n", 8);
    assert_false(result.refused);
    assert_false(result.rows_equal); /* 8 rows are 1 GiB */
    assert_true(result.run_ns > 0);
    assert_true(warm("input A FP64 [65536,65536]\noutput B FP64 [65536,65536]\n", 8).refused);
}

static void test_a_stop_ends_the_warm_up(void **state) {
    (void)state;
    _Atomic bool stopped = true;
    struct warmup_result result;
    load(FAKE_MODEL);
    struct warmup_options options = {engine,      loaded, engine->ops->signature(loaded),
                                     &clock_real, 16,     &stopped};
    warmup_run(&options, &result);
    assert_false(result.refused);
    assert_false(result.rows_equal);
}

/* ---- the decision ---- */

static struct load_decision decide(const char *content, enum batching_mode mode, bool warmup,
                                   enum err expected) {
    struct model_options options = {.batching = mode,
                                    .batch = {.rows_max = 8, .queue_max = 8},
                                    .engine = {.intra_op_threads = 1, .inter_op_threads = 1},
                                    .warmup = warmup};
    struct model_manager_options manager = {.engine = engine, .clock = &clock_real};
    struct load_decision decision = {0};
    struct err_text text;
    load(content);
    const struct load_order order = {&manager, "m", 1, &options, NULL};
    enum err e = load_warm_up(&order, loaded, &decision, &text);
    assert_int_equal(e, expected);
    if (e != ERR_OK)
        assert_non_null(strstr(text.s, "batching is on, but"));
    return decision;
}

static void test_batching_is_on_when_shown_right_or_asked_for(void **state) {
    (void)state;
    const char *fixed = "input A FP32 [1,4]\noutput B FP32 [1,4]\n";
    const char *mixing = FAKE_MODEL "rows_limit 1\n";
    struct load_decision decision = decide(FAKE_MODEL, BATCHING_AUTO, true, ERR_OK);
    assert_true(decision.batching);
    assert_int_equal(decision.rows_max, 8);
    decision = decide(FAKE_MODEL, BATCHING_AUTO, false, ERR_OK);
    assert_false(decision.batching);
    assert_int_equal(decision.rows_max, 1);
    assert_false(decide(mixing, BATCHING_AUTO, true, ERR_OK).batching);
    assert_false(decide(fixed, BATCHING_AUTO, true, ERR_OK).batching);
    assert_false(decide(FAKE_MODEL, BATCHING_OFF, true, ERR_OK).batching);
    assert_true(decide(mixing, BATCHING_ON, true, ERR_OK).batching);
    assert_true(decide(FAKE_MODEL, BATCHING_ON, false, ERR_OK).batching);
    decide(fixed, BATCHING_ON, true, ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rows_that_come_back_are_independent),
        TEST(test_every_datatype_is_made_up),
        TEST(test_an_output_without_all_rows_is_not_batched),
        TEST(test_a_batch_that_fails_is_not_batched),
        TEST(test_a_model_that_refuses_is_not_measured),
        TEST(test_inputs_without_a_free_first_dimension_run_as_they_are),
        TEST(test_inputs_too_large_to_make_up_are_not_tried),
        TEST(test_a_stop_ends_the_warm_up),
        TEST(test_batching_is_on_when_shown_right_or_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
