/* Large arrays of numbers, taken out of a request's JSON before it is parsed: parsed values cost
 * time and 16 bytes each, only to be copied into a tensor. Internal to the layer.
 * What is lifted is found by its looks ("data": [[0.5, ...), without parsing; that no more and no
 * less than the request's tensors was lifted, the caller finds out by counting who asks for it. */
#pragma once

#include "protocol/v2_reader.h"

enum { V2_LIFT_MIN = 1024 }; /* bytes of an array; shorter ones are quicker parsed with the rest */

struct v2_lifted {
    const char *string; /* content of the empty string that stands for the array in the new text */
    struct str array;   /* in the old text, with its brackets */
};

struct v2_lift {
    struct v2_lifted arrays[SIGNATURE_TENSORS_MAX];
    size_t count;
    size_t taken;
    char *json; /* the new text: in the arena, with V2_BODY_SPARE bytes behind */
    size_t length;
};

/* False: nothing worth it was found, or what would be left is long too. The old text is not
 * changed; V2_NUMBERS_SPARE bytes behind it can be read. */
bool v2_lift_arrays(struct arena *arena, const char *json, size_t length, struct v2_lift *ret);

/* Does this string stand for an array? Each is taken once. */
bool v2_lift_take(struct v2_lift *lift, const char *string, struct str *ret_array);
