// Reads request bodies and writes answers for the tests of the v2 codec. A body lies in an
// allocation of exactly its size (and the spare bytes), so that the sanitizers see a read beyond.
#pragma once

#include "protocol/v2_infer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct v2_fixture {
    struct signature signature; // model "m", version "7"; inputs X, Y, ...; outputs A, B, ...
    struct tensor_spec inputs[4];
    struct tensor_spec outputs[4];
    struct v2_limits limits;
    struct arena arena;
    char *body; // of the newest read
    struct v2_infer_request request;
    struct err_text text; // "" after success
    struct buffer json;
    struct str parts[4];
    size_t part_count;
};

// A model without tensors yet.
void v2_fixture_init(struct v2_fixture *f);
void v2_fixture_done(struct v2_fixture *f);
// Adds the next input (X, Y, Z, W) or output (A, B, C, D); the shape is up to its first 0 or 8
// long:
// {-1, 30}. A scalar is {0}.
void v2_fixture_input(struct v2_fixture *f, enum datatype datatype, const int64_t *shape);
void v2_fixture_output(struct v2_fixture *f, enum datatype datatype, const int64_t *shape);
// One input X and one output A of the same datatype and shape.
void v2_fixture_init_one(struct v2_fixture *f, enum datatype datatype, const int64_t *shape);

enum err v2_fixture_read(struct v2_fixture *f, struct str body, int64_t json_length);
enum err v2_fixture_read_json(struct v2_fixture *f, const char *json);
// JSON, then blobs: the header names the JSON's length.
enum err v2_fixture_read_binary(struct v2_fixture *f, const char *json, struct str blobs);
// {"inputs":[{"name":"X","shape":SHAPE,"datatype":DATATYPE,"data":DATA}]}
enum err v2_fixture_read_data(struct v2_fixture *f, const char *shape, const char *data);

// Checks the newest error's text: equal, or for a text that ends in "..." its beginning.
void v2_expect_text(const struct v2_fixture *f, const char *expected);

// Writes the tensors as the answer to f->request; the JSON is f->json.
enum err v2_fixture_write(struct v2_fixture *f, const struct tensor *outputs,
                          enum v2_nonfinite nonfinite);
void v2_expect_json(const struct v2_fixture *f, const char *expected);
