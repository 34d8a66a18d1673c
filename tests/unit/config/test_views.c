/* What is generated from the tables lists every option, and can be read back. */
#include "config/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { VIEW_MAX = 1 << 20 };

static int setup(void **state) {
    static struct buffer out;
    buffer_init(&out, VIEW_MAX);
    *state = &out;
    return 0;
}

static int teardown(void **state) {
    buffer_done(*state);
    return 0;
}

static const char *text_of(struct buffer *out) {
    assert_false(out->full);
    buffer_add_char(out, '\0');
    return out->data;
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

static void assert_page_lists(const struct option_table *table, const char *page) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->rows[i];
        char wanted[300];
        if (option->type == OPTION_SECTION)
            snprintf(wanted, sizeof wanted, "\n## %s\n", option->help);
        else
            snprintf(wanted, sizeof wanted, "\n| `%s` | ", option->key);
        if (count(page, wanted) != 1)
            fail_msg("not once in the page: %s", wanted);
    }
}

static void test_reference_lists_every_option_once(void **state) {
    config_write_reference(*state);
    assert_page_lists(&server_options, text_of(*state));
}

static void test_model_reference_lists_every_option_once(void **state) {
    config_write_model_reference(*state);
    const char *page = text_of(*state);
    assert_page_lists(&model_options, page);
    assert_non_null(strstr(page, "| `warmup` | the server's `model.warmup` |"));
}

/* Each row has as many cells as the head: bars in texts are escaped. */
static void test_reference_rows_have_four_cells(void **state) {
    struct buffer *out = *state;
    config_write_reference(out);
    struct str rest = buffer_str(out), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.n == 0 || line.p[0] != '|')
            continue;
        size_t bars = 0;
        for (size_t i = 0; i < line.n; i++)
            bars += line.p[i] == '|' && (i == 0 || line.p[i - 1] != '\\');
        assert_int_equal(bars, 5);
    }
}

static void test_help_lists_every_flag_with_its_default(void **state) {
    config_write_help(*state);
    const char *help = text_of(*state);
    for (size_t i = 0; i < server_options.count; i++) {
        const struct option *option = &server_options.rows[i];
        struct buffer flag;
        buffer_init(&flag, 1024);
        buffer_add_c(&flag, "\n  ");
        option_write_flag(option, &flag);
        buffer_add_c(&flag, "=");
        buffer_add_char(&flag, '\0');
        if (option->type != OPTION_SECTION && count(help, flag.data) != 1)
            fail_msg("not once in the help: %s", flag.data);
        buffer_done(&flag);
    }
    assert_non_null(strstr(help, "[default: 8080; 0 to 65535]"));
    for (const char *line = help, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 100);
}

static void test_schema_has_a_property_for_every_last_part(void **state) {
    config_write_schema(*state);
    const char *schema = text_of(*state);
    size_t options = 0;
    for (size_t i = 0; i < server_options.count; i++)
        options += server_options.rows[i].type != OPTION_SECTION;
    assert_int_equal(count(schema, "\"description\":"), options);
    assert_int_equal(count(schema, "{"), count(schema, "}"));
    assert_int_equal(count(schema, "\"batching\":{\"type\":\"object\""), 1);
    assert_non_null(strstr(schema, "\"enum\":[\"auto\",\"on\",true,\"off\",false]"));
}

static void test_effective_values_read_back_to_the_same(void **state) {
    struct buffer *out = *state, again, problems;
    struct server_config config, copy;
    buffer_init(&again, VIEW_MAX);
    buffer_init(&problems, VIEW_MAX);
    server_config_defaults(&config);
    assert_int_equal(server_config_read_text(
                         STR("ready: {policy: list, models: [\"a#b\", 'c: d']}\n"
                             "limits: {body_max: 1500, header_timeout: 90s}\n"
                             "batching: {mode: on, inline_max: 1500us}\nhttp: {host: \"x\\ty\"}\n"),
                         "f", &config, &problems),
                     ERR_OK);
    config_write_effective(&config, out);
    server_config_defaults(&copy);
    enum err e = server_config_read_text(buffer_str(out), "again", &copy, &problems);
    buffer_add_char(&problems, '\0');
    assert_string_equal(problems.data, "");
    assert_int_equal(e, ERR_OK);
    for (size_t i = 0; i < server_options.count; i++) {
        buffer_clear(out);
        buffer_clear(&again);
        option_write_value(&server_options.rows[i], &config, out);
        option_write_value(&server_options.rows[i], &copy, &again);
        assert_true(str_eq(buffer_str(out), buffer_str(&again)));
    }
    server_config_done(&config);
    server_config_done(&copy);
    buffer_done(&again);
    buffer_done(&problems);
}

int main(void) {
#define WITH_BUFFER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_BUFFER(test_reference_lists_every_option_once),
        WITH_BUFFER(test_model_reference_lists_every_option_once),
        WITH_BUFFER(test_reference_rows_have_four_cells),
        WITH_BUFFER(test_help_lists_every_flag_with_its_default),
        WITH_BUFFER(test_schema_has_a_property_for_every_last_part),
        WITH_BUFFER(test_effective_values_read_back_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
