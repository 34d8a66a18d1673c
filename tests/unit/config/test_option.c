#include "config/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A table of our own, so that every type is tried whatever the real tables hold. */
struct example {
    bool flag;
    int64_t number;
    uint64_t size;
    uint64_t duration;
    double ratio;
    char *text;
    int choice;
    struct config_list list;
    struct config_ints ints;
    struct config_map map;
};

#define OPTION_STRUCT example
static const struct option rows[] = {
#include "config/rows_begin.def"
    // clang-format off
BOOL("a.flag", flag, true, "A switch.")
INT("a.number", number, 5, -3, 10, "A number.")
SIZE("a.size", size, "1Ki", "16", "2Gi", "A size.")
DURATION("a.duration", duration, "5s", "0", "1h", "A time.")
NUMBER("a.ratio", ratio, 0.5, 0, 1.5, "A ratio.")
STRING("a.text", text, "abc", "A text.")
ENUM("a.choice", choice, "auto", "auto|on|off", "A choice.")
LIST("a.list_long", list, "Texts.")
INTS("a.ints", ints, "Numbers.")
MAP("a.map", map, "Texts by name.")
// clang-format on
#include "config/rows_end.def"
};
enum { FLAG, NUMBER_ROW, SIZE_ROW, DURATION_ROW, RATIO, TEXT, CHOICE, LIST_ROW, INTS_ROW, MAP_ROW };

static int setup(void **state) {
    static struct example example;
    memset(&example, 0, sizeof example);
    for (size_t i = 0; i <= MAP_ROW; i++)
        option_set_default(&rows[i], &example);
    *state = &example;
    return 0;
}

static int teardown(void **state) {
    for (size_t i = 0; i <= MAP_ROW; i++)
        option_clear(&rows[i], *state);
    return 0;
}

static bool parse(int row, const char *text, struct example *example) {
    return option_parse(&rows[row], str_of(text), example);
}

static void assert_written(void (*write)(const struct option *, struct buffer *), int row,
                           const char *expected) {
    struct buffer out;
    buffer_init(&out, 4096);
    write(&rows[row], &out);
    buffer_add_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_done(&out);
}

static void assert_value(int row, const struct example *example, const char *expected) {
    struct buffer out;
    buffer_init(&out, 4096);
    option_write_value(&rows[row], example, &out);
    buffer_add_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_done(&out);
}

static void test_defaults_are_those_of_the_table(void **state) {
    const struct example *example = *state;
    assert_true(example->flag);
    assert_int_equal(example->number, 5);
    assert_int_equal(example->size, 1024);
    assert_int_equal(example->duration, 5000000000);
    assert_true(example->ratio == 0.5);
    assert_string_equal(example->text, "abc");
    assert_int_equal(example->choice, 0);
    assert_int_equal(example->list.count + example->ints.count + example->map.count, 0);
}

static void test_bool_takes_words_of_truth(void **state) {
    struct example *example = *state;
    static const char *const yes[] = {"true", "True", "YES", "on", "1"};
    static const char *const no[] = {"false", "no", "Off", "0"};
    for (size_t i = 0; i < 5; i++) {
        example->flag = false;
        assert_true(parse(FLAG, yes[i], example));
        assert_true(example->flag);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_true(parse(FLAG, no[i], example));
        assert_false(example->flag);
        example->flag = true;
    }
    assert_false(parse(FLAG, "", example));
    assert_false(parse(FLAG, "tru", example));
    assert_false(parse(FLAG, "2", example));
    assert_true(example->flag);
}

static void test_int_is_checked_against_its_range(void **state) {
    struct example *example = *state;
    assert_true(parse(NUMBER_ROW, "-3", example));
    assert_int_equal(example->number, -3);
    assert_true(parse(NUMBER_ROW, "10", example));
    static const char *const bad[] = {
        "-4", "11", "", "1.0", "1e1", "0x1", " 1", "+1", "99999999999999999999"};
    for (size_t i = 0; i < 9; i++)
        assert_false(parse(NUMBER_ROW, bad[i], example));
    assert_int_equal(example->number, 10);
}

static void test_size_takes_suffixes(void **state) {
    struct example *example = *state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"16", 16},         {"2k", 2000},
                {"2K", 2000},       {"2Ki", 2048},
                {"3M", 3000000},    {"3Mi", 3145728},
                {"1G", 1000000000}, {"2Gi", 2147483648},
                {"0016", 16},       {"2147483648", 2147483648}};
    for (size_t i = 0; i < 10; i++) {
        assert_true(parse(SIZE_ROW, good[i].text, example));
        assert_int_equal(example->size, good[i].value);
    }
    static const char *const bad[] = {"15",  "2147483649", "3Gi", "1Q",    "Ki",           "",
                                      "1 K", "-1",         "1KB", "1.5Gi", "99999999999Ti"};
    for (size_t i = 0; i < 11; i++)
        assert_false(parse(SIZE_ROW, bad[i], example));
}

static void test_duration_needs_its_unit(void **state) {
    struct example *example = *state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"0s", 0},
                {"7ns", 7},
                {"500us", 500000},
                {"250ms", 250000000},
                {"5s", 5000000000},
                {"1m", 60000000000},
                {"1h", 3600000000000}};
    for (size_t i = 0; i < 8; i++) {
        assert_true(parse(DURATION_ROW, good[i].text, example));
        assert_int_equal(example->duration, good[i].value);
    }
    static const char *const bad[] = {
        "5", "s", "", "61m", "2h", "1d", "5 s", "-1s", "5000000000000000000s"};
    for (size_t i = 0; i < 9; i++)
        assert_false(parse(DURATION_ROW, bad[i], example));
}

static void test_number_is_finite_and_in_range(void **state) {
    struct example *example = *state;
    assert_true(parse(RATIO, "1.5", example));
    assert_true(example->ratio == 1.5);
    assert_true(parse(RATIO, "2.5e-1", example));
    assert_true(example->ratio == 0.25);
    static const char *const bad[] = {"nan", "inf", "1.6",   "-0.1", "0x1",
                                      "",    "1,5", "1e400", "--1"};
    for (size_t i = 0; i < 9; i++)
        assert_false(parse(RATIO, bad[i], example));
}

static void test_text_is_utf8_without_nul_and_of_bounded_length(void **state) {
    struct example *example = *state;
    assert_true(parse(TEXT, "", example));
    assert_string_equal(example->text, "");
    assert_true(parse(TEXT, "gr\xC3\xBC\xC3\x9F", example));
    assert_false(parse(TEXT, "\xFF", example));
    assert_false(option_parse(&rows[TEXT], (struct str){"a\0b", 3}, example));
    char *longest = test_malloc(CONFIG_TEXT_MAX + 1);
    memset(longest, 'x', CONFIG_TEXT_MAX + 1);
    assert_false(option_parse(&rows[TEXT], (struct str){longest, CONFIG_TEXT_MAX + 1}, example));
    assert_true(option_parse(&rows[TEXT], (struct str){longest, CONFIG_TEXT_MAX}, example));
    test_free(longest);
}

static void test_enum_takes_its_values_and_booleans_for_on_and_off(void **state) {
    struct example *example = *state;
    assert_true(parse(CHOICE, "off", example));
    assert_int_equal(example->choice, 2);
    assert_true(parse(CHOICE, "true", example));
    assert_int_equal(example->choice, 1);
    assert_true(parse(CHOICE, "false", example));
    assert_int_equal(example->choice, 2);
    assert_false(parse(CHOICE, "", example));
    assert_false(parse(CHOICE, "aut", example));
    assert_false(parse(CHOICE, "auto|on", example));
    assert_int_equal(example->choice, 2);
}

static void test_list_is_separated_by_commas(void **state) {
    struct example *example = *state;
    assert_true(parse(LIST_ROW, "a, b ,c", example));
    assert_int_equal(example->list.count, 3);
    assert_string_equal(example->list.items[1], "b");
    assert_true(parse(LIST_ROW, "one", example));
    assert_int_equal(example->list.count, 1);
    assert_false(parse(LIST_ROW, "a,,b", example));
    assert_false(parse(LIST_ROW, "a,", example));
    assert_string_equal(example->list.items[0], "one");
    assert_true(parse(LIST_ROW, " ", example));
    assert_int_equal(example->list.count, 0);
}

static void test_ints_are_positive(void **state) {
    struct example *example = *state;
    assert_true(parse(INTS_ROW, "3,1", example));
    assert_int_equal(example->ints.count, 2);
    assert_int_equal(example->ints.items[0], 3);
    assert_false(parse(INTS_ROW, "3,0", example));
    assert_false(parse(INTS_ROW, "x", example));
    assert_int_equal(example->ints.count, 2);
}

static void test_lists_and_maps_have_a_greatest_length(void **state) {
    struct example *example = *state;
    for (size_t i = 0; i < CONFIG_LIST_MAX; i++)
        assert_true(option_append(&rows[LIST_ROW], STR("x"), example));
    assert_false(option_append(&rows[LIST_ROW], STR("x"), example));
    for (size_t i = 0; i < CONFIG_INTS_MAX; i++)
        assert_true(option_append(&rows[INTS_ROW], STR("1"), example));
    assert_false(option_append(&rows[INTS_ROW], STR("1"), example));
    for (size_t i = 0; i < CONFIG_MAP_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        assert_true(option_put(&rows[MAP_ROW], str_of(key), STR("v"), example));
    }
    assert_false(option_put(&rows[MAP_ROW], STR("more"), STR("v"), example));
}

static void test_map_takes_a_key_once(void **state) {
    struct example *example = *state;
    assert_true(option_put(&rows[MAP_ROW], STR("k"), STR("v"), example));
    assert_false(option_put(&rows[MAP_ROW], STR("k"), STR("w"), example));
    assert_false(option_put(&rows[MAP_ROW], STR(""), STR("w"), example));
    assert_string_equal(example->map.items[0].value, "v");
}

static void test_names_follow_from_the_key(void **state) {
    (void)state;
    assert_written(option_write_variable, LIST_ROW, "INFERD_A_LIST_LONG");
    assert_written(option_write_flag, LIST_ROW, "--a-list-long");
}

static void test_allowed_values_are_told(void **state) {
    (void)state;
    assert_written(option_write_allowed, FLAG, "true or false");
    assert_written(option_write_allowed, NUMBER_ROW, "an integer from -3 to 10");
    assert_written(option_write_allowed, SIZE_ROW,
                   "a size from 16 to 2Gi, such as 64Mi, 10M or 4096");
    assert_written(option_write_allowed, RATIO, "a number from 0 to 1.5");
    assert_written(option_write_allowed, CHOICE, "one of auto, on, off");
}

static void test_values_are_written_as_one_would_write_them(void **state) {
    struct example *example = *state;
    assert_value(FLAG, example, "true");
    assert_value(SIZE_ROW, example, "1Ki");
    assert_value(DURATION_ROW, example, "5s");
    assert_value(RATIO, example, "0.5");
    assert_value(TEXT, example, "\"abc\"");
    assert_value(CHOICE, example, "auto");
    example->size = 1500;
    assert_value(SIZE_ROW, example, "1500");
    example->duration = 90000000000;
    assert_value(DURATION_ROW, example, "90s");
    example->duration = 0;
    assert_value(DURATION_ROW, example, "0");
    assert_true(parse(LIST_ROW, "a,b", example) && parse(INTS_ROW, "1,2", example));
    assert_true(option_put(&rows[MAP_ROW], STR("k"), STR("v\n"), example));
    assert_value(LIST_ROW, example, "[\"a\", \"b\"]");
    assert_value(INTS_ROW, example, "[1, 2]");
    assert_value(MAP_ROW, example, "{\"k\": \"v\\n\"}");
}

/* Rows of the real tables that no reader could use would be found here, not at a user's. */
static void check_table(const struct option_table *table) {
    void *config = test_calloc(1, table->config_size);
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->rows[i];
        option_set_default(option, config);
        if (option->type == OPTION_SECTION)
            continue;
        assert_non_null(option->key);
        assert_true(option->help[strlen(option->help) - 1] == '.' ||
                    option->help[strlen(option->help) - 1] == '?');
        if (option->type == OPTION_INT)
            assert_in_range((uint64_t)(option->int_fallback - option->int_min), 0,
                            (uint64_t)(option->int_max - option->int_min));
        for (size_t j = 0; j < i; j++) {
            const struct option *other = &table->rows[j];
            if (other->type == OPTION_SECTION)
                continue;
            struct str key = str_of(option->key), others = str_of(other->key);
            assert_false(str_eq(key, others));
            assert_false(str_starts(key, others) && key.p[others.n] == '.');
            assert_false(str_starts(others, key) && others.p[key.n] == '.');
        }
    }
    for (size_t i = 0; i < table->count; i++)
        option_clear(&table->rows[i], config);
    test_free(config);
}

static void test_real_tables_have_sound_rows(void **state) {
    (void)state;
    check_table(&server_options);
    check_table(&model_options);
}

/* "a.b_c" and "a_b.c" would be one variable. */
static void test_no_two_options_share_a_variable_or_flag(void **state) {
    (void)state;
    struct buffer one, other;
    buffer_init(&one, 1024);
    buffer_init(&other, 1024);
    for (size_t i = 0; i < server_options.count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (server_options.rows[i].type == OPTION_SECTION ||
                server_options.rows[j].type == OPTION_SECTION)
                continue;
            buffer_clear(&one);
            buffer_clear(&other);
            option_write_flag(&server_options.rows[i], &one);
            option_write_flag(&server_options.rows[j], &other);
            assert_false(str_eq(buffer_str(&one), buffer_str(&other)));
        }
    }
    buffer_done(&one);
    buffer_done(&other);
}

int main(void) {
#define WITH_EXAMPLE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_EXAMPLE(test_defaults_are_those_of_the_table),
        WITH_EXAMPLE(test_bool_takes_words_of_truth),
        WITH_EXAMPLE(test_int_is_checked_against_its_range),
        WITH_EXAMPLE(test_size_takes_suffixes),
        WITH_EXAMPLE(test_duration_needs_its_unit),
        WITH_EXAMPLE(test_number_is_finite_and_in_range),
        WITH_EXAMPLE(test_text_is_utf8_without_nul_and_of_bounded_length),
        WITH_EXAMPLE(test_enum_takes_its_values_and_booleans_for_on_and_off),
        WITH_EXAMPLE(test_list_is_separated_by_commas),
        WITH_EXAMPLE(test_ints_are_positive),
        WITH_EXAMPLE(test_lists_and_maps_have_a_greatest_length),
        WITH_EXAMPLE(test_map_takes_a_key_once),
        cmocka_unit_test(test_names_follow_from_the_key),
        cmocka_unit_test(test_allowed_values_are_told),
        WITH_EXAMPLE(test_values_are_written_as_one_would_write_them),
        cmocka_unit_test(test_real_tables_have_sound_rows),
        cmocka_unit_test(test_no_two_options_share_a_variable_or_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
