/* What the server and its models say of themselves: v2 metadata, model readiness, and Triton's
 * model configuration extension (perf_analyzer and tritonclient read it). */
#include "api/metadata.h"
#include "api/handlers.h"
#include "api/lookup.h"
#include "api/rest.h"
#include "base/num.h"

static const char json_type[] = "application/json";
const char metadata_platform[] = "onnxruntime_onnx";
const char *const metadata_extensions[] = {"binary_tensor_data", "model_configuration",
                                           "model_repository",   "parameters",
                                           "schedule_policy",    "statistics"};
const size_t metadata_extension_count = ARRAY_LEN(metadata_extensions);

void handle_server_metadata(struct call *call) {
    const struct service_options *options = &call->loop->service->options;
    struct buffer *body = call_body(call);
    buffer_add_c(body, "{\"name\":");
    buffer_add_json_string(body, str_of(options->server_name));
    buffer_add_c(body, ",\"version\":");
    buffer_add_json_string(body, str_of(options->version));
    buffer_add_c(body, ",\"extensions\":[");
    for (size_t i = 0; i < metadata_extension_count; i++)
        buffer_add_format(body, "%s\"%s\"", i ? "," : "", metadata_extensions[i]);
    buffer_add_c(body, "]}");
    rest_respond(call, 200, json_type);
}

static void add_name(struct buffer *body, const char *key, const char *value) {
    buffer_add_format(body, "\"%s\":", key);
    buffer_add_json_string(body, str_of(value));
}

static void add_shape(struct buffer *body, const struct tensor_spec *spec, uint32_t first) {
    buffer_add_char(body, '[');
    for (uint32_t i = first; i < spec->rank; i++) {
        if (i > first)
            buffer_add_char(body, ',');
        buffer_add_i64(body, spec->shape[i]);
    }
    buffer_add_char(body, ']');
}

static void add_metadata_tensors(struct buffer *body, const char *key,
                                 const struct tensor_spec *specs, size_t count) {
    buffer_add_format(body, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        buffer_add_c(body, i ? ",{" : "{");
        add_name(body, "name", specs[i].name);
        buffer_add_format(body,
                          ",\"datatype\":\"%s\",\"shape\":", datatype_name(specs[i].datatype));
        add_shape(body, &specs[i], 0);
        buffer_add_char(body, '}');
    }
    buffer_add_char(body, ']');
}

size_t metadata_versions(struct call *call, const struct catalog_model *model,
                         const struct model_version *only, const char ***ret) {
    const char **list = arena_new(call->arena, (model->version_count + 1) * sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < model->version_count; i++) {
        const struct catalog_version *version = &model->versions[i];
        if (version->live && (!only || version->live == only))
            list[count++] = version->version;
    }
    *ret = list;
    return count;
}

/* With a version in the path just that one. */
static void add_versions(struct call *call, const struct catalog_model *model) {
    const char **versions;
    size_t count =
        metadata_versions(call, model, call->match.version.n ? call->version : NULL, &versions);
    struct buffer *body = call_body(call);
    buffer_add_c(body, ",\"versions\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_add_char(body, ',');
        buffer_add_json_string(body, str_of(versions[i]));
    }
    buffer_add_char(body, ']');
}

void handle_model_metadata(struct call *call) {
    struct err_text text;
    const struct catalog_model *model;
    enum err e = call_find_model(call, &model, &text);
    if (!e)
        e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct signature *signature = &call->version->signature;
    struct buffer *body = call_body(call);
    buffer_add_char(body, '{');
    add_name(body, "name", model->name);
    add_versions(call, model);
    buffer_add_char(body, ',');
    add_name(body, "platform", metadata_platform);
    add_metadata_tensors(body, "inputs", signature->inputs, signature->input_count);
    add_metadata_tensors(body, "outputs", signature->outputs, signature->output_count);
    buffer_add_char(body, '}');
    rest_respond(call, 200, json_type);
}

void handle_model_ready(struct call *call) {
    struct err_text text;
    enum err e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    struct buffer *body = call_body(call);
    buffer_add_char(body, '{');
    add_name(body, "name", call->version->model);
    buffer_add_char(body, ',');
    add_name(body, "version", call->version->version);
    buffer_add_c(body, ",\"ready\":true}");
    rest_respond(call, 200, json_type);
}

/* TYPE_FP32 as in Triton's model_config.proto; BYTES is TYPE_STRING there. */
static void add_config_type(struct buffer *body, enum datatype datatype) {
    buffer_add_format(body, ",\"data_type\":\"TYPE_%s\"",
                      datatype == DATATYPE_BYTES ? "STRING" : datatype_name(datatype));
}

static void add_config_tensors(struct buffer *body, const char *key,
                               const struct tensor_spec *specs, size_t count, uint32_t first_dim) {
    buffer_add_format(body, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        buffer_add_c(body, i ? ",{" : "{");
        add_name(body, "name", specs[i].name);
        add_config_type(body, specs[i].datatype);
        buffer_add_c(body, ",\"dims\":");
        add_shape(body, &specs[i], first_dim);
        buffer_add_char(body, '}');
    }
    buffer_add_char(body, ']');
}

/* Triton's names: "delay" is what continues behind all others. */
static void add_dynamic_batching(struct buffer *body, const struct batch_options *options) {
    bool levels = options->levels > 1;
    buffer_add_c(body, ",\"dynamic_batching\":{\"preferred_batch_size\":[");
    for (uint32_t i = 0; i < options->rules.preferred_count; i++)
        buffer_add_format(body, "%s%u", i ? "," : "", options->rules.preferred[i]);
    buffer_add_format(body,
                      "],\"max_queue_delay_microseconds\":%llu,\"priority_levels\":%u,"
                      "\"default_priority_level\":%u,\"default_queue_policy\":{"
                      "\"timeout_action\":\"%s\",\"default_timeout_microseconds\":%llu,"
                      "\"allow_timeout_override\":%s,\"max_queue_size\":%u}}",
                      (unsigned long long)(options->rules.delay_ns / NS_PER_US),
                      levels ? options->levels : 0, levels ? options->default_level : 0,
                      options->timeout_continue ? "DELAY" : "REJECT",
                      (unsigned long long)(options->timeout_ns / NS_PER_US),
                      options->timeout_override ? "true" : "false", options->queue_max);
}

void handle_model_config(struct call *call) {
    struct err_text text;
    enum err e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct model_version *version = call->version;
    const struct signature *signature = &version->signature;
    /* Triton leaves the batch dimension out of dims when max_batch_size > 0 */
    bool batching = version->batching && signature->batchable;
    struct buffer *body = call_body(call);
    buffer_add_char(body, '{');
    add_name(body, "name", version->model);
    buffer_add_char(body, ',');
    add_name(body, "platform", metadata_platform);
    buffer_add_c(body, ",\"backend\":\"onnxruntime\"");
    buffer_add_format(body, ",\"max_batch_size\":%u", batching ? version->rows_max : 0);
    add_config_tensors(body, "input", signature->inputs, signature->input_count, batching);
    add_config_tensors(body, "output", signature->outputs, signature->output_count, batching);
    if (batching)
        add_dynamic_batching(body, batch_queue_options(version->queue));
    if (version->cache)
        buffer_add_c(body, ",\"response_cache\":{\"enable\":true}");
    buffer_add_char(body, '}');
    rest_respond(call, 200, json_type);
}
