/* Which versions are wanted. */
#include "model/support.h"

#include "model/policy.h"

#include <stdio.h>

enum { MAX_ROWS = 8 };

/* versions: "1 2 !3" ('!': failed). Returns the wanted ones as text: "2 3". */
static const char *wanted(const struct model_options *options, const char *versions) {
    static char out[128];
    struct policy_version rows[MAX_ROWS];
    size_t count = 0, used = 0;
    struct str rest = str_of(versions), word;
    while (str_split(&rest, ' ', &word)) {
        bool failed = word.n > 0 && word.p[0] == '!';
        if (word.n == 0)
            continue;
        rows[count] = (struct policy_version){0, failed, true};
        assert_true(
            str_to_i64((struct str){word.p + failed, word.n - failed}, &rows[count++].number));
    }
    policy_apply(options, rows, count);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (rows[i].wanted)
            used += (size_t)snprintf(out + used, sizeof out - used, "%s%lld", used ? " " : "",
                                     (long long)rows[i].number);
    return out;
}

static void test_latest_takes_the_highest_numbers(void **state) {
    (void)state;
    struct model_options options = {.policy = VERSIONS_LATEST, .latest = 1};
    assert_string_equal(wanted(&options, "1 2 10"), "10");
    assert_string_equal(wanted(&options, ""), "");
    options.latest = 2;
    assert_string_equal(wanted(&options, "1 2 10"), "2 10");
    assert_string_equal(wanted(&options, "7"), "7");
    options.latest = 0;
    assert_string_equal(wanted(&options, "1 2"), "");
}

static void test_latest_goes_on_behind_a_version_that_failed(void **state) {
    (void)state;
    struct model_options options = {.policy = VERSIONS_LATEST, .latest = 1};
    assert_string_equal(wanted(&options, "1 2 !3"), "2 3");
    assert_string_equal(wanted(&options, "1 !2 !3"), "1 2 3");
    assert_string_equal(wanted(&options, "!1 !2"), "1 2");
    assert_string_equal(wanted(&options, "!1 2 3"), "3");
    options.latest = 2;
    assert_string_equal(wanted(&options, "1 2 !3 4"), "2 3 4");
}

static void test_all_takes_everything(void **state) {
    (void)state;
    struct model_options options = {.policy = VERSIONS_ALL};
    assert_string_equal(wanted(&options, "1 !2 3"), "1 2 3");
}

static void test_listed_takes_those_that_are_there(void **state) {
    (void)state;
    struct model_options options = {.policy = VERSIONS_LISTED, .listed = {9, 2}, .listed_count = 2};
    assert_string_equal(wanted(&options, "1 2 3"), "2");
    options.listed_count = 0;
    assert_string_equal(wanted(&options, "1 2 9"), "");
}

static void test_the_default_version_is_wanted_by_any_policy(void **state) {
    (void)state;
    struct model_options options = {.policy = VERSIONS_LATEST, .latest = 1, .default_version = 1};
    assert_string_equal(wanted(&options, "1 2 3"), "1 3");
    assert_string_equal(wanted(&options, "2 3"), "3");
    options.policy = VERSIONS_LISTED;
    assert_string_equal(wanted(&options, "1 2"), "1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latest_takes_the_highest_numbers),
        cmocka_unit_test(test_latest_goes_on_behind_a_version_that_failed),
        cmocka_unit_test(test_all_takes_everything),
        cmocka_unit_test(test_listed_takes_those_that_are_there),
        cmocka_unit_test(test_the_default_version_is_wanted_by_any_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
