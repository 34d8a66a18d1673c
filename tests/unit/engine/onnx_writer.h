/* Writes tiny ONNX files, for models that no tool would make: too many tensors, too many
 * dimensions, element types outside the protocol, optional outputs. Only what the tests need of the
 * format. */
#pragma once

#include "base/buffer.h"

/* ONNX TypeProto as bytes. Each call appends one type to `out`. A tensor without a shape: shape
 * NULL. */
void onnx_type_tensor(struct buffer *out, int element, const int64_t *shape, size_t rank);
void onnx_type_sequence(struct buffer *out, struct str element);
void onnx_type_map(struct buffer *out, int key, struct str value);
void onnx_type_optional(struct buffer *out, struct str element);

struct onnx_value {
    const char *name;
    struct str type; /* a TypeProto */
};

struct onnx_node {
    const char *op;
    const char *input; /* "" for none */
    const char *output;
    struct str type; /* attribute `type`; n == 0: none */
};

struct onnx_graph {
    const struct onnx_value *inputs, *outputs;
    size_t input_count, output_count;
    const struct onnx_node *nodes;
    size_t node_count;
};

/* Writes the model to `path`; opset 21, IR 10. */
void onnx_write(const char *path, const struct onnx_graph *graph);
