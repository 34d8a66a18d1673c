/* What a request's tensors cost beyond their body is counted against the reader's limit; what the
 * machine has not got is no fault of the request. */
#include "protocol/v2_reader.h"

enum err v2_reader_take(struct v2_reader *reader, const struct tensor_spec *spec, size_t count,
                        size_t size, void **ret) {
    size_t left = reader->bytes_max - reader->bytes_used;
    size_t total;
    if (!num_mul_size(count, size, &total) || total > left) {
        return err_set(reader->text, ERR_BODY_TOO_LARGE,
                       "input '%s' for model '%s' has %zu elements of %zu bytes in memory, and the "
                       "tensors of one request may take %zu bytes",
                       spec->name, reader->signature->model, count, size, reader->bytes_max);
    }
    void *p = arena_try_new(reader->arena, count, size, left);
    if (!p)
        return v2_reader_fail_memory(reader);
    reader->bytes_used += total;
    *ret = p;
    return ERR_OK;
}

enum err v2_reader_fail_memory(const struct v2_reader *reader) {
    return err_set(reader->text, ERR_NO_MEMORY, "no memory to read the request for model '%s'",
                   reader->signature->model);
}
