#include "load/result.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdio.h>

enum { HTTP_OK_FIRST = 200, HTTP_OK_LAST = 299, HTTP_FIRST = 100 };
static const double client_busy = 0.9;

static const char *const failure_names[] = {
#define FAILURE(name, text, meaning) text,
#include "load/failure.def"
#undef FAILURE
};

const char *failure_name(enum failure failure) {
    CHECK(failure < FAILURE_COUNT);
    return failure_names[failure];
}

struct result *result_new(void) {
    return mem_new(sizeof(struct result));
}

void result_free(struct result **result) {
    mem_free(result);
}

static void add_all(uint64_t *into, const uint64_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        into[i] += from[i];
}

void result_merge(struct result *into, const struct result *from) {
    into->seconds += from->seconds;
    into->answers += from->answers;
    into->successes += from->successes;
    into->requests += from->requests;
    into->unsent += from->unsent;
    into->warmup_requests += from->warmup_requests;
    into->warmup_failed += from->warmup_failed;
    into->reconnects += from->reconnects;
    add_all(into->failures, from->failures, FAILURE_COUNT);
    add_all(into->http, from->http, ARRAY_LEN(into->http));
    add_all(into->grpc, from->grpc, ARRAY_LEN(into->grpc));
    histogram_merge(&into->latency, &from->latency);
    into->client_cpu_s += from->client_cpu_s;
    into->server_cpu_s += from->server_cpu_s;
    into->has_server_cpu = from->has_server_cpu;
    into->interrupted |= from->interrupted;
    if (!into->first_failure[0])
        snprintf(into->first_failure, sizeof into->first_failure, "%s", from->first_failure);
}

bool result_count_answer(struct result *result, int http, int grpc, bool is_grpc) {
    bool http_ok = http >= HTTP_OK_FIRST && http <= HTTP_OK_LAST;
    if (http < HTTP_FIRST || http > RESULT_STATUS_MAX || (is_grpc && http_ok && grpc < 0)) {
        result->failures[FAILURE_MALFORMED]++;
        return false;
    }
    if (!is_grpc || grpc < 0) {
        result->http[http]++;
        return http_ok;
    }
    result->grpc[grpc < RESULT_GRPC_MAX ? grpc : RESULT_GRPC_MAX]++;
    return grpc == 0;
}

void result_count_failure(struct result *result, enum failure failure) {
    result->failures[failure]++;
}

/* Kinds in one row: failures, then HTTP statuses, then gRPC's. */
enum {
    KIND_HTTP = FAILURE_COUNT,
    KIND_GRPC = KIND_HTTP + RESULT_STATUS_MAX + 1,
    KIND_END = KIND_GRPC + RESULT_GRPC_MAX + 1,
};

static bool is_failure(size_t kind) {
    size_t http = kind - KIND_HTTP;
    if (kind >= KIND_HTTP && kind < KIND_GRPC)
        return http < HTTP_OK_FIRST || http > HTTP_OK_LAST;
    return kind != KIND_GRPC;
}

static uint64_t kind_count(const struct result *result, size_t kind) {
    if (!is_failure(kind))
        return 0;
    if (kind >= KIND_GRPC)
        return result->grpc[kind - KIND_GRPC];
    return kind >= KIND_HTTP ? result->http[kind - KIND_HTTP] : result->failures[kind];
}

static void kind_name(size_t kind, char out[RESULT_KIND_SIZE]) {
    if (kind >= KIND_GRPC)
        snprintf(out, RESULT_KIND_SIZE, "grpc-%zu", kind - KIND_GRPC);
    else if (kind >= KIND_HTTP)
        snprintf(out, RESULT_KIND_SIZE, "%zu", kind - KIND_HTTP);
    else
        snprintf(out, RESULT_KIND_SIZE, "%s", failure_names[kind]);
}

bool result_next_kind(const struct result *result, size_t *position, char kind[RESULT_KIND_SIZE],
                      uint64_t *ret_count) {
    while (*position < KIND_END && kind_count(result, *position) == 0)
        (*position)++;
    if (*position >= KIND_END)
        return false;
    kind_name(*position, kind);
    *ret_count = kind_count(result, (*position)++);
    return true;
}

uint64_t result_failed(const struct result *result) {
    uint64_t failed = 0;
    for (size_t kind = 0; kind < KIND_END; kind++)
        failed += kind_count(result, kind);
    return failed;
}

bool result_is_kind(struct str kind) {
    if (str_eq(kind, STR("all")))
        return true;
    for (size_t i = 0; i < KIND_END; i++) {
        char name[RESULT_KIND_SIZE];
        kind_name(i, name);
        if (is_failure(i) && str_eq_c(kind, name))
            return i < KIND_HTTP || i >= KIND_GRPC || i - KIND_HTTP >= HTTP_FIRST;
    }
    return false;
}

uint64_t result_failed_beyond(const struct result *result, char *const *allowed, size_t count) {
    uint64_t failed = 0, n;
    size_t position = 0;
    char kind[RESULT_KIND_SIZE];
    while (result_next_kind(result, &position, kind, &n)) {
        bool ok = false;
        for (size_t i = 0; i < count && !ok; i++)
            ok = strcmp(allowed[i], kind) == 0 || strcmp(allowed[i], "all") == 0;
        failed += ok ? 0 : n;
    }
    return failed;
}

double result_throughput(const struct result *result) {
    return result->seconds > 0 ? (double)result->successes / result->seconds : 0;
}

double result_client_share(const struct result *result) {
    return result->seconds > 0 ? result->client_cpu_s / result->seconds : 0;
}

bool result_is_client_bound(const struct result *result) {
    return result_client_share(result) > client_busy;
}

bool result_measured(const struct result *result) {
    return result->requests + result->unsent > 0 || result->warmup_failed == 0;
}

bool result_met_rate(const struct result *result) {
    return result->unsent <= (result->requests + result->unsent) / 100;
}

double result_server_us(const struct result *result) {
    if (!result->has_server_cpu || result->answers == 0)
        return -1;
    return result->server_cpu_s * 1e6 / (double)result->answers;
}
