/* Log lines: their form, and what becomes of them when the reader is slow, stuck or gone. */
#include "observe/log.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "{\"time\":\"1970-01-01T00:00:01.000002Z\",\"level\":\"info\",\"event\":\"e\""

enum { PATIENT = NS_PER_S };

/* A log on a temporary file, with a clock that stands still. */
struct fixture {
    struct clock_fake clock;
    struct log *log;
    struct log_ring *ring;
    int fd;
    char *text; /* what read_back found */
    size_t n;
};

static int setup(void **state) {
    static struct fixture fixture;
    fixture = (struct fixture){0};
    clock_fake_init(&fixture.clock, 1000002000);
    char name[] = "/tmp/inferd-log-XXXXXX";
    fixture.fd = mkstemp(name);
    unlink(name);
    fixture.log = log_new(fixture.fd, LOG_INFO, &fixture.clock.clock);
    fixture.ring = log_ring_new(fixture.log);
    *state = &fixture;
    return fixture.fd < 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    log_free(&fixture->log, PATIENT);
    close(fixture->fd);
    free(fixture->text);
    return 0;
}

/* Ends the log and reads all it wrote. */
static const char *read_back(struct fixture *fixture) {
    log_free(&fixture->log, PATIENT);
    assert_null(fixture->log);
    off_t size = lseek(fixture->fd, 0, SEEK_END);
    fixture->n = (size_t)size;
    fixture->text = calloc(1, fixture->n + 1);
    assert_int_equal(pread(fixture->fd, fixture->text, fixture->n, 0), size);
    return fixture->text;
}

static size_t count_lines(const char *p, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

/* Takes a line off the text, as a string of its own: the sanitizers look at whole strings, and on a
 * text of megabytes that would take for ever. False at the end. */
static bool take_line(struct str *rest, char line[LOG_LINE_MAX + 1]) {
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end)
        return false;
    size_t n = (size_t)(end - rest->p);
    assert_in_range(n, 2, LOG_LINE_MAX - 1);
    memcpy(line, rest->p, n);
    line[n] = '\0';
    assert_true(line[0] == '{' && line[n - 1] == '}');
    *rest = (struct str){end + 1, rest->n - n - 1};
    return true;
}

static void log_number(struct log_ring *ring, uint64_t number) {
    struct log_line line;
    log_begin(&line, ring, LOG_INFO, "number");
    log_u64(&line, "n", number);
    log_c(&line, "filling", "0123456789012345678901234567890123456789");
    log_end(&line);
}

static void test_line_is_one_json_object(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    log_str(&line, "s", STR("text"));
    log_str(&line, "empty", STR(""));
    log_c(&line, "c", "more");
    log_u64(&line, "u", UINT64_MAX);
    log_u64(&line, "zero", 0);
    log_i64(&line, "i", INT64_MIN);
    log_bool(&line, "yes", true);
    log_bool(&line, "no", false);
    log_end(&line);
    assert_string_equal(read_back(fixture),
                        HEAD ",\"s\":\"text\",\"empty\":\"\",\"c\":\"more\","
                             "\"u\":18446744073709551615,\"zero\":0,\"i\":-9223372036854775808,"
                             "\"yes\":true,\"no\":false}\n");
}

static void test_null_texts_are_left_out(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    log_c(&line, "c", NULL);
    log_str(&line, "s", (struct str){NULL, 0});
    log_end(&line);
    assert_string_equal(read_back(fixture), HEAD "}\n");
}

static void test_decimals_are_rounded(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    log_f64(&line, "a", 1.25, 3);
    log_f64(&line, "b", -0.0006, 3);
    log_f64(&line, "c", -0.0004, 3);
    log_f64(&line, "d", 7.9, 0);
    log_f64(&line, "e", 123456.789, 2);
    log_f64(&line, "f", 0.0 / 0.0, 1);
    log_f64(&line, "g", -1.0 / 0.0, 1);
    log_f64(&line, "h", -1e300, 9);
    log_end(&line);
    assert_string_equal(read_back(fixture),
                        HEAD ",\"a\":1.250,\"b\":-0.001,\"c\":0.000,\"d\":8,\"e\":123456.79,"
                             "\"f\":null,\"g\":null,\"h\":-1.0000000000000001e+300}\n");
}

static void test_texts_are_escaped_and_made_utf8(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    log_str(&line, "a", STR("q\" b\\ n\n r\r t\t z\x01\x1f"));
    log_str(&line, "b", STR("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"));
    log_str(&line, "c",
            STR("\xFF"
                "x\xC3"));
    log_end(&line);
    assert_string_equal(read_back(fixture),
                        HEAD ",\"a\":\"q\\\" b\\\\ n\\n r\\r t\\t z\\u0001\\u001f\","
                             "\"b\":\"gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80\","
                             "\"c\":\"\xEF\xBF\xBDx\xEF\xBF\xBD\"}\n");
}

static void test_long_text_is_cut_between_characters(void **state) {
    struct fixture *fixture = *state;
    char text[3 * LOG_VALUE_MAX];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xBC", 2);
    text[0] = 'x';
    text[1] = 'y';
    text[2] = 'z';
    text[3] = 'z';
    text[4] = 'z';
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    log_str(&line, "s", (struct str){text + 4, sizeof text - 4});
    log_u64(&line, "after", 1);
    log_end(&line);
    const char *got = read_back(fixture);
    assert_non_null(strstr(got, "\xC3\xBC...\",\"after\":1}\n"));
    assert_null(strstr(got, "cut"));
    assert_true(fixture->n <= sizeof HEAD + LOG_VALUE_MAX + 40);
    assert_true(str_is_utf8((struct str){got, fixture->n}));
}

static void test_full_line_is_cut_and_says_so(void **state) {
    struct fixture *fixture = *state;
    char text[LOG_VALUE_MAX];
    memset(text, '\x02', sizeof text);
    struct log_line line;
    for (size_t fields = 1; fields < 40; fields++) {
        log_begin(&line, fixture->ring, LOG_INFO, "e");
        for (size_t i = 0; i < fields; i++) {
            log_str(&line, "text", (struct str){text, i % 2 ? 100 + fields : sizeof text});
            log_u64(&line, "n", UINT64_MAX);
            log_f64(&line, "f", -1e300, 3);
        }
        log_end(&line);
    }
    struct str rest = {read_back(fixture), fixture->n};
    char got[LOG_LINE_MAX + 1];
    for (size_t fields = 1; fields < 40; fields++) {
        assert_true(take_line(&rest, got));
        size_t whole = 0; /* fields of the line's last kind that are there */
        for (const char *at = got; (at = strstr(at, "\"f\":")); at++)
            whole++;
        bool cut = strcmp(got + strlen(got) - 11, "\"cut\":true}") == 0;
        assert_true(whole <= fields && (cut || whole == fields));
        assert_true(fields > 2 ? fields < 6 || cut : !cut);
    }
    assert_int_equal(rest.n, 0);
}

static void test_number_that_does_not_fit_cuts_the_line(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_INFO, "e");
    for (int i = 0; i < LOG_LINE_MAX / 10; i++)
        log_i64(&line, "n", INT64_MIN);
    log_end(&line);
    const char *got = read_back(fixture);
    assert_in_range(fixture->n, LOG_LINE_MAX - 50, LOG_LINE_MAX);
    assert_non_null(strstr(got, ",\"n\":-9223372036854775808,\"cut\":true}\n"));
}

static void test_level_decides_what_is_written(void **state) {
    struct fixture *fixture = *state;
    struct log_line line;
    log_begin(&line, fixture->ring, LOG_DEBUG, "hidden");
    log_u64(&line, "n", 1);
    log_end(&line);
    log_set_level(fixture->log, LOG_DEBUG);
    log_begin(&line, fixture->ring, LOG_DEBUG, "seen");
    log_end(&line);
    log_set_level(fixture->log, LOG_ERROR);
    log_begin(&line, fixture->ring, LOG_WARN, "hidden");
    log_end(&line);
    const char *got = read_back(fixture);
    assert_null(strstr(got, "hidden"));
    assert_non_null(strstr(got, "\"level\":\"debug\",\"event\":\"seen\""));
}

static void test_time_follows_the_clock(void **state) {
    struct fixture *fixture = *state;
    fixture->clock.now_ns = 1999999999;
    log_number(fixture->ring, 1);
    fixture->clock.now_ns = 2000000000;
    log_number(fixture->ring, 2);
    const char *got = read_back(fixture);
    assert_non_null(strstr(got, "00:00:01.999999Z"));
    assert_non_null(strstr(got, "00:00:02.000000Z"));
}

/* Many times around the ring, slowly enough for the file: none is lost or torn. */
static void test_lines_keep_their_order_around_the_ring(void **state) {
    struct fixture *fixture = *state;
    enum { LINES = 20000 };
    for (uint64_t i = 0; i < LINES; i++) {
        log_number(fixture->ring, i);
        while (i % 500 == 499 && log_written(fixture->log) < i - 400)
            poll(NULL, 0, 1);
    }
    assert_int_equal(log_dropped(fixture->log), 0);
    struct str rest = {read_back(fixture), fixture->n};
    char line[LOG_LINE_MAX + 1];
    for (uint64_t i = 0; i < LINES; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\"n\":%llu,", (unsigned long long)i);
        assert_true(take_line(&rest, line));
        assert_non_null(strstr(line, wanted));
    }
    assert_int_equal(rest.n, 0);
}

static void test_line_inside_a_line_is_an_anomaly(void **state) {
    struct fixture *fixture = *state;
    uint64_t before = anomaly_count;
    struct log_line outer, inner;
    log_begin(&outer, fixture->ring, LOG_INFO, "outer");
    log_begin(&inner, fixture->ring, LOG_INFO, "inner");
    log_u64(&inner, "n", 1);
    log_end(&inner);
    log_end(&outer);
    assert_int_equal(anomaly_count, before + 1);
    assert_int_equal(log_dropped(fixture->log), 1);
    const char *got = read_back(fixture);
    assert_non_null(strstr(got, "\"outer\"}"));
    assert_null(strstr(got, "inner"));
}

/* A log on a pipe. */
struct piped {
    int fds[2];
    struct log *log;
    struct log_ring *ring;
};

static void open_piped(struct piped *piped) {
    assert_int_equal(pipe(piped->fds), 0);
    piped->log = log_new(piped->fds[1], LOG_INFO, &clock_real);
    piped->ring = log_ring_new(piped->log);
}

static void close_piped(struct piped *piped) {
    close(piped->fds[0]);
    close(piped->fds[1]);
}

static void test_first_line_after_quiet_appears_without_more(void **state) {
    (void)state;
    struct piped piped;
    open_piped(&piped);
    for (int round = 0; round < 3; round++) {
        poll(NULL, 0, 30);
        log_number(piped.ring, 1);
        struct pollfd fd = {.fd = piped.fds[0], .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 5000), 1);
        char text[4096];
        assert_true(read(piped.fds[0], text, sizeof text) > 0);
    }
    log_free(&piped.log, PATIENT);
    close_piped(&piped);
}

struct reading {
    int fd;
    struct buffer text;
};

static void *read_all(void *context) {
    struct reading *reading = context;
    char chunk[65536];
    ssize_t n;
    while ((n = read(reading->fd, chunk, sizeof chunk)) > 0)
        buffer_add(&reading->text, chunk, (size_t)n);
    return NULL;
}

static uint64_t number_after(const char *text, const char *key) {
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

static void test_stuck_reader_costs_lines_and_not_time(void **state) {
    (void)state;
    enum { LINES = 50000 };
    struct piped piped;
    open_piped(&piped);
    for (uint64_t i = 0; i < LINES; i++)
        log_number(piped.ring, i); /* nobody reads: would never end if it waited */
    uint64_t dropped = log_dropped(piped.log);
    assert_true(dropped > 0 && dropped < LINES);
    struct reading reading = {.fd = piped.fds[0]};
    buffer_init(&reading.text, 1 << 26);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &reading), 0);
    for (int i = 0; i < 5000 && log_written(piped.log) < LINES - dropped + 1; i++)
        poll(NULL, 0, 1);
    log_free(&piped.log, 10 * (uint64_t)PATIENT);
    close(piped.fds[1]);
    pthread_join(reader, NULL);
    close(piped.fds[0]);
    buffer_add_char(&reading.text, '\0');
    const char *notice =
        strstr(reading.text.data, "\"level\":\"warn\",\"event\":\"log_lines_dropped\"");
    assert_non_null(notice);
    assert_int_equal(number_after(notice, "\"lines\":"), dropped);
    assert_int_equal(count_lines(reading.text.data, reading.text.used), LINES - dropped + 1);
    buffer_done(&reading.text);
}

static void test_free_waits_no_longer_than_its_patience(void **state) {
    (void)state;
    struct piped piped;
    open_piped(&piped);
    for (uint64_t i = 0; i < 5000; i++)
        log_number(piped.ring, i);
    uint64_t before = clock_now(&clock_real);
    log_free(&piped.log, 20 * NS_PER_MS);
    assert_true(clock_now(&clock_real) - before < 5 * (uint64_t)NS_PER_S);
    close_piped(&piped);
}

/* A terminal can keep a writer inside write() although it polled writable. */
static void test_free_gets_away_from_a_stuck_terminal(void **state) {
    (void)state;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        skip();
    char name[64];
    assert_int_equal(ptsname_r(terminal, name, sizeof name), 0);
    int fd = open(name, O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    struct log *log = log_new(fd, LOG_INFO, &clock_real);
    struct log_ring *ring = log_ring_new(log);
    for (uint64_t i = 0; i < 2000; i++)
        log_number(ring, i);
    uint64_t before = clock_now(&clock_real);
    log_free(&log, 20 * NS_PER_MS);
    assert_true(clock_now(&clock_real) - before < 5 * (uint64_t)NS_PER_S);
    close(fd);
    close(terminal);
}

static void test_reader_that_is_gone_costs_lines_only(void **state) {
    (void)state;
    struct piped piped;
    open_piped(&piped);
    close(piped.fds[0]);
    log_number(piped.ring, 1);
    for (int i = 0; i < 5000 && log_dropped(piped.log) == 0; i++)
        poll(NULL, 0, 1);
    assert_true(log_dropped(piped.log) >= 1);
    assert_int_equal(log_written(piped.log), 0);
    log_free(&piped.log, PATIENT);
    close(piped.fds[1]);
}

static void test_socket_is_written_without_waiting(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct log *log = log_new(fds[1], LOG_INFO, &clock_real);
    struct log_ring *ring = log_ring_new(log);
    for (uint64_t i = 0; i < 2000; i++)
        log_number(ring, i);
    for (int i = 0; i < 5000 && log_written(log) == 0; i++)
        poll(NULL, 0, 1);
    assert_true(log_written(log) > 0);
    uint64_t before = clock_now(&clock_real);
    log_free(&log, 20 * NS_PER_MS);
    assert_true(clock_now(&clock_real) - before < 5 * (uint64_t)NS_PER_S);
    close(fds[0]);
    close(fds[1]);
}

static void test_descriptor_made_non_blocking_loses_nothing(void **state) {
    (void)state;
    struct piped piped;
    open_piped(&piped);
    assert_int_equal(fcntl(piped.fds[1], F_SETFL, O_NONBLOCK), 0);
    struct reading reading = {.fd = piped.fds[0]};
    buffer_init(&reading.text, 1 << 26);
    for (uint64_t i = 0; i < 1000; i++)
        log_number(piped.ring, i);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &reading), 0);
    log_free(&piped.log, 10 * (uint64_t)PATIENT);
    close(piped.fds[1]);
    pthread_join(reader, NULL);
    close(piped.fds[0]);
    assert_int_equal(count_lines(reading.text.data, reading.text.used), 1000);
    buffer_done(&reading.text);
}

enum { WRITERS = 4, EACH = 20000 };

struct writer {
    struct log *log;
    uint32_t number;
};

static void *write_many(void *context) {
    const struct writer *writer = context;
    struct log_ring *ring = log_ring_new(writer->log);
    for (uint64_t i = 0; i < EACH; i++) {
        struct log_line line;
        log_begin(&line, ring, LOG_INFO, "number");
        log_u64(&line, "writer", writer->number);
        log_u64(&line, "n", i);
        log_end(&line);
    }
    return NULL;
}

/* Rings of several threads, made while the writer runs: each line whole, each thread's in order. */
static void test_threads_do_not_mix_their_lines(void **state) {
    struct fixture *fixture = *state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){fixture->log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    uint64_t dropped = log_dropped(fixture->log);
    struct str rest = {read_back(fixture), fixture->n};
    int64_t last[WRITERS];
    memset(last, 0xff, sizeof last);
    uint64_t numbers = 0;
    char line[LOG_LINE_MAX + 1];
    while (take_line(&rest, line)) {
        if (!strstr(line, "\"number\""))
            continue; /* log_lines_dropped */
        uint64_t writer = number_after(line, "\"writer\":");
        int64_t n = (int64_t)number_after(line, "\"n\":");
        assert_true(writer < WRITERS && n > last[writer]);
        last[writer] = n;
        numbers++;
    }
    assert_int_equal(rest.n, 0);
    assert_int_equal(numbers + dropped, WRITERS * EACH);
}

int main(void) {
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
#define ON_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_FILE(test_line_is_one_json_object),
        ON_FILE(test_null_texts_are_left_out),
        ON_FILE(test_decimals_are_rounded),
        ON_FILE(test_texts_are_escaped_and_made_utf8),
        ON_FILE(test_long_text_is_cut_between_characters),
        ON_FILE(test_full_line_is_cut_and_says_so),
        ON_FILE(test_number_that_does_not_fit_cuts_the_line),
        ON_FILE(test_level_decides_what_is_written),
        ON_FILE(test_time_follows_the_clock),
        ON_FILE(test_lines_keep_their_order_around_the_ring),
        ON_FILE(test_line_inside_a_line_is_an_anomaly),
        cmocka_unit_test(test_first_line_after_quiet_appears_without_more),
        cmocka_unit_test(test_stuck_reader_costs_lines_and_not_time),
        cmocka_unit_test(test_free_waits_no_longer_than_its_patience),
        cmocka_unit_test(test_free_gets_away_from_a_stuck_terminal),
        cmocka_unit_test(test_reader_that_is_gone_costs_lines_only),
        cmocka_unit_test(test_socket_is_written_without_waiting),
        cmocka_unit_test(test_descriptor_made_non_blocking_loses_nothing),
        ON_FILE(test_threads_do_not_mix_their_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
