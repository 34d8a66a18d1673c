/* The response cache: what is found, what is not, what has to go, and many threads at once. */
#include "model/response_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tensor_spec INPUTS[] = {{.name = "A", .datatype = DATATYPE_FP32, .rank = 2},
                                      {.name = "T", .datatype = DATATYPE_BYTES, .rank = 1}};
static struct tensor_spec OUTPUTS[] = {{.name = "B", .datatype = DATATYPE_FP32, .rank = 2},
                                       {.name = "U", .datatype = DATATYPE_BYTES, .rank = 1}};
static const struct signature SIGNATURE = {
    .inputs = INPUTS, .input_count = 2, .outputs = OUTPUTS, .output_count = 2};

/* A matrix and texts, as inputs or as outputs. */
struct values {
    float numbers[8];
    struct str texts[2];
    struct tensor tensors[2];
};

static void values_make(struct values *values, int64_t rows, int64_t columns, float first) {
    for (int i = 0; i < 8; i++)
        values->numbers[i] = first + (float)i;
    values->texts[0] = STR("one");
    values->texts[1] = STR("");
    const int64_t shape[] = {rows, columns}, texts_shape[] = {2};
    assert_int_equal(tensor_set(&values->tensors[0], DATATYPE_FP32, shape, 2, NULL), ERR_OK);
    assert_int_equal(tensor_set(&values->tensors[1], DATATYPE_BYTES, texts_shape, 1, NULL), ERR_OK);
    values->tensors[0].data = values->numbers;
    values->tensors[1].data = values->texts;
}

static struct response_key key_of(struct response_cache *cache, const struct values *inputs,
                                  uint64_t mask) {
    struct response_key key;
    assert_true(response_cache_key(cache, inputs->tensors, mask, &key));
    return key;
}

static bool finds(struct response_cache *cache, const struct values *inputs, uint64_t mask) {
    struct response_key key = key_of(cache, inputs, mask);
    struct engine_result *result = NULL;
    bool found = response_cache_find(cache, &key, &result);
    engine_result_unref(&result);
    return found;
}

static void put(struct response_cache *cache, const struct values *inputs,
                const struct values *outputs, uint64_t mask) {
    struct response_key key = key_of(cache, inputs, mask);
    response_cache_put(cache, &key, outputs->tensors);
}

static void test_an_answer_comes_back_bit_for_bit(void **state) {
    (void)state;
    struct response_cache *cache = response_cache_new(1 << 20, &SIGNATURE);
    struct values inputs, outputs;
    values_make(&inputs, 2, 4, 1);
    values_make(&outputs, 2, 4, 100);
    struct response_key key = key_of(cache, &inputs, 3);
    struct engine_result *result = NULL;
    assert_false(response_cache_find(cache, &key, &result));
    assert_int_equal(response_cache_put(cache, &key, outputs.tensors), 0);
    outputs.numbers[0] = -1; /* it keeps a copy */
    assert_true(response_cache_find(cache, &key, &result));
    assert_int_equal(result->output_count, 2);
    assert_int_equal(result->outputs[0].shape[0], 2);
    assert_int_equal(result->outputs[0].count, 8);
    assert_true(((const float *)result->outputs[0].data)[0] == 100);
    assert_true(((const float *)result->outputs[0].data)[7] == 107);
    assert_true(str_eq_c(((const struct str *)result->outputs[1].data)[0], "one"));
    response_cache_free(&cache); /* what was found stays */
    assert_true(((const float *)result->outputs[0].data)[7] == 107);
    engine_result_unref(&result);
}

static void test_other_bytes_shapes_and_outputs_are_not_found(void **state) {
    (void)state;
    struct response_cache *cache = response_cache_new(1 << 20, &SIGNATURE);
    struct values inputs, outputs;
    values_make(&inputs, 2, 4, 1);
    values_make(&outputs, 2, 4, 100);
    put(cache, &inputs, &outputs, 3);
    assert_true(finds(cache, &inputs, 3));
    assert_false(finds(cache, &inputs, 1));
    struct values other = inputs;
    other.tensors[0].data = other.numbers;
    other.tensors[1].data = other.texts;
    assert_true(finds(cache, &other, 3));
    other.numbers[7] += 1;
    assert_false(finds(cache, &other, 3));
    other.numbers[7] -= 1;
    other.tensors[0].shape[0] = 4; /* the same bytes in another shape */
    other.tensors[0].shape[1] = 2;
    assert_false(finds(cache, &other, 3));
    other.tensors[0].shape[0] = 2;
    other.tensors[0].shape[1] = 4;
    other.texts[0] = STR("on"); /* the same characters, cut elsewhere */
    other.texts[1] = STR("e");
    assert_false(finds(cache, &other, 3));
    response_cache_free(&cache);
}

static void test_an_output_that_was_not_asked_for_is_not_kept(void **state) {
    (void)state;
    struct response_cache *cache = response_cache_new(1 << 20, &SIGNATURE);
    struct values inputs, outputs;
    values_make(&inputs, 1, 2, 1);
    values_make(&outputs, 1, 2, 9);
    struct response_key key = key_of(cache, &inputs, 2);
    response_cache_put(cache, &key, outputs.tensors);
    struct engine_result *result = NULL;
    assert_true(response_cache_find(cache, &key, &result));
    assert_null(result->outputs[0].data);
    assert_non_null(result->outputs[1].data);
    engine_result_unref(&result);
    response_cache_free(&cache);
}

/* A hash that meets another's: the bytes decide. */
static void test_equal_hashes_with_other_bytes_are_no_hit(void **state) {
    (void)state;
    struct response_cache *cache = response_cache_new(1 << 20, &SIGNATURE);
    struct values one, other, outputs;
    values_make(&one, 2, 4, 1);
    values_make(&other, 2, 4, 2);
    values_make(&outputs, 2, 4, 100);
    struct response_key key = key_of(cache, &one, 3), clash = key_of(cache, &other, 3);
    response_cache_put(cache, &key, outputs.tensors);
    memcpy(clash.hash, key.hash, sizeof clash.hash);
    struct engine_result *result = NULL;
    assert_false(response_cache_find(cache, &clash, &result));
    assert_int_equal(response_cache_put(cache, &clash, outputs.tensors), 0);
    assert_true(response_cache_find(cache, &clash, &result)); /* it took the other's place */
    engine_result_unref(&result);
    assert_false(response_cache_find(cache, &key, &result));
    uint64_t entries, bytes;
    response_cache_load(cache, &entries, &bytes);
    assert_int_equal(entries, 1);
    response_cache_free(&cache);
}

static void test_bytes_are_bounded_and_the_oldest_goes_first(void **state) {
    (void)state;
    enum { BOUND = 64 << 10, FLOOD = 4000 };
    struct response_cache *cache = response_cache_new(BOUND, &SIGNATURE);
    struct values inputs, outputs, kept;
    values_make(&outputs, 2, 4, 0);
    values_make(&kept, 2, 4, -5);
    put(cache, &kept, &outputs, 3);
    uint64_t evicted = 0, entries, bytes;
    for (int i = 0; i < FLOOD; i++) {
        values_make(&inputs, 2, 4, (float)i);
        struct response_key key = key_of(cache, &inputs, 3);
        evicted += response_cache_put(cache, &key, outputs.tensors);
        assert_true(finds(cache, &inputs, 3));
        assert_true(finds(cache, &kept, 3)); /* being used keeps it */
        response_cache_load(cache, &entries, &bytes);
        assert_in_range(bytes, 1, BOUND);
    }
    assert_int_equal(entries + evicted, FLOOD + 1);
    assert_in_range(entries, 32, FLOOD / 2);
    values_make(&inputs, 2, 4, 0);
    assert_false(finds(cache, &inputs, 3));
    response_cache_free(&cache);
}

static void test_what_does_not_fit_is_not_kept(void **state) {
    (void)state;
    enum { FLOATS = 32 << 10 };
    struct response_cache *cache = response_cache_new(64 << 10, &SIGNATURE);
    struct values inputs, outputs;
    values_make(&inputs, 2, 4, 1);
    values_make(&outputs, 2, 4, 1);
    put(cache, &inputs, &outputs, 3);
    float *large = calloc(FLOATS, sizeof *large);
    assert_non_null(large);
    struct values wide = inputs;
    wide.tensors[0].shape[1] = FLOATS / 2;
    wide.tensors[0].count = FLOATS;
    wide.tensors[0].data = large;
    struct response_key key;
    assert_false(response_cache_key(cache, wide.tensors, 3, &key)); /* not even hashed */
    values_make(&outputs, 1, 4, 1); /* others' inputs, a large answer */
    key = key_of(cache, &outputs, 3);
    assert_int_equal(response_cache_put(cache, &key, wide.tensors), 0);
    assert_false(finds(cache, &outputs, 3));
    assert_true(finds(cache, &inputs, 3)); /* nothing had to go for it */
    free(large);
    response_cache_free(&cache);
}

static void test_tensors_without_elements_are_kept(void **state) {
    (void)state;
    struct response_cache *cache = response_cache_new(1 << 20, &SIGNATURE);
    struct values inputs, outputs;
    values_make(&inputs, 0, 4, 1);
    values_make(&outputs, 0, 4, 1);
    inputs.tensors[0].data = outputs.tensors[0].data = NULL;
    put(cache, &inputs, &outputs, 3);
    assert_true(finds(cache, &inputs, 3));
    inputs.tensors[0].shape[1] = 5;
    assert_false(finds(cache, &inputs, 3));
    response_cache_free(&cache);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 3000, DISTINCT = 300 };

/* Each answer says what it answers, so that a wrong one is seen. */
static void *use(void *argument) {
    struct response_cache *cache = argument;
    struct values inputs, outputs;
    uint32_t random = (uint32_t)(uintptr_t)&inputs | 1, hits = 0;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1664525 + 1013904223;
        float which = (float)(random >> 16) - (float)((random >> 16) / DISTINCT * DISTINCT);
        values_make(&inputs, 2, 4, which);
        struct response_key key = key_of(cache, &inputs, 3);
        struct engine_result *result = NULL;
        if (response_cache_find(cache, &key, &result)) {
            hits++;
            if (((const float *)result->outputs[0].data)[3] != 1000 + which + 3)
                return (void *)(uintptr_t)UINT32_MAX;
            engine_result_unref(&result);
            continue;
        }
        values_make(&outputs, 2, 4, 1000 + which);
        response_cache_put(cache, &key, outputs.tensors);
    }
    return (void *)(uintptr_t)hits;
}

static void test_threads_share_it_without_wrong_answers(void **state) {
    (void)state;
    static const uint64_t bounds[] = {48 << 10, 64 << 20}; /* with and without evictions */
    for (size_t b = 0; b < 2; b++) {
        struct response_cache *cache = response_cache_new(bounds[b], &SIGNATURE);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, use, cache), 0);
        uint64_t hits = 0;
        for (int i = 0; i < THREADS; i++) {
            void *seen;
            assert_int_equal(pthread_join(threads[i], &seen), 0);
            assert_true((uintptr_t)seen != UINT32_MAX);
            hits += (uintptr_t)seen;
        }
        assert_true(hits > 0);
        uint64_t entries, bytes;
        response_cache_load(cache, &entries, &bytes);
        assert_in_range(bytes, 1, bounds[b]);
        assert_in_range(entries, 1, DISTINCT);
        response_cache_free(&cache);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_comes_back_bit_for_bit),
        cmocka_unit_test(test_other_bytes_shapes_and_outputs_are_not_found),
        cmocka_unit_test(test_an_output_that_was_not_asked_for_is_not_kept),
        cmocka_unit_test(test_equal_hashes_with_other_bytes_are_no_hit),
        cmocka_unit_test(test_bytes_are_bounded_and_the_oldest_goes_first),
        cmocka_unit_test(test_what_does_not_fit_is_not_kept),
        cmocka_unit_test(test_tensors_without_elements_are_kept),
        cmocka_unit_test(test_threads_share_it_without_wrong_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
