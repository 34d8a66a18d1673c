// A hundred thousand requests over 64 connections of one loop: each answered, rightly, in order.
#include "net_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 64, REQUESTS_EACH = 1600, PIPELINED_MAX = 8 };

struct worker {
    uint16_t port;
    unsigned number;
    unsigned answered;
    unsigned wrong;
};

/* Sends a few requests at once, then reads their answers. False: the connection is of no use any
 * more. */
static bool burst(struct worker *worker, struct client *client, unsigned count) {
    static const char *const paths[] = {"/now", "/turn", "/message"};
    struct buffer text;
    buffer_init(&text, 1 << 20);
    char expected[PIPELINED_MAX][40];
    for (unsigned i = 0; i < count; i++) {
        const char *path = paths[(worker->number + worker->answered + i) % 3];
        char body[16];
        int n = snprintf(body, sizeof body, "%u.%u", worker->number, worker->answered + i);
        bool chunked = (worker->answered + i) % 5 == 0;
        if (chunked) {
            buffer_add_format(&text,
                              "POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "1\r\n%c\r\n%x\r\n%s\r\n0\r\n\r\n",
                              path, body[0], (unsigned)n - 1, body + 1);
        } else {
            buffer_add_format(&text, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s",
                              path, n, body);
        }
        snprintf(expected[i], sizeof expected[i], "POST %s  %s", path, body);
    }
    bool ok = client_try_send_n(client, text.data, text.used);
    buffer_done(&text);
    for (unsigned i = 0; ok && i < count; i++) {
        const char *response = client_try_response(client, false);
        ok = response != NULL;
        const char *body = ok ? strstr(response, "\r\n\r\n") : NULL;
        bool right = body && strncmp(response, "HTTP/1.1 200 ", 13) == 0 &&
                     strcmp(body + 4, expected[i]) == 0;
        worker->answered++;
        worker->wrong += !right;
    }
    return ok;
}

static void *work(void *context) {
    struct worker *worker = context;
    struct client client = client_new(worker->port);
    while (worker->answered < REQUESTS_EACH) {
        unsigned left = REQUESTS_EACH - worker->answered;
        unsigned count = 1 + (worker->answered + worker->number) % PIPELINED_MAX;
        if (!burst(worker, &client, count < left ? count : left)) {
            worker->wrong++;
            break;
        }
        if (worker->answered % 500 < PIPELINED_MAX) { /* now and then a new connection */
            client_done(&client);
            client = client_new(worker->port);
        }
    }
    client_done(&client);
    return NULL;
}

static void test_answers_every_request_of_a_crowd(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    static struct worker workers[CLIENTS];
    pthread_t threads[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        workers[i] = (struct worker){.port = server_port(server), .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(workers[i].wrong, 0);
        assert_int_equal(workers[i].answered, REQUESTS_EACH);
    }
    SERVER_WAIT(server, finished, CLIENTS * REQUESTS_EACH);
    struct server_counts counts = server_counts(server);
    assert_int_equal(counts.requests, CLIENTS * REQUESTS_EACH);
    assert_int_equal(counts.complete, CLIENTS * REQUESTS_EACH);
    assert_int_equal(counts.refused, 0);
    assert_int_equal(counts.cancelled, 0);
    server_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_every_request_of_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
