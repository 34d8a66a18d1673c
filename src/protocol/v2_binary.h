/* The binary tensor extension: a tensor's bytes as they follow the JSON. Internal to the layer.
 * Source: Triton, extension_binary_data: little-endian, row-major, no padding; BOOL is one byte; a
 * BYTES element is its length in four bytes, then its bytes. */
#pragma once

#include "protocol/v2_reader.h"

/* Takes the next `size` bytes off reader->blobs; ERR_INVALID when fewer are left. */
enum err v2_blob_take(struct v2_reader *reader, const struct tensor_spec *spec, uint64_t size,
                      struct str *ret) MUST_CHECK;

/* Makes `blob` the data of `tensor`, whose shape and count are set and fit `spec`: a view when it
 * is aligned to the datatype's size, else a copy; BYTES elements point into it. BOOL bytes must be
 * 0 or 1, since anything else is undefined behaviour in the engine. */
enum err v2_blob_read(struct v2_reader *reader, struct str blob, const struct tensor_spec *spec,
                      struct tensor *tensor) MUST_CHECK;

/* The raw binary request: `body` is the model's one input. A batchable model gets a batch of 1; at
 * most one other free dimension is computed from the size. BYTES: the body is one element, without
 * a length before it. */
enum err v2_blob_read_raw(struct v2_reader *reader, struct str body, struct tensor *ret) MUST_CHECK;

/* A tensor's bytes as they go out: a view, or for BYTES a copy in the arena with lengths.
 * ERR_INTERNAL when memory is out or an element is longer than the format can say. */
enum err v2_blob_write(struct arena *arena, const struct tensor *tensor, struct str *ret,
                       struct err_text *text) MUST_CHECK;
