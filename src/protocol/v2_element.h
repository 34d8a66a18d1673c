/* One element of a tensor from one JSON value. Internal to the layer; what each datatype accepts is
 * said in v2_values.h. */
#pragma once

#include "protocol/v2_json.h"

/* Why a value is not an element. */
enum v2_fault {
    V2_FAULT_NONE,
    V2_FAULT_KIND,
    V2_FAULT_RANGE,
    V2_FAULT_FRACTION,
    V2_FAULT_INEXACT,
};

/* What integers of so many bytes hold: indexed by 1, 2, 4, 8. */
extern const struct v2_range {
    uint64_t unsigned_max;
    int64_t min, max;
} v2_ranges[];

/* Writes datatype_size(datatype) bytes, also when there is a fault (of no meaning then).
 * Little-endian hosts only, as all tensor data is. A string of BYTES stays where it is. */
enum v2_fault v2_element_read(yyjson_val *value, enum datatype datatype, char *out);
/* Rounds `value` to one of the FP datatypes, once; a fault when it is not finite there. */
enum v2_fault v2_element_store_real(double value, enum datatype datatype, char *out);
