// Listening: ports, probing, too many connections, draining, and ending under load without losing a
// request.
#include "net_support.h"

#include "base/memory.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void ignore_request(void *context, struct http_exchange *exchange) {
    (void)context;
    if (exchange->request.method == HTTP_PUT)
        return; /* never answered */
    http_respond(exchange, &(struct http_response){.status = 204});
}
static void ignore(void *context, struct http_exchange *exchange) {
    (void)context;
    (void)exchange;
}
static void ignore_finished(void *context, struct http_exchange *exchange,
                            const struct http_sent *sent) {
    (void)context;
    (void)exchange;
    (void)sent;
}
static void ignore_refused(void *context, struct loop *loop, struct http_refusal *refusal) {
    (void)context;
    (void)loop;
    (void)refusal;
}
static const struct http_handler handler = {
    .request = ignore_request,
    .cancelled = ignore,
    .finished = ignore_finished,
    .refused = ignore_refused,
};

static enum err open_at(struct loop *loop, const char *host, uint16_t port, bool probe,
                        struct listener **ret, struct err_text *text) {
    struct listener_options options = {
        .name = "data",
        .host = host,
        .port = port,
        .reuse_port = true,
        .limits = server_default_limits(),
        .handler = &handler,
    };
    return listener_open(loop, &options, probe, ret, text);
}

static void test_loops_share_a_port_but_processes_do_not(void **state) {
    (void)state;
    struct loop *loop = loop_new(&(struct loop_options){.name = "one"});
    struct listener *first = NULL;
    struct listener *second = NULL;
    struct listener *third = NULL;
    struct err_text text;
    assert_int_equal(open_at(loop, "127.0.0.1", 0, true, &first, &text), ERR_OK);
    uint16_t port = listener_port(first);
    assert_true(port > 0);
    assert_string_equal(listener_name(first), "data");
    assert_int_equal(open_at(loop, "127.0.0.1", port, false, &second, &text), ERR_OK);
    assert_int_equal(listener_port(second), port);
    assert_int_equal(open_at(loop, "127.0.0.1", port, true, &third, &text), ERR_INVALID);
    char expected[100];
    snprintf(expected, sizeof expected, "data listener: 127.0.0.1:%u: Address already in use",
             (unsigned)port);
    assert_string_equal(text.s, expected);
    assert_null(third);
    listener_free(&first);
    listener_free(&second);
    assert_null(first);
    loop_free(&loop);
}

static void test_names_an_address_that_does_not_work(void **state) {
    (void)state;
    struct loop *loop = loop_new(&(struct loop_options){.name = "one"});
    struct listener *listener = NULL;
    struct err_text text;
    assert_int_equal(open_at(loop, "192.0.2.1", 8080, true, &listener, &text), ERR_INVALID);
    assert_string_equal(text.s, "data listener: 192.0.2.1:8080: Cannot assign requested address");
    assert_int_equal(open_at(loop, "no such host", 8080, true, &listener, &text), ERR_INVALID);
    assert_starts(text.s, "data listener: no such host: ");
    loop_free(&loop);
}

static void test_two_colons_listen_on_both_families(void **state) {
    (void)state;
    struct loop *loop = loop_new(&(struct loop_options){.name = "one"});
    struct listener *listener = NULL;
    struct err_text text;
    if (open_at(loop, "::", 0, true, &listener, &text) != ERR_OK) {
        loop_free(&loop);
        print_message("no IPv6 here: %s\n", text.s);
        skip();
    }
    loop_start(loop);
    struct client client = client_new(listener_port(listener));
    client_send(&client, GET("/"));
    assert_string_equal(client_response(&client, true), "HTTP/1.1 204 No Content\r\n\r\n");
    client_done(&client);
    loop_stop(loop);
    loop_join(loop);
    listener_free(&listener);
    loop_free(&loop);
}

static void test_refuses_connections_beyond_the_limit(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.connections_max = 2;
    struct server *server = server_new(&limits, NULL);
    struct client first = client_new(server_port(server));
    struct client second = client_new(server_port(server));
    client_send(&first, GET("/now"));
    client_response(&first, false);
    client_send(&second, GET("/now"));
    client_response(&second, false);
    struct client third = client_new(server_port(server));
    client_send(&third, GET("/now"));
    const char *response = client_response(&third, false);
    assert_starts(response, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_contains(response, "Retry-After: ");
    assert_contains(response, "Connection: close\r\n");
    assert_contains(response, "\r\n\r\n{\"error\":\"too many connections\"}");
    assert_contains(response, "X-Request-Id: refusal-1\r\n");
    assert_int_equal(server_counts(server).last_reason, HTTP_REFUSED_CONNECTIONS);
    assert_true(client_sees_end(&third, 1000));
    assert_int_equal(server_counts(server).last_refusal, ERR_TOO_MANY_CONNECTIONS);
    assert_true(server_counts(server).last_answered);
    client_done(&third);
    client_done(&first);
    for (int i = 0; i < 100 && server_connections(server) > 1; i++)
        test_sleep_ms(10);
    struct client fourth = client_new(server_port(server));
    client_send(&fourth, GET("/now"));
    assert_starts(client_response(&fourth, false), "HTTP/1.1 200 OK\r\n");
    client_done(&fourth);
    client_done(&second);
    server_free(server);
}

static void test_does_not_spin_without_descriptors(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/now"));
    client_response(&client, false);
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0);
    close(next);
    struct rlimit low = {.rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server_port(server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int connected = connect(waiting, (struct sockaddr *)&address, sizeof address);
    struct timeval patience = {.tv_sec = 3};
    setsockopt(waiting, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char byte;
    ssize_t n = TEMP_FAILURE_RETRY(recv(waiting, &byte, 1, 0));
    client_send(&client, GET("/now"));
    const char *response = client_try_response(&client, false);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(connected, 0);
    assert_int_equal(n, 0); /* taken and closed */
    assert_non_null(response);
    assert_int_equal(server_counts(server).refused, 1);
    assert_string_equal(server_counts(server).last_text, "out of file descriptors");
    close(waiting);
    client_done(&client);
    server_free(server);
}

static void test_a_drain_closes_idle_connections_and_serves_the_others(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client idle = client_new(server_port(server));
    struct client busy = client_new(server_port(server));
    client_send(&idle, GET("/now"));
    client_response(&idle, false);
    client_send(&busy, GET("/hold"));
    SERVER_WAIT(server, requests, 2);
    test_sleep_ms(600); /* idle for longer than a moment */
    struct client recent = client_new(server_port(server));
    client_send(&recent, GET("/now"));
    client_response(&recent, false);
    struct client fresh = client_new(server_port(server));
    for (int i = 0; i < 100 && server_connections(server) < 4; i++)
        test_sleep_ms(5);
    server_call(server, listener_drain);
    assert_true(client_sees_end(&idle, 100));
    assert_true(client_sees_nothing(&recent, 20));
    client_send(&recent, GET("/now"));
    assert_contains(client_response(&recent, false), "Connection: close\r\n");
    client_send(&fresh, GET("/now"));
    assert_contains(client_response(&fresh, false), "Connection: close\r\n");
    assert_true(client_sees_nothing(&busy, 20));
    server_release(server);
    assert_contains(client_response(&busy, false), "Connection: close\r\n");
    assert_true(client_sees_end(&busy, 1000));
    struct client late = client_new(server_port(server));
    client_send(&late, GET("/now"));
    assert_contains(client_response(&late, false), "Connection: close\r\n");
    client_done(&idle);
    client_done(&busy);
    client_done(&recent);
    client_done(&fresh);
    client_done(&late);
    for (int i = 0; i < 100 && server_connections(server) > 0; i++)
        test_sleep_ms(10);
    assert_int_equal(server_connections(server), 0);
    server_free(server);
}

static void test_a_connection_that_comes_in_a_drain_does_not_stay(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    server_call(server, listener_drain);
    struct client silent = client_new(server_port(server));
    struct client asking = client_new(server_port(server));
    client_send(&asking, GET("/now"));
    assert_contains(client_response(&asking, false), "Connection: close\r\n");
    assert_true(client_sees_end(&silent, 2000));
    client_done(&asking);
    client_done(&silent);
    server_free(server);
}

static void drain_late(struct listener *listener) {
    test_sleep_ms(100);
    listener_drain(listener);
}

struct late_sender {
    struct client *client;
    int ms;
};

static void *send_late(void *context) {
    struct late_sender *sender = context;
    test_sleep_ms(sender->ms);
    client_send(sender->client, GET("/now"));
    return NULL;
}

static void test_a_drain_serves_a_request_that_crossed_it(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/now"));
    client_response(&client, false);
    test_sleep_ms(600);
    pthread_t thread;
    struct late_sender sender = {&client, 50};
    assert_int_equal(pthread_create(&thread, NULL, send_late, &sender), 0);
    server_call(server, drain_late); /* the loop does not read while the request arrives */
    pthread_join(thread, NULL);
    assert_contains(client_response(&client, false), "Connection: close\r\n");
    client_done(&client);
    server_free(server);
}

static void test_a_drain_ends_connections_that_stay_silent(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client used = client_new(server_port(server));
    client_send(&used, GET("/now"));
    client_response(&used, false);
    struct client fresh = client_new(server_port(server));
    for (int i = 0; i < 100 && server_connections(server) < 2; i++)
        test_sleep_ms(5);
    server_call(server, listener_drain);
    assert_true(client_sees_end(&used, 2000));
    assert_true(client_sees_end(&fresh, 2000));
    client_done(&used);
    client_done(&fresh);
    server_free(server);
}

struct load {
    uint16_t port;
    bool keep_alive;
    _Atomic(unsigned) *answered;
    _Atomic(unsigned) *lost;
};

/* Requests until the port refuses; a request that was sent and not answered is lost. */
static void *load_main(void *context) {
    struct load *load = context;
    for (;;) {
        struct client client = client_new(load->port);
        if (client.fd < 0) {
            client_done(&client);
            return NULL;
        }
        bool again = true;
        while (again) {
            static const char request[] = GET("/turn");
            const char *response = client_try_send_n(&client, request, sizeof request - 1)
                                       ? client_try_response(&client, false)
                                       : NULL;
            atomic_fetch_add(response ? load->answered : load->lost, 1);
            again = load->keep_alive && response && !strstr(response, "Connection: close");
        }
        client_done(&client);
    }
}

static void test_ends_under_load_without_losing_a_request(void **state) {
    (void)state;
    enum { THREADS = 16 };
    struct server *server = server_new(NULL, NULL);
    _Atomic(unsigned) answered = 0;
    _Atomic(unsigned) lost = 0;
    pthread_t threads[THREADS];
    struct load loads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        loads[i] = (struct load){server_port(server), i % 2 == 0, &answered, &lost};
        assert_int_equal(pthread_create(&threads[i], NULL, load_main, &loads[i]), 0);
    }
    test_sleep_ms(300);
    server_call(server, listener_drain);
    test_sleep_ms(50);
    server_call(server, listener_stop_accepting);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(answered > 100);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 300 && server_connections(server) > 0; i++)
        test_sleep_ms(10);
    assert_int_equal(server_connections(server), 0);
    server_free(server);
}

static void test_frees_what_is_still_open(void **state) {
    (void)state;
    struct loop *loop = loop_new(&(struct loop_options){.name = "one"});
    struct listener *listener = NULL;
    struct err_text text;
    assert_int_equal(open_at(loop, "127.0.0.1", 0, true, &listener, &text), ERR_OK);
    loop_start(loop);
    struct client idle = client_new(listener_port(listener));
    struct client half = client_new(listener_port(listener));
    struct client unanswered = client_new(listener_port(listener));
    client_send(&unanswered, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na");
    for (int i = 0; i < 100 && listener_active(listener) == 0; i++)
        test_sleep_ms(5);
    client_send(&half, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    client_send(&idle, GET("/"));
    client_response(&idle, true);
    loop_stop(loop);
    loop_join(loop);
    listener_free(&listener);
    loop_free(&loop);
    client_done(&idle);
    client_done(&half);
    client_done(&unanswered);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops_share_a_port_but_processes_do_not),
        cmocka_unit_test(test_names_an_address_that_does_not_work),
        cmocka_unit_test(test_two_colons_listen_on_both_families),
        cmocka_unit_test(test_refuses_connections_beyond_the_limit),
        cmocka_unit_test(test_does_not_spin_without_descriptors),
        cmocka_unit_test(test_a_drain_closes_idle_connections_and_serves_the_others),
        cmocka_unit_test(test_a_connection_that_comes_in_a_drain_does_not_stay),
        cmocka_unit_test(test_a_drain_serves_a_request_that_crossed_it),
        cmocka_unit_test(test_a_drain_ends_connections_that_stay_silent),
        cmocka_unit_test(test_ends_under_load_without_losing_a_request),
        cmocka_unit_test(test_frees_what_is_still_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
