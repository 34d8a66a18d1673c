/* A tensor's `data` in JSON: values, flat or nested to the shape. Internal to the layer. */
#pragma once

#include "protocol/v2_json.h"

/* Reads `data` into memory of the arena; datatype, shape and count of `tensor` are set and fit
 * `spec`. What each datatype accepts: BOOL           true and false only UINT*, INT*    integers in
 * range; a number written with a fraction or an exponent ("3.0", "1e3") when it is integral and
 * below 2^52, up to where such numbers are exact FP*            any number that rounds to a finite
 * value of the datatype BYTES          strings (valid UTF-8; \u0000 is kept) Error texts name
 * positions, never values. */
enum err v2_values_read(struct v2_reader *reader, yyjson_val *data, const struct tensor_spec *spec,
                        struct tensor *tensor) MUST_CHECK;
