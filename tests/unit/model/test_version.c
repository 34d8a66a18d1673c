/* States and references of a version. */
#include "model/support.h"

#include "model/version_owner.h"

#include "base/memory.h"

#include <sys/wait.h>
#include <unistd.h>

static struct mailbox mailbox;
static unsigned wakes, freed;
static enum model_state changes[MODEL_STATE_COUNT][2];
static size_t change_count;

static void on_wake(void *context) {
    (void)context;
    wakes++;
}

static void on_freed(struct model_version_owner *owner) {
    freed++;
    model_version_destroy(owner);
}

static void on_changed(struct model_version_owner *owner, enum model_state from,
                       enum model_state to) {
    (void)owner;
    changes[change_count][0] = from;
    changes[change_count++][1] = to;
}

static struct model_version_owner *make(void) {
    struct model_version_owner *owner = model_version_new("m", 3, &mailbox);
    owner->freed = on_freed;
    owner->changed = on_changed;
    return owner;
}

static int reset(void **state) {
    (void)state;
    mailbox_init(&mailbox, on_wake, NULL);
    wakes = freed = 0;
    change_count = 0;
    return 0;
}

/* The diagram of version.h, written down a second time. */
static const struct {
    enum model_state from, to;
} EDGES[] = {
    {MODEL_SETTLING, MODEL_LOADING},   {MODEL_SETTLING, MODEL_UNLOADED},
    {MODEL_SETTLING, MODEL_FAILED},    {MODEL_LOADING, MODEL_WARMING},
    {MODEL_LOADING, MODEL_FAILED},     {MODEL_WARMING, MODEL_READY},
    {MODEL_WARMING, MODEL_FAILED},     {MODEL_READY, MODEL_UNLOADING},
    {MODEL_UNLOADING, MODEL_UNLOADED}, {MODEL_FAILED, MODEL_UNLOADED},
};

static bool is_edge(enum model_state from, enum model_state to) {
    for (size_t i = 0; i < sizeof EDGES / sizeof *EDGES; i++)
        if (EDGES[i].from == from && EDGES[i].to == to)
            return true;
    return false;
}

/* A shortest way to the state. */
static void bring_to(struct model_version_owner *owner, enum model_state state) {
    static const enum model_state WAY[] = {MODEL_LOADING, MODEL_WARMING, MODEL_READY,
                                           MODEL_UNLOADING, MODEL_UNLOADED};
    if (state == MODEL_SETTLING)
        return;
    if (state == MODEL_FAILED) {
        model_version_set_state(owner, MODEL_FAILED, NULL);
        return;
    }
    for (size_t i = 0; i < sizeof WAY / sizeof *WAY; i++) {
        model_version_set_state(owner, WAY[i], NULL);
        if (WAY[i] == state)
            return;
    }
}

/* Does setting the state stop the process? */
static bool is_refused(enum model_state from, enum model_state to) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        struct model_version_owner *owner = make();
        owner->changed = NULL;
        bring_to(owner, from);
        model_version_set_state(owner, to, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_only_the_edges_of_the_diagram_are_legal(void **state) {
    (void)state;
    for (enum model_state from = 0; from < MODEL_STATE_COUNT; from++)
        for (enum model_state to = 0; to < MODEL_STATE_COUNT; to++) {
            assert_int_equal(model_state_may(from, to), is_edge(from, to));
            if (is_refused(from, to) == is_edge(from, to))
                fail_msg("%s to %s", model_state_name(from), model_state_name(to));
        }
}

static void test_states_have_the_names_of_the_repository_index(void **state) {
    (void)state;
    assert_string_equal(model_state_name(MODEL_SETTLING), "SETTLING");
    assert_string_equal(model_state_name(MODEL_FAILED), "FAILED");
    assert_string_equal(model_state_v2(MODEL_SETTLING), "LOADING");
    assert_string_equal(model_state_v2(MODEL_WARMING), "LOADING");
    assert_string_equal(model_state_v2(MODEL_READY), "READY");
    assert_string_equal(model_state_v2(MODEL_UNLOADING), "UNLOADING");
    assert_string_equal(model_state_v2(MODEL_FAILED), "UNAVAILABLE");
    assert_string_equal(model_state_v2(MODEL_UNLOADED), "UNAVAILABLE");
}

static void test_the_last_reference_sends_the_version_home(void **state) {
    (void)state;
    struct model_version_owner *owner = make();
    struct model_version *one = &owner->version, *two = one;
    assert_string_equal(one->version, "3");
    assert_string_equal(one->model, "m");
    model_version_ref(two);
    model_version_set_state(owner, MODEL_FAILED, "broken");
    assert_string_equal(owner->reason, "broken");
    model_version_unref(&one);
    assert_null(one);
    assert_int_equal(wakes, 0);
    assert_false(mailbox_drain(&mailbox));
    model_version_unref(&two);
    assert_int_equal(wakes, 1);
    assert_int_equal(freed, 0); /* not before the manager looks */
    assert_true(mailbox_drain(&mailbox));
    assert_int_equal(freed, 1);
    assert_int_equal(change_count, 2);
    assert_int_equal(changes[1][0], MODEL_FAILED);
    assert_int_equal(changes[1][1], MODEL_UNLOADED);
    model_version_unref(&one); /* NULL */
}

static void test_a_reason_may_be_passed_on(void **state) {
    (void)state;
    struct model_version_owner *owner = make();
    model_version_set_state(owner, MODEL_LOADING, "old");
    model_version_set_state(owner, MODEL_FAILED, owner->reason);
    assert_string_equal(owner->reason, "old");
    struct model_version *version = &owner->version;
    model_version_unref(&version);
    mailbox_drain(&mailbox);
}

static void test_runs_are_counted_for_the_shard_that_ran(void **state) {
    (void)state;
    struct model_version_owner *owner = make();
    struct model_stats stats[2] = {0};
    struct metrics *metrics = metrics_new(2);
    owner->version.stats = stats;
    owner->version.metrics = metric_group_new(metrics, METRIC_SCOPE_VERSION, "m", "3");
    struct batch_observer observer = model_version_observer(&owner->version);
    observer.ran(observer.context, 1, 2, 5, 1000, true);
    observer.ran(observer.context, 1, 2, 5, 500, false);
    observer.ran(observer.context, 0, 100, 100, 7, false);
    assert_int_equal(stats[1].execution_count, 2);
    assert_int_equal(stats[1].batch_count[4], 2);
    assert_int_equal(stats[1].batch_infer_ns[4], 1500);
    assert_int_equal(stats[0].execution_count, 1);
    assert_int_equal(stats[0].batch_count[MODEL_STATS_BATCH_SIZES - 1], 1);
    assert_int_equal(metric_read(owner->version.metrics, METRIC_RUNS, WHERE_INLINE), 1);
    assert_int_equal(metric_read(owner->version.metrics, METRIC_RUNS, WHERE_EXECUTOR), 2);
    metric_group_free(&owner->version.metrics);
    metrics_free(&metrics);
    struct model_version *version = &owner->version;
    model_version_unref(&version);
    mailbox_drain(&mailbox);
}

static void test_the_states_of_the_gauge_are_those_of_the_table(void **state) {
    (void)state;
    for (uint32_t i = 0; i < MODEL_STATE_COUNT; i++) {
        const char *upper = model_state_name((enum model_state)i);
        const char *lower = metric_variant_name(METRIC_MODEL_STATE, i);
        assert_non_null(lower);
        assert_true(str_eq_nocase(str_of(upper), str_of(lower)));
        for (const char *c = lower; *c; c++)
            assert_true(*c >= 'a' && *c <= 'z');
    }
    assert_null(metric_variant_name(METRIC_MODEL_STATE, MODEL_STATE_COUNT));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_only_the_edges_of_the_diagram_are_legal, reset),
        cmocka_unit_test_setup(test_states_have_the_names_of_the_repository_index, reset),
        cmocka_unit_test_setup(test_the_last_reference_sends_the_version_home, reset),
        cmocka_unit_test_setup(test_a_reason_may_be_passed_on, reset),
        cmocka_unit_test_setup(test_runs_are_counted_for_the_shard_that_ran, reset),
        cmocka_unit_test(test_the_states_of_the_gauge_are_those_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
