/* `inferd bench`: a load generator. From its options to requests, rounds and reports; the load
 * itself is src/load's. */
#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/num.h"
#include "cmd/commands.h"
#include "config/config.h"
#include "inferd_version.h"
#include "load/answer.h"
#include "load/fetch.h"
#include "load/plot.h"
#include "load/round.h"
#include "load/subject.h"
#include "load/url.h"

#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20, EXIT_INTERRUPTED = 130 };

/* Set by SIGINT and SIGTERM: ends the measurement with the result so far. */
static atomic_bool stop;

struct bench {
    struct bench_config config;
    struct arena arena;
    struct url url;
    struct sockaddr_storage address;
    struct payload_target target;
    struct signature signature; /* inputs NULL: of get and post, which have none */
    struct wire_request *requests;
    size_t request_count;
    size_t answer_bytes; /* of the first answer */
    struct report_step *steps;
    size_t step_count, steps_done;
    char label[96]; /* of the progress line */
    bool shows_progress;
};

static bool is_path(const struct bench *bench) {
    return bench->target.protocol == PAYLOAD_GET || bench->target.protocol == PAYLOAD_POST;
}

static bool is_http2(const struct bench *bench) {
    return bench->target.protocol == PAYLOAD_GRPC || bench->config.http == CONFIG_BENCH_HTTP_2;
}

static bool is_stopped(void) {
    return atomic_load_explicit(&stop, memory_order_relaxed);
}

/* ---- what to send ---- */

static bool is_answered(const struct addrinfo *one) {
    int fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Of several addresses ("localhost" often has two) the first that is answered; without one, the
 * first: the failure is then told like any other. */
static enum err resolve(struct bench *bench, struct err_text *text) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int e = getaddrinfo(bench->url.host, bench->url.port, &hints, &found);
    if (e)
        return err_set(text, ERR_NOT_READY, "%s: %s", bench->url.host, gai_strerror(e));
    const struct addrinfo *chosen = found->ai_next ? found : NULL;
    while (chosen && !is_answered(chosen))
        chosen = chosen->ai_next;
    if (!chosen)
        chosen = found;
    memcpy(&bench->address, chosen->ai_addr, chosen->ai_addrlen);
    freeaddrinfo(found);
    return ERR_OK;
}

static enum err ask(const struct bench *bench, const struct wire_request *request,
                    struct buffer *body, struct wire_answer *ret, struct err_text *text) {
    struct fetch_options options = {.address = (const struct sockaddr *)&bench->address,
                                    .http2 = is_http2(bench),
                                    .timeout_ns = bench->config.timeout_ns,
                                    .stop = &stop};
    struct err_text why;
    enum err e = fetch(&options, request, body, ret, &why);
    return e ? err_set(text, e, "%s: %s", bench->config.url, why.s) : ERR_OK;
}

static enum err read_metadata(struct bench *bench, struct err_text *text) {
    struct wire_request request;
    struct wire_answer answer;
    struct buffer body;
    buffer_init(&body, SUBJECT_METADATA_MAX);
    payload_make_metadata(&bench->arena, &bench->target, &request);
    enum err e = ask(bench, &request, &body, &answer, text);
    if (!e && bench->target.protocol == PAYLOAD_GRPC) {
        struct str message;
        e = answer_grpc_message(&answer, &message, text);
        if (!e)
            e = subject_read_proto(&bench->arena, message, &bench->signature, text);
    } else if (!e && answer.status / 100 != 2) {
        e = err_set(text, ERR_INVALID, "the metadata of model '%s': the server answers %d: %.*s",
                    bench->target.model, answer.status, (int)MIN(body.used, (size_t)300),
                    body.data ? body.data : "");
    } else if (!e) {
        e = subject_read_json(&bench->arena, buffer_str(&body), &bench->signature, text);
    }
    buffer_done(&body);
    return e;
}

static enum err read_data(struct bench *bench, struct str *ret, struct err_text *text) {
    struct buffer data;
    buffer_init(&data, PAYLOAD_BYTES_MAX);
    enum err e = file_read(bench->config.data, &data, text);
    if (!e) {
        /* What reads a body in place wants spare bytes behind it. */
        char *copy = arena_new_zero(&bench->arena, data.used + V2_BODY_SPARE);
        if (data.used > 0)
            memcpy(copy, data.data, data.used);
        *ret = (struct str){copy, data.used};
    }
    buffer_done(&data);
    return e;
}

static enum err request_from_file(struct bench *bench, struct err_text *text) {
    struct str data = {"", 0};
    if (bench->config.data[0]) {
        enum err e = read_data(bench, &data, text);
        if (e)
            return e;
    }
    if (is_path(bench)) {
        payload_make_plain(&bench->arena, &bench->target, data, bench->requests);
        return ERR_OK;
    }
    char *body = arena_new(&bench->arena, data.n + V2_BODY_SPARE);
    memcpy(body, data.p, data.n);
    struct v2_limits limits = {.tensor_bytes_max = PAYLOAD_BYTES_MAX};
    struct v2_infer_request request;
    struct err_text why;
    enum err e = v2_infer_read(&bench->arena, body, data.n, V2_NO_HEADER_LENGTH, &bench->signature,
                               &limits, &request, &why);
    if (e)
        return err_set(text, e, "%s: %s", bench->config.data, why.s);
    if (bench->target.protocol == PAYLOAD_REST)
        payload_make_plain(&bench->arena, &bench->target, data, bench->requests);
    else
        e = payload_make(&bench->arena, &bench->target, &bench->signature, &request,
                         bench->requests, text);
    return e;
}

static enum err generate_requests(struct bench *bench, struct err_text *text) {
    const struct bench_config *config = &bench->config;
    struct subject_options options = {
        .shape = str_of(config->shape),
        .batch = config->batch,
        .values = config->values == CONFIG_BENCH_ZERO ? SUBJECT_ZERO : SUBJECT_RANDOM,
        .integers_max = config->integers_max};
    struct random random = random_of((uint64_t)config->seed);
    enum err e = ERR_OK;
    for (size_t i = 0; i < bench->request_count && !e; i++) {
        struct v2_infer_request request = {0};
        e = subject_make_inputs(&bench->arena, &bench->signature, &options, &random,
                                &request.inputs, text);
        if (!e)
            e = payload_make(&bench->arena, &bench->target, &bench->signature, &request,
                             &bench->requests[i], text);
    }
    return e;
}

/* The requests, and that the server answers the first as it should. */
static enum err prepare(struct bench *bench, struct err_text *text) {
    bench->request_count = (size_t)bench->config.variants;
    bench->requests = arena_new_zero(&bench->arena, bench->request_count * sizeof *bench->requests);
    enum err e = is_path(bench) ? ERR_OK : read_metadata(bench, text);
    if (!e)
        e = is_path(bench) || bench->config.data[0] ? request_from_file(bench, text)
                                                    : generate_requests(bench, text);
    if (e)
        return e;
    struct wire_answer answer;
    struct buffer body;
    buffer_init(&body, WIRE_BODY_MAX);
    e = ask(bench, bench->requests, &body, &answer, text);
    if (!e)
        e = answer_check(bench->target.protocol, &answer, &bench->signature, text);
    bench->answer_bytes = body.used;
    buffer_done(&body);
    return e;
}

/* ---- rounds ---- */

static void show_progress(void *context, const struct round_progress *progress) {
    const struct bench *bench = context;
    char p50[REPORT_TIME_SIZE] = "-";
    uint64_t ns;
    if (histogram_percentile(progress->latency, 0.5, &ns))
        report_time((double)ns, p50);
    fprintf(stderr, "\r%s  %s %.1f of %.1f s  %.0f/s  p50 %s  failed %llu\033[K", bench->label,
            progress->is_warmup ? "warm-up" : "measuring", progress->elapsed_s,
            progress->duration_s, progress->throughput, p50, (unsigned long long)progress->failed);
}

static void end_progress(const struct bench *bench) {
    if (bench->shows_progress)
        fprintf(stderr, "\r\033[K");
}

static enum err run_round(struct bench *bench, const struct report_step *step, size_t round,
                          struct result *result, struct err_text *text) {
    const struct bench_config *config = &bench->config;
    struct round_options options = {
        .address = (const struct sockaddr *)&bench->address,
        .http2 = is_http2(bench),
        .is_grpc = bench->target.protocol == PAYLOAD_GRPC,
        .requests = bench->requests,
        .request_count = bench->request_count,
        .connections = step->connections,
        .streams = (unsigned)config->streams,
        .rate = step->rate,
        .seed = (uint64_t)config->seed + round,
        .duration_ns = config->duration_ns,
        .warmup_ns = config->warmup_ns,
        .timeout_ns = config->timeout_ns,
        .requests_max = (uint64_t)config->requests,
        .server_pids = config->server_pid.items,
        .server_pid_count = config->server_pid.count,
        .stop = &stop,
        .context = bench,
        .progress = bench->shows_progress ? show_progress : NULL,
    };
    size_t done = (size_t)(step - bench->steps);
    int n = snprintf(bench->label, sizeof bench->label, "%zu/%zu: %u connections", done + 1,
                     bench->step_count, step->connections);
    if (step->rate > 0 && n > 0)
        snprintf(bench->label + n, sizeof bench->label - (size_t)n, ", %g/s", step->rate);
    struct err_text why;
    enum err e = round_run(&options, result, &why);
    end_progress(bench);
    return e ? err_set(text, e, "%s: %s", bench->config.url, why.s) : ERR_OK;
}

static enum err run_step(struct bench *bench, struct report_step *step, struct err_text *text) {
    size_t rounds = (size_t)bench->config.rounds;
    struct result **results = arena_new_zero(&bench->arena, rounds * sizeof(struct result *));
    step->rounds = results;
    step->total = result_new();
    bench->steps_done++;
    enum err e = ERR_OK;
    for (size_t i = 0; i < rounds && !e && !is_stopped(); i++) {
        results[i] = result_new();
        step->round_count++;
        e = run_round(bench, step, i, results[i], text);
        if (!e)
            result_merge(step->total, results[i]);
    }
    return e;
}

static enum err run_steps(struct bench *bench, struct err_text *text) {
    const struct bench_config *config = &bench->config;
    bench->step_count = MAX(config->sweep.count, (size_t)1);
    bench->steps = arena_new_zero(&bench->arena, bench->step_count * sizeof *bench->steps);
    enum err e = ERR_OK;
    for (size_t i = 0; i < bench->step_count && !e && !is_stopped(); i++) {
        struct report_step *step = &bench->steps[i];
        bool sweeps_rates = config->rate > 0 && config->sweep.count > 0;
        step->connections =
            (unsigned)(config->sweep.count > 0 && !sweeps_rates ? config->sweep.items[i]
                                                                : config->connections);
        step->rate = sweeps_rates ? (double)config->sweep.items[i] : config->rate;
        e = run_step(bench, step, text);
    }
    return e;
}

/* ---- reports ---- */

static bool write_file(const char *path, const struct buffer *content) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    bool ok = file && fwrite(content->data, 1, content->used, file) == content->used;
    if (file && file != stdout)
        ok = fclose(file) == 0 && ok;
    if (!ok)
        fprintf(stderr, "inferd bench: %s: %s\n", path, strerror(errno));
    return ok;
}

static bool write_reports(const struct bench *bench, const struct report *report) {
    struct buffer out;
    bool ok = true;
    buffer_init(&out, REPORT_BYTES_MAX);
    if (strcmp(bench->config.json, "-") != 0) {
        report_write_table(report, &out);
        ok = write_file("-", &out);
    }
    if (bench->config.json[0]) {
        buffer_clear(&out);
        report_write_json(report, &out);
        ok = write_file(bench->config.json, &out) && ok;
    }
    if (bench->config.plot[0]) {
        buffer_clear(&out);
        plot_write_svg(report, &out);
        ok = write_file(bench->config.plot, &out) && ok;
    }
    buffer_done(&out);
    return ok;
}

static int finish(const struct bench *bench, const char *started) {
    static const char *const protocols[] = {"rest", "rest-binary", "grpc", "get", "post"};
    const struct bench_config *config = &bench->config;
    struct report report = {
        .url = config->url,
        .protocol = protocols[bench->target.protocol],
        .http = is_http2(bench) ? "2" : "1.1",
        .what = is_path(bench) ? config->path : config->model,
        .started = started,
        .version = INFERD_VERSION,
        .streams = (unsigned)config->streams,
        .request_bytes = bench->requests[0].body.n,
        .answer_bytes = bench->answer_bytes,
        .warmup_s = (double)config->warmup_ns / NS_PER_S,
        .duration_s = (double)config->duration_ns / NS_PER_S,
        .steps = bench->steps,
        .step_count = bench->steps_done,
    };
    bool ok = write_reports(bench, &report);
    for (size_t i = 0; i < bench->steps_done; i++)
        ok = ok && result_measured(bench->steps[i].total) &&
             result_failed_beyond(bench->steps[i].total, config->allow.items,
                                  config->allow.count) == 0;
    if (is_stopped())
        return EXIT_INTERRUPTED;
    return ok ? 0 : EXIT_PROBLEM;
}

/* ---- the process ---- */

static void on_signal(int number) {
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    signal(number, SIG_DFL); /* the second one ends it at once */
}

static enum err set_up_process(const struct bench_config *config, struct err_text *text) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (config->cpu < 0)
        return ERR_OK;
    if (config->cpu < CPU_SETSIZE) {
        cpu_set_t cores;
        CPU_ZERO(&cores);
        CPU_SET((size_t)config->cpu, &cores);
        if (sched_setaffinity(0, sizeof cores, &cores) == 0)
            return ERR_OK;
    }
    return err_set(text, ERR_INVALID, "this process may not run on core %lld",
                   (long long)config->cpu);
}

static enum err set_up(struct bench *bench, struct err_text *text) {
    static const enum payload_protocol protocols[] = {
        [CONFIG_BENCH_REST] = PAYLOAD_REST, [CONFIG_BENCH_REST_BINARY] = PAYLOAD_REST_BINARY,
        [CONFIG_BENCH_GRPC] = PAYLOAD_GRPC, [CONFIG_BENCH_GET] = PAYLOAD_GET,
        [CONFIG_BENCH_POST] = PAYLOAD_POST,
    };
    const struct bench_config *config = &bench->config;
    for (size_t i = 0; i < config->allow.count; i++)
        if (!result_is_kind(str_of(config->allow.items[i])))
            return err_set(text, ERR_INVALID,
                           "--allow: '%s' is no kind of failure; expected 429, grpc-8, connect, "
                           "closed, timeout, malformed or all",
                           config->allow.items[i]);
    enum err e = url_read(config->url, &bench->url, text);
    if (e)
        return e;
    bench->target = (struct payload_target){.protocol = protocols[config->protocol],
                                            .authority = bench->url.authority,
                                            .model = config->model,
                                            .version = config->version,
                                            .path = config->path,
                                            .content_type = config->content_type};
    bench->shows_progress = !config->quiet && (config->progress || isatty(STDERR_FILENO));
    return set_up_process(config, text);
}

static int run(struct bench *bench) {
    struct err_text text;
    char started[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_real.wall_ns(&clock_real), started);
    int status = EXIT_PROBLEM;
    enum err e = set_up(bench, &text);
    if (e)
        status = EXIT_USAGE;
    if (!e)
        e = resolve(bench, &text);
    if (!e)
        e = prepare(bench, &text);
    if (!e)
        e = run_steps(bench, &text);
    if (e) {
        fprintf(stderr, "inferd bench: %s\n", text.s);
        return is_stopped() ? EXIT_INTERRUPTED : status;
    }
    return finish(bench, started);
}

static void bench_done(struct bench *bench) {
    for (size_t i = 0; i < bench->steps_done; i++) {
        struct report_step *step = &bench->steps[i];
        for (size_t j = 0; j < step->round_count; j++) {
            struct result *result = step->rounds[j];
            result_free(&result);
        }
        result_free(&step->total);
    }
    arena_done(&bench->arena);
    bench_config_done(&bench->config);
}

/* False: everything was said, and *ret_status is the exit status. */
static bool read_options(int argc, char **argv, struct bench_config *ret, int *ret_status) {
    struct buffer text;
    bool wants_help;
    buffer_init(&text, TEXT_MAX);
    enum err e = bench_config_read(argc, argv, ret, &wants_help, &text);
    if (e) {
        fprintf(stderr, "%.*sinferd: inferd bench --help lists the options\n",
                STR_ARG(buffer_str(&text)));
        *ret_status = EXIT_USAGE;
    } else if (wants_help) {
        bench_config_write_help(&text);
        printf("usage: inferd bench --model=NAME [OPTIONS]\n\nLoads a server and measures it; see "
               "docs/benchmarking.md.\n\n%.*s",
               STR_ARG(buffer_str(&text)));
        bench_config_done(ret);
        *ret_status = 0;
    }
    buffer_done(&text);
    return !e && !wants_help;
}

int command_bench(int argc, char **argv) {
    struct bench bench = {0};
    int status;
    if (!read_options(argc, argv, &bench.config, &status))
        return status;
    arena_init(&bench.arena);
    status = run(&bench);
    bench_done(&bench);
    return status;
}
