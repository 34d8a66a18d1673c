/* The running server: every part, made in order, wired to each other, and taken apart in the
 * reverse order.
 *
 * Threads: the control loop (the main thread: management listener, signals, drain, files that may
 * change), a data loop a core, the executors, the model manager, the log writer. Metric shards:
 * data loops, then executors, then the control loop, then the manager. */
#pragma once

#include "api/service.h"
#include "config/config.h"
#include "net/tls.h"
#include "observe/machine.h"

#include <uv.h>

struct data_loop {
    struct loop *loop;
    struct api_loop api;
    struct listener *listener;
    struct listener *grpc;       /* NULL: off */
    struct message drain, close; /* each sent once */
};

struct server {
    const struct server_config *config;
    const struct clock *clock;
    uint64_t started_ns;
    struct machine_cores cores;
    uint32_t data_loop_count, executor_count;
    struct log *log;
    struct log_ring *main_ring;    /* main thread, then control loop */
    struct log_ring *publish_ring; /* manager thread */
    struct metrics *metrics;
    struct metric_group **executor_groups;
    uint64_t *executor_busy_before;
    uint64_t scraped_ns;
    struct engine *engine;
    struct batch_pool *pool;
    struct model_manager *manager;
    struct service service;
    struct data_loop *data_loops;
    uint32_t connections_max; /* of a listener: as configured, or what open files allow */
    _Atomic(uint32_t) data_connections, grpc_connections; /* of all data loops */
    struct loop *control;
    struct api_loop control_api;
    struct listener *management;
    struct tls *data_tls, *grpc_tls, *management_tls;
    char *admin_token, *data_token; /* as last read */
    bool ready_logged; /* what the newest "ready" or "not_ready" line said. Thread: manager */
    uv_signal_t on_term, on_int;
    uv_timer_t files_timer, drain_timer;
    uint64_t drain_began_ns;
    bool drain_closing; /* drain.delay is over: listeners are told to close */
    bool token_trouble; /* the token files could not be read the last time */
    bool drained;       /* every request was finished in time */
};

/* Makes everything, binds the listeners, starts the data loops and the manager. On failure
 * everything made is taken apart again. Thread: main. */
enum err server_new(const struct server_config *config, struct server **ret,
                    struct err_text *text) MUST_CHECK;
/* Runs the control loop until the drain is over. False: drain.timeout passed while a model still
 * runs or loads, which cannot be stopped and may use anything: only server_abandon and _exit may
 * follow. Thread: main. */
bool server_run(struct server *server) MUST_CHECK;
/* Writes the log's last lines; frees nothing. */
void server_abandon(struct server *server);
/* False: something is still in use, as above. NULL is accepted. */
bool server_free(struct server **server) MUST_CHECK;

/* listeners.c: binds and tells of all listeners. */
enum err server_open_listeners(struct server *server, struct err_text *text) MUST_CHECK;
/* drain.c: signals, and the steps from SIGTERM to the end. */
void server_watch_signals(struct server *server);
/* files.c: the token files' first lines (NULL where none is configured); heap, for tokens_free. */
enum err tokens_read(const struct server_config *config, char **ret_admin, char **ret_data,
                     struct err_text *text) MUST_CHECK;
void tokens_free(char **admin, char **data);
/* files.c: certificates and tokens are read again when their files change. */
enum err server_read_tokens(struct server *server, struct err_text *text) MUST_CHECK;
void server_watch_files(struct server *server);
/* gauges.c: gauges that are read when scraped. */
void server_collect(void *server);
void server_register_gauges(struct server *server);
