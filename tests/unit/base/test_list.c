/* The intrusive list: order, removal anywhere, one list a node. */
#include "base/death.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct item {
    int value;
    struct list_node node;
};

static void check_order(struct list *list, const int *values, size_t count) {
    struct list_node *node = list_first(list);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(node);
        assert_int_equal(CONTAINER_OF(node, struct item, node)->value, values[i]);
        node = list_next(list, node);
    }
    assert_null(node);
}

static void test_a_new_list_is_empty(void **state) {
    (void)state;
    struct list list;
    list_init(&list);
    assert_true(list_empty(&list));
    assert_null(list_first(&list));
    assert_null(list_take_first(&list));
}

static void test_nodes_stand_in_the_order_they_were_added(void **state) {
    (void)state;
    struct list list;
    list_init(&list);
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    for (size_t i = 0; i < 3; i++) {
        assert_false(list_linked(&items[i].node));
        list_add_last(&list, &items[i].node);
        assert_true(list_linked(&items[i].node));
    }
    assert_false(list_empty(&list));
    check_order(&list, (int[]){1, 2, 3}, 3);
}

static void test_a_node_can_leave_from_any_place(void **state) {
    (void)state;
    static const int left[3][2] = {{2, 3}, {1, 3}, {1, 2}};
    for (size_t leaves = 0; leaves < 3; leaves++) {
        struct list list;
        list_init(&list);
        struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
        for (size_t i = 0; i < 3; i++)
            list_add_last(&list, &items[i].node);
        list_remove(&items[leaves].node);
        assert_false(list_linked(&items[leaves].node));
        check_order(&list, left[leaves], 2);
        list_add_last(&list, &items[leaves].node);
        check_order(&list, (int[]){left[leaves][0], left[leaves][1], (int)leaves + 1}, 3);
    }
}

static void test_taking_empties_the_list_in_order(void **state) {
    (void)state;
    struct list list;
    list_init(&list);
    struct item items[2] = {{.value = 1}, {.value = 2}};
    list_add_last(&list, &items[0].node);
    list_add_last(&list, &items[1].node);
    assert_ptr_equal(list_take_first(&list), &items[0].node);
    assert_false(list_linked(&items[0].node));
    assert_ptr_equal(list_take_first(&list), &items[1].node);
    assert_null(list_take_first(&list));
    assert_true(list_empty(&list));
}

static void add_twice(void *context) {
    struct list list;
    list_init(&list);
    list_add_last(&list, context);
    list_add_last(&list, context);
}

static void remove_unlinked(void *context) {
    list_remove(context);
}

static void test_a_node_in_two_lists_or_in_none_is_a_broken_check(void **state) {
    (void)state;
    char said[256];
    struct list_node node = {NULL, NULL};
    assert_true(dies(add_twice, &node, said, sizeof said));
    assert_non_null(strstr(said, "!node->next"));
    assert_true(dies(remove_unlinked, &node, said, sizeof said));
    assert_non_null(strstr(said, "node->next"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_list_is_empty),
        cmocka_unit_test(test_nodes_stand_in_the_order_they_were_added),
        cmocka_unit_test(test_a_node_can_leave_from_any_place),
        cmocka_unit_test(test_taking_empties_the_list_in_order),
        cmocka_unit_test(test_a_node_in_two_lists_or_in_none_is_a_broken_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
