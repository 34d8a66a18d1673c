/* Gauges and foreign counters, read when /metrics is scraped. Thread: control loop. */
#include "cmd/server.h"

#include "base/memory.h"
#include "base/num.h"

#include <stdio.h>

static void collect_process(struct metric_group *process) {
    struct machine_process now;
    machine_read_process("/", &now);
    metric_set_counter(process, METRIC_PROCESS_CPU, 0, (uint64_t)(now.cpu_seconds * NS_PER_S));
    metric_set(process, METRIC_PROCESS_OPEN_FDS, 0, (double)now.open_fds);
    metric_set(process, METRIC_PROCESS_MAX_FDS, 0, (double)now.max_fds);
    metric_set(process, METRIC_PROCESS_VIRTUAL, 0, (double)now.virtual_bytes);
    metric_set(process, METRIC_PROCESS_RESIDENT, 0, (double)now.resident_bytes);
    metric_set(process, METRIC_PROCESS_START, 0, now.start_time_seconds);
    metric_set(process, METRIC_PROCESS_THREADS, 0, (double)now.threads);
    struct machine_throttling throttling;
    machine_read_throttling("/", &throttling);
    metric_set_counter(process, METRIC_CGROUP_PERIODS, 0, throttling.periods);
    metric_set_counter(process, METRIC_CGROUP_THROTTLED, 0, throttling.throttled_periods);
    metric_set_counter(process, METRIC_CGROUP_THROTTLED_SECONDS, 0, throttling.throttled_ns);
    metric_set(process, METRIC_MEMORY_LIMIT, 0, (double)throttling.memory_limit_bytes);
    /* Read again: a quota may change while the process runs. Its threads stay. */
    struct machine_cores cores;
    machine_read_cores("/", &cores);
    metric_set(process, METRIC_CPU_CORES, 0, cores.in_force);
}

static void collect_listener(struct metric_group *process, enum metric_listener listener,
                             uint32_t connections, const struct tls *tls) {
    metric_set(process, METRIC_HTTP_CONNECTIONS, listener, connections);
    metric_set(process, METRIC_CERTIFICATE_NOT_AFTER, listener, tls ? tls_not_after(tls) : 0);
}

static void collect_connections(struct server *server, struct metric_group *process) {
    uint32_t data = 0, grpc = 0;
    for (uint32_t i = 0; i < server->data_loop_count; i++) {
        data += listener_connections(server->data_loops[i].listener);
        if (server->data_loops[i].grpc)
            grpc += listener_connections(server->data_loops[i].grpc);
    }
    collect_listener(process, LISTENER_DATA, data, server->data_tls);
    collect_listener(process, LISTENER_GRPC, grpc, server->grpc_tls);
    collect_listener(process, LISTENER_MANAGEMENT, listener_connections(server->management),
                     server->management_tls);
}

static void collect_executors(struct server *server) {
    uint64_t now = clock_now(server->clock);
    uint64_t span = now - server->scraped_ns;
    for (uint32_t i = 0; i < server->executor_count; i++) {
        uint64_t busy = MAX(batch_pool_busy_ns(server->pool, i), server->executor_busy_before[i]);
        uint64_t grown = busy - server->executor_busy_before[i];
        metric_set_counter(server->executor_groups[i], METRIC_EXECUTOR_BUSY, 0, busy);
        metric_set(server->executor_groups[i], METRIC_EXECUTOR_BUSY_RATIO, 0,
                   span ? MIN(1.0, (double)grown / (double)span) : 0);
        server->executor_busy_before[i] = busy;
    }
    server->scraped_ns = now;
}

void server_collect(void *context) {
    struct server *server = context;
    struct metric_group *process = server->service.process;
    collect_process(process);
    collect_connections(server, process);
    collect_executors(server);
    const struct catalog *catalog = server->control_api.catalog;
    if (catalog)
        catalog_collect(catalog);
    struct buffer missing;
    buffer_init(&missing, server->service.options.response_bytes_max);
    metric_set(process, METRIC_READY, 0, service_ready(&server->service, catalog, &missing));
    buffer_done(&missing);
    metric_set_counter(process, METRIC_LOG_DROPPED, 0, log_dropped(server->log));
    metric_set_counter(process, METRIC_ANOMALIES, 0,
                       atomic_load_explicit(&anomaly_count, memory_order_relaxed));
}

void server_register_gauges(struct server *server) {
    server->executor_groups = mem_new_array(server->executor_count, sizeof(struct metric_group *));
    server->executor_busy_before = mem_new_array(server->executor_count, sizeof(uint64_t));
    for (uint32_t i = 0; i < server->executor_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        server->executor_groups[i] =
            metric_group_new(server->metrics, METRIC_SCOPE_EXECUTOR, name, NULL);
    }
    metric_set(server->service.process, METRIC_BUILD_INFO, 0, 1);
    metric_set(server->service.process, METRIC_THREADS, THREAD_KIND_LOOP, server->data_loop_count);
    metric_set(server->service.process, METRIC_THREADS, THREAD_KIND_EXECUTOR,
               server->executor_count);
    server->scraped_ns = clock_now(server->clock);
    metrics_on_scrape(server->metrics, server_collect, server);
}
