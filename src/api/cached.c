/* The response cache on an inference's way (cached.h). Figures of the statistics extension follow
 * Triton: a hit counts as a success but not as an inference or an execution. */
#include "api/cached.h"

#include "base/counter.h"

bool cached_find(struct cached *cached, const struct api_loop *loop, struct model_version *version,
                 struct batch_job *job) {
    *cached = (struct cached){.asked = version->cache != NULL};
    if (!cached->asked)
        return false;
    const struct clock *clock = loop->service->clock;
    uint64_t begin_ns = clock_now(clock);
    struct engine_result *result = NULL;
    cached->keeps = response_cache_key(version->cache, job->inputs, job->output_mask, &cached->key);
    cached->hit = cached->keeps && response_cache_find(version->cache, &cached->key, &result);
    cached->ns = clock_now(clock) - begin_ns;
    metric_add(version->metrics, loop->shard, cached->hit ? METRIC_CACHE_HITS : METRIC_CACHE_MISSES,
               0, 1);
    if (!cached->hit)
        return false;
    job->err = ERR_OK;
    job->result = result;
    job->row_first = job->row_count = 0;
    job->queue_ns = job->compute_ns = 0;
    return true;
}

void cached_put(struct cached *cached, const struct api_loop *loop, struct model_version *version,
                const struct batch_job *job) {
    if (!cached->keeps || cached->hit || job->err || !job->result)
        return;
    const struct clock *clock = loop->service->clock;
    uint64_t begin_ns = clock_now(clock);
    struct tensor outputs[SIGNATURE_TENSORS_MAX];
    for (size_t i = 0; i < version->signature.output_count; i++)
        outputs[i] = batch_job_output(job, i);
    uint32_t evicted = response_cache_put(version->cache, &cached->key, outputs);
    if (evicted > 0)
        metric_add(version->metrics, loop->shard, METRIC_CACHE_EVICTIONS, 0, evicted);
    cached->ns += clock_now(clock) - begin_ns;
}

void cached_count(const struct cached *cached, struct model_stats *stats) {
    if (!cached->asked)
        return;
    counter_add(cached->hit ? &stats->cache_hit_count : &stats->cache_miss_count, 1);
    counter_add(cached->hit ? &stats->cache_hit_ns : &stats->cache_miss_ns, cached->ns);
}

const char *cached_text(const struct cached *cached) {
    return !cached->asked ? NULL : cached->hit ? "hit" : "miss";
}
