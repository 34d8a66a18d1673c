/* Clocks that can be replaced, and dates as the log writes them. */
#include "base/clock.h"

#include "base/check.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void test_the_real_clock_runs_forward(void **state) {
    (void)state;
    uint64_t before = clock_now(&clock_real);
    nanosleep(&(struct timespec){.tv_nsec = 2 * NS_PER_MS}, NULL);
    uint64_t after = clock_now(&clock_real);
    assert_true(after - before >= 2 * NS_PER_MS);
}

static void test_the_real_wall_clock_is_the_systems(void **state) {
    (void)state;
    uint64_t before = (uint64_t)time(NULL);
    uint64_t now = clock_real.wall_ns(&clock_real) / NS_PER_S;
    assert_in_range(now, before, before + 60);
}

static void test_a_fake_clock_moves_by_hand(void **state) {
    (void)state;
    struct clock_fake fake;
    clock_fake_init(&fake, 5);
    const struct clock *clock = &fake.clock;
    assert_int_equal(clock_now(clock), 5);
    assert_int_equal(clock_now(clock), 5);
    fake.now_ns += 10;
    assert_int_equal(clock_now(clock), 15);
    assert_int_equal(clock->wall_ns(clock), 15);
    fake.wall_offset_ns = 1000;
    assert_int_equal(clock->wall_ns(clock), 1015);
    assert_int_equal(clock_now(clock), 15);
}

static void test_known_dates(void **state) {
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {999, "1970-01-01T00:00:00.000000Z"},
        {1000, "1970-01-01T00:00:00.000001Z"},
        {999999999, "1970-01-01T00:00:00.999999Z"},
        {951782400ull * NS_PER_S, "2000-02-29T00:00:00.000000Z"},
        {1769860799ull * NS_PER_S + 123456789, "2026-01-31T11:59:59.123456Z"},
        {4107542399ull * NS_PER_S, "2100-02-28T23:59:59.000000Z"},
        {4107542400ull * NS_PER_S, "2100-03-01T00:00:00.000000Z"}, /* no leap year */
        {UINT64_MAX, "2554-07-21T23:34:33.709551Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(cases[i].ns, out);
        assert_string_equal(out, cases[i].text);
    }
}

/* One moment of each day from 1970 to 2554, at changing times of the day. */
static void test_every_day_is_the_c_librarys(void **state) {
    (void)state;
    for (uint64_t day = 0; day < 213503; day++) {
        time_t seconds = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char expected[64], out[CLOCK_RFC3339_SIZE];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        clock_format_rfc3339((uint64_t)seconds * NS_PER_S, out);
        if (strcmp(out, expected) != 0)
            fail_msg("%s is not %s", out, expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_real_clock_runs_forward),
        cmocka_unit_test(test_the_real_wall_clock_is_the_systems),
        cmocka_unit_test(test_a_fake_clock_moves_by_hand),
        cmocka_unit_test(test_known_dates),
        cmocka_unit_test(test_every_day_is_the_c_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
