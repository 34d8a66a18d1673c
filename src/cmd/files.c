/* Files that may change while the server runs: certificates and tokens (Kubernetes rewrites mounted
 * secrets). Looked at every FILES_EVERY_MS by stat or read; nothing is lost when a new content is
 * bad: the old one stays. Thread: control loop. */
#include "cmd/server.h"

#include "base/file.h"
#include "base/memory.h"

#include <string.h>

enum { FILES_EVERY_MS = 1000, TOKEN_MAX = 4096 };

/* The first line of the file, without white space around it. */
static enum err read_token(const char *key, const char *path, char **ret, struct err_text *text) {
    *ret = NULL;
    if (!path || !*path)
        return ERR_OK;
    struct buffer content;
    struct err_text reason;
    buffer_init(&content, TOKEN_MAX);
    enum err e = file_read(path, &content, &reason);
    if (e) {
        buffer_done(&content);
        return err_set(text, ERR_INVALID, "%s: %s", key, reason.s);
    }
    struct str rest = buffer_str(&content);
    struct str line = {NULL, 0};
    if (str_split(&rest, '\n', &line) && line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    line = str_trim(line);
    if (line.n == 0)
        e = err_set(text, ERR_INVALID, "%s: '%s' holds no token on its first line", key, path);
    else
        *ret = mem_copy_n(line.p, line.n);
    buffer_done(&content);
    return e;
}

void tokens_free(char **admin, char **data) {
    mem_free(admin);
    mem_free(data);
}

enum err tokens_read(const struct server_config *config, char **ret_admin, char **ret_data,
                     struct err_text *text) {
    char *admin = NULL, *data = NULL;
    enum err e = read_token("admin.token_file", config->admin_token_file, &admin, text);
    if (!e)
        e = read_token("data.token_file", config->data_token_file, &data, text);
    if (e) {
        tokens_free(&admin, &data);
        return e;
    }
    *ret_admin = admin;
    *ret_data = data;
    return ERR_OK;
}

static bool same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* A token is replaced when its file can be read; else the old one stays in force. */
static enum err refresh_token(const char *key, const char *path, char **token, bool *changed,
                              struct err_text *text) {
    char *fresh;
    enum err e = read_token(key, path, &fresh, text);
    if (e)
        return e;
    if (!same(fresh, *token))
        *changed = true;
    mem_free(token);
    *token = fresh;
    return ERR_OK;
}

static void send_tokens(struct server *server) {
    for (uint32_t i = 0; i < server->data_loop_count; i++)
        api_loop_send_tokens(&server->data_loops[i].api, server->admin_token, server->data_token);
    api_loop_send_tokens(&server->control_api, server->admin_token, server->data_token);
}

enum err server_read_tokens(struct server *server, struct err_text *text) {
    enum err e = tokens_read(server->config, &server->admin_token, &server->data_token, text);
    if (!e)
        send_tokens(server);
    return e;
}

static void log_file_event(struct server *server, const char *event, const char *what,
                           const struct err_text *trouble) {
    struct log_line line;
    log_begin(&line, server->main_ring, trouble ? LOG_ERROR : LOG_INFO, event);
    log_c(&line, "what", what);
    if (trouble)
        log_c(&line, "reason", trouble->s);
    log_end(&line);
}

static void reload_tls(struct server *server, struct tls *tls, const char *what) {
    bool changed = false;
    struct err_text text;
    if (!tls)
        return;
    if (tls_reload(tls, &changed, &text))
        log_file_event(server, "certificate_reload_failed", what, &text);
    else if (changed)
        log_file_event(server, "certificate_reloaded", what, NULL);
}

/* Each by itself: trouble with one does not keep the other's old token in force. */
static void look_at_tokens(struct server *server) {
    const struct server_config *config = server->config;
    bool changed = false;
    struct err_text text;
    bool failed = refresh_token("admin.token_file", config->admin_token_file, &server->admin_token,
                                &changed, &text) != ERR_OK;
    if (refresh_token("data.token_file", config->data_token_file, &server->data_token, &changed,
                      &text))
        failed = true;
    if (failed && !server->token_trouble)
        log_file_event(server, "token_reload_failed", "token", &text);
    server->token_trouble = failed;
    if (changed) {
        send_tokens(server);
        log_file_event(server, "token_reloaded", "token", NULL);
    }
}

static void look_at_files(uv_timer_t *timer) {
    struct server *server = timer->data;
    reload_tls(server, server->data_tls, "data");
    reload_tls(server, server->grpc_tls, "grpc");
    reload_tls(server, server->management_tls, "management");
    look_at_tokens(server);
}

void server_watch_files(struct server *server) {
    uv_timer_init(loop_uv(server->control), &server->files_timer);
    server->files_timer.data = server;
    uv_timer_start(&server->files_timer, look_at_files, FILES_EVERY_MS, FILES_EVERY_MS);
}
