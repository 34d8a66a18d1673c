/* The `parameters` objects of a v2 request: what is reserved, what is refused, what is passed over.
 * Internal to the layer. Source: Triton, extension_parameters, extension_schedule_policy,
 * extension_binary_data. */
#pragma once

#include "protocol/v2_json.h"

struct v2_infer_request;

enum v2_parameter_kind {
    V2_PARAMETER_OTHER, /* not one that a parameter may have */
    V2_PARAMETER_BOOLEAN,
    V2_PARAMETER_UNSIGNED, /* an integer from 0 to 2^64-1 */
    V2_PARAMETER_NUMBER,   /* any other */
    V2_PARAMETER_TEXT,
};

/* One parameter, whichever format it came in. */
struct v2_parameter {
    struct str name; /* NUL-terminated */
    enum v2_parameter_kind kind;
    bool zero; /* the value is false, 0 or "" */
    bool boolean;
    uint64_t whole; /* UNSIGNED */
};

struct v2_parameters {
    const struct v2_parameter *items;
    size_t count;
    const char *fault; /* why there is no list ("must be an object"); else NULL */
};

/* `value` may be NULL (none given). The list is in the arena. */
struct v2_parameters v2_parameters_from_json(const struct v2_reader *reader, yyjson_val *value);
/* The fault of a list that is longer than V2_PARAMETERS_MAX; else NULL. */
const char *v2_parameters_check_count(size_t count);

/* Values are strings, numbers or booleans. Names not known here are passed over. */

/* priority, timeout, binary_data_output (to reader->binary_default); refuses sequence_*, headers,
 * triton_*. */
enum err v2_parameters_read_request(struct v2_reader *reader,
                                    const struct v2_parameters *parameters,
                                    struct v2_infer_request *request) MUST_CHECK;

struct v2_input_parameters {
    bool has_size;
    uint64_t size; /* binary_data_size */
};

/* binary_data_size; refuses shared memory. */
enum err v2_parameters_read_input(const struct v2_reader *reader,
                                  const struct v2_parameters *parameters, struct str input,
                                  struct v2_input_parameters *ret) MUST_CHECK;

/* binary_data (ret_binary: left alone when absent); refuses shared memory and classification. */
enum err v2_parameters_read_output(const struct v2_reader *reader,
                                   const struct v2_parameters *parameters, struct str output,
                                   bool *ret_binary) MUST_CHECK;
