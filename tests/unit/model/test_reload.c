/* The life of versions with ONNX Runtime: real failures, real decisions, and memory that comes
 * back. */
#include "model/support.h"
#include "sanitized.h"

#include "observe/machine.h"

#include "base/memory.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ONNX Runtime is not instrumented, and its exit handlers confuse the thread sanitizer: the other
 * tests, with the fake engine, are for that. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZED 1
#endif
#endif
#ifndef THREAD_SANITIZED
#define THREAD_SANITIZED 0
#endif

enum { CYCLES_BEFORE = 20, CYCLES = 200 };

static struct keeper keeper;

/* The keeper with ONNX Runtime over <INFERD_TEST_MODELS><suffix>, read as it is. */
static void begin(const char *suffix) {
    const char *models = getenv("INFERD_TEST_MODELS");
    static char root[512];
    if (!models || THREAD_SANITIZED)
        skip();
    snprintf(root, sizeof root, "%s%s", models, suffix);
    if (access(root, F_OK) != 0)
        skip();
    struct err_text text;
    keeper_make(&keeper);
    keeper.options.engine->ops->free(&keeper.options.engine);
    assert_int_equal(engine_onnx_new(&keeper.options.engine, &text), ERR_OK);
    keeper.options.root = root;
    keeper.options.explicit_only = true;
    keeper_start(&keeper);
}

static void load(const char *name) {
    struct err_text text = {""};
    if (keeper_order(&keeper, name, false, &text) != ERR_OK)
        fail_msg("%s", text.s);
}

static bool batches(const char *name) {
    load(name);
    struct model_version *version = keeper_version(&keeper, name, "");
    bool batching = version->batching;
    model_version_unref(&version);
    return batching;
}

static void test_rows_that_mix_are_not_batched(void **state) {
    (void)state;
    begin("");
    assert_true(batches("add_sub"));
    assert_true(batches("identity_bytes"));
    assert_false(batches("seqmix"));
    assert_false(batches("fixed16"));
    keeper_remove(&keeper);
}

static void test_models_that_cannot_load_say_why(void **state) {
    (void)state;
    static const struct {
        const char *name, *reason;
    } CASES[] = {
        {"truncated", ""},
        {"random", ""},
        {"empty", "empty"},
        {"missing", "model.onnx is missing"},
        {"unsupported", "NoSuchOperator"},
        {"text", ""},
    };
    struct err_text text;
    begin("-broken");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(keeper_order(&keeper, CASES[i].name, false, &text), ERR_INVALID);
        if (!strstr(text.s, "failed to load '") || !strstr(text.s, CASES[i].reason))
            fail_msg("%s: '%s'", CASES[i].name, text.s);
        struct catalog *catalog = keeper_catalog(&keeper);
        char condition[64];
        snprintf(condition, sizeof condition, "%s/1=FAILED", CASES[i].name);
        assert_true(catalog_shows(catalog, condition));
        catalog_unref(&catalog);
    }
    keeper_remove(&keeper);
}

static void cycle(int count) {
    struct err_text text;
    for (int i = 0; i < count; i++) {
        load("mlp");
        assert_int_equal(keeper_order(&keeper, "mlp", true, &text), ERR_OK);
        keeper_wait(&keeper, "mlp/1=UNLOADED");
    }
}

static void test_memory_comes_back_after_200_loads(void **state) {
    (void)state;
    begin("");
    if (SANITIZED) { /* their allocators keep what is freed */
        cycle(10);
        keeper_remove(&keeper);
        return;
    }
    struct machine_process before, after;
    cycle(CYCLES_BEFORE);
    machine_read_process("/", &before);
    cycle(CYCLES);
    machine_read_process("/", &after);
    print_message("resident: %.1f MB before, %.1f MB after %d loads\n",
                  (double)before.resident_bytes / 1e6, (double)after.resident_bytes / 1e6,
                  (int)CYCLES);
    assert_true(after.resident_bytes <= before.resident_bytes + before.resident_bytes / 10);
    assert_int_equal(after.open_fds, before.open_fds);
    assert_int_equal(after.threads, before.threads);
    keeper_remove(&keeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_that_mix_are_not_batched),
        cmocka_unit_test(test_models_that_cannot_load_say_why),
        cmocka_unit_test(test_memory_comes_back_after_200_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
