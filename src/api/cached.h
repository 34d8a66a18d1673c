/* The response cache on an inference's way: asked before the queue, told after the run. Where the
 * version keeps no answers, nothing happens. Thread: the call's loop. */
#pragma once

#include "api/service.h"

/* One request's dealings with the cache; zero before cached_find. Lives as long as its inputs. */
struct cached {
    struct response_key key;
    bool asked; /* there is a cache */
    bool keeps; /* the answer may be kept */
    bool hit;
    uint64_t ns; /* spent on looking up and keeping */
};

/* True: `job`, whose inputs and output mask are set, has its result as if it had been run alone;
 * it must not be submitted. */
bool cached_find(struct cached *cached, const struct api_loop *loop, struct model_version *version,
                 struct batch_job *job);
/* After a run: keeps its answer when it is one. The inputs are still there. */
void cached_put(struct cached *cached, const struct api_loop *loop, struct model_version *version,
                const struct batch_job *job);
/* The answer is out: the statistics extension's figures. */
void cached_count(const struct cached *cached, struct model_stats *stats);
/* "hit" or "miss"; NULL without a cache. */
const char *cached_text(const struct cached *cached);
