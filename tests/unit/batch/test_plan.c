/* Which requests share one run: a table of offers and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "batch/plan.h"

#include <string.h>

static struct tensor tensor_of(enum datatype datatype, size_t rank, const int64_t *shape) {
    struct tensor tensor;
    struct err_text text;
    if (tensor_set(&tensor, datatype, shape, rank, &text) != ERR_OK)
        fail_msg("%s", text.s);
    return tensor;
}

struct shape {
    size_t rank;
    int64_t at[4];
};

static void test_requests_share_a_run_when_all_but_the_rows_is_equal(void **state) {
    (void)state;
    static const struct {
        const char *what;
        struct shape first, second;
        enum datatype first_type, second_type;
        enum batch_offer answer;
    } rows[] = {
        {"same shape", {2, {1, 4}}, {2, {1, 4}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_TAKEN},
        {"more rows", {2, {1, 4}}, {2, {5, 4}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_TAKEN},
        {"vectors", {1, {2}}, {1, {3}}, DATATYPE_INT8, DATATYPE_INT8, BATCH_OFFER_TAKEN},
        {"columns 0", {2, {1, 0}}, {2, {2, 0}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_TAKEN},
        {"other columns",
         {2, {1, 4}},
         {2, {1, 5}},
         DATATYPE_FP32,
         DATATYPE_FP32,
         BATCH_OFFER_OTHER},
        {"last dimension",
         {3, {1, 4, 2}},
         {3, {1, 4, 3}},
         DATATYPE_FP32,
         DATATYPE_FP32,
         BATCH_OFFER_OTHER},
        {"other rank",
         {2, {1, 4}},
         {3, {1, 4, 1}},
         DATATYPE_FP32,
         DATATYPE_FP32,
         BATCH_OFFER_OTHER},
        {"other datatype",
         {2, {1, 4}},
         {2, {1, 4}},
         DATATYPE_FP32,
         DATATYPE_INT32,
         BATCH_OFFER_OTHER},
        {"no rows", {2, {1, 4}}, {2, {0, 4}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_OTHER},
        {"a scalar", {2, {1, 4}}, {0, {0}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_OTHER},
        {"first without rows",
         {2, {0, 4}},
         {2, {1, 4}},
         DATATYPE_FP32,
         DATATYPE_FP32,
         BATCH_OFFER_FULL},
        {"first a scalar", {0, {0}}, {0, {0}}, DATATYPE_FP32, DATATYPE_FP32, BATCH_OFFER_FULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tensor first = tensor_of(rows[i].first_type, rows[i].first.rank, rows[i].first.at);
        struct tensor second =
            tensor_of(rows[i].second_type, rows[i].second.rank, rows[i].second.at);
        struct batch_plan plan;
        batch_plan_start(&plan, &first, 1, rows[i].first.at[0]);
        enum batch_offer answer = batch_plan_offer(&plan, &second, rows[i].second.at[0]);
        if (answer != rows[i].answer)
            fail_msg("%s: answer %d", rows[i].what, answer);
        int64_t sum = rows[i].first.at[0] + rows[i].second.at[0];
        assert_int_equal(plan.rows, answer == BATCH_OFFER_TAKEN ? sum : rows[i].first.at[0]);
        assert_int_equal(plan.requests, answer == BATCH_OFFER_TAKEN ? 2 : 1);
    }
}

static void test_every_input_must_agree(void **state) {
    (void)state;
    const struct tensor first[] = {tensor_of(DATATYPE_FP32, 2, (int64_t[]){2, 4}),
                                   tensor_of(DATATYPE_INT64, 1, (int64_t[]){2})};
    struct tensor second[] = {tensor_of(DATATYPE_FP32, 2, (int64_t[]){3, 4}),
                              tensor_of(DATATYPE_INT64, 1, (int64_t[]){3})};
    struct batch_plan plan;
    batch_plan_start(&plan, first, 2, 2);
    assert_int_equal(batch_plan_offer(&plan, second, 3), BATCH_OFFER_TAKEN);
    second[1] = tensor_of(DATATYPE_INT32, 1, (int64_t[]){3});
    assert_int_equal(batch_plan_offer(&plan, second, 3), BATCH_OFFER_OTHER);
    /* one row for all of the first input's: legal for a model that broadcasts, but not to be mixed
     */
    second[1] = tensor_of(DATATYPE_INT64, 1, (int64_t[]){1});
    assert_int_equal(batch_plan_offer(&plan, second, 3), BATCH_OFFER_OTHER);
}

static void test_a_request_whose_inputs_differ_in_rows_is_alone(void **state) {
    (void)state;
    const struct tensor first[] = {tensor_of(DATATYPE_FP32, 2, (int64_t[]){2, 4}),
                                   tensor_of(DATATYPE_FP32, 2, (int64_t[]){1, 4})};
    struct batch_plan plan;
    batch_plan_start(&plan, first, 2, 2);
    assert_true(batch_plan_full(&plan));
    assert_int_equal(batch_plan_offer(&plan, first, 2), BATCH_OFFER_FULL);
}

static void test_limits_end_the_batch(void **state) {
    (void)state;
    static const struct {
        int64_t rows_max;
        uint32_t requests_max;
        int64_t offers[5];
        enum batch_offer answers[5];
        int64_t rows;
    } rows[] = {
        {1, 9, {1}, {BATCH_OFFER_FULL}, 1},
        {9, 1, {1}, {BATCH_OFFER_FULL}, 1},
        {3, 9, {1, 1, 1}, {BATCH_OFFER_TAKEN, BATCH_OFFER_TAKEN, BATCH_OFFER_FULL}, 3},
        {9, 3, {1, 1, 1}, {BATCH_OFFER_TAKEN, BATCH_OFFER_TAKEN, BATCH_OFFER_FULL}, 3},
        {4, 9, {2, 2}, {BATCH_OFFER_TAKEN, BATCH_OFFER_FULL}, 3},
        {4, 9, {3}, {BATCH_OFFER_TAKEN}, 4},
        {INT64_MAX, UINT32_MAX, {INT64_MAX}, {BATCH_OFFER_FULL}, 1},
    };
    struct tensor first = tensor_of(DATATYPE_FP32, 2, (int64_t[]){1, 4});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct batch_plan plan;
        batch_plan_start(&plan, &first, 1, 1);
        batch_plan_limit(&plan, rows[i].rows_max, rows[i].requests_max);
        for (size_t k = 0; k < 5 && rows[i].offers[k] > 0; k++) {
            struct tensor offer = first;
            offer.shape[0] = rows[i].offers[k];
            enum batch_offer answer = batch_plan_offer(&plan, &offer, rows[i].offers[k]);
            if (answer != rows[i].answers[k])
                fail_msg("row %zu, offer %zu: answer %d", i, k, answer);
        }
        assert_int_equal(plan.rows, rows[i].rows);
    }
}

static void test_a_request_without_inputs_is_alone_when_rows_are_limited(void **state) {
    (void)state;
    struct batch_plan plan;
    batch_plan_start(&plan, NULL, 0, 1);
    batch_plan_limit(&plan, 1, UINT32_MAX); /* such a model is not batchable */
    assert_true(batch_plan_full(&plan));
}

static void test_a_first_request_over_the_limit_is_taken_and_alone(void **state) {
    (void)state;
    struct tensor first = tensor_of(DATATYPE_FP32, 2, (int64_t[]){100, 4});
    struct batch_plan plan;
    batch_plan_start(&plan, &first, 1, 100);
    batch_plan_limit(&plan, 32, UINT32_MAX);
    assert_true(batch_plan_full(&plan));
    assert_int_equal(plan.rows, 100);
}

static void test_the_most_requests_of_a_preferred_size_are_noted(void **state) {
    (void)state;
    static const uint32_t sizes[] = {6, 1, 3};
    static const int64_t rows[] = {1, 2, 2, 1, 1};
    static const uint32_t preferred[] = {1, 2, 2, 4, 4}; /* after 1, 3, 5, 6 and 7 rows */
    struct tensor first = tensor_of(DATATYPE_FP32, 2, (int64_t[]){1, 4});
    struct batch_plan plan;
    batch_plan_start(&plan, &first, 1, rows[0]);
    batch_plan_limit(&plan, 8, UINT32_MAX);
    batch_plan_prefer(&plan, sizes, ARRAY_LEN(sizes));
    assert_int_equal(plan.preferred_requests, preferred[0]);
    for (size_t i = 1; i < ARRAY_LEN(rows); i++) {
        struct tensor offer = first;
        offer.shape[0] = rows[i];
        assert_int_equal(batch_plan_offer(&plan, &offer, rows[i]), BATCH_OFFER_TAKEN);
        assert_int_equal(plan.preferred_requests, preferred[i]);
    }
}

static void test_why_an_offer_was_not_taken_is_noted(void **state) {
    (void)state;
    struct tensor first = tensor_of(DATATYPE_FP32, 2, (int64_t[]){2, 4});
    struct tensor other = tensor_of(DATATYPE_FP32, 2, (int64_t[]){2, 5});
    struct batch_plan plan;
    batch_plan_start(&plan, &first, 1, 2);
    batch_plan_limit(&plan, 3, UINT32_MAX);
    assert_false(plan.other || plan.crowded);
    assert_int_equal(batch_plan_offer(&plan, &other, 2), BATCH_OFFER_OTHER);
    assert_true(plan.other && !plan.crowded);
    assert_int_equal(batch_plan_offer(&plan, &first, 2), BATCH_OFFER_FULL);
    assert_true(plan.crowded);
    assert_int_equal(plan.requests, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_share_a_run_when_all_but_the_rows_is_equal),
        cmocka_unit_test(test_every_input_must_agree),
        cmocka_unit_test(test_a_request_whose_inputs_differ_in_rows_is_alone),
        cmocka_unit_test(test_limits_end_the_batch),
        cmocka_unit_test(test_a_request_without_inputs_is_alone_when_rows_are_limited),
        cmocka_unit_test(test_a_first_request_over_the_limit_is_taken_and_alone),
        cmocka_unit_test(test_the_most_requests_of_a_preferred_size_are_noted),
        cmocka_unit_test(test_why_an_offer_was_not_taken_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
