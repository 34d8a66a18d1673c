/* The `parameters` objects of a v2 request: what is reserved, what is refused, what is passed over.
 * Internal to the layer. Source: Triton, extension_parameters, extension_schedule_policy,
 * extension_binary_data. */
#pragma once

#include "protocol/v2_json.h"

struct v2_infer_request;

/* `parameters` may be NULL everywhere (none given). At most V2_PARAMETERS_MAX each; values are
 * strings, numbers or booleans. Names not known here are passed over. */

/* priority, timeout, binary_data_output (to reader->binary_default); refuses sequence_*, headers,
 * triton_*. */
enum err v2_parameters_read_request(struct v2_reader *reader, yyjson_val *parameters,
                                    struct v2_infer_request *request) MUST_CHECK;

struct v2_input_parameters {
    bool has_size;
    uint64_t size; /* binary_data_size */
};

/* binary_data_size; refuses shared memory. */
enum err v2_parameters_read_input(const struct v2_reader *reader, yyjson_val *parameters,
                                  struct str input, struct v2_input_parameters *ret) MUST_CHECK;

/* binary_data (ret_binary: left alone when absent); refuses shared memory and classification. */
enum err v2_parameters_read_output(const struct v2_reader *reader, yyjson_val *parameters,
                                   struct str output, bool *ret_binary) MUST_CHECK;
