/* Request ids: their form, and that no two are the same. */
#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

enum { THREADS = 4, IDS_OF_A_THREAD = 5000 };

static void *make_many(void *into) {
    char(*ids)[ID_SIZE] = into;
    for (size_t i = 0; i < IDS_OF_A_THREAD; i++)
        id_make(ids[i]);
    return NULL;
}

static int compare(const void *a, const void *b) {
    return memcmp(a, b, ID_SIZE);
}

static void test_an_id_is_32_hexadecimal_digits(void **state) {
    (void)state;
    char id[ID_SIZE];
    memset(id, '#', sizeof id);
    id_make(id);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    assert_int_equal(id[32], '\0');
}

static void test_no_two_ids_are_the_same_in_any_thread(void **state) {
    (void)state;
    char(*ids)[ID_SIZE] = malloc((size_t)THREADS * IDS_OF_A_THREAD * ID_SIZE);
    assert_non_null(ids);
    pthread_t threads[THREADS];
    for (size_t t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, make_many, ids + t * IDS_OF_A_THREAD),
                         0);
    for (size_t t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    qsort(ids, (size_t)THREADS * IDS_OF_A_THREAD, ID_SIZE, compare);
    for (size_t i = 1; i < (size_t)THREADS * IDS_OF_A_THREAD; i++)
        assert_int_not_equal(memcmp(ids[i - 1], ids[i], ID_SIZE), 0);
    free(ids);
}

/* Each of the 16 digits turns up at each of the 32 places, about as often as the others. */
static void test_every_digit_turns_up_everywhere(void **state) {
    (void)state;
    unsigned seen[32][16] = {{0}};
    for (int i = 0; i < 4096; i++) {
        char id[ID_SIZE];
        id_make(id);
        for (int at = 0; at < 32; at++)
            seen[at][id[at] <= '9' ? id[at] - '0' : id[at] - 'a' + 10]++;
    }
    for (int at = 0; at < 32; at++)
        for (int digit = 0; digit < 16; digit++)
            assert_in_range(seen[at][digit], 128, 384); /* 256, ± 8 standard deviations */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_is_32_hexadecimal_digits),
        cmocka_unit_test(test_no_two_ids_are_the_same_in_any_thread),
        cmocka_unit_test(test_every_digit_turns_up_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
