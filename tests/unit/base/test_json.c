// What may stand in a JSON string as it is.
#include "base/json.h"

#include <string.h>

#include <cmocka.h>

static void test_the_plain_beginning_ends_at_the_first_byte_that_is_not(void **state) {
    (void)state;
    char text[40];
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 24; at++) {
            memset(text, 'x', sizeof text);
            memset(text + at, byte, 2);
            size_t expected = json_is_plain((unsigned char)byte) ? 33 : at;
            assert_int_equal(json_plain_length((struct str){text, 33}), expected);
        }
    }
}

static void test_the_plain_beginning_ends_with_the_string(void **state) {
    (void)state;
    char text[40];
    memset(text, '~', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        text[n] = '"';
        assert_int_equal(json_plain_length((struct str){text, n}), n);
        text[n] = '~';
    }
    assert_int_equal(json_plain_length((struct str){NULL, 0}), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_plain_beginning_ends_at_the_first_byte_that_is_not),
        cmocka_unit_test(test_the_plain_beginning_ends_with_the_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
