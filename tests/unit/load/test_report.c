/* Tables, JSON and pictures: what is said, and what is left unsaid. */
#include "load/plot.h"
#include "load/report.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct result *rounds[2];
static struct report_step steps[2];
static struct report report;
static struct buffer out;

static void add_samples(struct result *result, int count, uint64_t ns) {
    for (int i = 0; i < count; i++) {
        histogram_add(&result->latency, ns);
        (void)result_count_answer(result, 200, -1, false);
    }
    result->requests += (uint64_t)count;
    result->answers = result->successes = result->requests;
}

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        rounds[i] = result_new();
        rounds[i]->seconds = 1;
        steps[i] = (struct report_step){
            .connections = i ? 64 : 1, .total = rounds[i], .rounds = &rounds[i], .round_count = 1};
    }
    add_samples(rounds[0], 999, 50000);
    add_samples(rounds[1], 12000, 1234567);
    report = (struct report){.url = "http://h:1",
                             .protocol = "rest",
                             .http = "1.1",
                             .what = "m",
                             .started = "2026-01-01T00:00:00.000000Z",
                             .version = "1",
                             .streams = 1,
                             .request_bytes = 100,
                             .answer_bytes = 50,
                             .duration_s = 1,
                             .steps = steps,
                             .step_count = 2};
    buffer_init(&out, REPORT_BYTES_MAX);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buffer_done(&out);
    result_free(&rounds[0]);
    result_free(&rounds[1]);
    return 0;
}

static const char *table(void) {
    buffer_clear(&out);
    report_write_table(&report, &out);
    buffer_add_char(&out, '\0');
    return out.data;
}

static void test_times_are_written_as_people_read_them(void **state) {
    (void)state;
    static const struct {
        double ns;
        const char *text;
    } rows[] = {{0, "0 ns"},         {999, "999 ns"},       {999.6, "1.00 us"}, {1000, "1.00 us"},
                {9994, "9.99 us"},   {9996, "10.0 us"},     {99949, "99.9 us"}, {99951, "100 us"},
                {999600, "1.00 ms"}, {12345678, "12.3 ms"}, {1.5e9, "1.50 s"},  {3.6e12, "3600 s"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[REPORT_TIME_SIZE];
        assert_string_equal(report_time(rows[i].ns, text), rows[i].text);
    }
}

static void test_the_table_says_what_was_measured_and_what_cannot_be_said(void **state) {
    (void)state;
    assert_string_equal(
        table(),
        "m at http://h:1: rest over HTTP/1.1; request 100 bytes, answer 50\n\n"
        "conns  rate/s  good/s      p50      p90      p99    p99.9      max  samples  failed  "
        "server  client\n"
        "    1  closed     999  50.0 us  50.0 us        -        -  50.0 us      999       0  "
        "     -     0 %\n"
        "   64  closed  12,000  1.23 ms  1.23 ms  1.23 ms  1.23 ms  1.23 ms   12,000       0  "
        "     -     0 %\n"
        "p99 needs 1000 samples, of which 10 lie beyond it\n"
        "p99.9 needs 10000 samples, of which 10 lie beyond it\n");
}

static void test_doubts_are_said(void **state) {
    (void)state;
    rounds[1]->client_cpu_s = 0.95;
    rounds[1]->unsent = 5000;
    rounds[1]->interrupted = true;
    rounds[1]->has_server_cpu = true;
    rounds[1]->server_cpu_s = 0.24;
    (void)result_count_answer(rounds[1], 429, -1, false);
    strcpy(rounds[1]->first_failure, "HTTP 429: \033[2Jfull");
    const char *text = table();
    assert_non_null(strstr(text, "2.\n  failed: 429 1\n  the first: HTTP 429:  [2Jfull\n"));
    assert_non_null(strstr(text, "the rate was not met: 5000 requests still waited"));
    assert_non_null(strstr(text, "warning: bench's own core was 95 % busy"));
    assert_non_null(strstr(text, "interrupted"));
    assert_non_null(strstr(text, "20.0 us    95 %"));
}

static size_t count(const char *part) {
    size_t n = 0;
    for (const char *at = out.data; (at = strstr(at, part)); at++)
        n++;
    return n;
}

static void test_json_has_null_where_samples_are_too_few(void **state) {
    (void)state;
    rounds[0]->failures[FAILURE_TIMEOUT] = 2;
    strcpy(rounds[0]->first_failure, "timeout: \"\n\xff");
    report_write_json(&report, &out);
    buffer_add_char(&out, '\0');
    assert_int_equal(
        count("\"latency_us\":{\"samples\":999,\"p50\":50.000,\"p90\":50.000,\"p99\":null,"
              "\"p99_9\":null,"),
        2); /* of the step, and of its round */
    assert_int_equal(count("\"failed\":2,\"failures\":{\"timeout\":2},\"first_failure\":\"timeout: "
                           "\\\"\\n\xEF\xBF\xBD\""),
                     2);
    assert_int_equal(
        count("\"samples_needed\":{\"p50\":20,\"p90\":100,\"p99\":1000,\"p99_9\":10000}"), 1);
    assert_int_equal(count("\"p99_9\":null"), 2);
    assert_int_equal(count("\"server_cpu_us_per_request\":null"), 4);
}

static void test_the_plot_has_a_point_for_each_percentile_that_may_be_said(void **state) {
    (void)state;
    report.what = "a<b&\"c";
    plot_write_svg(&report, &out);
    buffer_add_char(&out, '\0');
    assert_int_equal(count("<circle"), 2 + 1); /* p50, and its legend */
    assert_int_equal(count("width=\"7\""), 2 + 1);
    assert_int_equal(count("l5 9 h-10 z"), 1 + 1); /* p99 of the second step only */
    assert_int_equal(count("class=\"label\""), 3);
    assert_int_equal(count("a&lt;b&amp;"), 1);
    assert_int_equal(count("good answers per second"), 1);
    assert_int_equal(count("nan"), 0);
    assert_int_equal(count("inf"), 0);
}

static void test_a_plot_of_nothing_is_a_frame(void **state) {
    (void)state;
    histogram_init(&rounds[0]->latency);
    rounds[0]->successes = 0;
    report.step_count = 1;
    plot_write_svg(&report, &out);
    buffer_add_char(&out, '\0');
    assert_int_equal(count("nan"), 0);
    assert_int_equal(count("inf"), 0);
    assert_int_equal(count("</svg>"), 1);
    buffer_clear(&out);
    report.step_count = 0;
    plot_write_svg(&report, &out);
    buffer_clear(&out);
    report_write_table(&report, &out);
    assert_false(out.full);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_times_are_written_as_people_read_them),
        TEST(test_the_table_says_what_was_measured_and_what_cannot_be_said),
        TEST(test_doubts_are_said),
        TEST(test_json_has_null_where_samples_are_too_few),
        TEST(test_the_plot_has_a_point_for_each_percentile_that_may_be_said),
        TEST(test_a_plot_of_nothing_is_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
