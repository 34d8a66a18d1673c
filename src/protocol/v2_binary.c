/* Bytes to tensors and back. Data is not touched where a view will do. */
#include "protocol/v2_binary.h"

#include "base/check.h"

enum { LENGTH_SIZE = 4 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "binary tensors are little-endian");

enum err v2_blob_take(struct v2_reader *reader, const struct tensor_spec *spec, uint64_t size,
                      struct str *ret) {
    if (size > reader->blobs.n) {
        return err_set(reader->text, ERR_INVALID,
                       "unexpected size for input '%s', expecting %llu additional bytes for model "
                       "'%s': it has %llu bytes, and %zu are left in the body",
                       spec->name, (unsigned long long)(size - reader->blobs.n),
                       reader->signature->model, (unsigned long long)size, reader->blobs.n);
    }
    *ret = (struct str){reader->blobs.p, (size_t)size};
    reader->blobs.p += size;
    reader->blobs.n -= (size_t)size;
    return ERR_OK;
}

static uint32_t read_length(const char *p) {
    uint32_t length;
    memcpy(&length, p, sizeof length);
    return length;
}

static enum err fail_element_count(const struct v2_reader *reader, const struct tensor_spec *spec,
                                   const struct tensor *tensor, size_t found) {
    return err_set(reader->text, ERR_INVALID,
                   "unexpected number of string elements %zu for inference input '%s' for model "
                   "'%s', expecting %lld",
                   found, spec->name, reader->signature->model, (long long)tensor->count);
}

static enum err read_bytes(struct v2_reader *reader, struct str blob,
                           const struct tensor_spec *spec, struct tensor *tensor) {
    const char *model = reader->signature->model;
    size_t count = (size_t)tensor->count;
    if (count > blob.n / LENGTH_SIZE) /* before memory is taken for them */
        return fail_element_count(reader, spec, tensor, blob.n / LENGTH_SIZE);
    enum err e = v2_reader_take(reader, spec, count, sizeof(struct str), &tensor->data);
    if (e)
        return e;
    struct str *elements = tensor->data;
    size_t found = 0;
    while (blob.n > 0) {
        if (blob.n < LENGTH_SIZE) {
            return err_set(reader->text, ERR_INVALID,
                           "incomplete string length indicator for inference input '%s' for model "
                           "'%s', expecting 4 bytes but only %zu bytes available",
                           spec->name, model, blob.n);
        }
        size_t length = read_length(blob.p);
        blob.p += LENGTH_SIZE;
        blob.n -= LENGTH_SIZE;
        if (length > blob.n) {
            return err_set(reader->text, ERR_INVALID,
                           "incomplete string data for inference input '%s' for model '%s', "
                           "expecting string of length %zu but only %zu bytes available",
                           spec->name, model, length, blob.n);
        }
        if (found < count)
            elements[found] = (struct str){blob.p, length};
        found++;
        blob.p += length;
        blob.n -= length;
    }
    return found == count ? ERR_OK : fail_element_count(reader, spec, tensor, found);
}

static enum err check_booleans(const struct v2_reader *reader, struct str blob,
                               const struct tensor_spec *spec) {
    unsigned char all = 0;
    for (size_t i = 0; i < blob.n; i++)
        all |= (unsigned char)blob.p[i];
    if (all <= 1)
        return ERR_OK;
    size_t at = 0;
    while ((unsigned char)blob.p[at] <= 1)
        at++;
    return err_set(reader->text, ERR_INVALID,
                   "unexpected byte for input '%s' for model '%s': element %zu is neither 0 nor 1 "
                   "(BOOL)",
                   spec->name, reader->signature->model, at);
}

enum err v2_blob_read(struct v2_reader *reader, struct str blob, const struct tensor_spec *spec,
                      struct tensor *tensor) {
    if (tensor->datatype == DATATYPE_BYTES)
        return read_bytes(reader, blob, spec, tensor);
    size_t bytes = tensor_bytes(tensor);
    if (blob.n != bytes) {
        char shape[SHAPE_TEXT_SIZE];
        return err_set(reader->text, ERR_INVALID,
                       "input byte size mismatch for input '%s' for model '%s'. Expected %zu, got "
                       "%zu (%s, shape %s)",
                       spec->name, reader->signature->model, bytes, blob.n,
                       datatype_name(tensor->datatype),
                       shape_format(tensor->shape, tensor->rank, shape, sizeof shape));
    }
    enum err e = ERR_OK;
    if (tensor->datatype == DATATYPE_BOOL)
        e = check_booleans(reader, blob, spec);
    if (e || (uintptr_t)blob.p % datatype_size(tensor->datatype) == 0) {
        tensor->data = (void *)(uintptr_t)blob.p; /* the body is writable memory of the caller */
        return e;
    }
    e = v2_reader_take(reader, spec, bytes, 1, &tensor->data);
    if (!e)
        memcpy(tensor->data, blob.p, bytes);
    return e;
}

/* The shape that a raw body of this size has; false when there is none. */
static bool raw_shape(const struct signature *signature, size_t body, struct tensor *ret,
                      size_t *ret_free) {
    const struct tensor_spec *spec = signature->inputs;
    int64_t shape[TENSOR_RANK_MAX] = {0};
    size_t free_at = 0;
    *ret_free = 0;
    for (size_t i = 0; i < spec->rank; i++) {
        shape[i] = spec->shape[i];
        if (shape[i] < 0) {
            shape[i] = 1;
            if (!(i == 0 && signature->batchable) && spec->datatype != DATATYPE_BYTES) {
                free_at = i;
                ++*ret_free;
            }
        }
    }
    if (*ret_free > 1 || tensor_set(ret, spec->datatype, shape, spec->rank, NULL))
        return false;
    if (*ret_free == 0)
        return true;
    size_t each = tensor_bytes(ret);
    if (each == 0 || body % each != 0)
        return false;
    shape[free_at] = (int64_t)(body / each);
    return tensor_set(ret, spec->datatype, shape, spec->rank, NULL) == ERR_OK;
}

enum err v2_blob_read_raw(struct v2_reader *reader, struct str body, struct tensor *ret) {
    const struct signature *signature = reader->signature;
    const struct tensor_spec *spec = signature->inputs;
    if (signature->input_count != 1) {
        return err_set(reader->text, ERR_INVALID,
                       "expected 1 inputs but got %zu inputs for model '%s': a raw binary request "
                       "needs a model with one input",
                       signature->input_count, signature->model);
    }
    struct tensor tensor;
    size_t free_dimensions;
    if (!raw_shape(signature, body.n, &tensor, &free_dimensions)) {
        char shape[SHAPE_TEXT_SIZE];
        shape_format(spec->shape, spec->rank, shape, sizeof shape);
        if (free_dimensions > 1) {
            return err_set(reader->text, ERR_INVALID,
                           "The shape of the raw input '%s' can not be deduced because there are "
                           "more than one variable-sized dimension: model '%s' expects %s",
                           spec->name, signature->model, shape);
        }
        return err_set(reader->text, ERR_INVALID,
                       "input byte size mismatch for input '%s' for model '%s'. Expected whole "
                       "elements for shape %s (%s), got %zu bytes",
                       spec->name, signature->model, shape, datatype_name(spec->datatype), body.n);
    }
    enum err e;
    if (spec->datatype != DATATYPE_BYTES) {
        e = v2_blob_read(reader, body, spec, &tensor);
    } else if (tensor.count != 1) {
        e = fail_element_count(reader, spec, &tensor, 1);
    } else {
        e = v2_reader_take(reader, spec, 1, sizeof body, &tensor.data);
        if (!e)
            memcpy(tensor.data, &body, sizeof body);
    }
    if (!e)
        *ret = tensor;
    return e;
}

enum err v2_blob_write(struct arena *arena, const struct tensor *tensor, struct str *ret,
                       struct err_text *text) {
    if (tensor->datatype != DATATYPE_BYTES) {
        *ret = (struct str){tensor->data, tensor_bytes(tensor)};
        return ERR_OK;
    }
    const struct str *elements = tensor->data;
    size_t count = (size_t)tensor->count;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (elements[i].n > UINT32_MAX) {
            return err_set(text, ERR_INTERNAL, "element %zu has %zu bytes, more than BYTES can say",
                           i, elements[i].n);
        }
        total += LENGTH_SIZE + elements[i].n;
    }
    char *out = arena_try_new(arena, total, 1, SIZE_MAX);
    if (!out)
        return err_set(text, ERR_NO_MEMORY, "no memory for %zu bytes of BYTES data", total);
    *ret = (struct str){out, total};
    for (size_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)elements[i].n;
        memcpy(out, &length, LENGTH_SIZE);
        if (length > 0)
            memcpy(out + LENGTH_SIZE, elements[i].p, length);
        out += LENGTH_SIZE + length;
    }
    return ERR_OK;
}
