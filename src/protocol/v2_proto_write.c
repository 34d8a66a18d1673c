/* A ModelInferResponse as pieces for one gather write. All lengths are known before the first byte
 * is written, so one run of arena memory holds everything but the large outputs, which stay where
 * the engine put them. */
#include "base/check.h"
#include "protocol/v2_binary.h"
#include "protocol/v2_proto.h"
#include "protocol/v2_wire.h"

enum {
    COPIED_MAX = 512,                         /* a smaller output is cheaper to copy than to list */
    VIEWS_MAX = (V2_PROTO_PARTS_MAX - 1) / 2, /* each has a part before it, one ends the message */
};

/* Field numbers. */
enum { RESPONSE_NAME = 1, RESPONSE_VERSION = 2, RESPONSE_ID = 3, RESPONSE_PARAMETERS = 4 };
enum { RESPONSE_OUTPUTS = 5, RESPONSE_RAW = 6 };
enum { OUTPUT_NAME = 1, OUTPUT_DATATYPE = 2, OUTPUT_SHAPE = 3 };
enum { STREAM_INFER_RESPONSE = 2 };

/* An entry of `parameters`: the key (1) triton_final_response and a value (2) whose bool_param (1)
 * is true. */
static const char final_response[] = "\x0a\x15triton_final_response\x12\x02\x08\x01";
#define FINAL_RESPONSE ((struct str){final_response, sizeof final_response - 1})

struct output_plan {
    struct str data;
    size_t head; /* bytes of its InferOutputTensor */
    bool viewed; /* the data is not copied */
};

struct plan {
    const struct v2_infer_response *response;
    bool stream;
    struct output_plan *outputs;
    size_t written; /* bytes that are written here: all but the views */
    size_t total;   /* of the ModelInferResponse */
};

static struct str name_of(const struct v2_infer_response *response, size_t i) {
    return str_of(response->signature->outputs[response->request->outputs[i].index].name);
}

static size_t shape_size(const struct tensor *tensor) {
    size_t size = 0;
    for (size_t i = 0; i < tensor->rank; i++)
        size += v2_wire_varint_size((uint64_t)tensor->shape[i]);
    return size;
}

static size_t output_size(const struct v2_infer_response *response, size_t i) {
    const struct tensor *tensor = &response->outputs[i];
    size_t size = v2_wire_bytes_size(name_of(response, i).n) +
                  v2_wire_bytes_size(strlen(datatype_name(tensor->datatype)));
    return tensor->rank > 0 ? size + v2_wire_bytes_size(shape_size(tensor)) : size;
}

/* A field that is empty is not sent. */
static size_t text_size(struct str s) {
    return s.n > 0 ? v2_wire_bytes_size(s.n) : 0;
}

static char *put_text(char *out, uint32_t number, struct str s) {
    return s.n > 0 ? v2_wire_put_str(out, number, s) : out;
}

static enum err make_plan(struct arena *arena, struct plan *plan, struct err_text *text) {
    const struct v2_infer_response *response = plan->response;
    const struct v2_infer_request *request = response->request;
    size_t views = 0;
    size_t viewed_bytes = 0;
    plan->total = text_size(str_of(response->signature->model)) +
                  text_size(str_of(response->signature->version)) + text_size(request->id) +
                  (plan->stream ? v2_wire_bytes_size(FINAL_RESPONSE.n) : 0);
    for (size_t i = 0; i < request->output_count; i++) {
        struct output_plan *output = &plan->outputs[i];
        enum err e = v2_blob_write(arena, &response->outputs[i], &output->data, text);
        if (e)
            return e;
        output->head = output_size(response, i);
        output->viewed = output->data.n > COPIED_MAX && views < VIEWS_MAX;
        if (output->viewed) {
            views++;
            viewed_bytes += output->data.n;
        }
        plan->total += v2_wire_bytes_size(output->head) + v2_wire_bytes_size(output->data.n);
        if (plan->total > INT32_MAX) {
            return err_set(
                text, ERR_INTERNAL,
                "the answer of model '%s' is larger than the 2 GiB of a protobuf message",
                response->signature->model);
        }
    }
    plan->written = plan->total - viewed_bytes;
    return ERR_OK;
}

static char *put_output(char *out, const struct plan *plan, size_t i) {
    const struct v2_infer_response *response = plan->response;
    const struct tensor *tensor = &response->outputs[i];
    out = v2_wire_put_head(out, RESPONSE_OUTPUTS, plan->outputs[i].head);
    out = v2_wire_put_str(out, OUTPUT_NAME, name_of(response, i));
    out = v2_wire_put_str(out, OUTPUT_DATATYPE, str_of(datatype_name(tensor->datatype)));
    if (tensor->rank > 0)
        out = v2_wire_put_head(out, OUTPUT_SHAPE, shape_size(tensor));
    for (size_t k = 0; k < tensor->rank; k++)
        out = v2_wire_put_varint(out, (uint64_t)tensor->shape[k]);
    return out;
}

/* All that stands before the first raw_output_contents. */
static char *put_front(char *out, const struct plan *plan) {
    const struct v2_infer_response *response = plan->response;
    size_t wrapper = plan->stream ? v2_wire_bytes_size(plan->total) - plan->total : 0;
    grpc_prefix_write(out, false, wrapper + plan->total);
    out += GRPC_PREFIX_SIZE;
    if (plan->stream)
        out = v2_wire_put_head(out, STREAM_INFER_RESPONSE, plan->total);
    out = put_text(out, RESPONSE_NAME, str_of(response->signature->model));
    out = put_text(out, RESPONSE_VERSION, str_of(response->signature->version));
    out = put_text(out, RESPONSE_ID, response->request->id);
    if (plan->stream)
        out = v2_wire_put_str(out, RESPONSE_PARAMETERS, FINAL_RESPONSE);
    for (size_t i = 0; i < response->request->output_count; i++)
        out = put_output(out, plan, i);
    return out;
}

enum err v2_proto_infer_write(struct arena *arena, const struct v2_infer_response *response,
                              bool stream, struct str parts[V2_PROTO_PARTS_MAX],
                              size_t *ret_part_count, struct err_text *text) {
    size_t output_count = response->request->output_count;
    CHECK(output_count <= SIGNATURE_TENSORS_MAX);
    struct plan plan = {
        .response = response,
        .stream = stream,
        .outputs = arena_new(arena, output_count * sizeof *plan.outputs),
    };
    enum err e = make_plan(arena, &plan, text);
    if (e)
        return e;
    size_t room = GRPC_PREFIX_SIZE + 1 + V2_WIRE_VARINT_MAX + plan.written;
    char *out = arena_try_new(arena, room, 1, SIZE_MAX);
    if (!out)
        return err_set(text, ERR_NO_MEMORY, "no memory for an answer of %zu bytes", plan.total);
    const char *end = out + room;
    size_t count = 0;
    const char *start = out;
    out = put_front(out, &plan);
    for (size_t i = 0; i < output_count; i++) {
        struct str data = plan.outputs[i].data;
        if (!plan.outputs[i].viewed) {
            out = v2_wire_put_str(out, RESPONSE_RAW, data);
            continue;
        }
        out = v2_wire_put_head(out, RESPONSE_RAW, data.n);
        parts[count++] = (struct str){start, (size_t)(out - start)};
        parts[count++] = data;
        start = out;
    }
    if (out > start)
        parts[count++] = (struct str){start, (size_t)(out - start)};
    CHECK(out <= end && count <= V2_PROTO_PARTS_MAX);
    *ret_part_count = count;
    return ERR_OK;
}
