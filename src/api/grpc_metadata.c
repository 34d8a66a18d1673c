/* The calls that tell of the server and its models, as REST's do (metadata.c, statistics.c). What
 * clients may ask and this server does not have is answered with why. Thread: the call's loop. */
#include "api/grpc.h"
#include "api/lookup.h"
#include "api/metadata.h"
#include "api/rpcs.h"
#include "api/statistics.h"
#include "base/num.h"

#include <inference.pb-c.h>

/* protobuf-c's texts are not const. */
static char *text_of(struct call *call, const char *text) {
    return arena_copy(call->arena, str_of(text));
}

void rpc_server_live(struct call *call) {
    Inference__ServerLiveResponse response = INFERENCE__SERVER_LIVE_RESPONSE__INIT;
    response.live = true;
    grpc_respond(call, &response.base);
}

void rpc_server_ready(struct call *call) {
    Inference__ServerReadyResponse response = INFERENCE__SERVER_READY_RESPONSE__INIT;
    response.ready = service_is_ready(call->loop->service, call->loop->catalog);
    grpc_respond(call, &response.base);
}

void rpc_server_metadata(struct call *call) {
    const struct service_options *options = &call->loop->service->options;
    Inference__ServerMetadataResponse response;
    inference__server_metadata_response__init(&response);
    response.name = text_of(call, options->server_name);
    response.version = text_of(call, options->version);
    response.n_extensions = metadata_extension_count;
    response.extensions = arena_new(call->arena, metadata_extension_count * sizeof(char *));
    for (size_t i = 0; i < metadata_extension_count; i++)
        response.extensions[i] = text_of(call, metadata_extensions[i]);
    grpc_respond(call, &response.base);
}

/* ---- Of one model ---- */

/* The requests that name a model and a version have the same fields under the same numbers. */
static enum err read_name(struct call *call, struct err_text *text) {
    ProtobufCMessage *message;
    enum err e = grpc_read(call, &inference__model_metadata_request__descriptor, &message, text);
    if (e)
        return e;
    const Inference__ModelMetadataRequest *request = (const void *)message;
    call->match.model = str_of(request->name);
    call->match.version = str_of(request->version);
    return ERR_OK;
}

static enum err read_version(struct call *call, struct err_text *text) {
    enum err e = read_name(call, text);
    return e ? e : call_find_version(call, text);
}

/* A model that is not there is not ready, as with Triton: an error is for what cannot be asked. */
void rpc_model_ready(struct call *call) {
    struct err_text text;
    enum err e = read_version(call, &text);
    if (e && e != ERR_NOT_READY && e != ERR_NOT_FOUND) {
        call_fail(call, e, &text);
        return;
    }
    Inference__ModelReadyResponse response = INFERENCE__MODEL_READY_RESPONSE__INIT;
    response.ready = !e;
    grpc_respond(call, &response.base);
}

typedef Inference__ModelMetadataResponse__TensorMetadata tensor_metadata;

static tensor_metadata **metadata_tensors(struct call *call, struct tensor_spec *specs,
                                          size_t count) {
    tensor_metadata *items = arena_new(call->arena, count * sizeof *items);
    tensor_metadata **pointers = arena_new(call->arena, count * sizeof *pointers);
    for (size_t i = 0; i < count; i++) {
        pointers[i] = &items[i];
        inference__model_metadata_response__tensor_metadata__init(&items[i]);
        items[i].name = specs[i].name;
        items[i].datatype = text_of(call, datatype_name(specs[i].datatype));
        items[i].n_shape = specs[i].rank;
        items[i].shape = specs[i].shape;
    }
    return pointers;
}

void rpc_model_metadata(struct call *call) {
    struct err_text text;
    const struct catalog_model *model = NULL;
    enum err e = read_name(call, &text);
    if (!e)
        e = call_find_model(call, &model, &text);
    if (!e)
        e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct signature *signature = &call->version->signature;
    Inference__ModelMetadataResponse response;
    inference__model_metadata_response__init(&response);
    const char **versions;
    response.name = text_of(call, model->name);
    response.platform = text_of(call, metadata_platform);
    response.n_versions =
        metadata_versions(call, model, call->match.version.n ? call->version : NULL, &versions);
    response.versions = arena_new(call->arena, (response.n_versions + 1) * sizeof(char *));
    for (size_t i = 0; i < response.n_versions; i++)
        response.versions[i] = text_of(call, versions[i]);
    response.n_inputs = signature->input_count;
    response.inputs = metadata_tensors(call, signature->inputs, signature->input_count);
    response.n_outputs = signature->output_count;
    response.outputs = metadata_tensors(call, signature->outputs, signature->output_count);
    grpc_respond(call, &response.base);
}

/* ---- Configuration ---- */

/* Triton calls BYTES a string. */
#define INFERENCE__DATA_TYPE__TYPE_BYTES INFERENCE__DATA_TYPE__TYPE_STRING
static const Inference__DataType config_types[] = {
#define DATATYPE(name, size, onnx, json) [DATATYPE_##name] = INFERENCE__DATA_TYPE__TYPE_##name,
#include "tensor/datatype.def"
#undef DATATYPE
};

static Inference__ModelInput **config_inputs(struct call *call, const struct signature *signature,
                                             uint32_t first_dim) {
    Inference__ModelInput *items = arena_new(call->arena, signature->input_count * sizeof *items);
    Inference__ModelInput **pointers =
        arena_new(call->arena, signature->input_count * sizeof *pointers);
    for (size_t i = 0; i < signature->input_count; i++) {
        struct tensor_spec *spec = &signature->inputs[i];
        pointers[i] = &items[i];
        inference__model_input__init(&items[i]);
        items[i].name = spec->name;
        items[i].data_type = config_types[spec->datatype];
        items[i].n_dims = spec->rank - first_dim;
        items[i].dims = spec->shape + first_dim;
    }
    return pointers;
}

static Inference__ModelOutput **config_outputs(struct call *call, const struct signature *signature,
                                               uint32_t first_dim) {
    Inference__ModelOutput *items = arena_new(call->arena, signature->output_count * sizeof *items);
    Inference__ModelOutput **pointers =
        arena_new(call->arena, signature->output_count * sizeof *pointers);
    for (size_t i = 0; i < signature->output_count; i++) {
        struct tensor_spec *spec = &signature->outputs[i];
        pointers[i] = &items[i];
        inference__model_output__init(&items[i]);
        items[i].name = spec->name;
        items[i].data_type = config_types[spec->datatype];
        items[i].n_dims = spec->rank - first_dim;
        items[i].dims = spec->shape + first_dim;
    }
    return pointers;
}

static void set_dynamic_batching(struct call *call, const struct batch_options *options,
                                 Inference__ModelDynamicBatching *ret) {
    const struct batch_rules *rules = &options->rules;
    ret->n_preferred_batch_size = rules->preferred_count;
    ret->preferred_batch_size =
        arena_new(call->arena, rules->preferred_count * sizeof *ret->preferred_batch_size);
    for (uint32_t i = 0; i < rules->preferred_count; i++)
        ret->preferred_batch_size[i] = (int32_t)rules->preferred[i];
    ret->max_queue_delay_microseconds = rules->delay_ns / NS_PER_US;
    ret->priority_levels = options->levels > 1 ? options->levels : 0;
    ret->default_priority_level = options->levels > 1 ? options->default_level : 0;
    Inference__ModelQueuePolicy *policy = arena_new(call->arena, sizeof *policy);
    inference__model_queue_policy__init(policy);
    policy->timeout_action = options->timeout_continue
                                 ? INFERENCE__MODEL_QUEUE_POLICY__TIMEOUT_ACTION__DELAY
                                 : INFERENCE__MODEL_QUEUE_POLICY__TIMEOUT_ACTION__REJECT;
    policy->default_timeout_microseconds = options->timeout_ns / NS_PER_US;
    policy->allow_timeout_override = options->timeout_override;
    policy->max_queue_size = options->queue_max;
    ret->default_queue_policy = policy;
}

void rpc_model_config(struct call *call) {
    struct err_text text;
    enum err e = read_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct model_version *version = call->version;
    const struct signature *signature = &version->signature;
    bool batching = version->batching && signature->batchable;
    Inference__ModelConfigResponse response = INFERENCE__MODEL_CONFIG_RESPONSE__INIT;
    Inference__ModelConfig config;
    inference__model_config__init(&config);
    Inference__ModelDynamicBatching dynamic = INFERENCE__MODEL_DYNAMIC_BATCHING__INIT;
    Inference__ModelResponseCache cache = INFERENCE__MODEL_RESPONSE_CACHE__INIT;
    response.config = &config;
    config.name = text_of(call, version->model);
    config.platform = text_of(call, metadata_platform);
    config.backend = text_of(call, "onnxruntime");
    config.max_batch_size = batching ? (int32_t)version->rows_max : 0;
    config.n_input = signature->input_count;
    config.input = config_inputs(call, signature, batching);
    config.n_output = signature->output_count;
    config.output = config_outputs(call, signature, batching);
    if (batching) {
        config.scheduling_choice_case = INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING;
        set_dynamic_batching(call, batch_queue_options(version->queue), &dynamic);
        config.dynamic_batching = &dynamic;
    }
    if (version->cache) {
        cache.enable = true;
        config.response_cache = &cache;
    }
    grpc_respond(call, &response.base);
}

/* ---- Statistics ---- */

static Inference__StatisticDuration *duration_of(struct call *call, struct duration duration) {
    Inference__StatisticDuration *ret = arena_new(call->arena, sizeof *ret);
    inference__statistic_duration__init(ret);
    ret->count = duration.count;
    ret->ns = duration.ns;
    return ret;
}

static Inference__InferBatchStatistics **batches_of(struct call *call,
                                                    const struct statistics *statistics) {
    Inference__InferBatchStatistics *items =
        arena_new(call->arena, statistics->batch_count * sizeof *items);
    Inference__InferBatchStatistics **pointers =
        arena_new(call->arena, statistics->batch_count * sizeof *pointers);
    for (size_t i = 0; i < statistics->batch_count; i++) {
        struct duration infer = statistics->batches[i].infer;
        pointers[i] = &items[i];
        inference__infer_batch_statistics__init(&items[i]);
        items[i].batch_size = statistics->batches[i].rows;
        items[i].compute_input = duration_of(call, (struct duration){infer.count, 0});
        items[i].compute_infer = duration_of(call, infer);
        items[i].compute_output = duration_of(call, (struct duration){infer.count, 0});
    }
    return pointers;
}

static void fill_statistics(struct call *call, const struct model_version *version,
                            Inference__ModelStatistics *ret) {
    struct statistics statistics;
    statistics_sum(version, call->loop->service->shard_count, &statistics);
    inference__model_statistics__init(ret);
    ret->name = text_of(call, version->model);
    ret->version = text_of(call, version->version);
    ret->last_inference = statistics.last_inference_ms;
    ret->inference_count = statistics.inference_count;
    ret->execution_count = statistics.execution_count;
    ret->inference_stats = arena_new(call->arena, sizeof *ret->inference_stats);
    inference__infer_statistics__init(ret->inference_stats);
#define DURATION(name, member) ret->inference_stats->name = duration_of(call, statistics.member);
    STATISTICS_DURATIONS(DURATION)
#undef DURATION
    ret->n_batch_stats = statistics.batch_count;
    ret->batch_stats = batches_of(call, &statistics);
}

void rpc_model_statistics(struct call *call) {
    struct err_text text;
    const struct model_version **versions;
    size_t count = 0;
    enum err e = read_name(call, &text);
    if (!e)
        e = call_find_versions(call, &versions, &count, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    Inference__ModelStatistics *items = arena_new(call->arena, count * sizeof *items);
    Inference__ModelStatistics **pointers = arena_new(call->arena, count * sizeof *pointers);
    for (size_t i = 0; i < count; i++) {
        pointers[i] = &items[i];
        fill_statistics(call, versions[i], &items[i]);
    }
    Inference__ModelStatisticsResponse response = INFERENCE__MODEL_STATISTICS_RESPONSE__INIT;
    response.n_model_stats = count;
    response.model_stats = pointers;
    grpc_respond(call, &response.base);
}

/* ---- What there is not ---- */

void rpc_shared_memory(struct call *call) {
    struct err_text text;
    call_fail(call,
              err_set(&text, ERR_UNSUPPORTED,
                      "shared memory is not supported: send tensors as raw_input_contents"),
              &text);
}

void rpc_settings(struct call *call) {
    struct err_text text;
    call_fail(call,
              err_set(&text, ERR_UNSUPPORTED,
                      "trace and log settings are part of the server's configuration and do not "
                      "change while it runs"),
              &text);
}
