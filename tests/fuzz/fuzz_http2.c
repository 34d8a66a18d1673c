// layer: net
// A connection from its first byte to its end, as a peer that may send anything sees it. The first
// byte says what goes before the rest (the preface, an empty SETTINGS) and how large the pieces
// are. Every request that the handler saw is finished once, and nothing that should not happen did.
// It runs a loop on a socket pair, in this thread: a turn sends a piece and throws away what came.
#include "base/check.h"
#include "base/num.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/loop.h"

#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_PREFACE = 1, FIRST_READS_NOT = 2, PIECE_SHIFT = 2, QUIET_TURNS = 3 };

struct run {
    struct message begin;
    int ours, theirs;
    struct str first, rest;
    size_t piece;
    bool reads;
    int quiet_turns;
    unsigned requests, finished;
};

static struct loop *loop;
static struct listener *listener;
static struct run *now;

static void on_request(void *context, struct http_exchange *exchange) {
    (void)context;
    now->requests++;
    const struct http_request *request = &exchange->request;
    CHECK(request->path.n > 0 && request->body);
    for (int i = 0; i < 16; i++)
        request->body[request->body_length + (size_t)i] = '#';
    if (exchange->request.http2 && str_eq(request->path, STR("/s"))) {
        http_stream_begin(exchange, NULL, 0);
        return;
    }
    struct str body = {request->body, request->body_length};
    const struct http_header end = {STR("X-End"), STR("1")};
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .parts = &body,
                                                   .part_count = 1,
                                                   .trailers = &end,
                                                   .trailer_count = request->header_count % 2});
}

static bool on_streams(void *context, const struct http_request *request) {
    (void)context;
    return str_eq(request->path, STR("/s"));
}

static void on_data(void *context, struct http_exchange *exchange, struct str bytes, bool last) {
    (void)context;
    http_stream_write(exchange, &bytes, 1);
    http_stream_consumed(exchange, bytes.n);
    if (last)
        http_stream_end(exchange, NULL, 0);
}

static void on_cancelled(void *context, struct http_exchange *exchange) {
    (void)context;
    http_stream_end(exchange, NULL, 0); /* all others are answered at once */
}

static void on_finished(void *context, struct http_exchange *exchange,
                        const struct http_sent *sent) {
    (void)context;
    (void)exchange;
    CHECK(sent->status == 200);
    now->finished++;
}

static const struct http_handler handler = {
    .request = on_request,
    .cancelled = on_cancelled,
    .finished = on_finished,
    .streams = on_streams,
    .data = on_data,
};

static void on_begin(struct message *message) {
    (void)message;
    connection_accept(listener, now->theirs);
}

static struct str take(struct str *from, size_t n) {
    struct str piece = {from->p, MIN(n, from->n)};
    from->p += piece.n;
    from->n -= piece.n;
    return piece;
}

static bool on_turn_end(void *context) {
    (void)context;
    char bytes[16384];
    struct str piece = take(&now->first, sizeof bytes);
    if (piece.n == 0)
        piece = take(&now->rest, now->piece);
    if (piece.n > 0)
        (void)!send(now->ours, piece.p, piece.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (now->reads && recv(now->ours, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    if (piece.n == 0 && ++now->quiet_turns == QUIET_TURNS)
        shutdown(now->ours, SHUT_RDWR);
    if (now->quiet_turns > QUIET_TURNS && list_empty(&listener->connections))
        loop_stop(loop);
    return true;
}

static void start(void) {
    loop = loop_new(
        &(struct loop_options){.name = "fuzz", .turn_end = on_turn_end, .clock = &clock_real});
    const struct listener_options options = {
        .name = "data",
        .host = "127.0.0.1",
        .limits = {.body_bytes_max = 3000,
                   .header_bytes_max = 600,
                   .header_count_max = 10,
                   .target_bytes_max = 120,
                   .connections_max = 10,
                   .streams_max = 8,
                   .stream_window_bytes = 70000,
                   .resets_max = 5},
        .handler = &handler,
    };
    struct err_text text;
    CHECK(listener_open(loop, &options, false, &listener, &text) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    if (size == 0)
        return 0;
    if (!loop)
        start();
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    struct run run = {
        .begin = {.receive = on_begin},
        .ours = pair[0],
        .theirs = pair[1],
        .first = {preface, data[0] & FIRST_PREFACE ? sizeof preface : 0},
        .rest = {(const char *)data + 1, size - 1},
        .piece = (size_t)1 + (size_t)(data[0] >> PIECE_SHIFT) * (data[0] >> PIECE_SHIFT),
        .reads = !(data[0] & FIRST_READS_NOT),
    };
    now = &run;
    uint64_t anomalies = atomic_load(&anomaly_count);
    mailbox_send(loop_mailbox(loop), &run.begin);
    loop_run(loop);
    close(run.ours);
    CHECK(run.requests == run.finished);
    CHECK(anomalies == atomic_load(&anomaly_count));
    CHECK(listener_connections(listener) == 0 && listener_active(listener) == 0);
    return 0;
}
