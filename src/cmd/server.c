#include "cmd/server.h"

#include "base/memory.h"
#include "base/num.h"
#include "cmd/wire.h"
#include "inferd_version.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    DESCRIPTORS_RESERVED = 256, /* for management, models, threads and files */
    THREADS_MAX = 256           /* as the options loops and executors allow */
};

/* As configured, or as many as there are cores. */
static uint32_t threads_wanted(int64_t configured, const struct machine_cores *cores) {
    return MIN(configured ? (uint32_t)configured : cores->threads, THREADS_MAX);
}

/* As many descriptors as the system allows; data connections leave some for the rest of the server.
 */
static void size_descriptors(struct server *server) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return;
    uint64_t wanted = (uint64_t)server->config->limits_connections_max;
    uint64_t room =
        limit.rlim_cur > DESCRIPTORS_RESERVED ? limit.rlim_cur - DESCRIPTORS_RESERVED : 1;
    if (server->config->grpc_enabled)
        room = MAX(1, room / 2); /* two listeners */
    server->connections_max = (uint32_t)MIN(wanted, room);
    if (room >= wanted)
        return;
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_WARN, "connections_limited");
    log_u64(&line, "connections_max", room);
    log_u64(&line, "configured", wanted);
    log_u64(&line, "open_files_max", limit.rlim_cur);
    log_end(&line);
}

static void make_observers(struct server *server) {
    const struct server_config *config = server->config;
    server->log = log_new(STDOUT_FILENO, (enum log_level)config->log_level, server->clock);
    server->main_ring = log_ring_new(server->log);
    server->publish_ring = log_ring_new(server->log);
    machine_read_cores("/", &server->cores);
    server->data_loop_count = threads_wanted(config->loops, &server->cores);
    server->executor_count = threads_wanted(config->executors, &server->cores);
    uint32_t shards = server->data_loop_count + server->executor_count + 2;
    server->metrics = metrics_new(shards);
    metrics_set_build(server->metrics, INFERD_VERSION);
    server->service = (struct service){.options = wire_service(config),
                                       .metrics = server->metrics,
                                       .log = server->log,
                                       .clock = server->clock,
                                       .process = metrics_process(server->metrics),
                                       .shard_count = shards};
    server->service.options.version = INFERD_VERSION;
}

static void log_starting(struct server *server) {
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_INFO, "starting");
    log_c(&line, "version", INFERD_VERSION);
    log_c(&line, "commit", INFERD_COMMIT);
    log_c(&line, "repository", server->config->repository_path);
    log_f64(&line, "cores", server->cores.in_force, 2);
    log_u64(&line, "affinity", server->cores.affinity);
    if (server->cores.cpuset > 0)
        log_u64(&line, "cpuset", server->cores.cpuset);
    if (server->cores.quota > 0)
        log_f64(&line, "quota", server->cores.quota, 2);
    log_c(&line, "quota_from", server->cores.quota_from);
    struct machine_throttling now;
    machine_read_throttling("/", &now);
    if (now.memory_limit_bytes > 0)
        log_u64(&line, "memory_limit_bytes", now.memory_limit_bytes);
    log_u64(&line, "loops", server->data_loop_count);
    log_u64(&line, "executors", server->executor_count);
    log_end(&line);
}

static void make_loops(struct server *server) {
    server->data_loops = mem_new_array(server->data_loop_count, sizeof *server->data_loops);
    for (uint32_t i = 0; i < server->data_loop_count; i++) {
        struct data_loop *data = &server->data_loops[i];
        char name[16];
        snprintf(name, sizeof name, "inferd-loop-%u", i % 1000);
        data->loop =
            loop_new(&(struct loop_options){name, api_loop_turn_end, &data->api, server->clock});
        api_loop_init(&data->api, &server->service, data->loop, true, i);
    }
    server->control = loop_new(&(struct loop_options){"inferd-control", NULL, NULL, server->clock});
    api_loop_init(&server->control_api, &server->service, server->control, false,
                  server->data_loop_count + server->executor_count);
}

/* A line when readiness changes. Thread: manager. */
static void log_readiness(struct server *server, const struct catalog *catalog) {
    struct buffer missing;
    buffer_init(&missing, LOG_LINE_MAX / 2);
    bool ready = service_ready(&server->service, catalog, &missing);
    if (ready != server->ready_logged) {
        server->ready_logged = ready;
        struct log_line line;
        log_begin(&line, server->publish_ring, ready ? LOG_INFO : LOG_WARN,
                  ready ? "ready" : "not_ready");
        uint64_t up_ns = clock_now(server->clock) - server->started_ns;
        log_f64(&line, "since_start_ms", (double)up_ns / NS_PER_MS, 1);
        log_u64(&line, "models", catalog->model_count);
        if (!ready)
            log_str(&line, "missing", buffer_str(&missing));
        log_end(&line);
    }
    buffer_done(&missing);
}

static void publish(void *context, struct catalog *catalog) {
    struct server *server = context;
    for (uint32_t i = 0; i < server->data_loop_count; i++)
        api_loop_send_catalog(&server->data_loops[i].api, catalog);
    api_loop_send_catalog(&server->control_api, catalog);
    if (catalog_settled(catalog))
        atomic_store_explicit(&server->service.started, true, memory_order_release);
    log_readiness(server, catalog);
}

static enum err read_options(void *context, const char *model_dir, struct model_options *ret,
                             struct err_text *text) {
    struct server *server = context;
    return wire_read_model_options(server->config, model_dir, ret, text);
}

static void free_options(void *context, struct model_options *options) {
    (void)context;
    wire_free_model_options(options);
}

static enum err read_request(void *context, const struct recorded_body *body,
                             const struct signature *signature, struct recorded_request *ret,
                             struct err_text *text) {
    const struct server *server = context;
    return wire_read_request(server->config, body, signature, ret, text);
}

static enum err start_models(struct server *server, struct err_text *text) {
    enum err e;
    if (server->config->engine == CONFIG_ENGINE_FAKE)
        server->engine = engine_fake_new();
    else if ((e = engine_onnx_new(&server->engine, text)))
        return e;
    server->pool = batch_pool_new(server->executor_count, server->data_loop_count, server->clock);
    server->service.workers = workers_new(server->data_loop_count);
    server_register_gauges(server);
    struct model_manager_options options = wire_manager(server->config);
    options.shards = server->service.shard_count;
    options.engine = server->engine;
    options.pool = server->pool;
    options.metrics = server->metrics;
    options.log = server->log;
    options.clock = server->clock;
    options.read_options = read_options;
    options.free_options = free_options;
    options.read_request = read_request;
    options.publish = publish;
    options.context = server;
    e = model_manager_new(&options, &server->manager, text);
    server->service.manager = server->manager;
    return e;
}

enum err server_new(const struct server_config *config, struct server **ret,
                    struct err_text *text) {
    struct server *server = mem_new(sizeof *server);
    server->config = config;
    server->clock = &clock_real;
    server->started_ns = clock_now(server->clock);
    make_observers(server);
    log_starting(server);
    server->connections_max = (uint32_t)config->limits_connections_max;
    size_descriptors(server);
    make_loops(server);
    enum err e = server_read_tokens(server, text);
    if (!e)
        e = server_open_listeners(server, text);
    if (!e)
        e = start_models(server, text);
    if (e) {
        struct log_line line;
        log_begin(&line, server->main_ring, LOG_ERROR, "start_failed");
        log_c(&line, "reason", text->s);
        log_end(&line);
        CHECK(server_free(&server)); /* nothing runs yet, so nothing can be in use */
        return e;
    }
    for (uint32_t i = 0; i < server->data_loop_count; i++)
        loop_start(server->data_loops[i].loop);
    model_manager_start(server->manager);
    server_watch_signals(server);
    server_watch_files(server);
    *ret = server;
    return ERR_OK;
}

/* What is left of drain.timeout, for a load that is still going on. */
static uint64_t patience_left(const struct server *server) {
    uint64_t waited = clock_now(server->clock) - server->drain_began_ns;
    uint64_t limit = server->config->drain_timeout_ns;
    return waited < limit ? limit - waited : 0;
}

bool server_run(struct server *server) {
    loop_run(server->control);
    if (!server->drained)
        return false; /* a data loop may be inside a run */
    for (uint32_t i = 0; i < server->data_loop_count; i++) {
        loop_stop(server->data_loops[i].loop);
        loop_join(server->data_loops[i].loop);
    }
    return server->drained && model_manager_stop_within(server->manager, patience_left(server));
}

void server_abandon(struct server *server) {
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_WARN, "stopped");
    log_c(&line, "reason",
          server->drained ? "drain.timeout passed while a model runs or loads"
                          : "requests or connections were left when the drain ended");
    log_end(&line);
    log_finish(server->log, NS_PER_S);
}

static void free_loop(struct loop **loop, struct api_loop *api, struct listener **listener,
                      struct listener **grpc) {
    if (!*loop)
        return;
    mailbox_drain(loop_mailbox(*loop)); /* catalogs that arrived too late */
    listener_free(listener);
    listener_free(grpc);
    api_loop_done(api);
    loop_free(loop);
}

bool server_free(struct server **at) {
    struct server *server = *at;
    if (!server)
        return true;
    model_manager_stop(server->manager); /* no catalog is sent to a loop that is gone */
    workers_free(&server->service.workers);
    for (uint32_t i = 0; server->data_loops && i < server->data_loop_count; i++)
        free_loop(&server->data_loops[i].loop, &server->data_loops[i].api,
                  &server->data_loops[i].listener, &server->data_loops[i].grpc);
    struct listener *none = NULL;
    free_loop(&server->control, &server->control_api, &server->management, &none);
    if (!model_manager_free(&server->manager))
        return false;
    *at = NULL;
    batch_pool_free(&server->pool);
    if (server->engine)
        server->engine->ops->free(&server->engine);
    for (uint32_t i = 0; server->executor_groups && i < server->executor_count; i++)
        metric_group_free(&server->executor_groups[i]);
    mem_free(&server->executor_groups);
    mem_free(&server->executor_busy_before);
    mem_free(&server->data_loops);
    metrics_free(&server->metrics);
    tls_unref(&server->data_tls);
    tls_unref(&server->grpc_tls);
    tls_unref(&server->management_tls);
    mem_free(&server->admin_token);
    mem_free(&server->data_token);
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_INFO, "stopped");
    log_end(&line);
    log_free(&server->log, NS_PER_S);
    mem_free(&server);
    return true;
}
