/* The few messages of onnx.proto that onnx_writer.h needs, in the protobuf wire format. */
#include "engine/onnx_writer.h"

#include "base/check.h"

#include <stdio.h>

enum { SIZE_MAX_BYTES = 1 << 20 };

static void add_varint(struct buffer *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        buffer_add_char(out, (char)(0x80 | (value & 0x7f)));
    buffer_add_char(out, (char)value);
}

static void add_number(struct buffer *out, unsigned field, uint64_t value) {
    add_varint(out, field << 3);
    add_varint(out, value);
}

static void add_bytes(struct buffer *out, unsigned field, struct str bytes) {
    add_varint(out, field << 3 | 2);
    add_varint(out, bytes.n);
    buffer_add_str(out, bytes);
}

/* Appends `inner` as a field and frees it. */
static void add_message(struct buffer *out, unsigned field, struct buffer *inner) {
    add_bytes(out, field, buffer_str(inner));
    buffer_done(inner);
}

static struct buffer message(void) {
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX_BYTES);
    return buffer;
}

void onnx_type_tensor(struct buffer *out, int element, const int64_t *shape, size_t rank) {
    struct buffer tensor = message(), dimensions = message();
    add_number(&tensor, 1, (uint64_t)element);
    for (size_t i = 0; i < rank; i++) {
        struct buffer dimension = message();
        if (shape[i] < 0)
            add_bytes(&dimension, 2, STR("free"));
        else
            add_number(&dimension, 1, (uint64_t)shape[i]);
        add_message(&dimensions, 1, &dimension);
    }
    if (shape)
        add_message(&tensor, 2, &dimensions);
    add_message(out, 1, &tensor);
}

void onnx_type_sequence(struct buffer *out, struct str element) {
    struct buffer sequence = message();
    add_bytes(&sequence, 1, element);
    add_message(out, 4, &sequence);
}

void onnx_type_map(struct buffer *out, int key, struct str value) {
    struct buffer map = message();
    add_number(&map, 1, (uint64_t)key);
    add_bytes(&map, 2, value);
    add_message(out, 5, &map);
}

void onnx_type_optional(struct buffer *out, struct str element) {
    struct buffer optional = message();
    add_bytes(&optional, 1, element);
    add_message(out, 9, &optional);
}

static void add_values(struct buffer *graph, unsigned field, const struct onnx_value *values,
                       size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct buffer value = message();
        add_bytes(&value, 1, str_of(values[i].name));
        add_bytes(&value, 2, values[i].type);
        add_message(graph, field, &value);
    }
}

static void add_node(struct buffer *graph, const struct onnx_node *from) {
    struct buffer node = message();
    if (from->input[0])
        add_bytes(&node, 1, str_of(from->input));
    add_bytes(&node, 2, str_of(from->output));
    add_bytes(&node, 4, str_of(from->op));
    if (from->type.n > 0) {
        struct buffer attribute = message();
        add_bytes(&attribute, 1, STR("type"));
        add_bytes(&attribute, 14, from->type);
        add_number(&attribute, 20, 13); /* TYPE_PROTO */
        add_message(&node, 5, &attribute);
    }
    add_message(graph, 1, &node);
}

void onnx_write(const char *path, const struct onnx_graph *from) {
    struct buffer model = message(), graph = message(), opset = message();
    for (size_t i = 0; i < from->node_count; i++)
        add_node(&graph, &from->nodes[i]);
    add_bytes(&graph, 2, STR("test"));
    add_values(&graph, 11, from->inputs, from->input_count);
    add_values(&graph, 12, from->outputs, from->output_count);
    add_number(&model, 1, 10);
    add_message(&model, 7, &graph);
    add_number(&opset, 2, 21);
    add_message(&model, 8, &opset);
    FILE *file = fopen(path, "we");
    CHECK(file && fwrite(model.data, 1, model.used, file) == model.used && fclose(file) == 0);
    buffer_done(&model);
}
