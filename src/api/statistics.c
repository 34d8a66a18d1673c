/* Triton's statistics extension: durations in ns, cumulative since the version became ready. Every
 * field that perf_analyzer reads is there, also those that are always 0. A request answered from
 * the response cache is a success, but neither an inference nor an execution. */
#include "api/call.h"
#include "api/handlers.h"
#include "api/lookup.h"
#include "base/num.h"

/* The shards' sums, in plain numbers. */
struct totals {
    uint64_t success_count, success_ns, fail_count, fail_ns, queue_count, queue_ns;
    uint64_t input_ns, infer_ns, output_ns, inference_count, execution_count, last_inference_ms;
    uint64_t cache_hit_count, cache_hit_ns, cache_miss_count, cache_miss_ns;
    uint64_t batch_count[MODEL_STATS_BATCH_SIZES], batch_infer_ns[MODEL_STATS_BATCH_SIZES];
};

static uint64_t get(const _Atomic uint64_t *cell) {
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static void sum(const struct model_version *version, uint32_t shards, struct totals *ret) {
    *ret = (struct totals){0};
    for (uint32_t i = 0; i < shards; i++) {
        const struct model_stats *stats = &version->stats[i];
        ret->success_count += get(&stats->success_count);
        ret->success_ns += get(&stats->success_ns);
        ret->fail_count += get(&stats->fail_count);
        ret->fail_ns += get(&stats->fail_ns);
        ret->queue_count += get(&stats->queue_count);
        ret->queue_ns += get(&stats->queue_ns);
        ret->input_ns += get(&stats->input_ns);
        ret->infer_ns += get(&stats->infer_ns);
        ret->output_ns += get(&stats->output_ns);
        ret->inference_count += get(&stats->inference_count);
        ret->execution_count += get(&stats->execution_count);
        ret->cache_hit_count += get(&stats->cache_hit_count);
        ret->cache_hit_ns += get(&stats->cache_hit_ns);
        ret->cache_miss_count += get(&stats->cache_miss_count);
        ret->cache_miss_ns += get(&stats->cache_miss_ns);
        ret->last_inference_ms = MAX(ret->last_inference_ms, get(&stats->last_inference_ms));
        for (size_t b = 0; b < MODEL_STATS_BATCH_SIZES; b++) {
            ret->batch_count[b] += get(&stats->batch_count[b]);
            ret->batch_infer_ns[b] += get(&stats->batch_infer_ns[b]);
        }
    }
}

static void add_duration(struct buffer *body, const char *name, uint64_t count, uint64_t ns) {
    buffer_add_format(body, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}",
                      body->data[body->used - 1] == '{' ? "" : ",", name, (unsigned long long)count,
                      (unsigned long long)ns);
}

static void add_batches(struct buffer *body, const struct totals *totals) {
    buffer_add_c(body, ",\"batch_stats\":[");
    for (size_t b = 0; b < MODEL_STATS_BATCH_SIZES; b++) {
        if (totals->batch_count[b] == 0)
            continue;
        buffer_add_format(body, "%s{\"batch_size\":%zu",
                          body->data[body->used - 1] == '[' ? "" : ",", b + 1);
        add_duration(body, "compute_input", totals->batch_count[b], 0);
        add_duration(body, "compute_infer", totals->batch_count[b], totals->batch_infer_ns[b]);
        add_duration(body, "compute_output", totals->batch_count[b], 0);
        buffer_add_char(body, '}');
    }
    buffer_add_char(body, ']');
}

static void add_version(struct buffer *body, const struct model_version *version, uint32_t shards) {
    struct totals totals;
    sum(version, shards, &totals);
    buffer_add_c(body, body->data[body->used - 1] == '[' ? "{" : ",{");
    buffer_add_c(body, "\"name\":");
    buffer_add_json_string(body, str_of(version->model));
    buffer_add_c(body, ",\"version\":");
    buffer_add_json_string(body, str_of(version->version));
    buffer_add_format(
        body, ",\"last_inference\":%llu,\"inference_count\":%llu,\"execution_count\":%llu",
        (unsigned long long)totals.last_inference_ms, (unsigned long long)totals.inference_count,
        (unsigned long long)totals.execution_count);
    buffer_add_c(body, ",\"inference_stats\":{");
    add_duration(body, "success", totals.success_count, totals.success_ns);
    add_duration(body, "fail", totals.fail_count, totals.fail_ns);
    add_duration(body, "queue", totals.queue_count, totals.queue_ns);
    uint64_t computed = totals.success_count - MIN(totals.success_count, totals.cache_hit_count);
    add_duration(body, "compute_input", computed, totals.input_ns);
    add_duration(body, "compute_infer", computed, totals.infer_ns);
    add_duration(body, "compute_output", computed, totals.output_ns);
    add_duration(body, "cache_hit", totals.cache_hit_count, totals.cache_hit_ns);
    add_duration(body, "cache_miss", totals.cache_miss_count, totals.cache_miss_ns);
    buffer_add_c(body, "},\"response_stats\":{}");
    add_batches(body, &totals);
    buffer_add_c(body, ",\"memory_usage\":[]}");
}

static bool wanted(const struct call *call, const struct catalog_version *version) {
    if (!version->live)
        return false;
    return call->match.version.n == 0 || str_eq_c(call->match.version, version->version);
}

void handle_statistics(struct call *call) {
    struct err_text text;
    const struct catalog_model *only = NULL;
    enum err e = call->match.model.n ? call_find_model(call, &only, &text) : ERR_OK;
    if (!e && call->match.version.n)
        e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct catalog *catalog = call->loop->catalog;
    uint32_t shards = call->loop->service->shard_count;
    struct buffer *body = call_body(call);
    buffer_add_c(body, "{\"model_stats\":[");
    for (size_t m = 0; catalog && m < catalog->model_count; m++) {
        const struct catalog_model *model = &catalog->models[m];
        for (size_t v = 0; (!only || model == only) && v < model->version_count; v++)
            if (wanted(call, &model->versions[v]))
                add_version(body, model->versions[v].live, shards);
    }
    buffer_add_c(body, "]}");
    call_respond(call, 200, "application/json");
}
