#include "api/access.h"

#include "api/grpc.h"
#include "base/num.h"

static bool bearer_fits(const struct call *call, const char *token) {
    struct str header = http_header_find(&call->exchange->request, STR("Authorization"));
    if (!token || header.n < 7 || !str_eq_nocase((struct str){header.p, 7}, STR("Bearer ")))
        return false;
    return str_eq_secret(str_trim((struct str){header.p + 7, header.n - 7}), str_of(token));
}

enum err access_check(const struct call *call, struct err_text *text) {
    const struct api_loop *loop = call->loop;
    const struct service_options *options = &loop->service->options;
    switch (call->match.route->needs) {
    case NEEDS_ADMIN_TOKEN:
        if (!options->admin_configured)
            return err_set(
                text, ERR_FORBIDDEN,
                "admin calls are off: set admin.token_file to a file that holds the token");
        if (!bearer_fits(call, loop->admin_token))
            return err_set(text, ERR_UNAUTHENTICATED,
                           "this call needs the admin token: Authorization: Bearer <token>");
        return ERR_OK;
    case NEEDS_DATA_TOKEN:
        if (!options->data_token_required || call->door == DOOR_MANAGEMENT ||
            bearer_fits(call, loop->data_token))
            return ERR_OK;
        return err_set(text, ERR_UNAUTHENTICATED,
                       "this call needs the data token: Authorization: Bearer <token>");
    case NEEDS_NOTHING:
        break;
    }
    return ERR_OK;
}

void access_read_origin(struct call *call) {
    const struct service_options *options = &call->loop->service->options;
    if (options->cors_origin_count == 0 || call->door != DOOR_DATA)
        return;
    struct str origin = http_header_find(&call->exchange->request, STR("Origin"));
    for (size_t i = 0; origin.p && i < options->cors_origin_count; i++) {
        bool any = str_eq_c(STR("*"), options->cors_origins[i]);
        if (any || str_eq_c(origin, options->cors_origins[i]))
            call->origin = any ? STR("*") : origin;
    }
}

void access_respond_options(struct call *call) {
    call->responded = true;
    struct http_header headers[8] = {{STR("X-Request-Id"), call->request_id},
                                     {STR("Allow"), str_of(call->allow)}};
    size_t count = 2;
    struct str asked =
        http_header_find(&call->exchange->request, STR("Access-Control-Request-Method"));
    if (call->origin.p && asked.p) {
        const struct http_header preflight[] = {
            {STR("Access-Control-Allow-Origin"), call->origin},
            {STR("Access-Control-Allow-Methods"), str_of(call->allow)},
            {STR("Access-Control-Allow-Headers"),
             STR("Authorization, Content-Type, Content-Encoding, Inference-Header-Content-Length, "
                 "X-Request-Id, traceparent")},
            {STR("Access-Control-Max-Age"), STR("600")},
            {STR("Vary"), STR("Origin")},
        };
        memcpy(headers + count, preflight, sizeof preflight);
        count += ARRAY_LEN(preflight);
    }
    http_respond(call->exchange,
                 &(struct http_response){.status = 204, .headers = headers, .header_count = count});
}

void access_log_request(struct call *call, const struct http_sent *sent) {
    const struct service_options *options = &call->loop->service->options;
    const struct http_exchange *exchange = call->exchange;
    enum route_kind kind = call->match.route ? call->match.route->kind : ROUTE_API;
    if (!options->log_access || (kind == ROUTE_QUIET && !options->log_health))
        return;
    struct log_line line;
    log_begin(&line, call->loop->ring, LOG_INFO, "request");
    log_str(&line, "request_id", call->request_id);
    log_c(&line, "listener", listener_name(exchange->listener));
    const char *http = exchange->request.http2 ? "http/2" : "http/1.1";
    log_c(&line, "protocol", call->codec->protocol ? call->codec->protocol : http);
    log_str(&line, "method", exchange->request.method_text);
    log_str(&line, "path", exchange->request.path);
    if (call->version) {
        log_c(&line, "model", call->version->model);
        log_c(&line, "version", call->version->version);
    }
    log_u64(&line, "status", (uint64_t)call_status(call, sent));
    if (call->codec->grpc)
        log_c(&line, "grpc_status",
              metric_variant_name(METRIC_GRPC_REQUESTS, (uint32_t)grpc_code(call, sent)));
    if (kind == ROUTE_INFER) {
        log_i64(&line, "rows", call->rows);
        log_u64(&line, "queue_us", call->queue_ns / NS_PER_US);
        log_u64(&line, "compute_us", call->compute_ns / NS_PER_US);
        log_c(&line, "cache", call->cache);
    }
    log_u64(&line, "bytes_in", call->bytes_in);
    log_u64(&line, "bytes_out", sent->bytes_out);
    uint64_t now = clock_now(call->loop->service->clock);
    log_u64(&line, "total_us", (now - call->started_ns) / NS_PER_US);
    if (call->err)
        log_c(&line, "error", err_name(call->err));
    log_c(&line, "reason", call->reason);
    if (call->traced)
        log_c(&line, "trace_id", call->trace.trace_id);
    log_end(&line);
}

void access_log_refusal(struct api_loop *loop, const struct http_refusal *refusal) {
    if (!loop->service->options.log_access)
        return;
    struct log_line line;
    log_begin(&line, loop->ring, LOG_INFO, "request_refused");
    if (refusal->answered)
        log_c(&line, "request_id", loop->refusal_id);
    if (refusal->method.n)
        log_str(&line, "method", refusal->method);
    if (refusal->path.n)
        log_str(&line, "path", refusal->path);
    log_u64(&line, "status", (uint64_t)err_http_status(refusal->err));
    log_c(&line, "error", err_name(refusal->err));
    log_c(&line, "reason", refusal->text);
    log_bool(&line, "answered", refusal->answered);
    log_u64(&line, "bytes_in", refusal->bytes_in);
    log_u64(&line, "total_us", refusal->duration_ns / NS_PER_US);
    log_end(&line);
}
