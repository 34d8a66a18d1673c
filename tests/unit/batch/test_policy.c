/* When a batch leaves and which level begins it: tables, and a queue played through by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/num.h"
#include "batch/policy.h"

static const uint64_t NOW = NS_PER_S;
static const uint64_t DELAY = NS_PER_MS;

/* ---- leaving ---- */

static void test_each_reason_to_leave_and_to_wait(void **state) {
    (void)state;
    static const struct {
        const char *what;
        uint64_t delay_ns, waited_ns;
        struct batch_view view;
        uint32_t requests;
        enum batch_reason reason;
        uint64_t left_ns; /* until it leaves; UINT64_MAX: never by itself */
    } rows[] = {
        {"nothing waits", DELAY, 0, {.requests = 0}, 0, 0, UINT64_MAX},
        {"nothing waits, no delay", 0, 0, {.requests = 0}, 0, 0, UINT64_MAX},
        {"alone, no delay", 0, 0, {.requests = 1}, 1, BATCH_LEFT_IDLE, 0},
        {"some, no delay", 0, 0, {.requests = 5}, 5, BATCH_LEFT_IDLE, 0},
        {"others besides, no delay",
         0,
         0,
         {.requests = 5, .other_shape = true},
         5,
         BATCH_LEFT_IDLE,
         0},
        {"full", DELAY, 0, {.requests = 5, .full = true}, 5, BATCH_LEFT_FULL, 0},
        {"full, no delay", 0, 0, {.requests = 5, .full = true}, 5, BATCH_LEFT_FULL, 0},
        {"full and late", DELAY, DELAY, {.requests = 5, .full = true}, 5, BATCH_LEFT_FULL, 0},
        {"full before preferred",
         DELAY,
         0,
         {.requests = 5, .preferred_requests = 4, .full = true},
         5,
         BATCH_LEFT_FULL,
         0},
        {"preferred",
         DELAY,
         0,
         {.requests = 5, .preferred_requests = 4},
         4,
         BATCH_LEFT_PREFERRED,
         0},
        {"preferred, no delay",
         0,
         0,
         {.requests = 5, .preferred_requests = 4},
         4,
         BATCH_LEFT_PREFERRED,
         0},
        {"cannot share", DELAY, 0, {.requests = 1, .alone = true}, 1, BATCH_LEFT_IDLE, 0},
        {"just come", DELAY, 0, {.requests = 2}, 0, 0, DELAY},
        {"almost over", DELAY, DELAY - 1, {.requests = 2}, 0, 0, 1},
        {"over", DELAY, DELAY, {.requests = 2}, 2, BATCH_LEFT_DELAY, 0},
        {"long over", DELAY, 9 * DELAY, {.requests = 2}, 2, BATCH_LEFT_DELAY, 0},
        {"another shape", DELAY, 0, {.requests = 2, .other_shape = true}, 2, BATCH_LEFT_SHAPE, 0},
        {"over, and another shape",
         DELAY,
         DELAY,
         {.requests = 2, .other_shape = true},
         2,
         BATCH_LEFT_DELAY,
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct batch_rules rules = {.delay_ns = rows[i].delay_ns};
        struct batch_view view = rows[i].view;
        view.oldest_ns = NOW - rows[i].waited_ns;
        struct batch_decision decision = batch_policy_decide(&rules, &view, NOW);
        if (decision.requests != rows[i].requests)
            fail_msg("%s: %u leave", rows[i].what, decision.requests);
        if (decision.requests > 0 && decision.reason != rows[i].reason)
            fail_msg("%s: reason %u", rows[i].what, decision.reason);
        uint64_t until_ns = rows[i].left_ns == UINT64_MAX ? UINT64_MAX : NOW + rows[i].left_ns;
        if (decision.requests == 0 && decision.until_ns != until_ns)
            fail_msg("%s: until %llu", rows[i].what, (unsigned long long)decision.until_ns);
    }
}

static void test_a_request_from_the_future_waits_for_one_delay_only(void **state) {
    (void)state; /* it was stamped by another thread after the executor read its clock */
    const struct batch_rules rules = {.delay_ns = DELAY};
    const struct batch_view view = {.requests = 1, .oldest_ns = NOW + 10};
    assert_int_equal(batch_policy_decide(&rules, &view, NOW).until_ns, NOW + DELAY);
}

/* Nothing an executor could be asked about waits when there is no delay. */
static void test_without_a_delay_nothing_ever_waits(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++)
        for (uint32_t requests = 1; requests <= 8; requests++)
            for (uint32_t preferred = 0; preferred <= 1; preferred++) {
                const struct batch_rules rules = {.preferred = {4}, .preferred_count = preferred};
                const struct batch_view view = {
                    .requests = requests,
                    .preferred_requests = preferred && requests >= 4 ? 4 : 0,
                    .full = bits & 1,
                    .alone = bits >> 1 & 1,
                    .other_shape = bits >> 2 & 1,
                    .oldest_ns = bits >> 3 & 1 ? NOW : 0,
                };
                struct batch_decision decision = batch_policy_decide(&rules, &view, NOW);
                assert_in_range(decision.requests, 1, requests);
            }
}

/* One queue, one executor that is always idle, requests of a row that come at their times. */
static void test_nobody_waits_longer_than_the_delay_while_an_executor_is_idle(void **state) {
    (void)state;
    enum { REQUESTS = 400, FULL = 4 };
    const struct batch_rules rules = {.delay_ns = 1000, .preferred = {3}, .preferred_count = 1};
    uint64_t came[REQUESTS], now = 0, seed = 1;
    for (int i = 0; i < REQUESTS; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        came[i] = (i ? came[i - 1] : 0) + (seed >> 33) % 900;
    }
    uint32_t first = 0, next = 0;
    unsigned reasons[BATCH_REASON_COUNT] = {0};
    while (first < REQUESTS) {
        while (next < REQUESTS && came[next] <= now)
            next++;
        uint32_t waiting = MIN(next - first, (uint32_t)FULL);
        const struct batch_view view = {.requests = waiting,
                                        .preferred_requests = waiting >= 3 ? 3 : 0,
                                        .full = waiting == FULL,
                                        .oldest_ns = came[first]};
        struct batch_decision decision = batch_policy_decide(&rules, &view, now);
        if (decision.requests > 0) {
            assert_true(now - came[first] <= rules.delay_ns);
            reasons[decision.reason]++;
            first += decision.requests;
            continue;
        }
        assert_true(decision.until_ns > now);
        now = next < REQUESTS ? MIN(decision.until_ns, came[next]) : decision.until_ns;
    }
    assert_true(reasons[BATCH_LEFT_DELAY] > 0 && reasons[BATCH_LEFT_PREFERRED] > 0);
}

/* ---- levels ---- */

static void test_the_first_level_that_waits_begins(void **state) {
    (void)state;
    const uint32_t passed[4] = {0, BATCH_PASSED_MAX - 1, 0, BATCH_PASSED_MAX - 1};
    assert_int_equal(batch_policy_level(passed, 4, 1U << 0), 0);
    assert_int_equal(batch_policy_level(passed, 4, 1U << 3), 3);
    assert_int_equal(batch_policy_level(passed, 4, 1U << 1 | 1U << 2), 1);
    assert_int_equal(batch_policy_level(passed, 4, 15), 0);
}

static void test_a_level_passed_over_too_often_begins(void **state) {
    (void)state;
    const uint32_t passed[4] = {0, 0, BATCH_PASSED_MAX, BATCH_PASSED_MAX + 3};
    assert_int_equal(batch_policy_level(passed, 4, 15), 2);
    assert_int_equal(batch_policy_level(passed, 4, 1U << 0 | 1U << 3), 3);
    assert_int_equal(batch_policy_level(passed, 4, 1U << 0 | 1U << 1), 0); /* 2 does not wait */
}

static void test_only_a_level_that_waits_and_gave_nothing_was_passed_over(void **state) {
    (void)state;
    uint32_t passed[4] = {5, 5, 5, 5};
    batch_policy_note(passed, 4, 1U << 0 | 1U << 1, 1U << 1 | 1U << 2);
    assert_int_equal(passed[0], 0); /* gave all it had */
    assert_int_equal(passed[1], 0); /* gave some */
    assert_int_equal(passed[2], 6);
    assert_int_equal(passed[3], 0); /* nothing waits in it */
}

/* Every level always has more than a batch can take. */
static void test_no_level_starves_and_the_first_has_most(void **state) {
    (void)state;
    enum { LEVELS = 5, ROUNDS = 2000, APART_MAX = BATCH_PASSED_MAX + LEVELS };
    uint32_t passed[LEVELS] = {0}, all = (1U << LEVELS) - 1, served[LEVELS] = {0};
    int last[LEVELS] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t level = batch_policy_level(passed, LEVELS, all);
        batch_policy_note(passed, LEVELS, 1U << level, all);
        served[level]++;
        last[level] = round;
        for (int i = 0; i < LEVELS; i++)
            assert_true(round - last[i] <= APART_MAX);
    }
    for (int i = 1; i < LEVELS; i++)
        assert_true(served[0] > 2 * served[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_reason_to_leave_and_to_wait),
        cmocka_unit_test(test_a_request_from_the_future_waits_for_one_delay_only),
        cmocka_unit_test(test_without_a_delay_nothing_ever_waits),
        cmocka_unit_test(test_nobody_waits_longer_than_the_delay_while_an_executor_is_idle),
        cmocka_unit_test(test_the_first_level_that_waits_begins),
        cmocka_unit_test(test_a_level_passed_over_too_often_begins),
        cmocka_unit_test(test_only_a_level_that_waits_and_gave_nothing_was_passed_over),
        cmocka_unit_test(test_no_level_starves_and_the_first_has_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
