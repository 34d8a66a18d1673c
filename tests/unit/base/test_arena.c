/* A request's arena: allocations that die together, and memory that is kept for the next. */
#include "base/arena.h"

#include "base/death.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The sanitizers end the process when memory is out, unless told to behave as malloc does. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

static int make(void **state) {
    static struct arena arena;
    arena_init(&arena);
    *state = &arena;
    return 0;
}

static int drop(void **state) {
    arena_done(*state);
    return 0;
}

static void test_allocations_are_aligned_and_apart(void **state) {
    struct arena *arena = *state;
    unsigned char *all[64];
    for (size_t i = 0; i < 64; i++) {
        all[i] = arena_new(arena, i);
        assert_int_equal((uintptr_t)all[i] % 16, 0);
        memset(all[i], (int)i, i);
    }
    for (size_t i = 0; i < 64; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(all[i][k], i);
    assert_ptr_not_equal(all[0], all[1]);
}

static void test_used_counts_what_was_handed_out(void **state) {
    struct arena *arena = *state;
    assert_int_equal(arena->used, 0);
    (void)arena_new(arena, 1);
    (void)arena_new(arena, 16);
    (void)arena_new(arena, 100000);
    assert_int_equal(arena->used, 16 + 16 + 100000);
    arena_reset(arena);
    assert_int_equal(arena->used, 0);
}

static void test_zeroed_memory_is_zero_after_a_reset(void **state) {
    struct arena *arena = *state;
    memset(arena_new(arena, 1000), 0xFF, 1000);
    arena_reset(arena);
    unsigned char *zero = arena_new_zero(arena, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(zero[i], 0);
}

static void test_a_reset_hands_out_the_same_memory_again(void **state) {
    struct arena *arena = *state;
    void *before = arena_new(arena, 100);
    arena_reset(arena);
    assert_ptr_equal(arena_new(arena, 100), before);
}

static void test_a_reset_before_the_first_use_is_fine(void **state) {
    struct arena *arena = *state;
    arena_reset(arena);
    assert_null(arena->first);
    assert_non_null(arena_new(arena, 8));
}

/* Requests of 20 KiB, more than the first block: from the third on none needs a second block. */
static void test_a_steady_load_ends_up_in_one_block(void **state) {
    struct arena *arena = *state;
    for (int request = 0; request < 5; request++) {
        arena_reset(arena);
        struct arena_block *first = arena->first;
        for (int i = 0; i < 20; i++)
            (void)arena_new(arena, 1024);
        if (request >= 3) {
            assert_ptr_equal(arena->first, first);
            assert_ptr_equal(arena->now, first);
        }
    }
}

static void test_a_big_block_is_not_kept(void **state) {
    struct arena *arena = *state;
    (void)arena_new(arena, ARENA_KEEP_MAX + 1);
    arena_reset(arena);
    assert_null(arena->first);
    (void)arena_new(arena, 16); /* kept, and the big one beside it is not */
    struct arena_block *small = arena->first;
    (void)arena_new(arena, ARENA_KEEP_MAX + 1);
    arena_reset(arena);
    assert_ptr_equal(arena->first, small);
    assert_ptr_equal(arena->now, small);
}

static void test_an_arena_can_be_used_after_done(void **state) {
    struct arena *arena = *state;
    (void)arena_new(arena, 100);
    arena_done(arena);
    assert_int_equal(arena->used, 0);
    assert_non_null(arena_new(arena, 100));
}

static void test_trying_stays_below_the_ceiling(void **state) {
    struct arena *arena = *state;
    assert_non_null(arena_try_new(arena, 10, 10, 100));
    assert_null(arena_try_new(arena, 10, 10, 99));
    assert_non_null(arena_try_new(arena, 0, 8, 0));
    assert_null(arena_try_new(arena, SIZE_MAX / 2, 3, SIZE_MAX));
}

static void test_trying_for_more_than_there_is_gives_nothing(void **state) {
    struct arena *arena = *state;
    volatile size_t huge = SIZE_MAX;
    assert_null(arena_try_new(arena, 1, huge, SIZE_MAX));
    assert_null(arena_try_new(arena, 1, huge / 2, SIZE_MAX));
    assert_int_equal(arena->used, 0);
    assert_non_null(arena_new(arena, 1));
}

static void ask_for_everything(void *context) {
    (void)arena_new(context, SIZE_MAX);
}

static void test_asking_for_more_than_there_is_stops(void **state) {
    char said[256];
    assert_true(dies(ask_for_everything, *state, said, sizeof said));
    assert_non_null(strstr(said, "check failed"));
}

static void test_the_newest_grows_and_shrinks_in_place(void **state) {
    struct arena *arena = *state;
    char *p = arena_resize(arena, NULL, 0, 10);
    memcpy(p, "0123456789", 10);
    assert_ptr_equal(arena_resize(arena, p, 10, 1000), p);
    assert_memory_equal(p, "0123456789", 10);
    assert_int_equal(arena->used, 1008);
    assert_ptr_equal(arena_resize(arena, p, 1000, 5), p);
    assert_int_equal(arena->used, 16);
    assert_ptr_equal(arena_resize(arena, p, 5, 0), p);
    assert_int_equal(arena->used, 16);
}

static void test_another_is_copied_when_it_grows(void **state) {
    struct arena *arena = *state;
    char *p = arena_new(arena, 10);
    memcpy(p, "0123456789", 10);
    char *newer = arena_new(arena, 10);
    memset(newer, '#', 10);
    char *grown = arena_resize(arena, p, 10, 40);
    assert_ptr_not_equal(grown, p);
    assert_memory_equal(grown, "0123456789", 10);
    assert_memory_equal(newer, "##########", 10);
    char *shrunk = arena_resize(arena, p, 10, 4);
    assert_memory_equal(shrunk, "0123", 4);
}

static void test_the_newest_moves_when_its_block_is_full(void **state) {
    struct arena *arena = *state;
    char *p = arena_new(arena, 4000);
    memset(p, 'x', 4000);
    char *grown = arena_resize(arena, p, 4000, ARENA_BLOCK_MIN + 1);
    assert_ptr_not_equal(grown, p);
    for (size_t i = 0; i < 4000; i++)
        assert_int_equal(grown[i], 'x');
}

static void grow_to_everything(void *context) {
    char *p = arena_new(context, 16);
    (void)arena_resize(context, p, 16, SIZE_MAX - 3);
}

static void test_growing_to_more_than_there_is_stops(void **state) {
    char said[256];
    assert_true(dies(grow_to_everything, *state, said, sizeof said));
    assert_non_null(strstr(said, "check failed"));
}

static void test_copies_and_formats_end_with_zero(void **state) {
    struct arena *arena = *state;
    assert_string_equal(arena_copy(arena, (struct str){"model.onnx", 5}), "model");
    assert_string_equal(arena_copy(arena, (struct str){NULL, 0}), "");
    assert_string_equal(arena_format(arena, "%s-%d", "row", 32), "row-32");
    assert_string_equal(arena_format(arena, "%s", ""), "");
    assert_int_equal(strlen(arena_format(arena, "%0*d", 20000, 1)), 20000);
}

#define ARENA_TEST(function) cmocka_unit_test_setup_teardown(function, make, drop)

int main(void) {
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_allocations_are_aligned_and_apart),
        ARENA_TEST(test_used_counts_what_was_handed_out),
        ARENA_TEST(test_zeroed_memory_is_zero_after_a_reset),
        ARENA_TEST(test_a_reset_hands_out_the_same_memory_again),
        ARENA_TEST(test_a_reset_before_the_first_use_is_fine),
        ARENA_TEST(test_a_steady_load_ends_up_in_one_block),
        ARENA_TEST(test_a_big_block_is_not_kept),
        ARENA_TEST(test_an_arena_can_be_used_after_done),
        ARENA_TEST(test_trying_stays_below_the_ceiling),
        ARENA_TEST(test_trying_for_more_than_there_is_gives_nothing),
        ARENA_TEST(test_asking_for_more_than_there_is_stops),
        ARENA_TEST(test_the_newest_grows_and_shrinks_in_place),
        ARENA_TEST(test_another_is_copied_when_it_grows),
        ARENA_TEST(test_the_newest_moves_when_its_block_is_full),
        ARENA_TEST(test_growing_to_more_than_there_is_stops),
        ARENA_TEST(test_copies_and_formats_end_with_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
