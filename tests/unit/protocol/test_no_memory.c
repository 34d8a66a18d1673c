// Memory that the machine has not got is the server's trouble, not the request's: each call says
// ERR_NO_MEMORY, and nothing aborts. Skipped under the sanitizers, which need all address space.
#include "protocol/coding.h"
#include "sanitized.h"
#include "v2_fixture.h"

#include <sys/resource.h>
#include <zlib.h>

enum { SIZE = 64 << 20, LEFT = 8 << 20 };

// The process may grow by LEFT bytes from here on.
static void limit_memory(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = pages * 4096 + LEFT;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void lift_limit(void) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void test_a_body_that_inflates_past_the_memory(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    char *zeros = calloc(1, SIZE);
    assert_non_null(zeros);
    struct buffer small, large;
    buffer_init(&small, SIZE);
    buffer_init(&large, SIZE);
    struct str part = {zeros, SIZE};
    assert_int_equal(coding_deflate(CODING_GZIP, &part, 1, &small, NULL), ERR_OK);
    free(zeros);
    struct err_text text;
    limit_memory();
    enum err e = coding_inflate(CODING_GZIP, buffer_str(&small), &large, &text);
    lift_limit();
    assert_int_equal(e, ERR_NO_MEMORY);
    assert_string_equal(text.s, "no memory to decompress the gzip body");
    buffer_done(&large);
    buffer_done(&small);
}

// `body` reads as JSON in which every element takes less room than in memory.
static void expect_no_memory(enum datatype datatype, const char *element) {
    struct v2_fixture f;
    v2_fixture_init_one(&f, datatype, (const int64_t[]){-1, 0});
    f.limits.tensor_bytes_max = SIZE_MAX;
    enum { COUNT = 2 << 20 };
    struct buffer body;
    buffer_init(&body, SIZE);
    buffer_add_format(&body,
                      "{\"inputs\":[{\"name\":\"X\",\"shape\":[%d],\"datatype\":\"%s\",\"data\":[",
                      COUNT, datatype_name(datatype));
    for (size_t i = 0; i < COUNT; i++) {
        buffer_add_c(&body, i > 0 ? "," : "");
        buffer_add_c(&body, element);
    }
    buffer_add_c(&body, "]}]}");
    size_t length = body.used;
    assert_non_null(buffer_reserve(&body, V2_BODY_SPARE));
    limit_memory();
    enum err e = v2_infer_read(&f.arena, body.data, length, V2_NO_HEADER_LENGTH, &f.signature,
                               &f.limits, &f.request, &f.text);
    lift_limit();
    assert_int_equal(e, ERR_NO_MEMORY);
    v2_expect_text(&f, "no memory to read the request for model 'm'");
    buffer_done(&body);
    v2_fixture_done(&f);
}

static void test_numbers_that_have_no_room(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    expect_no_memory(DATATYPE_FP64, "1");
}

static void test_strings_that_have_no_room(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    expect_no_memory(DATATYPE_BYTES, "\"\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_that_inflates_past_the_memory),
        cmocka_unit_test(test_numbers_that_have_no_room),
        cmocka_unit_test(test_strings_that_have_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
