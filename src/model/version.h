/* One version of one model, from the moment the scan sees it to the moment its memory is given
 * back.
 *
 *   SETTLING --files stable--> LOADING --session made--> WARMING --warmed up--> READY
 *    |    |                       |                        |                      |
 *    |    | (allowed, not used)   | no session             | did not run          | unwanted,
 *    |    v                       v                        v                      | replaced, stop
 *    |   FAILED <-----------------+------------------------+                      v
 *    |    |                                                                   UNLOADING
 *    |    | files changed, gone, asked again, stop                                |
 *    |    v                                                                       | last request
 *    +-> UNLOADED <---------------------------------------------------------------+ ended
 *   gone
 *
 * 1. Only model_version_set_state changes the state; it checks the edge against state.def, counts
 * and logs it. Thread: manager. Reading the state: any thread.
 * 2. READY versions, and only they, are in a catalog's `live` pointers.
 * 3. A version is freed when nobody refers to it: the manager while it is listed, each catalog that
 * shows it live, each request in it. The last reference to go sends it to the manager's mailbox,
 * where the engine unloads it.
 */
#pragma once

#include "batch/batch.h"
#include "model/response_cache.h"
#include "observe/metrics.h"
#include "tensor/tensor.h"

enum model_state {
#define STATE(name, v2, next) MODEL_##name,
#include "model/state.def"
#undef STATE
    MODEL_STATE_COUNT
};

const char *model_state_name(enum model_state state); /* "READY" */
const char *model_state_v2(enum model_state state);   /* as in the repository index */

/* Cumulative figures of the statistics extension: one for each shard, written by that shard's
 * thread only. */
enum {
    MODEL_STATS_BATCH_SIZES = 32
}; /* batch_stats are kept for batches of 1..32 rows; larger count as 32 */
struct model_stats {
    _Atomic uint64_t success_count, success_ns, fail_count, fail_ns;
    _Atomic uint64_t queue_count, queue_ns;
    _Atomic uint64_t input_ns, infer_ns, output_ns; /* count = success_count */
    _Atomic uint64_t inference_count, execution_count, last_inference_ms;
    _Atomic uint64_t cache_hit_count, cache_hit_ns, cache_miss_count, cache_miss_ns;
    _Atomic uint64_t batch_count[MODEL_STATS_BATCH_SIZES], batch_infer_ns[MODEL_STATS_BATCH_SIZES];
};

struct model_version {
    _Atomic uint32_t references;
    _Atomic enum model_state state;
    const char *model;   /* owned copies */
    const char *version; /* "3" */
    int64_t number;
    struct signature signature;   /* the engine's tensors, with our names; valid from WARMING on */
    struct batch_queue *queue;    /* valid from READY on */
    bool batching;                /* rows of different requests may share a batch */
    uint32_t rows_max;            /* of one batch */
    uint64_t request_timeout_ns;  /* 0: the server's */
    struct response_cache *cache; /* of its answers; NULL: none. Valid from READY on */
    struct metric_group
        *metrics; /* scope VERSION; valid from READY on; shared by reloads of the version */
    struct model_stats *stats;         /* `shards` of them; ditto */
    struct model_version_owner *owner; /* the manager's side */
};

void model_version_ref(struct model_version *version);
void model_version_unref(struct model_version **version); /* NULL is accepted. Thread: any */
