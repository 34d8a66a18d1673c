/* The listeners: data and gRPC on every data loop, management on the control loop. All are bound
 * before anything is served. Thread: main. */
#include "cmd/server.h"
#include "cmd/wire.h"

#include <stdio.h>
#include <string.h>

enum { LISTEN_BACKLOG = 1024, ADDRESS_MAX = 128, TRY_MAX = 256 };

/* What a listener's settings are called. */
static const char *const keys[] = {
    [DOOR_DATA] = "http", [DOOR_GRPC] = "grpc", [DOOR_MANAGEMENT] = "management"};

/* The address as a client on this machine writes it. */
static const char *client_address(const char *host, uint16_t port, char out[ADDRESS_MAX]) {
    bool any = str_eq_c(STR("0.0.0.0"), host) || str_eq_c(STR("::"), host);
    bool v6 = !any && strchr(host, ':');
    snprintf(out, ADDRESS_MAX, "%s%s%s:%u", v6 ? "[" : "", any ? "127.0.0.1" : host, v6 ? "]" : "",
             port);
    return out;
}

static void log_listening(struct server *server, const struct listener *listener, const char *host,
                          const struct tls *tls, const char *try) {
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_INFO, "listening");
    log_c(&line, "listener", listener_name(listener));
    log_c(&line, "host", host);
    log_u64(&line, "port", listener_port(listener));
    log_bool(&line, "tls", tls != NULL);
    log_c(&line, "try", try);
    log_end(&line);
}

static void log_http(struct server *server, const struct listener *listener, const char *host,
                     const struct tls *tls, const char *path) {
    char address[ADDRESS_MAX], try[TRY_MAX];
    snprintf(try, sizeof try, "curl -s %s://%s%s", tls ? "https" : "http",
             client_address(host, listener_port(listener), address), path);
    log_listening(server, listener, host, tls, try);
}

static void log_grpc(struct server *server, const struct listener *listener, const char *host,
                     const struct tls *tls) {
    char address[ADDRESS_MAX], try[TRY_MAX];
    snprintf(try, sizeof try, "grpcurl %s%s list", tls ? "" : "-plaintext ",
             client_address(host, listener_port(listener), address));
    log_listening(server, listener, host, tls, try);
}

static enum err make_tls(struct server *server, enum door door, struct tls **ret,
                         struct err_text *text) {
    struct tls_options options;
    if (!wire_tls(server->config, door, &options))
        return ERR_OK;
    struct err_text why;
    enum err e = tls_new(&options, ret, &why);
    return e ? err_set(text, e, "%s.tls: %s", keys[door], why.s) : ERR_OK;
}

/* net knows the address, but not which settings it comes from. */
static enum err fail_open(enum door door, enum err e, const struct err_text *why,
                          struct err_text *text) {
    return err_set(text, e, "%s (set by %s.host and %s.port)", why->s, keys[door], keys[door]);
}

/* One listener a data loop, all on the port that the first one got. */
static enum err open_on_loops(struct server *server, enum door door,
                              struct listener_options *options, struct err_text *text) {
    options->reuse_port = server->data_loop_count > 1;
    for (uint32_t i = 0; i < server->data_loop_count; i++) {
        struct data_loop *data = &server->data_loops[i];
        bool grpc = door == DOOR_GRPC;
        struct listener **at = grpc ? &data->grpc : &data->listener;
        options->handler_context = grpc ? &data->api.grpc : &data->api.data;
        struct err_text why;
        enum err e = listener_open(data->loop, options, i == 0, at, &why);
        if (e)
            return fail_open(door, e, &why, text);
        options->port = listener_port(*at);
    }
    return ERR_OK;
}

static enum err open_data(struct server *server, struct listener_options options,
                          struct err_text *text) {
    options.name = "data";
    options.host = server->config->http_host;
    options.port = (uint16_t)server->config->http_port;
    options.connection_total = &server->data_connections;
    options.tls = server->data_tls;
    return open_on_loops(server, DOOR_DATA, &options, text);
}

static enum err open_grpc(struct server *server, struct listener_options options,
                          struct err_text *text) {
    options.name = "grpc";
    options.host = server->config->grpc_host;
    options.port = (uint16_t)server->config->grpc_port;
    options.connection_total = &server->grpc_connections;
    options.tls = server->grpc_tls;
    return open_on_loops(server, DOOR_GRPC, &options, text);
}

static enum err open_management(struct server *server, struct listener_options options,
                                struct err_text *text) {
    options.name = "management";
    options.host = server->config->management_host;
    options.port = (uint16_t)server->config->management_port;
    options.tls = server->management_tls;
    options.handler_context = &server->control_api.management;
    options.limits = wire_limits(server->config);
    struct err_text why;
    enum err e = listener_open(server->control, &options, true, &server->management, &why);
    return e ? fail_open(DOOR_MANAGEMENT, e, &why, text) : ERR_OK;
}

static void log_all(struct server *server) {
    const struct server_config *config = server->config;
    log_http(server, server->data_loops[0].listener, config->http_host, server->data_tls,
             "/v2/health/ready");
    if (config->grpc_enabled)
        log_grpc(server, server->data_loops[0].grpc, config->grpc_host, server->grpc_tls);
    log_http(server, server->management, config->management_host, server->management_tls,
             "/metrics");
}

enum err server_open_listeners(struct server *server, struct err_text *text) {
    bool grpc = server->config->grpc_enabled;
    enum err e = make_tls(server, DOOR_DATA, &server->data_tls, text);
    if (!e && grpc)
        e = make_tls(server, DOOR_GRPC, &server->grpc_tls, text);
    if (!e)
        e = make_tls(server, DOOR_MANAGEMENT, &server->management_tls, text);
    struct listener_options options = {.backlog = LISTEN_BACKLOG,
                                       .limits = wire_limits(server->config),
                                       .handler = &service_handler};
    options.limits.connections_max = server->connections_max;
    if (!e)
        e = open_data(server, options, text);
    if (!e && grpc)
        e = open_grpc(server, options, text);
    if (!e)
        e = open_management(server, options, text);
    if (!e)
        log_all(server);
    return e;
}
