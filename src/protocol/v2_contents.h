/* Typed tensor data of protobuf (InferTensorContents) to elements. Internal to the layer. */
#pragma once

#include "protocol/v2_reader.h"

struct Inference__InferTensorContents;

/* True when any of its fields has an element. NULL has none. */
bool v2_contents_given(const struct Inference__InferTensorContents *contents);

/* Makes `contents` the data of `tensor`, whose shape and count are set and fit `spec`: the array
 * that was unpacked where the datatype has one of its size, else a copy. ERR_INVALID: elements in a
 * field that is not the datatype's, too many or too few, an integer out of the datatype's range.
 * FP16 and BF16 have no field. */
enum err v2_contents_read(struct v2_reader *reader,
                          const struct Inference__InferTensorContents *contents,
                          const struct tensor_spec *spec, struct tensor *tensor) MUST_CHECK;
