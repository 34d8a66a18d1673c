#include "cmd/wire.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/num.h"
#include "observe/machine.h"
#include "protocol/grpc.h"

/* Orders of ENUM values are the orders of these enums. */
_Static_assert(READY_ALL == 0 && READY_ANY == 1 && READY_LIST == 2, "ready.policy");
_Static_assert(TLS_CLIENT_NONE == 0 && TLS_CLIENT_OPTIONAL == 1 && TLS_CLIENT_REQUIRED == 2,
               "client_auth");
_Static_assert(BATCHING_AUTO == 0 && BATCHING_ON == 1 && BATCHING_OFF == 2, "batching.mode");
enum { TIMEOUT_REJECT, TIMEOUT_CONTINUE }; /* batching.timeout_action */
enum { COUNT_MAX = 1000000 };              /* of rows or requests in a list */
_Static_assert(VERSIONS_LATEST == 0 && VERSIONS_ALL == 1 && VERSIONS_LISTED == 2,
               "versions.policy");
_Static_assert(V2_NONFINITE_NULL == 0 && V2_NONFINITE_LITERAL == 1, "json.nonfinite");
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "log.level");

static const char *const graph_optimizations[] = {"disable", "basic", "extended", "all"};

struct http_limits wire_limits(const struct server_config *config) {
    return (struct http_limits){
        .body_bytes_max = config->limits_body_max,
        .header_bytes_max = (uint32_t)config->limits_header_bytes_max,
        .header_count_max = (uint32_t)config->limits_headers_max,
        .target_bytes_max = (uint32_t)config->limits_target_max,
        .connections_max = (uint32_t)config->limits_connections_max,
        .header_timeout_ns = config->limits_header_timeout_ns,
        .body_timeout_ns = config->limits_body_timeout_ns,
        .body_bytes_per_s_min = config->limits_body_rate_min,
        .idle_timeout_ns = config->limits_idle_timeout_ns,
        .write_timeout_ns = config->limits_write_timeout_ns,
        .age_ns_max = config->limits_connection_age_max,
        .streams_max = (uint32_t)config->limits_http2_streams_max,
        .stream_window_bytes = (uint32_t)config->limits_http2_stream_window,
        .resets_max = (uint32_t)config->limits_http2_resets_max,
    };
}

static bool given(const char *text) {
    return text && *text;
}

struct service_options wire_service(const struct server_config *config) {
    return (struct service_options){
        .server_name = "inferd",
        .ready_policy = (enum ready_policy)config->ready_policy,
        .ready_models = (const char *const *)config->ready_models.items,
        .ready_model_count = config->ready_models.count,
        .admin_configured = given(config->admin_token_file),
        .admin_on_data = config->admin_on_data,
        .data_token_required = given(config->data_token_file),
        .cors_origins = (const char *const *)config->cors_origins.items,
        .cors_origin_count = config->cors_origins.count,
        .message_bytes_max = config->limits_body_max - GRPC_PREFIX_SIZE,
        .stream_window_bytes = config->limits_http2_stream_window,
        .inflated_bytes_max = config->limits_inflated_max,
        .tensor_bytes_max = config->limits_tensors_max,
        .loop_parse_bytes_max = config->limits_loop_parse_max,
        .response_bytes_max = config->limits_response_max,
        .request_timeout_ns = config->limits_request_timeout_ns,
        .compression_bytes_min = config->compression_bytes_min,
        .compression_bytes_max = config->compression_bytes_max,
        .compression = config->compression_enabled,
        .log_access = config->log_access,
        .log_health = config->log_health,
        .nonfinite = (enum v2_nonfinite)config->json_nonfinite,
    };
}

bool wire_tls(const struct server_config *config, enum door door, struct tls_options *ret) {
    if (door == DOOR_DATA)
        *ret = (struct tls_options){config->http_tls_certificate_file, config->http_tls_key_file,
                                    config->http_tls_client_ca_file,
                                    (enum tls_client_auth)config->http_tls_client_auth};
    else if (door == DOOR_GRPC)
        *ret = (struct tls_options){config->grpc_tls_certificate_file, config->grpc_tls_key_file,
                                    config->grpc_tls_client_ca_file,
                                    (enum tls_client_auth)config->grpc_tls_client_auth};
    else
        *ret = (struct tls_options){config->management_tls_certificate_file,
                                    config->management_tls_key_file,
                                    config->management_tls_client_ca_file,
                                    (enum tls_client_auth)config->management_tls_client_auth};
    return given(ret->certificate_file) || given(ret->key_file);
}

struct model_manager_options wire_manager(const struct server_config *config) {
    bool ready_listed = config->ready_policy == (int64_t)READY_LIST;
    return (struct model_manager_options){
        .root = config->repository_path,
        .poll_ns = config->repository_poll_ns,
        .settle_ns = config->repository_settle_ns,
        .trim_ns = config->execution_trim_ns,
        .watch = config->repository_watch,
        .explicit_only = config->repository_control == CONFIG_CONTROL_EXPLICIT,
        .startup = (const char *const *)config->repository_startup.items,
        .startup_count = config->repository_startup.count,
        .ready = (const char *const *)config->ready_models.items,
        .ready_count = ready_listed ? config->ready_models.count : 0,
    };
}

/* Always a number of ours: ONNX Runtime would count the host's cores. */
static uint32_t threads_or_cores(int64_t configured) {
    struct machine_cores cores;
    if (configured > 0)
        return (uint32_t)configured;
    machine_read_cores("/", &cores);
    return cores.threads;
}

/* Numbers of rows or requests. */
struct counts {
    const char *key;
    const struct config_ints *from;
    size_t count_max;
};

static enum err fill_counts(const struct counts *counts, uint32_t *ret, struct err_text *text) {
    const struct config_ints *from = counts->from;
    if (from->count > counts->count_max)
        return err_set(text, ERR_INVALID, "%s has %zu entries; at most %zu are allowed",
                       counts->key, from->count, counts->count_max);
    for (size_t i = 0; i < from->count; i++) {
        if (from->items[i] < 1 || from->items[i] > COUNT_MAX)
            return err_set(text, ERR_INVALID, "%s holds %lld; allowed is 1 to %d", counts->key,
                           (long long)from->items[i], (int)COUNT_MAX);
        ret[i] = (uint32_t)from->items[i];
    }
    return ERR_OK;
}

static enum err fill_batching(const struct model_config *config, struct batch_options *ret,
                              struct err_text *text) {
    *ret = (struct batch_options){
        .rows_max = (uint32_t)config->batching_rows_max,
        .queue_max = (uint32_t)config->batching_queue_max,
        .inline_ns_max = config->batching_inline_ns_max,
        .rules = {.delay_ns = config->batching_delay_ns_max,
                  .preferred_count = (uint32_t)config->batching_preferred_sizes.count},
        .levels = (uint32_t)config->batching_priority_levels,
        .default_level = (uint32_t)config->batching_default_priority_level,
        .timeout_ns = config->batching_timeout_ns,
        .timeout_override = config->batching_allow_timeout_override,
        .timeout_continue = config->batching_timeout_action == TIMEOUT_CONTINUE,
    };
    if (ret->levels == 0)
        ret->levels = 1;
    if (ret->default_level > ret->levels)
        return err_set(text, ERR_INVALID,
                       "batching.default_priority_level: found %u; allowed: 0 to %u, the number of "
                       "batching.priority_levels",
                       ret->default_level, ret->levels);
    const struct counts preferred = {"batching.preferred_sizes", &config->batching_preferred_sizes,
                                     BATCH_PREFERRED_MAX};
    const struct counts bounds = {"batching.priority_queue_max",
                                  &config->batching_priority_queue_max, ret->levels};
    enum err e = fill_counts(&preferred, ret->rules.preferred, text);
    return e ? e : fill_counts(&bounds, ret->level_max, text);
}

/* Lists point into `config`, which the options own. */
static enum err fill_options(struct model_config *config, struct model_options *ret,
                             struct err_text *text) {
    if (config->versions_listed.count > MODEL_VERSIONS_LISTED_MAX)
        return err_set(text, ERR_INVALID, "versions.listed has %zu entries; at most %d are allowed",
                       config->versions_listed.count, MODEL_VERSIONS_LISTED_MAX);
    *ret = (struct model_options){
        .policy = (enum version_policy)config->versions_policy,
        .latest = (uint32_t)config->versions_latest,
        .listed_count = config->versions_listed.count,
        .default_version = config->versions_default,
        .batching = (enum batching_mode)config->batching_mode,
        .engine = {.intra_op_threads = threads_or_cores(config->execution_intra_op_threads),
                   .inter_op_threads = (uint32_t)config->execution_inter_op_threads,
                   .graph_optimization = graph_optimizations[config->execution_graph_optimization],
                   .spinning = config->execution_spinning,
                   .memory_arena = config->execution_memory_arena,
                   .memory_pattern = config->execution_memory_pattern},
        .warmup = config->warmup,
        .warmup_count = (uint32_t)config->warmup_count,
        .request_timeout_ns = config->request_timeout_ns,
        .response_cache_bytes = config->response_cache_bytes,
    };
    for (size_t i = 0; i < config->versions_listed.count; i++)
        ret->listed[i] = config->versions_listed.items[i];
    return fill_batching(config, &ret->batch, text);
}

static struct str without_line_end(struct str s) {
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    return s;
}

/* What a struct model_options points into. */
struct owned_options {
    struct model_config config;
    struct engine_setting *session;
};

static void owned_free(struct owned_options *owned) {
    model_config_done(&owned->config);
    mem_free(&owned->session);
    mem_free(&owned);
}

enum err wire_read_model_options(const struct server_config *config, const char *model_dir,
                                 struct model_options *ret, struct err_text *text) {
    struct owned_options *owned = mem_new(sizeof *owned);
    char *path = mem_format("%s/model.yaml", model_dir);
    struct buffer yaml, problems;
    buffer_init(&yaml, CONFIG_FILE_BYTES_MAX);
    buffer_init(&problems, ERR_TEXT_MAX);
    model_config_defaults(config, &owned->config);
    enum err e = file_read(path, &yaml, text);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK; /* the file is optional */
    if (!e && yaml.used > 0) {
        e = model_config_read(buffer_str(&yaml), path, &owned->config, &problems);
        if (e)
            err_set(text, e, "%.*s", STR_ARG(without_line_end(buffer_str(&problems))));
    }
    struct err_text why;
    bool readable = e == ERR_OK;
    if (readable)
        e = fill_options(&owned->config, ret, &why);
    if (readable && e)
        err_set(text, e, "%s: %s", yaml.used > 0 ? path : model_dir, why.s);
    if (!e) {
        const struct config_map *map = &owned->config.execution_session;
        owned->session = mem_new_array(map->count, sizeof *owned->session);
        for (size_t i = 0; i < map->count; i++)
            owned->session[i] = (struct engine_setting){map->items[i].key, map->items[i].value};
        ret->engine.session = owned->session;
        ret->engine.session_count = map->count;
        ret->owned = owned;
    } else {
        owned_free(owned);
    }
    buffer_done(&yaml);
    buffer_done(&problems);
    mem_free(&path);
    return e;
}

_Static_assert((int)RECORDED_SPARE >= (int)V2_BODY_SPARE, "the reader writes behind the body");

enum err wire_read_request(const struct server_config *config, const struct recorded_body *body,
                           const struct signature *signature, struct recorded_request *ret,
                           struct err_text *text) {
    const struct v2_limits limits = {config->limits_tensors_max};
    struct v2_infer_request request;
    int64_t json_length = body->binary ? (int64_t)body->json_length : V2_NO_HEADER_LENGTH;
    enum err e = v2_infer_read(body->arena, body->data, body->length, json_length, signature,
                               &limits, &request, text);
    if (e)
        return e;
    *ret = (struct recorded_request){.inputs = request.inputs};
    for (size_t i = 0; i < request.output_count; i++)
        ret->output_mask |= (uint64_t)1 << request.outputs[i].index;
    return ERR_OK;
}

void wire_free_model_options(struct model_options *options) {
    if (options->owned)
        owned_free(options->owned);
    options->owned = NULL;
}
