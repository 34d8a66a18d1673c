/* Names of models and versions. */
#include "model/support.h"

#include "model/name.h"

static void test_usual_names_are_models(void **state) {
    (void)state;
    static const char *const GOOD[] = {"a", "9", "breast-cancer", "resnet50.v2", "A_b-c.d"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        assert_true(model_name_valid(str_of(GOOD[i])));
}

static void test_names_that_could_leave_the_root_or_break_a_line_are_not(void **state) {
    (void)state;
    static const char *const BAD[] = {"",    ".",           "..",   ".hidden", "-a",
                                      "_a",  "a/b",         "a\\b", "a b",     "a\nb",
                                      "a$b", "caf\xc3\xa9", "a..b", "/a",      "a%2f"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_false(model_name_valid(str_of(BAD[i])));
    assert_false(model_name_valid((struct str){"a\0b", 3}));
}

static void test_a_name_has_at_most_128_characters(void **state) {
    (void)state;
    char name[MODEL_NAME_MAX + 1];
    memset(name, 'a', sizeof name);
    assert_true(model_name_valid((struct str){name, MODEL_NAME_MAX}));
    assert_false(model_name_valid((struct str){name, MODEL_NAME_MAX + 1}));
}

static void test_versions_are_whole_numbers_without_leading_zeros(void **state) {
    (void)state;
    int64_t number = 0;
    assert_true(version_number_read(STR("1"), &number));
    assert_int_equal(number, 1);
    assert_true(version_number_read(STR("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    number = 7;
    static const char *const BAD[] = {"",
                                      "0",
                                      "01",
                                      "-1",
                                      "+1",
                                      "1a",
                                      "v1",
                                      "1.0",
                                      " 1",
                                      "9223372036854775808",
                                      "18446744073709551617"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_false(version_number_read(str_of(BAD[i]), &number));
    assert_int_equal(number, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_names_are_models),
        cmocka_unit_test(test_names_that_could_leave_the_root_or_break_a_line_are_not),
        cmocka_unit_test(test_a_name_has_at_most_128_characters),
        cmocka_unit_test(test_versions_are_whole_numbers_without_leading_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
