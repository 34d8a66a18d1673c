// In the steady state a request's body is read and its answer written without the heap: the arena
// and the buffer are those of the request before. Counted at malloc itself; the sanitizers have
// their own, so that under them nothing is counted.
#include "sanitized.h"
#include "v2_fixture.h"

#include "base/check.h"

#include <stdatomic.h>

static atomic_size_t allocations;

#if !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, size);
}
#endif

// One request and its answer, as often as `times`.
static void serve(struct v2_fixture *f, struct str request, char *body, int times) {
    float values[512] = {0.1F, 2.5F};
    struct tensor output;
    assert_int_equal(tensor_set(&output, DATATYPE_FP32, (int64_t[]){512}, 1, NULL), ERR_OK);
    output.data = values;
    while (times-- > 0) {
        arena_reset(&f->arena);
        memcpy(body, request.p, request.n);
        assert_int_equal(v2_infer_read(&f->arena, body, request.n, V2_NO_HEADER_LENGTH,
                                       &f->signature, &f->limits, &f->request, &f->text),
                         ERR_OK);
        assert_int_equal(v2_fixture_write(f, &output, V2_NONFINITE_NULL), ERR_OK);
    }
}

static void expect_no_allocation(size_t count, const char *element) {
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){-1, 0});
    struct buffer request;
    buffer_init(&request, SIZE_MAX);
    buffer_add_format(
        &request, "{\"inputs\":[{\"name\":\"X\",\"shape\":[%zu],\"datatype\":\"FP32\",\"data\":[",
        count);
    for (size_t i = 0; i < count; i++) {
        buffer_add_c(&request, i > 0 ? "," : "");
        buffer_add_c(&request, element);
    }
    buffer_add_c(&request, "]}]}");
    char *body = malloc(request.used + V2_BODY_SPARE);
    assert_non_null(body);
    serve(&f, buffer_str(&request), body, 10);
    size_t before = atomic_load(&allocations);
    assert_true(SANITIZED || before > 0);
    serve(&f, buffer_str(&request), body, 100);
    assert_int_equal(atomic_load(&allocations), before);
    free(body);
    buffer_done(&request);
    v2_fixture_done(&f);
}

static void test_small_requests_are_served_without_the_heap(void **state) {
    (void)state;
    expect_no_allocation(30, "0.25");
}

static void test_lifted_arrays_are_read_without_the_heap(void **state) {
    (void)state;
    expect_no_allocation(8000, "0.57999998331069946");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_requests_are_served_without_the_heap),
        cmocka_unit_test(test_lifted_arrays_are_read_without_the_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
