/* An array of JSON numbers, from its text straight into a tensor. Internal to the layer.
 * It reads what v2_values.h accepts of numbers, and nothing else: whatever it refuses has to be
 * looked at again as parsed JSON, which may accept it, or can say what is wrong with it. */
#pragma once

#include "protocol/v2_reader.h"

/* What stands behind `array` and is looked at (never used): readable bytes. */
enum { V2_NUMBERS_SPARE = 8 };

/* `array` begins with '[' and ends with ']'; datatype, shape and count of `tensor` are set and fit
 * `spec`. Takes memory for the elements from the reader. Errors have no text. */
enum err v2_numbers_read(struct v2_reader *reader, struct str array, const struct tensor_spec *spec,
                         struct tensor *tensor) MUST_CHECK;
