/* When models give memory back: after a load, after each time they fell idle, and not otherwise. */
#include "model/support.h"

#include "base/counter.h"
#include "base/num.h"

static uint64_t trims(const struct model_version *version) {
    return metric_read(version->metrics, METRIC_MEMORY_TRIMS, 0);
}

static void wait_trims(const struct model_version *version, uint64_t wanted) {
    for (int i = 0; i < 2000 && trims(version) < wanted; i++)
        pause_ms(10);
    assert_int_equal(trims(version), wanted);
}

static void test_an_idle_model_is_trimmed_once_after_each_run(void **state) {
    (void)state;
    struct keeper keeper;
    keeper_make(&keeper);
    keeper.options.trim_ns = 20 * NS_PER_MS;
    keeper.defaults.warmup = true;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=READY");
    struct model_version *version = keeper_version(&keeper, "m", "1");
    wait_trims(version, 1); /* of the warm-up */
    for (uint64_t round = 2; round <= 4; round++) {
        counter_add(&version->stats[0].execution_count, 1);
        wait_trims(version, round);
        pause_ms(100); /* several looks: it is idle and trimmed */
        assert_int_equal(trims(version), round);
    }
    model_version_unref(&version);
    keeper_remove(&keeper);
}

static void test_no_interval_no_trims(void **state) {
    (void)state;
    struct keeper keeper;
    keeper_make(&keeper);
    keeper.options.poll_ns = 10 * NS_PER_MS; /* the manager is awake all the time */
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m/1=READY");
    struct model_version *version = keeper_version(&keeper, "m", "1");
    counter_add(&version->stats[0].execution_count, 1);
    pause_ms(200);
    assert_int_equal(trims(version), 0);
    model_version_unref(&version);
    keeper_remove(&keeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_model_is_trimmed_once_after_each_run),
        cmocka_unit_test(test_no_interval_no_trims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
