#include "cmd/wire.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/num.h"

/* Orders of ENUM values are the orders of these enums. */
_Static_assert(READY_ALL == 0 && READY_ANY == 1 && READY_LIST == 2, "ready.policy");
_Static_assert(TLS_CLIENT_NONE == 0 && TLS_CLIENT_OPTIONAL == 1 && TLS_CLIENT_REQUIRED == 2,
               "client_auth");
_Static_assert(BATCHING_AUTO == 0 && BATCHING_ON == 1 && BATCHING_OFF == 2, "batching.mode");
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
        .inflated_bytes_max = config->limits_inflated_max,
        .tensor_bytes_max = config->limits_tensors_max,
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
        .watch = config->repository_watch,
        .explicit_only = config->repository_control == CONFIG_CONTROL_EXPLICIT,
        .startup = (const char *const *)config->repository_startup.items,
        .startup_count = config->repository_startup.count,
        .ready = (const char *const *)config->ready_models.items,
        .ready_count = ready_listed ? config->ready_models.count : 0,
    };
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
        .batch = {.rows_max = (uint32_t)config->batching_rows_max,
                  .queue_max = (uint32_t)config->batching_queue_max,
                  .inline_ns_max = config->batching_inline_ns_max},
        .engine = {.intra_op_threads = (uint32_t)config->execution_intra_op_threads,
                   .inter_op_threads = (uint32_t)config->execution_inter_op_threads,
                   .graph_optimization = graph_optimizations[config->execution_graph_optimization],
                   .spinning = config->execution_spinning,
                   .memory_arena = config->execution_memory_arena,
                   .memory_pattern = config->execution_memory_pattern},
        .warmup = config->warmup,
        .request_timeout_ns = config->request_timeout_ns,
    };
    for (size_t i = 0; i < config->versions_listed.count; i++)
        ret->listed[i] = config->versions_listed.items[i];
    return ERR_OK;
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
    if (!e)
        e = fill_options(&owned->config, ret, text);
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

void wire_free_model_options(struct model_options *options) {
    if (options->owned)
        owned_free(options->owned);
    options->owned = NULL;
}
