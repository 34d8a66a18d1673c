/* Triton's statistics extension: durations in ns, cumulative since the version became ready. Every
 * field that perf_analyzer reads is there, also those that are always 0. A request answered from
 * the response cache is a success, but neither an inference nor an execution. */
#include "api/statistics.h"
#include "api/handlers.h"
#include "api/lookup.h"
#include "api/rest.h"
#include "base/num.h"

static void add_counter(uint64_t *sum, const _Atomic uint64_t *cell) {
    *sum += atomic_load_explicit(cell, memory_order_relaxed);
}

static void add_shard(const struct model_stats *stats, struct statistics *ret) {
    add_counter(&ret->success.count, &stats->success_count);
    add_counter(&ret->success.ns, &stats->success_ns);
    add_counter(&ret->fail.count, &stats->fail_count);
    add_counter(&ret->fail.ns, &stats->fail_ns);
    add_counter(&ret->queue.count, &stats->queue_count);
    add_counter(&ret->queue.ns, &stats->queue_ns);
    add_counter(&ret->input.ns, &stats->input_ns);
    add_counter(&ret->infer.ns, &stats->infer_ns);
    add_counter(&ret->output.ns, &stats->output_ns);
    add_counter(&ret->inference_count, &stats->inference_count);
    add_counter(&ret->execution_count, &stats->execution_count);
    add_counter(&ret->cache_hit.count, &stats->cache_hit_count);
    add_counter(&ret->cache_hit.ns, &stats->cache_hit_ns);
    add_counter(&ret->cache_miss.count, &stats->cache_miss_count);
    add_counter(&ret->cache_miss.ns, &stats->cache_miss_ns);
    uint64_t last = 0;
    add_counter(&last, &stats->last_inference_ms);
    ret->last_inference_ms = MAX(ret->last_inference_ms, last);
    for (size_t b = 0; b < MODEL_STATS_BATCH_SIZES; b++) {
        add_counter(&ret->batches[b].infer.count, &stats->batch_count[b]);
        add_counter(&ret->batches[b].infer.ns, &stats->batch_infer_ns[b]);
    }
}

void statistics_sum(const struct model_version *version, uint32_t shards, struct statistics *ret) {
    *ret = (struct statistics){0};
    for (uint32_t i = 0; i < shards; i++)
        add_shard(&version->stats[i], ret);
    uint64_t computed = ret->success.count - MIN(ret->success.count, ret->cache_hit.count);
    ret->input.count = ret->infer.count = ret->output.count = computed;
    for (size_t b = 0; b < MODEL_STATS_BATCH_SIZES; b++) {
        struct statistics_batch batch = {b + 1, ret->batches[b].infer};
        if (batch.infer.count > 0)
            ret->batches[ret->batch_count++] = batch;
    }
}

static void add_duration(struct buffer *body, const char *name, struct duration duration) {
    buffer_add_format(body, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}",
                      body->data[body->used - 1] == '{' ? "" : ",", name,
                      (unsigned long long)duration.count, (unsigned long long)duration.ns);
}

static void add_batches(struct buffer *body, const struct statistics *statistics) {
    buffer_add_c(body, ",\"batch_stats\":[");
    for (size_t b = 0; b < statistics->batch_count; b++) {
        const struct statistics_batch *batch = &statistics->batches[b];
        buffer_add_format(body, "%s{\"batch_size\":%llu", b ? "," : "",
                          (unsigned long long)batch->rows);
        add_duration(body, "compute_input", (struct duration){batch->infer.count, 0});
        add_duration(body, "compute_infer", batch->infer);
        add_duration(body, "compute_output", (struct duration){batch->infer.count, 0});
        buffer_add_char(body, '}');
    }
    buffer_add_char(body, ']');
}

static void add_version(struct buffer *body, const struct model_version *version, uint32_t shards) {
    struct statistics statistics;
    statistics_sum(version, shards, &statistics);
    buffer_add_c(body, body->data[body->used - 1] == '[' ? "{" : ",{");
    buffer_add_c(body, "\"name\":");
    buffer_add_json_string(body, str_of(version->model));
    buffer_add_c(body, ",\"version\":");
    buffer_add_json_string(body, str_of(version->version));
    buffer_add_format(body,
                      ",\"last_inference\":%llu,\"inference_count\":%llu,\"execution_count\":%llu",
                      (unsigned long long)statistics.last_inference_ms,
                      (unsigned long long)statistics.inference_count,
                      (unsigned long long)statistics.execution_count);
    buffer_add_c(body, ",\"inference_stats\":{");
#define DURATION(name, member) add_duration(body, #name, statistics.member);
    STATISTICS_DURATIONS(DURATION)
#undef DURATION
    buffer_add_c(body, "},\"response_stats\":{}");
    add_batches(body, &statistics);
    buffer_add_c(body, ",\"memory_usage\":[]}");
}

void handle_statistics(struct call *call) {
    struct err_text text;
    const struct model_version **versions;
    size_t count;
    enum err e = call_find_versions(call, &versions, &count, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    struct buffer *body = call_body(call);
    buffer_add_c(body, "{\"model_stats\":[");
    for (size_t i = 0; i < count; i++)
        add_version(body, versions[i], call->loop->service->shard_count);
    buffer_add_c(body, "]}");
    rest_respond(call, 200, "application/json");
}
