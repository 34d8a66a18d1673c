// layer: protocol
// An array of numbers, read from its text and read as parsed JSON: both accept the same, and make
// the same tensor of it. One byte chooses the datatype, one the shape, the rest is the array.
#include "base/check.h"
#include "protocol/v2_numbers.h"
#include "protocol/v2_values.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_parsed(struct v2_reader *reader, struct str array,
                            const struct tensor_spec *spec, struct tensor *tensor) {
    char *text = malloc(array.n + YYJSON_PADDING_SIZE);
    CHECK(text);
    memcpy(text, array.p, array.n);
    yyjson_val *root;
    enum err e = v2_json_parse(reader, text, array.n, &root);
    if (!e)
        e = v2_values_read(reader, root, spec, tensor);
    free(text);
    return e;
}

// Numbers only: what else the array holds is refused in either way, or not for numbers_read.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t shapes[][3] = {{1}, {2}, {3}, {1, 2}, {2, 2}, {3, 1}, {2, 1, 2}, {1, 3, 1}};
    static const uint8_t ranks[] = {1, 1, 1, 2, 2, 2, 3, 3};
    if (size < 4 || data[2] != '[' || data[size - 1] != ']')
        return 0;
    enum datatype datatype = (enum datatype)(data[0] % DATATYPE_BYTES);
    struct str array = {malloc(size - 2 + V2_NUMBERS_SPARE), size - 2};
    CHECK(array.p);
    memcpy((char *)(uintptr_t)array.p, data + 2, size - 2);
    memset((char *)(uintptr_t)array.p + array.n, '1', V2_NUMBERS_SPARE);
    struct tensor_spec spec = {.name = (char[]){"X"}, .datatype = datatype};
    struct signature signature = {.model = "m", .version = "1", .inputs = &spec, .input_count = 1};
    struct tensor direct;
    CHECK(tensor_set(&direct, datatype, shapes[data[1] % 8], ranks[data[1] % 8], NULL) == ERR_OK);
    struct tensor parsed = direct;
    struct arena arena;
    arena_init(&arena);
    struct v2_reader reader = {.arena = &arena, .signature = &signature, .bytes_max = 1 << 24};
    enum err e = v2_numbers_read(&reader, array, &spec, &direct);
    if (datatype != DATATYPE_BOOL) {
        CHECK((e == ERR_OK) == (read_parsed(&reader, array, &spec, &parsed) == ERR_OK));
        CHECK(e || memcmp(direct.data, parsed.data, tensor_bytes(&direct)) == 0);
    } else {
        CHECK(e);
    }
    arena_done(&arena);
    free((char *)(uintptr_t)array.p);
    return 0;
}
