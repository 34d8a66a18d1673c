// Input buffers and their pool.
#include "net/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_grows_and_keeps_what_is_used(void **state) {
    (void)state;
    struct block_pool pool;
    block_pool_init(&pool);
    struct block block = {0};
    size_t capacity = 1;
    for (unsigned step = 0; step < 26; step++, capacity *= 2) {
        assert_true(block_try_grow(&pool, &block, capacity));
        assert_true(block.capacity >= capacity);
        for (size_t i = 0; i < block.used; i++)
            assert_int_equal(block.data[i], (char)i);
        while (block.used < block.capacity && block.used < 70000) {
            block.data[block.used] = (char)block.used;
            block.used++;
        }
    }
    assert_true(block_try_grow(&pool, &block, 5)); /* never smaller */
    assert_true(block.capacity >= capacity / 2);
    block_give(&pool, &block);
    assert_null(block.data);
    assert_int_equal(block.capacity, 0);
    block_give(&pool, &block);
    block_pool_done(&pool);
}

static void test_a_claim_beyond_memory_fails_and_changes_nothing(void **state) {
    (void)state;
    struct block_pool pool;
    block_pool_init(&pool);
    struct block block = {0};
    assert_true(block_try_grow(&pool, &block, 1));
    struct block before = block;
    assert_false(block_try_grow(&pool, &block, SIZE_MAX));
    assert_memory_equal(&block, &before, sizeof block);
    block_give(&pool, &block);
    block_pool_done(&pool);
}

static void test_keeps_a_bounded_number_of_spare_bytes(void **state) {
    (void)state;
    struct block_pool pool;
    block_pool_init(&pool);
    struct block blocks[600] = {{0}};
    for (int i = 0; i < 600; i++)
        assert_true(block_try_grow(&pool, &blocks[i], 1));
    for (int i = 0; i < 600; i++) {
        block_give(&pool, &blocks[i]);
        assert_true(pool.bytes <= BLOCK_POOL_BYTES_MAX);
    }
    assert_int_equal(pool.bytes, NET_KEEPS_MEMORY ? BLOCK_POOL_BYTES_MAX : 0);
    assert_true(block_try_grow(&pool, &blocks[0], 1));
    assert_int_equal(pool.bytes, NET_KEEPS_MEMORY ? BLOCK_POOL_BYTES_MAX - BLOCK_BYTES_MIN : 0);
    block_give(&pool, &blocks[0]);
    block_pool_done(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_keeps_what_is_used),
        cmocka_unit_test(test_a_claim_beyond_memory_fails_and_changes_nothing),
        cmocka_unit_test(test_keeps_a_bounded_number_of_spare_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
