#include "api/aside.h"

struct aside {
    struct work work;
    struct call *call;
    enum err err;
    struct err_text text;
    /* reading */
    struct v2_infer_request *request;
    void (*read_over)(struct call *call, enum err e, const struct err_text *text);
    /* writing */
    struct v2_infer_response response;
    struct answer answer;
    void (*write_over)(struct call *call, enum err e, const struct answer *answer,
                       const struct err_text *text);
};

static bool too_large(const struct call *call, uint64_t bytes) {
    const struct service *service = call->loop->service;
    return service->workers && bytes > service->options.loop_parse_bytes_max;
}

bool aside_reads(const struct call *call) {
    return call->codec->infer_read_size && too_large(call, call->codec->infer_read_size(call));
}

bool aside_writes(const struct call *call, const struct v2_infer_response *response) {
    return call->codec->infer_write_size &&
           too_large(call, call->codec->infer_write_size(call, response));
}

static struct aside *aside_of(struct work *work) {
    return CONTAINER_OF(work, struct aside, work);
}

static struct aside *aside_new(struct call *call) {
    CHECK(!call->aside);
    struct aside *aside = arena_new_zero(call->arena, sizeof *aside);
    aside->call = call;
    aside->work.owner = loop_mailbox(call->loop->loop);
    call->aside = aside;
    return aside;
}

/* The call is the loop's again. Nobody waits for the answer of one whose peer went away. */
static enum err take_back(struct aside *aside, const struct err_text **ret_text) {
    struct call *call = aside->call;
    call->aside = NULL;
    *ret_text = call->exchange->cancelled ? NULL : &aside->text;
    return call->exchange->cancelled ? ERR_CANCELLED : aside->err;
}

/* Thread: a worker. */
static void run_read(struct work *work) {
    struct aside *aside = aside_of(work);
    struct call *call = aside->call;
    aside->err = call->codec->infer_read(call, aside->request, &aside->text);
}

static void read_done(struct work *work) {
    struct aside *aside = aside_of(work);
    const struct err_text *text;
    enum err e = take_back(aside, &text);
    aside->read_over(aside->call, e, text);
}

void aside_read(struct call *call, struct v2_infer_request *ret,
                void (*over)(struct call *call, enum err e, const struct err_text *text)) {
    struct aside *aside = aside_new(call);
    aside->request = ret;
    aside->read_over = over;
    aside->work.run = run_read;
    aside->work.done = read_done;
    workers_send(call->loop->service->workers, &aside->work);
}

/* Thread: a worker. */
static void run_write(struct work *work) {
    struct aside *aside = aside_of(work);
    struct call *call = aside->call;
    aside->err = call->codec->infer_write(call, &aside->response, &aside->answer, &aside->text);
}

static void write_done(struct work *work) {
    struct aside *aside = aside_of(work);
    const struct err_text *text;
    enum err e = take_back(aside, &text);
    aside->write_over(aside->call, e, &aside->answer, text);
}

void aside_write(struct call *call, const struct v2_infer_response *response,
                 void (*over)(struct call *call, enum err e, const struct answer *answer,
                              const struct err_text *text)) {
    struct aside *aside = aside_new(call);
    aside->response = *response;
    aside->write_over = over;
    aside->work.run = run_write;
    aside->work.done = write_done;
    (void)call_body(call); /* the loop's to give */
    workers_send(call->loop->service->workers, &aside->work);
}

bool aside_withdraw(struct call *call) {
    if (!workers_withdraw(call->loop->service->workers, &call->aside->work))
        return false;
    call->aside = NULL;
    return true;
}
