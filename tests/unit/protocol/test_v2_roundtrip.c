// write(read(x)) = x: random tensors of every datatype, as JSON flat and nested, and as binary
// data.
#include "v2_fixture.h"

enum { ROUNDS = 300, COUNT_MAX = 60 };

static uint64_t random_state = 1;

static uint64_t next_random(void) { // splitmix64
    uint64_t z = (random_state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// Any bit pattern of the datatype that JSON can say: finite numbers, UTF-8 text.
static void fill_element(enum datatype datatype, char *out, struct arena *arena) {
    uint64_t bits = next_random();
    if (next_random() % 8 == 0)
        bits &= next_random() & next_random() & next_random(); // small and special numbers too
    if (datatype == DATATYPE_BOOL)
        bits &= 1;
    if (datatype == DATATYPE_FP16 && (bits & 0x7C00) == 0x7C00)
        bits ^= 0x4000;
    if (datatype == DATATYPE_BF16 && (bits & 0x7F80) == 0x7F80)
        bits ^= 0x4000;
    if (datatype == DATATYPE_FP32 && (bits & 0x7F800000) == 0x7F800000)
        bits ^= 0x40000000;
    if (datatype == DATATYPE_FP64 && (bits >> 52 & 0x7FF) == 0x7FF)
        bits ^= (uint64_t)1 << 62;
    if (datatype != DATATYPE_BYTES) {
        memcpy(out, &bits, datatype_size(datatype));
        return;
    }
    static const char *const letters[] = {
        "",  "a",    "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "/", "\x7f", "0"};
    char text[64];
    size_t n = 0;
    for (uint64_t i = bits % 12; i > 0; i--) {
        const char *letter = letters[next_random() % 12];
        memcpy(text + n, letter, strlen(letter) + (*letter == '\0'));
        n += strlen(letter) + (*letter == '\0'); // the empty one stands for NUL
    }
    text[n] = '\0';
    struct str element = {arena_copy(arena, (struct str){text, n}), n};
    memcpy(out, &element, sizeof element);
}

static void expect_same(const struct tensor *a, const struct tensor *b) {
    assert_int_equal(a->datatype, b->datatype);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, a->rank * sizeof *a->shape);
    assert_int_equal(a->count, b->count);
    if (a->datatype != DATATYPE_BYTES) {
        assert_true(a->count == 0 || memcmp(a->data, b->data, tensor_bytes(a)) == 0);
        return;
    }
    for (int64_t i = 0; i < a->count; i++)
        assert_true(str_eq(((const struct str *)a->data)[i], ((const struct str *)b->data)[i]));
}

static struct tensor make_tensor(enum datatype datatype, struct arena *arena) {
    struct tensor tensor;
    int64_t shape[3];
    for (int i = 0; i < 3; i++)
        shape[i] = (int64_t)(next_random() % 5);
    assert_int_equal(tensor_set(&tensor, datatype, shape, 3, NULL), ERR_OK);
    size_t size = datatype_size(datatype);
    tensor.data = arena_new(arena, COUNT_MAX * 2 * size);
    for (int64_t i = 0; i < tensor.count; i++)
        fill_element(datatype, (char *)tensor.data + (size_t)i * size, arena);
    return tensor;
}

// The tensor written as an answer, turned into a request: the output's object is an input's.
static struct str answer_as_request(struct v2_fixture *f, const struct tensor *tensor, bool binary,
                                    struct arena *arena) {
    struct v2_output_request outputs[1] = {{0, binary}};
    f->request = (struct v2_infer_request){.outputs = outputs, .output_count = 1};
    assert_int_equal(v2_fixture_write(f, tensor, V2_NONFINITE_NULL), ERR_OK);
    static const char before[] = "{\"model_name\":\"m\",\"model_version\":\"7\",\"outputs\":";
    assert_memory_equal(f->json.data, before, sizeof before - 1);
    struct str rest = {f->json.data + sizeof before - 1, f->json.used - (sizeof before - 1)};
    return str_of(arena_format(arena, "{\"inputs\":%.*s", STR_ARG(rest)));
}

// "data":[1,2,...] of a flat answer to "data":[[1,2],...] of the shape.
static struct str nested(struct str flat, const struct tensor *tensor, struct arena *arena) {
    static const char before[] = "\"data\":[";
    char *at = strstr(flat.p, before);
    assert_non_null(at);
    at += sizeof before - 1;
    struct buffer out;
    buffer_init(&out, SIZE_MAX);
    buffer_add(&out, flat.p, (size_t)(at - flat.p));
    for (int64_t i = 0; i < tensor->count; i++) {
        int64_t row = tensor->shape[2];
        int64_t plane = row * tensor->shape[1];
        buffer_add_c(&out, i % plane == 0 ? (i ? "]],[[" : "[[")
                           : i % row == 0 ? "],["
                           : i            ? ","
                                          : "");
        size_t n = strcspn(at, ",]");
        buffer_add(&out, at, n);
        at += n + 1;
    }
    buffer_add_c(&out, "]]]}]}");
    struct str copy = {arena_copy(arena, buffer_str(&out)), out.used};
    buffer_done(&out);
    return copy;
}

static void test_every_datatype_survives_json_and_binary_data(void **state) {
    (void)state;
    static const int64_t free_shape[] = {-1, -1, -1, 0};
    for (int round = 0; round < ROUNDS * DATATYPE_COUNT; round++) {
        enum datatype datatype = (enum datatype)(round % DATATYPE_COUNT);
        struct v2_fixture f;
        struct arena arena; // outlives what the fixture's reads throw away
        arena_init(&arena);
        v2_fixture_init_one(&f, datatype, free_shape);
        f.inputs[0].name = f.outputs[0].name;
        struct tensor tensor = make_tensor(datatype, &arena);

        struct str json = answer_as_request(&f, &tensor, false, &arena);
        assert_int_equal(v2_fixture_read(&f, json, V2_NO_HEADER_LENGTH), ERR_OK);
        expect_same(&tensor, &f.request.inputs[0]);

        if (tensor.count > 0 && datatype != DATATYPE_BYTES) { // strings may hold a comma
            json = nested(json, &tensor, &arena);
            assert_int_equal(v2_fixture_read(&f, json, V2_NO_HEADER_LENGTH), ERR_OK);
            expect_same(&tensor, &f.request.inputs[0]);
        }

        json = answer_as_request(&f, &tensor, true, &arena);
        struct str blob = {arena_copy(&arena, f.parts[0]), f.parts[0].n};
        assert_int_equal(v2_fixture_read_binary(&f, json.p, blob), ERR_OK);
        expect_same(&tensor, &f.request.inputs[0]);
        arena_done(&arena);
        v2_fixture_done(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_datatype_survives_json_and_binary_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
