/* What a request in JSON and one in protobuf have in common: names looked up in the signature,
 * shapes and completeness checked, in the same words. Internal to the layer. Names and shapes are
 * views of the request. */
#pragma once

#include "protocol/v2_infer.h"
#include "protocol/v2_reader.h"

struct v2_request {
    struct v2_reader *reader;
    struct v2_infer_request *ret;
    uint64_t inputs_given; /* bits: indexes into the signature */
    uint64_t outputs_given;
};

/* Memory for the signature's tensors in `ret`. */
void v2_request_init(struct v2_request *request, struct v2_reader *reader,
                     struct v2_infer_request *ret);

enum err v2_request_check_id(const struct v2_reader *reader, struct str id) MUST_CHECK;

/* Looks up an input that must exist and not have come before. */
enum err v2_request_add_input(struct v2_request *request, struct str name,
                              size_t *ret_index) MUST_CHECK;
enum err v2_request_find_datatype(const struct v2_reader *reader, const struct tensor_spec *spec,
                                  struct str name, enum datatype *ret) MUST_CHECK;
enum err v2_request_check_rank(const struct v2_reader *reader, const struct tensor_spec *spec,
                               size_t rank) MUST_CHECK;
/* Gives the tensor, whose datatype is set, its shape, and checks both against the spec. `rank` has
 * been checked. */
enum err v2_request_set_shape(const struct v2_reader *reader, const struct tensor_spec *spec,
                              const int64_t *shape, size_t rank, struct tensor *tensor) MUST_CHECK;
/* After the last input: none is missing, all have the same batch size. */
enum err v2_request_check_inputs(const struct v2_request *request) MUST_CHECK;

/* Looks up an output that must exist and not have come before. */
enum err v2_request_add_output(struct v2_request *request, struct str name,
                               size_t *ret_index) MUST_CHECK;
/* No output was named: all of them, binary as reader->binary_default says. */
void v2_request_ask_for_all(struct v2_request *request);
