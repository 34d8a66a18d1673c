/* Rules between options: what no option can say alone. Pure; thread: any. */
#include "config/reader.h"

#include <stdio.h>

enum { PLACE_MAX = 300 };

/* Where the option's value came from, for the start of a problem. */
static const char *place_of(const struct reader *reader, const char *key, char out[PLACE_MAX]) {
    size_t row = reader_find_row(reader, str_of(key));
    struct buffer text;
    buffer_init(&text, PLACE_MAX);
    const struct config_source source = reader->sources[row];
    if (source.origin == FROM_FILE)
        buffer_add_format(&text, "%s:%u", reader->file, (unsigned)source.line);
    else if (source.origin == FROM_ENVIRONMENT)
        option_write_variable(&reader->table->rows[row], &text);
    else if (source.origin == FROM_FLAG)
        option_write_flag(&reader->table->rows[row], &text);
    else
        buffer_add_c(&text, "default");
    snprintf(out, PLACE_MAX, "%.*s", STR_ARG(buffer_str(&text)));
    buffer_done(&text);
    return out;
}

static void need(struct reader *reader, const char *key, const char *found, const char *needed) {
    char place[PLACE_MAX];
    problem_add(reader->problems, place_of(reader, key, place), "%s: found %s; needed: %s", key,
                found, needed);
}

static bool given(const char *text) {
    return text && *text;
}

struct tls_fields {
    const char *certificate_key, *key_key, *ca_key, *auth_key; /* the options' keys */
    const char *certificate, *key, *ca;
    int auth;
};

static void check_tls(struct reader *reader, const struct tls_fields *tls) {
    char needed[160];
    if (given(tls->certificate) != given(tls->key)) {
        bool has = given(tls->certificate);
        snprintf(needed, sizeof needed, "%s too", has ? tls->key_key : tls->certificate_key);
        need(reader, has ? tls->certificate_key : tls->key_key, "it alone", needed);
    }
    if (tls->auth != 0 && !given(tls->ca)) {
        snprintf(needed, sizeof needed, "%s too, to check client certificates against",
                 tls->ca_key);
        need(reader, tls->auth_key, "it alone", needed);
    }
    if (given(tls->ca) && !given(tls->certificate)) {
        snprintf(needed, sizeof needed, "%s too", tls->certificate_key);
        need(reader, tls->ca_key, "it alone", needed);
    }
}

static void check_listeners(struct reader *reader, const struct server_config *config) {
    check_tls(reader,
              &(struct tls_fields){"http.tls.certificate_file", "http.tls.key_file",
                                   "http.tls.client_ca_file", "http.tls.client_auth",
                                   config->http_tls_certificate_file, config->http_tls_key_file,
                                   config->http_tls_client_ca_file, config->http_tls_client_auth});
    check_tls(reader,
              &(struct tls_fields){
                  "management.tls.certificate_file", "management.tls.key_file",
                  "management.tls.client_ca_file", "management.tls.client_auth",
                  config->management_tls_certificate_file, config->management_tls_key_file,
                  config->management_tls_client_ca_file, config->management_tls_client_auth});
    if (!given(config->http_host))
        need(reader, "http.host", "an empty text", "an address");
    if (!given(config->management_host))
        need(reader, "management.host", "an empty text", "an address");
    if (config->http_port != 0 && config->http_port == config->management_port &&
        strcmp(config->http_host, config->management_host) == 0)
        need(reader, "management.port", "the port of http.port", "another one");
}

void check_server_config(struct reader *reader) {
    const struct server_config *config = reader->config;
    check_listeners(reader, config);
    if (!given(config->repository_path))
        need(reader, "repository.path", "an empty text", "a folder");
    struct str policy;
    size_t policy_row = reader_find_row(reader, STR("ready.policy"));
    if (option_enum_value(&reader->table->rows[policy_row], (uint32_t)config->ready_policy,
                          &policy) &&
        str_eq(policy, STR("list")) && config->ready_models.count == 0)
        need(reader, "ready.policy", "list", "names in ready.models");
    if (config->drain_timeout_ns <= config->drain_delay_ns)
        need(reader, "drain.timeout", "no more than drain.delay", "more");
    if (config->admin_on_data && !given(config->admin_token_file))
        need(reader, "admin.on_data", "it alone", "admin.token_file too");
}

void check_model_config(struct reader *reader) {
    const struct model_config *config = reader->config;
    struct str policy;
    size_t row = reader_find_row(reader, STR("versions.policy"));
    if (!option_enum_value(&reader->table->rows[row], (uint32_t)config->versions_policy, &policy) ||
        !str_eq(policy, STR("listed")))
        return;
    if (config->versions_listed.count == 0)
        need(reader, "versions.policy", "listed", "numbers in versions.listed");
    bool listed = config->versions_default == 0;
    for (size_t i = 0; i < config->versions_listed.count && !listed; i++)
        listed = config->versions_listed.items[i] == config->versions_default;
    if (!listed)
        need(reader, "versions.default", "a version that is not in versions.listed",
             "one that is, or 0");
}

static void check_bench_target(struct reader *reader, const struct bench_config *config) {
    bool is_path = config->protocol == CONFIG_BENCH_GET || config->protocol == CONFIG_BENCH_POST;
    if (!is_path && !given(config->model))
        need(reader, "model", "nothing", "the name of a model: --model=NAME");
    if (is_path && (!given(config->path) || config->path[0] != '/'))
        need(reader, "path", "none that begins with /", "one, with get and post");
    if (!is_path && given(config->path))
        need(reader, "path", "it", "get or post in protocol, which alone have a path");
    if (config->protocol == CONFIG_BENCH_POST && !given(config->data))
        need(reader, "protocol", "post", "data too: the file that is the body");
    if (config->protocol == CONFIG_BENCH_GET && given(config->data))
        need(reader, "data", "it", "another protocol than get, which sends no body");
    if (given(config->data) && config->variants > 1)
        need(reader, "variants", "more than 1", "no data: only generated requests differ");
}

void check_bench_config(struct reader *reader) {
    const struct bench_config *config = reader->config;
    check_bench_target(reader, config);
    bool is_http2 = config->protocol == CONFIG_BENCH_GRPC || config->http == CONFIG_BENCH_HTTP_2;
    if (config->streams > 1 && !is_http2)
        need(reader, "streams", "more than 1", "http=2: HTTP/1.1 has one request in flight");
    int64_t most = config->rate > 0 ? 10000000 : 10000;
    for (size_t i = 0; i < config->sweep.count; i++)
        if (config->sweep.items[i] > most) {
            need(reader, "sweep", "a number that is too large",
                 config->rate > 0 ? "rates up to 10000000" : "connections up to 10000");
            break;
        }
}
