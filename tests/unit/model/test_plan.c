/* The steps from what is to what is wanted. */
#include "model/support.h"

#include "model/plan.h"

static enum plan_step next_alone(struct plan_version version) {
    return plan_next(&version, 1, 0);
}

static void test_a_wanted_version_settles_then_loads(void **state) {
    (void)state;
    struct plan_version v = {.wanted = true, .content = 1};
    assert_int_equal(next_alone(v), PLAN_SETTLE);
    v.coming = true;
    assert_int_equal(next_alone(v), PLAN_NOTHING);
    v.still = true;
    assert_int_equal(next_alone(v), PLAN_LOAD);
}

static void test_an_order_does_not_wait_for_still_files(void **state) {
    (void)state;
    struct plan_version v = {.wanted = true, .asked = true, .coming = true, .content = 1};
    assert_int_equal(next_alone(v), PLAN_LOAD);
}

static void test_a_version_that_serves_its_files_needs_nothing(void **state) {
    (void)state;
    struct plan_version v = {
        .wanted = true, .still = true, .serving = true, .content = 1, .serving_content = 1};
    assert_int_equal(next_alone(v), PLAN_NOTHING);
    v.asked = true;
    assert_int_equal(next_alone(v), PLAN_NOTHING);
}

static void test_changed_files_are_loaded_beside_what_serves(void **state) {
    (void)state;
    struct plan_version v = {
        .wanted = true, .still = true, .serving = true, .content = 2, .serving_content = 1};
    assert_int_equal(next_alone(v), PLAN_SETTLE);
    v.coming = true;
    assert_int_equal(next_alone(v), PLAN_LOAD);
    v.content = 1; /* changed back before it was loaded */
    assert_int_equal(next_alone(v), PLAN_DROP);
}

static void test_a_failure_waits_for_other_files_or_an_order(void **state) {
    (void)state;
    struct plan_version v = {.wanted = true,
                             .still = true,
                             .coming = true,
                             .failed = true,
                             .content = 1,
                             .coming_content = 1};
    assert_int_equal(next_alone(v), PLAN_NOTHING);
    v.asked = true;
    assert_int_equal(next_alone(v), PLAN_DROP);
    v.asked = false;
    v.content = 2;
    assert_int_equal(next_alone(v), PLAN_DROP);
}

static void test_what_is_not_wanted_is_given_up(void **state) {
    (void)state;
    assert_int_equal(next_alone((struct plan_version){.coming = true}), PLAN_DROP);
    assert_int_equal(next_alone((struct plan_version){.coming = true, .failed = true}), PLAN_DROP);
    assert_int_equal(next_alone((struct plan_version){.serving = true}), PLAN_RETIRE);
    assert_int_equal(next_alone((struct plan_version){0}), PLAN_NOTHING);
}

static void test_the_old_version_stays_until_the_new_one_serves(void **state) {
    (void)state;
    struct plan_version v[2] = {{.serving = true}, {.wanted = true, .coming = true, .content = 1}};
    assert_int_equal(plan_next(v, 2, 0), PLAN_NOTHING);
    v[1].coming = false; /* not even begun */
    assert_int_equal(plan_next(v, 2, 0), PLAN_NOTHING);
    v[1].coming = v[1].failed = true;
    v[1].coming_content = 1;
    assert_int_equal(plan_next(v, 2, 0), PLAN_NOTHING);
    v[1] = (struct plan_version){.wanted = true, .serving = true};
    assert_int_equal(plan_next(v, 2, 0), PLAN_RETIRE);
}

static void test_of_two_wanted_versions_both_must_be_settled_first(void **state) {
    (void)state;
    struct plan_version v[3] = {{.serving = true},
                                {.wanted = true, .serving = true},
                                {.wanted = true, .coming = true, .content = 1}};
    assert_int_equal(plan_next(v, 3, 0), PLAN_NOTHING);
    v[2].failed = true;
    v[2].coming_content = 1;
    assert_int_equal(plan_next(v, 3, 0), PLAN_RETIRE);
    v[2].asked = true; /* it is about to be tried again */
    assert_int_equal(plan_next(v, 3, 0), PLAN_NOTHING);
}

/* From any state, applying the steps comes to rest, and at rest what is wanted and can be loaded
 * serves. */
static void test_the_steps_come_to_rest_from_every_state(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 1u << 14; bits++) {
        struct plan_version v[2];
        for (unsigned i = 0; i < 2; i++) {
            unsigned b = bits >> (7 * i);
            v[i] = (struct plan_version){.wanted = b & 1,
                                         .still = true,
                                         .asked = b & 2,
                                         .serving = b & 4,
                                         .coming = b & 8,
                                         .failed = (b & 8) && (b & 16),
                                         .content = 1,
                                         .serving_content = b & 32 ? 1 : 2,
                                         .coming_content = b & 64 ? 1 : 2};
        }
        unsigned steps = 0, moved = 1;
        while (moved && steps++ < 20) {
            moved = 0;
            for (size_t i = 0; i < 2; i++) {
                enum plan_step step = plan_next(v, 2, i);
                moved |= step != PLAN_NOTHING;
                if (step == PLAN_SETTLE)
                    v[i].coming = true, v[i].failed = false;
                else if (step == PLAN_DROP)
                    v[i].coming = v[i].failed = false;
                else if (step == PLAN_RETIRE)
                    v[i].serving = false;
                else if (step == PLAN_LOAD)
                    v[i].coming = v[i].asked = false, v[i].serving = true, v[i].serving_content = 1;
            }
        }
        assert_true(steps < 20);
        for (size_t i = 0; i < 2; i++) {
            assert_false(!v[i].wanted && v[i].coming);
            assert_true(!v[i].wanted || v[i].failed || (v[i].serving && v[i].serving_content == 1));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wanted_version_settles_then_loads),
        cmocka_unit_test(test_an_order_does_not_wait_for_still_files),
        cmocka_unit_test(test_a_version_that_serves_its_files_needs_nothing),
        cmocka_unit_test(test_changed_files_are_loaded_beside_what_serves),
        cmocka_unit_test(test_a_failure_waits_for_other_files_or_an_order),
        cmocka_unit_test(test_what_is_not_wanted_is_given_up),
        cmocka_unit_test(test_the_old_version_stays_until_the_new_one_serves),
        cmocka_unit_test(test_of_two_wanted_versions_both_must_be_settled_first),
        cmocka_unit_test(test_the_steps_come_to_rest_from_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
