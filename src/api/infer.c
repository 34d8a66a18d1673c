/* Inference: message to tensors, into the batcher, tensors to message (by the call's codec). The
 * way back begins in job_done, on the same loop. Large messages are read and written aside.
 *
 * While the job waits or runs, the exchange stays (its arena holds the inputs). A deadline that
 * passes while it waits takes it out and answers 504; a peer that goes away frees its place. */
#include "api/aside.h"
#include "api/cached.h"
#include "api/call.h"
#include "api/handlers.h"
#include "api/lookup.h"
#include "base/counter.h"
#include "base/num.h"

struct infer {
    struct call *call;
    struct v2_infer_request request;
    struct batch_job job;
    struct cached cached;
    struct loop_timer deadline;
    bool submitted; /* done() is still to come */
    uint64_t input_ns, output_ns;
};

static uint64_t now_of(const struct call *call) {
    return clock_now(call->loop->service->clock);
}

static uint64_t min_unless_zero(uint64_t a, uint64_t b) {
    return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

static uint64_t timeout_of(const struct v2_infer_request *request) {
    return request->timeout_us > UINT64_MAX / NS_PER_US ? 0 : request->timeout_us * NS_PER_US;
}

/* The request may only shorten the model's and the server's time. */
static uint64_t deadline_of(const struct call *call, const struct v2_infer_request *request) {
    uint64_t limit = call->version->request_timeout_ns;
    if (limit == 0)
        limit = call->loop->service->options.request_timeout_ns;
    if (batch_queue_timeout_is_deadline(call->version->queue))
        limit = min_unless_zero(limit, timeout_of(request));
    limit = MIN(limit == 0 ? UINT64_MAX : limit, call->timeout_ns);
    return limit > UINT64_MAX - call->started_ns ? UINT64_MAX : call->started_ns + limit;
}

static void send_response(struct call *call, enum err e, const struct answer *answer,
                          const struct err_text *text) {
    call->infer->output_ns = now_of(call) - call->infer->output_ns;
    if (e)
        call_fail(call, e, text);
    else
        call->codec->infer_send(call, answer);
}

static void write_response(struct call *call, struct infer *infer) {
    const struct v2_infer_request *request = &infer->request;
    struct tensor *outputs = arena_new(call->arena, request->output_count * sizeof *outputs);
    for (size_t i = 0; i < request->output_count; i++)
        outputs[i] = batch_job_output(&infer->job, request->outputs[i].index);
    struct v2_infer_response response = {
        .signature = &call->version->signature,
        .request = request,
        .outputs = outputs,
        .nonfinite = call->loop->service->options.nonfinite,
    };
    if (aside_writes(call, &response)) {
        aside_write(call, &response, send_response);
        return;
    }
    struct err_text text;
    struct answer answer;
    answer.count = 0;
    enum err e = call->codec->infer_write(call, &response, &answer, &text);
    send_response(call, e, &answer, &text);
}

/* The engine and the batcher do not know whose model they run. */
static void fail_job(struct call *call, const struct batch_job *job) {
    struct err_text text;
    enum err e = err_set(&text, job->err, "%s (model '%s', version %s)", job->text.s,
                         call->version->model, call->version->version);
    call_fail(call, e, &text);
}

static void job_done(struct batch_job *job) {
    struct infer *infer = CONTAINER_OF(job, struct infer, job);
    struct call *call = infer->call;
    infer->submitted = false;
    loop_timer_stop(&infer->deadline);
    call->queue_ns = job->queue_ns;
    call->compute_ns = job->compute_ns;
    cached_put(&infer->cached, call->loop, call->version, job);
    infer->output_ns = now_of(call);
    if (call->responded)
        call->codec->release(call); /* answered at the deadline; the run has ended now */
    else if (job->err)
        fail_job(call, job);
    else
        write_response(call, infer);
}

static void deadline_passed(struct loop_timer *timer);

static void start_timer(struct infer *infer, uint64_t at_ns) {
    if (at_ns != UINT64_MAX)
        loop_timer_start(infer->call->loop->loop, &infer->deadline, at_ns, deadline_passed);
}

static void deadline_passed(struct loop_timer *timer) {
    struct infer *infer = CONTAINER_OF(timer, struct infer, deadline);
    struct call *call = infer->call;
    if (call->aside) {
        if (!aside_withdraw(call))
            return; /* submit() will find that it is late */
    } else if (batch_withdraw(&infer->job)) {
        infer->submitted = false;
    } else if (now_of(call) < infer->job.deadline_ns) {
        start_timer(infer,
                    infer->job.deadline_ns); /* only its time to wait was over, and it runs */
        return;
    } else {
        (void)batch_cancel(&infer->job);
        call->codec->hold(call); /* the run still reads the inputs */
    }
    struct err_text text;
    uint64_t waited = now_of(call) - call->started_ns;
    bool in_us = waited < NS_PER_MS;
    call_fail(call,
              err_set(&text, ERR_DEADLINE,
                      "Request timeout expired: no answer from model '%s' after %llu %s",
                      call->version->model,
                      (unsigned long long)(waited / (in_us ? NS_PER_US : NS_PER_MS)),
                      in_us ? "us" : "ms"),
              &text);
}

static void submit(struct call *call, struct infer *infer) {
    struct batch_job *job = &infer->job;
    job->inputs = infer->request.inputs;
    job->output_mask = 0;
    for (size_t i = 0; i < infer->request.output_count; i++)
        job->output_mask |= (uint64_t)1 << infer->request.outputs[i].index;
    CHECK(call->loop->turn);
    bool hit = cached_find(&infer->cached, call->loop, call->version, job);
    call->cache = cached_text(&infer->cached);
    if (hit) {
        infer->output_ns = now_of(call);
        write_response(call, infer);
        return;
    }
    job->deadline_ns = deadline_of(call, &infer->request);
    job->priority = infer->request.priority;
    job->timeout_ns = timeout_of(&infer->request);
    job->owner = loop_mailbox(call->loop->loop);
    job->done = job_done;
    enum err e = batch_submit(call->version->queue, call->loop->turn, job, &job->text);
    if (e) {
        job->err = e;
        fail_job(call, job);
        return;
    }
    infer->submitted = true;
    start_timer(infer, batch_job_expires_ns(job));
}

static void request_read(struct call *call, enum err e, const struct err_text *text) {
    struct infer *infer = call->infer;
    infer->input_ns = now_of(call) - infer->input_ns;
    loop_timer_stop(&infer->deadline);
    if (e) {
        call_fail(call, e, text);
        return;
    }
    const struct signature *signature = &call->version->signature;
    bool rows_known = signature->batchable && signature->input_count > 0;
    call->rows = rows_known ? infer->request.inputs[0].shape[0] : 1;
    submit(call, infer);
}

void handle_infer(struct call *call) {
    struct err_text text;
    uint64_t begin = now_of(call);
    enum err e = call->codec->infer_open(call, &text);
    if (!e)
        e = call_find_version(call, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    struct infer *infer = arena_new_zero(call->arena, sizeof *infer);
    infer->call = call;
    call->infer = infer;
    infer->input_ns = begin; /* until it is over */
    if (aside_reads(call)) {
        start_timer(infer, deadline_of(call, &infer->request));
        aside_read(call, &infer->request, request_read);
    } else {
        e = call->codec->infer_read(call, &infer->request, &text);
        request_read(call, e, &text);
    }
}

void infer_cancelled(struct call *call) {
    struct infer *infer = call->infer;
    if (call->responded || !infer)
        return; /* a repository order: it ends by itself and answers nobody */
    if (call->aside && !aside_withdraw(call))
        return; /* a worker has it; its end answers nobody and lets go */
    if (infer->submitted && !batch_cancel(&infer->job))
        return; /* it runs; job_done answers nobody and lets go */
    infer->submitted = false;
    loop_timer_stop(&infer->deadline);
    call_fail(call, ERR_CANCELLED, NULL);
}

static void count_statistics(const struct call *call, bool success, uint64_t total_ns) {
    struct model_stats *stats = &call->version->stats[call->loop->shard];
    if (!success) {
        counter_add(&stats->fail_count, 1);
        counter_add(&stats->fail_ns, total_ns);
        return;
    }
    counter_add(&stats->success_count, 1);
    counter_add(&stats->success_ns, total_ns);
    cached_count(&call->infer->cached, stats);
    uint64_t wall_ms = call->loop->service->clock->wall_ns(call->loop->service->clock) / NS_PER_MS;
    atomic_store_explicit(&stats->last_inference_ms, wall_ms, memory_order_relaxed);
    if (call->infer->cached.hit)
        return;
    counter_add(&stats->queue_count, 1);
    counter_add(&stats->queue_ns, call->queue_ns);
    counter_add(&stats->input_ns, call->infer->input_ns);
    counter_add(&stats->infer_ns, call->compute_ns);
    counter_add(&stats->output_ns, call->infer->output_ns);
    counter_add(&stats->inference_count, (uint64_t)call->rows);
}

static void count_rejection(const struct call *call) {
    static const struct {
        enum err err;
        enum metric_reason reason;
    } reasons[] = {
        {ERR_QUEUE_FULL, REASON_QUEUE_FULL},  {ERR_DEADLINE, REASON_DEADLINE},
        {ERR_CANCELLED, REASON_CANCELLED},    {ERR_SHUTTING_DOWN, REASON_SHUTDOWN},
        {ERR_INVALID, REASON_INVALID},        {ERR_BAD_CODING, REASON_INVALID},
        {ERR_BODY_TOO_LARGE, REASON_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].err == call->err)
            metric_add(call->version->metrics, call->loop->shard, METRIC_REJECTED,
                       reasons[i].reason, 1);
}

void infer_finished(struct call *call, const struct http_sent *sent) {
    struct infer *infer = call->infer;
    if (!infer) {
        model_version_unref(&call->version);
        return;
    }
    CHECK(!infer->submitted && !call->aside);
    uint64_t total_ns = now_of(call) - call->started_ns;
    struct metric_group *metrics = call->version->metrics;
    uint32_t shard = call->loop->shard;
    int status = call_status(call, sent);
    bool success = !call->err;
    metric_add(metrics, shard, METRIC_REQUESTS, metric_code_variant(status), 1);
    metric_observe(metrics, shard, METRIC_REQUEST_SECONDS, total_ns);
    if (success && infer->cached.hit) {
        /* nothing waited and nothing ran */
    } else if (success) {
        metric_observe(metrics, shard, METRIC_QUEUE_SECONDS, call->queue_ns);
        metric_observe(metrics, shard, METRIC_COMPUTE_SECONDS, call->compute_ns);
        metric_add(metrics, shard, METRIC_INFERENCES, 0, (uint64_t)call->rows);
    } else {
        count_rejection(call);
    }
    count_statistics(call, success, total_ns);
    engine_result_unref(&infer->job.result);
    model_version_unref(&call->version);
}
