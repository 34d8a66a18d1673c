// Large arrays of numbers, which are read from their text: the same numbers as the C library's, and
// the same requests accepted and refused as when all is parsed.
#include "v2_fixture.h"

#include "base/check.h"

enum { AT_ONCE = 1000 };

// Numbers as text, and what the C library makes of them.
struct numbers {
    struct buffer text;
    double values[AT_ONCE];
    size_t count;
};

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void add_number(struct numbers *numbers, const char *text) {
    if (numbers->text.used == 0)
        buffer_add_char(&numbers->text, '[');
    else
        buffer_add_char(&numbers->text, ',');
    buffer_add_c(&numbers->text, text);
    numbers->values[numbers->count++] = strtod(text, NULL);
}

static void expect_numbers(struct numbers *numbers, enum datatype datatype) {
    struct v2_fixture f;
    v2_fixture_init_one(&f, datatype, (const int64_t[]){-1, 0});
    char shape[32];
    snprintf(shape, sizeof shape, "[%zu]", numbers->count);
    buffer_add(&numbers->text, "]", 2);
    assert_int_equal(v2_fixture_read_data(&f, shape, numbers->text.data), ERR_OK);
    size_t values = numbers->count * datatype_size(datatype);
    if (numbers->text.used > 2048)
        assert_true(f.arena.used < values + 1024); // parsed values would take 16 bytes each
    for (size_t i = 0; i < numbers->count; i++) {
        float single = (float)numbers->values[i];
        const void *expected = &numbers->values[i];
        if (datatype == DATATYPE_FP32)
            expected = &single;
        const char *data = f.request.inputs[0].data;
        assert_memory_equal(data + i * datatype_size(datatype), expected, datatype_size(datatype));
    }
    v2_fixture_done(&f);
    buffer_clear(&numbers->text);
    numbers->count = 0;
}

static void numbers_init(struct numbers *numbers) {
    numbers->count = 0;
    buffer_init(&numbers->text, SIZE_MAX);
}

// Digits with a point anywhere, and an exponent now and then.
static void make_number(char *out, size_t size) {
    char digits[32];
    size_t count = 1 + next_random() % 25;
    for (size_t i = 0; i < count; i++)
        digits[i] = (char)('0' + next_random() % 10);
    size_t whole = 1 + next_random() % count;
    if (digits[0] == '0')
        whole = 1;
    int n = snprintf(out, size, "%s%.*s", next_random() % 2 ? "-" : "", (int)whole, digits);
    if (whole < count)
        n += snprintf(out + n, size - (size_t)n, ".%.*s", (int)(count - whole), digits + whole);
    if (next_random() % 4 == 0) {
        snprintf(out + n, size - (size_t)n, "%c%s%d", next_random() % 2 ? 'e' : 'E',
                 next_random() % 2 ? "-" : "", (int)(next_random() % 12));
    }
}

static void test_random_numbers_are_what_the_c_library_says(void **state) {
    (void)state;
    struct numbers numbers;
    numbers_init(&numbers);
    for (int round = 0; round < 100; round++) {
        while (numbers.count < AT_ONCE) {
            char text[64];
            make_number(text, sizeof text);
            add_number(&numbers, text);
        }
        expect_numbers(&numbers, round % 2 ? DATATYPE_FP64 : DATATYPE_FP32);
    }
    buffer_done(&numbers.text);
}

// A float that is rounded from a double that is rounded from a text: the texts lie on the middle
// between two floats, and one or a few doubles beside it.
static void test_numbers_in_the_middle_of_two_floats_are_rounded_like_doubles(void **state) {
    (void)state;
    static const int digits[] = {17, 16, 18, 15, 25};
    struct numbers numbers;
    numbers_init(&numbers);
    for (int round = 0; round < 100; round++) {
        while (numbers.count < AT_ONCE) {
            uint32_t exponent = 127 - 40 + (uint32_t)(next_random() % 80);
            uint32_t bits = exponent << 23 | (uint32_t)(next_random() % (1 << 23));
            float single;
            memcpy(&single, &bits, sizeof single);
            double middle = ((double)single + (double)nextafterf(single, INFINITY)) / 2;
            for (uint64_t i = next_random() % 12; i > 0; i--)
                middle = nextafter(middle, round % 2 ? INFINITY : 0);
            char text[64];
            snprintf(text, sizeof text, "%.*g", digits[next_random() % ARRAY_LEN(digits)], middle);
            add_number(&numbers, text);
        }
        expect_numbers(&numbers, DATATYPE_FP32);
    }
    buffer_done(&numbers.text);
}

static void test_numbers_at_the_ends_of_the_range_are_read(void **state) {
    (void)state;
    static const char *const texts[] = {
        "1e-45",
        "7.006492321624085e-46",
        "7.0064923216240854e-46",
        "1.1754943508222875e-38",
        "1.17549435e-38",
        "3.4028234663852886e38",
        "3.4028235e38",
        "0.000000000000000000000000000000000000011754944",
        "340282346638528859811704183484516925440",
        "-0",
        "0",
        "0.0",
        "-0.000",
        "0e99999999999999999999",
        "1e-99999",
        "9007199254740993",
        "9007199254740993.0",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "0.1234567890123456789",
        "0.12345678901234567890",
        "1234567890123456789e-19",
        "1.0000000596046447753906250000000000000000000000000001",
        "1e22",
        "1e23",
        "123456789e-22",
        "123456789e-23",
    };
    struct numbers numbers;
    numbers_init(&numbers);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < AT_ONCE; i++)
            add_number(&numbers, texts[i % ARRAY_LEN(texts)]);
        expect_numbers(&numbers, round ? DATATYPE_FP64 : DATATYPE_FP32);
    }
    buffer_done(&numbers.text);
}

// The member's name is written with an escape, so that nothing is lifted.
static const char parsed_name[] = "\"d\\u0061ta\"";
static const char lifted_name[] = "\"data\"     ";

// Reads the request with every $ in it as the name, every # as ten numbers and blanks for the rest.
static enum err read_with(struct v2_fixture *f, const char *request, const char *name) {
    struct buffer body;
    buffer_init(&body, SIZE_MAX);
    for (const char *p = request; *p; p++)
        if (*p == '$')
            buffer_add_c(&body, name);
        else if (*p == '#')
            buffer_add_format(&body, "1,2,3,4,5,6,7,8,9,10%2000s", "");
        else
            buffer_add_char(&body, *p);
    enum err e = v2_fixture_read(f, buffer_str(&body), V2_NO_HEADER_LENGTH);
    buffer_done(&body);
    return e;
}

static void test_requests_are_taken_and_refused_as_when_all_is_parsed(void **state) {
    (void)state;
#define X "\"name\":\"X\",\"shape\":[10],\"datatype\":\"FP32\""
#define Y "\"name\":\"Y\",\"shape\":[10],\"datatype\":\"INT64\""
    static const struct {
        enum err err;
        const char *request;
    } rows[] = {
        {ERR_OK, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}]}"},
        {ERR_OK, "{\"inputs\":[{$:[#]," X "},{$ : \n[ #] ," Y "}]}"},
        {ERR_OK, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[1,2,3,4,5,6,7,8,9,0]}]}"},
        {ERR_OK, "{\"data\":[#],\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}],\"more\":{$:[[#]]}}"},
        {ERR_OK, "{\"k\":\"\\\"data\\\":[#]\",\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}]}"},
        {ERR_OK, "{\"id\":\"\",\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:\"\"},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#],$:[#]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#,1]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[[#]]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},,{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#],},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#,]},{" Y ",$:[#]}]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}],\"more\":{$:[1,NaN,#]}}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}],\"more\":{$:[01,#]}}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[#]}],\"more\":\\\"data\":[#]}"},
        {ERR_INVALID, "{\"inputs\":[{" X ",$:[#]},{" Y ",$:[1e400,#]}]}"},
    };
    struct v2_fixture lifted;
    struct v2_fixture parsed;
    v2_fixture_init_one(&lifted, DATATYPE_FP32, (const int64_t[]){-1, 0});
    v2_fixture_input(&lifted, DATATYPE_INT64, (const int64_t[]){-1, 0});
    v2_fixture_init_one(&parsed, DATATYPE_FP32, (const int64_t[]){-1, 0});
    v2_fixture_input(&parsed, DATATYPE_INT64, (const int64_t[]){-1, 0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(read_with(&lifted, rows[i].request, lifted_name), rows[i].err);
        assert_int_equal(read_with(&parsed, rows[i].request, parsed_name), rows[i].err);
        assert_string_equal(lifted.text.s, parsed.text.s);
        for (size_t k = 0; k < 2 && !rows[i].err; k++) {
            assert_memory_equal(lifted.request.inputs[k].data, parsed.request.inputs[k].data,
                                tensor_bytes(&parsed.request.inputs[k]));
        }
    }
    v2_fixture_done(&lifted);
    v2_fixture_done(&parsed);
}

static void test_an_array_may_be_lifted_beside_binary_data(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
    v2_fixture_input(&f, DATATYPE_INT64, (const int64_t[]){-1, 0});
    char json[2048];
    snprintf(json, sizeof json,
             "{\"inputs\":[{\"name\":\"X\",\"shape\":[3],\"datatype\":\"UINT8\",\"parameters\":"
             "{\"binary_data_size\":3}},{\"name\":\"Y\",\"shape\":[2],\"datatype\":\"INT64\","
             "\"data\":[-7,8%1500s]}]}",
             "");
    assert_int_equal(v2_fixture_read_binary(&f, json, STR("abc")), ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "abc", 3);
    assert_memory_equal(f.request.inputs[1].data, ((const int64_t[]){-7, 8}), 16);
    v2_fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_numbers_are_what_the_c_library_says),
        cmocka_unit_test(test_numbers_in_the_middle_of_two_floats_are_rounded_like_doubles),
        cmocka_unit_test(test_numbers_at_the_ends_of_the_range_are_read),
        cmocka_unit_test(test_requests_are_taken_and_refused_as_when_all_is_parsed),
        cmocka_unit_test(test_an_array_may_be_lifted_beside_binary_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
