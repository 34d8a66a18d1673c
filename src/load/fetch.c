#include "load/fetch.h"

#include "base/check.h"
#include "base/num.h"
#include "load/client.h"

enum { TICK_MS = 20 };

struct fetching {
    const struct fetch_options *options;
    const struct wire_request *request;
    struct buffer *body;
    struct wire_answer answer;
    uv_loop_t loop;
    uv_timer_t tick;
    struct client *client;
    uint64_t until_ns;
    bool done;
    enum err error;
    struct err_text text;
};

static void finish(struct fetching *fetching, enum err e) {
    if (fetching->done)
        return;
    fetching->done = true;
    fetching->error = e;
    client_close(&fetching->client);
    uv_close((uv_handle_t *)&fetching->tick, NULL);
}

static void on_ready(void *context) {
    struct fetching *fetching = context;
    uint64_t now = uv_hrtime();
    if (!fetching->done)
        client_begin(fetching->client, fetching->request,
                     (struct client_slot){.due_ns = now, .sent_ns = now});
}

static void on_answered(void *context, const struct client_slot *slot,
                        const struct wire_answer *answer) {
    struct fetching *fetching = context;
    (void)slot;
    fetching->answer = *answer;
    buffer_add_str(fetching->body, answer->body);
    fetching->answer.body = buffer_str(fetching->body);
    finish(fetching, ERR_OK);
}

static void on_failed(void *context, const struct client_slot *slot, enum failure failure,
                      const char *why) {
    struct fetching *fetching = context;
    enum err e = slot ? ERR_INVALID : ERR_NOT_READY;
    finish(fetching, err_set(&fetching->text, e, "%s: %s", failure_name(failure), why));
}

static void on_tick(uv_timer_t *tick) {
    struct fetching *fetching = tick->data;
    if (atomic_load_explicit(fetching->options->stop, memory_order_relaxed))
        finish(fetching, err_set(&fetching->text, ERR_CANCELLED, "interrupted"));
    else if (uv_hrtime() > fetching->until_ns)
        finish(fetching, err_set(&fetching->text, ERR_DEADLINE, "no answer in time"));
}

enum err fetch(const struct fetch_options *options, const struct wire_request *request,
               struct buffer *body, struct wire_answer *ret_answer, struct err_text *text) {
    struct fetching fetching = {.options = options,
                                .request = request,
                                .body = body,
                                .until_ns = uv_hrtime() + options->timeout_ns};
    CHECK(uv_loop_init(&fetching.loop) == 0);
    CHECK(uv_timer_init(&fetching.loop, &fetching.tick) == 0);
    fetching.tick.data = &fetching;
    CHECK(uv_timer_start(&fetching.tick, on_tick, TICK_MS, TICK_MS) == 0);
    struct client_options client = {.loop = &fetching.loop,
                                    .address = options->address,
                                    .http2 = options->http2,
                                    .keep_bodies = true,
                                    .streams = 1,
                                    .context = &fetching,
                                    .ready = on_ready,
                                    .answered = on_answered,
                                    .failed = on_failed};
    fetching.client = client_new(&client);
    if (fetching.done) /* it failed at once */
        client_close(&fetching.client);
    (void)uv_run(&fetching.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&fetching.loop) == 0);
    if (fetching.error) {
        if (text)
            *text = fetching.text;
        return fetching.error;
    }
    *ret_answer = fetching.answer;
    return ERR_OK;
}
