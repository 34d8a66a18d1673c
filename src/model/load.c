/* Loading and warming up (load.h). */
#include "model/load.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "model/scan.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOAD_NICE = 10 };

struct quiet_work {
    void (*work)(void *context);
    void *context;
};

static void *quiet_main(void *argument) {
    const struct quiet_work *quiet = argument;
    pthread_setname_np(pthread_self(), "inferd-load");
    id_t thread = (id_t)gettid();
    int now = getpriority(PRIO_PROCESS, thread);
    /* Failure is no harm: loading is then as urgent as serving. */
    (void)!setpriority(PRIO_PROCESS, thread, now + LOAD_NICE);
    quiet->work(quiet->context);
    return NULL;
}

void load_run_quietly(const struct model_options *options, void (*work)(void *context),
                      void *context) {
    struct quiet_work quiet = {work, context};
    pthread_t thread;
    bool makes_threads =
        options->engine.intra_op_threads > 1 || options->engine.inter_op_threads > 1;
    if (makes_threads || pthread_create(&thread, NULL, quiet_main, &quiet) != 0) {
        work(context);
        return;
    }
    pthread_join(thread, NULL);
}

struct load_work {
    const struct model_manager_options *manager;
    const struct model_options *options;
    const char *path;
    struct engine_model *model;
    enum err err;
    struct err_text *text;
};

static void load_now(void *context) {
    struct load_work *work = context;
    struct engine *engine = work->manager->engine;
    work->err =
        engine->ops->load(engine, work->path, &work->options->engine, &work->model, work->text);
}

enum err load_model(const struct load_order *order, struct engine_model **ret,
                    struct err_text *text) {
    const struct model_manager_options *manager = order->manager;
    char *path =
        mem_format("%s/%s/%" PRId64 "/model.onnx", manager->root, order->model, order->number);
    struct load_work work = {
        .manager = manager, .options = order->options, .path = path, .text = text};
    if (access(path, F_OK) == 0 && !scan_path_inside(manager->root, path))
        work.err = err_set(text, ERR_INVALID, "model.onnx leads out of the repository");
    else
        load_run_quietly(order->options, load_now, &work);
    mem_free(&path);
    if (work.err != ERR_OK)
        return work.err;
    const struct signature *signature = manager->engine->ops->signature(work.model);
    if (signature->input_count > SIGNATURE_TENSORS_MAX ||
        signature->output_count > SIGNATURE_TENSORS_MAX) {
        manager->engine->ops->unload(&work.model);
        return err_set(text, ERR_INVALID, "the model has more than %d inputs or outputs",
                       (int)SIGNATURE_TENSORS_MAX);
    }
    *ret = work.model;
    return ERR_OK;
}

struct warm_work {
    const struct load_order *order;
    struct engine_model *model;
    struct load_decision *ret;
    enum err err;
    struct err_text *text;
};

static void run_recorded(struct warm_work *work, const struct signature *signature) {
    const struct load_order *order = work->order;
    const struct model_manager_options *manager = order->manager;
    char *version = mem_format("%" PRId64, order->number);
    char *folder = mem_format("%s/%s/%s/warmup", manager->root, order->model, version);
    struct signature named = *signature;
    named.model = order->model;
    named.version = version;
    struct recorded_options options = {.root = manager->root,
                                       .folder = folder,
                                       .read = manager->read_request,
                                       .context = manager->context,
                                       .model = work->model,
                                       .signature = &named,
                                       .clock = manager->clock,
                                       .runs = MAX(order->options->warmup_count, 1u),
                                       .stop = order->stop};
    work->err = recorded_run(&options, &work->ret->recorded, work->text);
    mem_free(&folder);
    mem_free(&version);
}

/* Made-up inputs first: they are small, and say most about the model. */
static void warm_now(void *context) {
    struct warm_work *work = context;
    const struct load_order *order = work->order;
    const struct model_manager_options *manager = order->manager;
    const struct signature *signature = manager->engine->ops->signature(work->model);
    bool compares = order->options->batching == BATCHING_AUTO;
    struct warmup_options options = {manager->engine,
                                     work->model,
                                     signature,
                                     manager->clock,
                                     compares ? order->options->batch.rows_max : 1,
                                     order->stop};
    struct warmup_result *result = &work->ret->warmup;
    warmup_run(&options, result);
    if (manager->read_request)
        run_recorded(work, signature);
    const struct recorded_result *recorded = &work->ret->recorded;
    if (work->err != ERR_OK || recorded->requests == 0)
        return;
    result->refused = false;                 /* what really comes, it runs */
    if (recorded->run_ns > result->run_ns) { /* and its time is what a loop could be held for */
        result->run_ns = recorded->run_ns;
        result->run_elements = recorded->elements;
    }
}

static void decide(struct load_decision *ret, bool batching, const char *reason) {
    ret->batching = batching;
    snprintf(ret->reason, sizeof ret->reason, "%s", reason);
}

/* What BATCHING_AUTO comes to. */
static void decide_auto(const struct model_options *options, const struct signature *signature,
                        struct load_decision *ret) {
    if (options->batch.rows_max < 2)
        decide(ret, false, "one row is the most a batch may have");
    else if (!signature->batchable)
        decide(ret, false, "not every input and output has a free first dimension");
    else if (!options->warmup)
        decide(ret, false, "without warm-up it is not known whether rows are independent");
    else if (ret->warmup.rows_equal)
        decide(ret, true, "rows of a batch are equal, bit for bit, to the rows alone");
    else
        decide(ret, false, ret->warmup.text.s);
}

enum err load_warm_up(const struct load_order *order, struct engine_model *model,
                      struct load_decision *ret, struct err_text *text) {
    const struct model_options *options = order->options;
    const struct signature *signature = order->manager->engine->ops->signature(model);
    *ret = (struct load_decision){0};
    if (options->batching == BATCHING_ON && !signature->batchable)
        return err_set(text, ERR_INVALID,
                       "batching is on, but not every input and output of the model has a free "
                       "first dimension");
    if (options->warmup) {
        struct warm_work work = {.order = order, .model = model, .ret = ret, .text = text};
        load_run_quietly(options, warm_now, &work);
        if (work.err != ERR_OK)
            return work.err;
    }
    switch (options->batching) {
    case BATCHING_AUTO:
        decide_auto(options, signature, ret);
        break;
    case BATCHING_ON:
        decide(ret, true, "by the settings");
        break;
    case BATCHING_OFF:
        decide(ret, false, "by the settings");
        break;
    }
    ret->rows_max = ret->batching ? MAX(options->batch.rows_max, 1u) : 1;
    return ERR_OK;
}
