/* The options of `inferd bench`: flags only, and what they need of each other. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 24 };

static enum err read_line(const char *line, struct bench_config *ret, bool *ret_help,
                          struct buffer *problems) {
    char copy[1000], *argv[ARGUMENTS_MAX], *rest = copy, *word;
    int argc = 0;
    strcpy(copy, line);
    while ((word = strtok_r(rest, " ", &rest)) != NULL)
        argv[argc++] = word;
    buffer_init(problems, 1 << 20);
    return bench_config_read(argc, argv, ret, ret_help, problems);
}

static void assert_problems(const char *line, const char *expected) {
    struct bench_config config;
    struct buffer problems;
    bool help;
    assert_int_equal(read_line(line, &config, &help, &problems), ERR_INVALID);
    buffer_add_char(&problems, '\0');
    assert_string_equal(problems.data, expected);
    buffer_done(&problems);
}

static void assert_reads(const char *line, struct bench_config *ret) {
    struct buffer problems;
    bool help;
    if (read_line(line, ret, &help, &problems))
        fail_msg("%.*s", STR_ARG(buffer_str(&problems)));
    assert_false(help);
    buffer_done(&problems);
}

static void test_a_model_is_enough(void **state) {
    (void)state;
    struct bench_config config;
    assert_reads("--model m", &config);
    assert_string_equal(config.url, "http://127.0.0.1:8080");
    assert_int_equal(config.connections, 1);
    assert_int_equal(config.protocol, CONFIG_BENCH_REST);
    assert_true(config.rate == 0);
    assert_int_equal(config.cpu, -1);
    bench_config_done(&config);
}

static void test_flags_are_read(void **state) {
    (void)state;
    struct bench_config config;
    assert_reads("--protocol=grpc --model=m --streams=8 --sweep 1,2,64 --rate 1e3 --duration 2s "
                 "--server-pid=1,2 --allow 429,grpc-8 --quiet",
                 &config);
    assert_int_equal(config.protocol, CONFIG_BENCH_GRPC);
    assert_int_equal(config.streams, 8);
    assert_int_equal(config.sweep.count, 3);
    assert_int_equal(config.sweep.items[2], 64);
    assert_true(config.rate == 1000);
    assert_int_equal(config.duration_ns, 2000000000);
    assert_int_equal(config.server_pid.count, 2);
    assert_string_equal(config.allow.items[1], "grpc-8");
    assert_true(config.quiet);
    bench_config_done(&config);
}

static void test_what_options_need_of_each_other_is_said(void **state) {
    (void)state;
    assert_problems("",
                    "default: model: found nothing; needed: the name of a model: --model=NAME\n");
    assert_problems("--protocol get",
                    "default: path: found none that begins with /; needed: one, with get and "
                    "post\n");
    assert_problems("--model m --path /x",
                    "--path: path: found it; needed: get or post in protocol, which alone have a "
                    "path\n");
    assert_problems("--protocol post --path /x",
                    "--protocol: protocol: found post; needed: data too: the file that is the "
                    "body\n");
    assert_problems("--protocol get --path /x --data f",
                    "--data: data: found it; needed: another protocol than get, which sends no "
                    "body\n");
    assert_problems("--model m --data f --variants 2",
                    "--variants: variants: found more than 1; needed: no data: only generated "
                    "requests differ\n");
    assert_problems("--model m --streams 2",
                    "--streams: streams: found more than 1; needed: http=2: HTTP/1.1 has one "
                    "request in flight\n");
    assert_problems("--model m --sweep 1,10001",
                    "--sweep: sweep: found a number that is too large; needed: connections up to "
                    "10000\n");
}

static void test_values_out_of_range_and_unknown_flags_are_said(void **state) {
    (void)state;
    assert_problems("--model m --connections 0",
                    "--connections: connections: found \"0\"; allowed: an integer from 1 to "
                    "10000\n");
    assert_problems("--model m --conections 3",
                    "command line: unknown flag \"--conections\" (did you mean --connections?)\n");
    assert_problems("--model m --config f", "command line: unknown flag \"--config\"\n");
}

static void test_help_lists_every_option(void **state) {
    (void)state;
    struct bench_config config;
    struct buffer problems, help;
    bool wants_help = false;
    assert_int_equal(read_line("--connections 0 --help", &config, &wants_help, &problems), ERR_OK);
    assert_true(wants_help);
    buffer_init(&help, 1 << 20);
    bench_config_write_help(&help);
    buffer_add_char(&help, '\0');
    static const char *const flags[] = {"--url=", "--sweep=", "--server-pid=", "--plot=", "--help"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        assert_non_null(strstr(help.data, flags[i]));
    assert_null(strstr(help.data, "INFERD_"));
    buffer_done(&help);
    buffer_done(&problems);
    bench_config_done(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_is_enough),
        cmocka_unit_test(test_flags_are_read),
        cmocka_unit_test(test_what_options_need_of_each_other_is_said),
        cmocka_unit_test(test_values_out_of_range_and_unknown_flags_are_said),
        cmocka_unit_test(test_help_lists_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
