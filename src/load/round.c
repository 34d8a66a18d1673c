#include "load/round.h"

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/num.h"
#include "load/arrival.h"
#include "load/client.h"
#include "load/cpu_time.h"

#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TICK_MS = 50, TICKS_A_PROGRESS = 10, STOP_PATIENCE_NS = NS_PER_S };

enum phase { PHASE_CONNECT, PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN, PHASE_DONE };

/* A connection's place in the round. */
struct lane {
    struct list_node idle; /* open loop: linked when a request may begin there */
    struct round *round;
    struct client *client;
    bool tried; /* to connect */
};

struct round {
    const struct round_options *options;
    struct result *result;
    uv_loop_t loop;
    uv_timer_t phase_timer, tick;
    uv_poll_t due_poll;
    int due_fd; /* open loop: a timer of nanoseconds, which libuv's are not */
    enum phase phase;
    struct lane *lanes;
    struct list idle;
    unsigned untried;
    unsigned in_flight;
    uint64_t begun;      /* requests of the window */
    size_t next_request; /* of options->requests */
    struct arrival arrival;
    uint64_t start_ns;  /* of the arrivals: the warm-up's begin */
    uint64_t due_ns;    /* the next arrival */
    uint64_t armed_ns;  /* when due_fd fires; 0: not set */
    uint64_t window_ns; /* the window's begin; UINT64_MAX before */
    uint64_t opened_ns;
    uint64_t stopped_ns;               /* when *stop was seen */
    double client_cpu_s, server_cpu_s; /* at the window's begin */
    unsigned ticks;
    uint64_t progress_ns, progress_successes;
    enum err error;
    struct err_text text;
};

static void enter(struct round *round, enum phase phase);
static void dispatch(struct round *round);

static bool is_open_loop(const struct round *round) {
    return round->options->rate > 0;
}

static bool is_loading(const struct round *round) {
    return round->phase == PHASE_WARMUP || round->phase == PHASE_MEASURE;
}

static bool may_begin(const struct round *round) {
    uint64_t most = round->options->requests_max;
    return is_loading(round) && (most == 0 || round->begun < most);
}

/* ---- requests ---- */

static void begin(struct round *round, struct lane *lane, uint64_t due_ns, uint64_t now) {
    const struct round_options *options = round->options;
    bool counted = due_ns >= round->window_ns;
    if (counted)
        round->begun++;
    round->in_flight++;
    const struct wire_request *request = &options->requests[round->next_request];
    round->next_request =
        round->next_request + 1 == options->request_count ? 0 : round->next_request + 1;
    client_begin(lane->client, request,
                 (struct client_slot){.due_ns = due_ns, .sent_ns = now, .counted = counted});
}

/* Closed loop: as many as the connection takes. */
static void fill(struct round *round, struct lane *lane) {
    while (may_begin(round) && client_can_begin(lane->client)) {
        uint64_t now = uv_hrtime();
        begin(round, lane, now, now);
    }
}

static void next_due(struct round *round) {
    round->due_ns = round->start_ns + arrival_next(&round->arrival);
}

static void arm(struct round *round) {
    if (round->armed_ns == round->due_ns)
        return;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(round->due_ns / NS_PER_S),
                                           .tv_nsec = (long)(round->due_ns % NS_PER_S)}};
    CHECK(timerfd_settime(round->due_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
    round->armed_ns = round->due_ns;
}

static void make_idle(struct round *round, struct lane *lane) {
    if (lane->client && !list_linked(&lane->idle) && client_can_begin(lane->client))
        list_add_last(&round->idle, &lane->idle);
}

/* Open loop: sends what is due, oldest first, while a connection is free for it. What is due later
 * waits for the timer; what finds no connection waits for an answer. */
static void dispatch(struct round *round) {
    struct list_node *node;
    while (may_begin(round) && (node = list_first(&round->idle)) != NULL) {
        uint64_t now = uv_hrtime();
        if (round->due_ns > now) {
            arm(round);
            return;
        }
        list_remove(node);
        struct lane *lane = CONTAINER_OF(node, struct lane, idle);
        if (!client_can_begin(lane->client))
            continue; /* it comes back when it is ready */
        uint64_t due_ns = round->due_ns;
        next_due(round);
        begin(round, lane, due_ns, now);
        make_idle(round, lane);
    }
}

static void go_on(struct round *round, struct lane *lane) {
    if (!is_loading(round))
        return;
    if (!is_open_loop(round)) {
        fill(round, lane);
        return;
    }
    make_idle(round, lane);
    dispatch(round);
}

static void on_due(uv_poll_t *poll, int status, int events) {
    struct round *round = poll->data;
    uint64_t times;
    (void)status;
    (void)events;
    if (read(round->due_fd, &times, sizeof times) < 0)
        return;
    round->armed_ns = 0;
    dispatch(round);
}

/* ---- answers ---- */

static void ended(struct round *round) {
    round->in_flight--;
    if (round->phase == PHASE_MEASURE && !may_begin(round) && round->in_flight == 0)
        enter(round, PHASE_DRAIN);
    else if (round->phase == PHASE_DRAIN && round->in_flight == 0)
        enter(round, PHASE_DONE);
}

static void remember_answer(struct result *result, const struct wire_answer *answer) {
    if (result->first_failure[0])
        return;
    if (answer->grpc_status > 0)
        snprintf(result->first_failure, sizeof result->first_failure, "grpc-status %d: %s",
                 answer->grpc_status, answer->grpc_message);
    else
        snprintf(result->first_failure, sizeof result->first_failure, "HTTP %d: %.*s",
                 answer->status, STR_ARG(answer->body));
}

static void on_answered(void *context, const struct client_slot *slot,
                        const struct wire_answer *answer) {
    struct lane *lane = context;
    struct round *round = lane->round;
    struct result *result = round->result;
    uint64_t now = uv_hrtime();
    bool good;
    if (slot->counted) {
        good = result_count_answer(result, answer->status, answer->grpc_status,
                                   round->options->is_grpc);
        result->requests++;
        if (good)
            histogram_add(&result->latency, now - slot->due_ns);
        else
            remember_answer(result, answer);
    } else {
        good = answer->status / 100 == 2 && answer->grpc_status <= 0;
        result->warmup_requests++;
        result->warmup_failed += !good;
    }
    if (round->phase == PHASE_MEASURE) {
        result->answers++;
        result->successes += good;
    }
    go_on(round, lane);
    ended(round);
}

static void tried(struct round *round, struct lane *lane) {
    if (!lane->tried) {
        lane->tried = true;
        if (--round->untried == 0)
            enter(round, PHASE_WARMUP);
    }
}

static void on_ready(void *context) {
    struct lane *lane = context;
    tried(lane->round, lane);
    go_on(lane->round, lane);
}

static void on_failed(void *context, const struct client_slot *slot, enum failure failure,
                      const char *why) {
    struct lane *lane = context;
    struct round *round = lane->round;
    struct result *result = round->result;
    /* Before the window: a connection that did not come about is tried again. */
    bool counted = slot ? slot->counted : round->phase == PHASE_MEASURE;
    if (counted) {
        result_count_failure(result, failure);
        result->requests++;
        if (slot && failure == FAILURE_TIMEOUT)
            histogram_add(&result->latency, uv_hrtime() - slot->due_ns);
        if (!result->first_failure[0])
            snprintf(result->first_failure, sizeof result->first_failure, "%s: %s",
                     failure_name(failure), why);
    } else if (slot) {
        result->warmup_requests++;
        result->warmup_failed++;
    } else if (round->phase == PHASE_CONNECT && !round->text.s[0]) {
        (void)err_set(&round->text, ERR_NOT_READY, "no connection: %s", why);
    }
    if (slot)
        ended(round);
    else
        tried(round, lane);
}

/* ---- phases ---- */

static void server_cpu(struct round *round, double *ret_s) {
    const struct round_options *options = round->options;
    enum err e = options->server_pid_count == 0
                     ? ERR_OK
                     : cpu_time_of_processes(options->server_pids, options->server_pid_count, ret_s,
                                             round->error ? NULL : &round->text);
    if (e && !round->error)
        round->error = e;
}

static void begin_window(struct round *round) {
    round->window_ns = uv_hrtime();
    round->progress_ns = round->window_ns;
    round->progress_successes = 0;
    round->client_cpu_s = cpu_time_own();
    server_cpu(round, &round->server_cpu_s);
}

/* What was due and never sent has waited at least until now. */
static void count_unsent(struct round *round, uint64_t now) {
    struct result *result = round->result;
    while (round->due_ns < now) {
        if (round->due_ns >= round->window_ns) {
            result->unsent++;
            histogram_add(&result->latency, now - round->due_ns);
        }
        next_due(round);
    }
}

static void end_window(struct round *round) {
    struct result *result = round->result;
    uint64_t now = uv_hrtime();
    double server_cpu_s = round->server_cpu_s;
    result->seconds = (double)(now - round->window_ns) / NS_PER_S;
    result->client_cpu_s = cpu_time_own() - round->client_cpu_s;
    server_cpu(round, &server_cpu_s);
    result->server_cpu_s = server_cpu_s - round->server_cpu_s;
    result->has_server_cpu = round->options->server_pid_count > 0;
    if (is_open_loop(round) && may_begin(round))
        count_unsent(round, now);
}

static void begin_load(struct round *round) {
    round->start_ns = uv_hrtime();
    round->progress_ns = round->start_ns;
    if (is_open_loop(round)) {
        arrival_init(&round->arrival, round->options->rate, round->options->seed);
        next_due(round);
    }
    for (unsigned i = 0; i < round->options->connections; i++)
        if (round->lanes[i].client)
            go_on(round, &round->lanes[i]);
}

static void on_phase_over(uv_timer_t *timer) {
    struct round *round = timer->data;
    enter(round, round->phase == PHASE_WARMUP ? PHASE_MEASURE : PHASE_DRAIN);
}

static void start_phase_timer(struct round *round, uint64_t ns) {
    uv_update_time(&round->loop);
    CHECK(uv_timer_start(&round->phase_timer, on_phase_over, (ns + NS_PER_MS - 1) / NS_PER_MS, 0) ==
          0);
}

static void close_all(struct round *round) {
    for (unsigned i = 0; i < round->options->connections; i++) {
        struct lane *lane = &round->lanes[i];
        if (lane->client)
            round->result->reconnects += client_reconnects(lane->client);
        client_close(&lane->client);
    }
    uv_close((uv_handle_t *)&round->phase_timer, NULL);
    uv_close((uv_handle_t *)&round->tick, NULL);
    if (is_open_loop(round))
        uv_close((uv_handle_t *)&round->due_poll, NULL);
}

static bool has_connection(const struct round *round) {
    for (unsigned i = 0; i < round->options->connections; i++)
        if (round->lanes[i].client && client_can_begin(round->lanes[i].client))
            return true;
    return false;
}

/* The only place that changes the phase. */
static void enter(struct round *round, enum phase phase) {
    if (round->phase == PHASE_DONE)
        return;
    if (phase == PHASE_WARMUP && !has_connection(round)) {
        round->error = round->text.s[0] ? ERR_NOT_READY
                                        : err_set(&round->text, ERR_NOT_READY, "no connection");
        phase = PHASE_DONE;
    }
    if (phase == PHASE_WARMUP && round->options->warmup_ns == 0)
        phase = PHASE_MEASURE;
    bool was_idle = round->phase == PHASE_CONNECT;
    if (round->phase == PHASE_MEASURE)
        end_window(round);
    if (phase == PHASE_DRAIN && round->in_flight == 0)
        phase = PHASE_DONE;
    round->phase = phase;
    if (phase == PHASE_WARMUP)
        start_phase_timer(round, round->options->warmup_ns);
    if (phase == PHASE_MEASURE) {
        start_phase_timer(round, round->options->duration_ns);
        begin_window(round);
    }
    if (was_idle && is_loading(round))
        begin_load(round);
    if (phase == PHASE_DONE)
        close_all(round);
}

/* ---- the clock that is not exact ---- */

static void report_progress(struct round *round, uint64_t now) {
    const struct round_options *options = round->options;
    const struct result *result = round->result;
    bool is_warmup = round->phase == PHASE_WARMUP;
    if (!options->progress || !is_loading(round) || ++round->ticks % TICKS_A_PROGRESS != 0)
        return;
    uint64_t successes =
        is_warmup ? result->warmup_requests - result->warmup_failed : result->successes;
    struct round_progress progress = {
        .is_warmup = is_warmup,
        .elapsed_s = (double)(now - (is_warmup ? round->start_ns : round->window_ns)) / NS_PER_S,
        .duration_s = (double)(is_warmup ? options->warmup_ns : options->duration_ns) / NS_PER_S,
        .throughput = (double)(successes - round->progress_successes) * NS_PER_S /
                      (double)MAX(now - round->progress_ns, (uint64_t)1),
        .failed = result_failed(result) + result->warmup_failed,
        .latency = &result->latency,
    };
    round->progress_ns = now;
    round->progress_successes = successes;
    options->progress(options->context, &progress);
}

static void heed_stop(struct round *round, uint64_t now) {
    if (!atomic_load_explicit(round->options->stop, memory_order_relaxed))
        return;
    if (round->stopped_ns == 0) {
        round->stopped_ns = now;
        round->result->interrupted = true;
        enter(round, round->phase < PHASE_MEASURE ? PHASE_DONE : PHASE_DRAIN);
    } else if (now - round->stopped_ns > STOP_PATIENCE_NS) {
        enter(round, PHASE_DONE); /* what is in flight is given up, and not counted */
    }
}

static void on_tick(uv_timer_t *timer) {
    struct round *round = timer->data;
    uint64_t now = uv_hrtime();
    heed_stop(round, now);
    if (round->error)
        enter(round, PHASE_DONE);
    uint64_t timeout = round->options->timeout_ns;
    if (round->phase == PHASE_CONNECT && now - round->opened_ns > timeout)
        enter(round, PHASE_WARMUP); /* with what there is */
    for (unsigned i = 0; i < round->options->connections && round->phase != PHASE_DONE; i++) {
        struct lane *lane = &round->lanes[i];
        client_time_out(lane->client, now > timeout ? now - timeout : 0);
        go_on(round, lane);
    }
    report_progress(round, now);
}

static void open_timers(struct round *round) {
    CHECK(uv_loop_init(&round->loop) == 0);
    CHECK(uv_timer_init(&round->loop, &round->phase_timer) == 0);
    CHECK(uv_timer_init(&round->loop, &round->tick) == 0);
    round->phase_timer.data = round->tick.data = round;
    CHECK(uv_timer_start(&round->tick, on_tick, TICK_MS, TICK_MS) == 0);
    if (!is_open_loop(round))
        return;
    round->due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(round->due_fd >= 0);
    CHECK(uv_poll_init(&round->loop, &round->due_poll, round->due_fd) == 0);
    round->due_poll.data = round;
    CHECK(uv_poll_start(&round->due_poll, UV_READABLE, on_due) == 0);
}

static void open_lanes(struct round *round) {
    const struct round_options *options = round->options;
    struct client_options client = {.loop = &round->loop,
                                    .address = options->address,
                                    .http2 = options->http2,
                                    .streams = options->streams,
                                    .ready = on_ready,
                                    .answered = on_answered,
                                    .failed = on_failed};
    round->lanes = mem_new_array(options->connections, sizeof *round->lanes);
    round->untried = options->connections;
    for (unsigned i = 0; i < options->connections; i++)
        round->lanes[i].round = round;
    for (unsigned i = 0; i < options->connections; i++) {
        client.context = &round->lanes[i];
        round->lanes[i].client = client_new(&client);
        if (round->phase == PHASE_DONE) /* the last to be tried failed at once */
            client_close(&round->lanes[i].client);
    }
}

enum err round_run(const struct round_options *options, struct result *ret, struct err_text *text) {
    struct round *round = mem_new(sizeof *round);
    round->options = options;
    round->result = ret;
    round->window_ns = UINT64_MAX;
    round->due_fd = -1;
    round->opened_ns = uv_hrtime();
    list_init(&round->idle);
    open_timers(round);
    open_lanes(round);
    (void)uv_run(&round->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&round->loop) == 0);
    if (round->due_fd >= 0)
        close(round->due_fd);
    enum err e = round->error;
    if (e && text)
        *text = round->text;
    mem_free(&round->lanes);
    mem_free(&round);
    return e;
}
