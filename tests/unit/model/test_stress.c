/* Threads that look up and use versions while the repository changes under them. */
#include "model/support.h"

#include "base/num.h"

#include <sched.h>
#include <stdio.h>

enum { READERS = 3, CHANGES = 25 };

static struct keeper keeper;
static _Atomic bool over;
static _Atomic uint64_t served, missed;

/* As a loop does: its own reference to the newest catalog, one version for each request. */
static void *reader_main(void *argument) {
    unsigned seed = *(const unsigned *)argument;
    while (!atomic_load(&over)) {
        struct catalog *catalog = keeper_catalog(&keeper);
        for (unsigned i = 0; catalog && i < 20; i++) {
            struct model_version *version;
            struct err_text text;
            struct str name = (i + seed) % 3 ? STR("m") : STR("n");
            if (catalog_find(catalog, name, STR(""), &version, &text) != ERR_OK) {
                atomic_fetch_add(&missed, name.p[0] == 'm');
                continue;
            }
            model_version_ref(version);
            assert_int_equal(version->signature.input_count, 1);
            assert_true(str_eq_c(name, version->signature.model));
            assert_true(version->rows_max >= 1 && version->queue != NULL);
            if (i % 5 == 0)
                sched_yield();
            model_version_unref(&version);
            atomic_fetch_add(&served, 1);
        }
        if (catalog)
            catalog_collect(catalog);
        catalog_unref(&catalog);
    }
    return NULL;
}

static void test_versions_change_under_readers(void **state) {
    (void)state;
    pthread_t readers[READERS];
    unsigned seeds[READERS];
    struct err_text text;
    keeper_make(&keeper);
    keeper.options.settle_ns = UINT64_C(2) * NS_PER_MS;
    place_write(&keeper.place, "m/1/model.onnx", FAKE_MODEL);
    place_write(&keeper.place, "n/1/model.onnx", FAKE_MODEL);
    keeper_start(&keeper);
    keeper_wait(&keeper, "m=1 n=1");
    for (unsigned i = 0; i < READERS; i++) {
        seeds[i] = i;
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &seeds[i]), 0);
    }
    for (int i = 2; i < CHANGES; i++) {
        char path[64], condition[64], old[64];
        snprintf(path, sizeof path, "m/%d/model.onnx", i);
        snprintf(old, sizeof old, "m/%d", i - 1);
        snprintf(condition, sizeof condition, "m=%d", i);
        place_write(&keeper.place, path, FAKE_MODEL);
        keeper_wait(&keeper, condition);
        place_delete(&keeper.place, old);
        assert_int_equal(keeper_order(&keeper, "n", i % 2 == 0, &text), ERR_OK);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_true(atomic_load(&served) > 0);
    assert_int_equal(atomic_load(&missed), 0); /* "m" never stopped serving */
    assert_int_equal(atomic_load(&anomaly_count), 0);
    keeper_remove(&keeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions_change_under_readers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
