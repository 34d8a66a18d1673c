#include "load/url.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_hosts_and_ports_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port, *authority;
    } rows[] = {
        {"http://localhost:8080", "localhost", "8080", "localhost:8080"},
        {"http://127.0.0.1", "127.0.0.1", "80", "127.0.0.1:80"},
        {"http://h:1/", "h", "1", "h:1"},
        {"http://[::1]:65535", "::1", "65535", "[::1]:65535"},
        {"http://[fe80::1]", "fe80::1", "80", "[fe80::1]:80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url url;
        struct err_text text;
        if (url_read(rows[i].text, &url, &text))
            fail_msg("%s", text.s);
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.port, rows[i].port);
        assert_string_equal(url.authority, rows[i].authority);
    }
}

static void test_what_is_no_address_is_refused_and_said(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"https://h:1", "'https://h:1': TLS is not supported; expected http://HOST:PORT"},
        {"localhost:8080", "'localhost:8080': not an http address; expected http://HOST:PORT"},
        {"http://", "'http://': has no host; expected http://HOST:PORT"},
        {"http://:80", "'http://:80': has no host; expected http://HOST:PORT"},
        {"http://[::1", "'http://[::1': has no host; expected http://HOST:PORT"},
        {"http://[::1]x", "'http://[::1]x': has no host; expected http://HOST:PORT"},
        {"http://h:", "'http://h:': has no port from 1 to 65535; expected http://HOST:PORT"},
        {"http://h:0", "'http://h:0': has no port from 1 to 65535; expected http://HOST:PORT"},
        {"http://h:65536",
         "'http://h:65536': has no port from 1 to 65535; expected http://HOST:PORT"},
        {"http://h/v2",
         "'http://h/v2': has more than a host and a port; expected http://HOST:PORT"},
        {"http://u@h", "'http://u@h': has more than a host and a port; expected http://HOST:PORT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url url;
        struct err_text text;
        assert_int_equal(url_read(rows[i].text, &url, &text), ERR_INVALID);
        assert_string_equal(text.s, rows[i].why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_and_ports_are_read),
        cmocka_unit_test(test_what_is_no_address_is_refused_and_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
