// TLS over real sockets, with certificates made by OpenSSL here.
#include "tls_support.h"

#include "base/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static char folder[64];
static struct identity ca, server_identity, client_identity, stranger;

static const char *file(const char *name) {
    static char paths[8][100];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int set_up(void **state) {
    (void)state;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    snprintf(folder, sizeof folder, "%s/net-tls-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(folder));
    ca = identity_new("ca", NULL, 1);
    server_identity = identity_new("server", &ca, 100);
    client_identity = identity_new("client", &ca, 200);
    stranger = identity_new("stranger", NULL, 300);
    identity_write(&ca, file("ca.pem"), NULL);
    identity_write(&stranger, file("other.pem"), file("other.key"));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"ca.pem",     "other.pem",  "other.key", "server.pem",
                                        "server.key", "broken.pem", "locked.key"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(file(names[i]));
    rmdir(folder);
    identity_done(&ca);
    identity_done(&server_identity);
    identity_done(&client_identity);
    identity_done(&stranger);
    return 0;
}

static struct tls *tls_made(enum tls_client_auth auth) {
    identity_write(&server_identity, file("server.pem"), file("server.key"));
    struct tls_options options = {file("server.pem"), file("server.key"), file("ca.pem"), auth};
    struct tls *tls = NULL;
    struct err_text text;
    if (tls_new(&options, &tls, &text) != ERR_OK)
        fail_msg("%s", text.s);
    return tls;
}

/* A server that owns the only other reference. */
static struct server *tls_server(enum tls_client_auth auth, const struct http_limits *limits) {
    struct tls *tls = tls_made(auth);
    struct server *server = server_new(limits, tls);
    tls_unref(&tls);
    assert_null(tls);
    return server;
}

static void get(struct tls_client *client) {
    static const char expected[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Count: "
                                   "1\r\nContent-Length: 10\r\n\r\nGET /now  ";
    buffer_clear(&client->in);
    tls_client_send(client, GET("/now"), sizeof GET("/now") - 1);
    tls_client_read(client, sizeof expected - 1);
    buffer_add_char(&client->in, '\0');
    assert_string_equal(client->in.data, expected);
}

static void test_serves_tls_1_2_and_1_3(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct tls_client client = tls_client_new(
            server_port(server), &(struct tls_client_options){.version = versions[i]});
        assert_true(client.ready);
        assert_int_equal(SSL_version(client.ssl), versions[i]);
        get(&client);
        get(&client);
        tls_client_done(&client);
    }
    struct tls_client old = tls_client_new(server_port(server),
                                           &(struct tls_client_options){.version = TLS1_1_VERSION});
    assert_false(old.ready);
    tls_client_done(&old);
    server_free(server);
}

static void test_carries_large_bodies_both_ways(void **state) {
    (void)state;
    enum { N = 3000000 };
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct tls_client client = tls_client_new(server_port(server), &(struct tls_client_options){0});
    struct buffer text;
    buffer_init(&text, 1 << 26);
    buffer_add_format(&text, "POST /turn HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", N);
    for (int i = 0; i < N; i++)
        buffer_add_char(&text, (char)('a' + i % 23));
    buffer_add_c(&text, GET("/big?9000000"));
    tls_client_send(&client, text.data, text.used);
    test_sleep_ms(200); /* the socket fills */
    size_t head = sizeof "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Count: 1\r\n"
                         "Content-Length: 3000012\r\n\r\nPOST /turn  " -
                  1;
    assert_int_equal(tls_client_read(&client, head + N), SSL_ERROR_NONE);
    assert_memory_equal(client.in.data + head,
                        text.data + (text.used - N - (sizeof GET("/big?9000000") - 1)), N);
    buffer_clear(&client.in);
    head = sizeof "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Count: 1\r\n"
                  "Content-Length: 9000017\r\n\r\nGET /big 9000000 " -
           1;
    assert_int_equal(tls_client_read(&client, head + 9000000), SSL_ERROR_NONE);
    for (size_t i = 0; i < 9000000; i++)
        if (client.in.data[head + i] != 'x')
            fail_msg("byte %zu is wrong", i);
    get(&client);
    buffer_done(&text);
    tls_client_done(&client);
    server_free(server);
}

static void test_says_continue_and_goodbye(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct tls_client client = tls_client_new(server_port(server), &(struct tls_client_options){0});
    static const char head[] = "POST /close HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                               "Content-Length: 1\r\n\r\n";
    tls_client_send(&client, head, sizeof head - 1);
    assert_int_equal(tls_client_read(&client, 25), SSL_ERROR_NONE);
    assert_memory_equal(client.in.data, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    tls_client_send(&client, "x", 1);
    /* close_notify comes before the end of the connection */
    assert_int_equal(tls_client_read(&client, 100000), SSL_ERROR_ZERO_RETURN);
    assert_memory_equal(client.in.data + client.in.used - 14, "POST /close  x", 14);
    tls_client_done(&client);
    server_free(server);
}

static void check_alpn(struct server *server, const char *offered, const char *expected) {
    struct tls_client client =
        tls_client_new(server_port(server), &(struct tls_client_options){.alpn = offered});
    const unsigned char *chosen = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(client.ssl, &chosen, &n);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(chosen, expected, n);
    tls_client_done(&client);
}

static void test_chooses_the_protocol_by_alpn(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    check_alpn(server, "\x08http/1.1\x02h2", "h2");
    check_alpn(server, "\x08http/1.1", "http/1.1");
    struct tls_client other =
        tls_client_new(server_port(server), &(struct tls_client_options){.alpn = "\x02h3"});
    assert_false(other.ready);
    tls_client_done(&other);
    server_free(server);
}

static void check_client(struct server *server, const struct identity *identity, bool served) {
    struct tls_client client =
        tls_client_new(server_port(server), &(struct tls_client_options){.identity = identity});
    if (served) {
        get(&client);
    } else {
        unsigned before = server_counts(server).refused;
        tls_client_send(&client, GET("/now"), sizeof GET("/now") - 1);
        assert_int_not_equal(tls_client_read(&client, 1), SSL_ERROR_NONE);
        SERVER_WAIT(server, refused, before == 0 ? 1 : server_counts(server).refused);
        assert_starts(server_counts(server).last_text, "TLS: ");
    }
    tls_client_done(&client);
}

static void test_asks_for_client_certificates(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_REQUIRED, NULL);
    check_client(server, &client_identity, true);
    check_client(server, NULL, false);
    check_client(server, &stranger, false);
    server_free(server);
    server = tls_server(TLS_CLIENT_OPTIONAL, NULL);
    check_client(server, &client_identity, true);
    check_client(server, NULL, true);
    check_client(server, &stranger, false);
    server_free(server);
}

static void test_resumes_sessions_by_ticket(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_REQUIRED, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_client_options options = {.identity = &client_identity, .version = version};
        struct tls_client first = tls_client_new(server_port(server), &options);
        get(&first);
        assert_false(SSL_session_reused(first.ssl));
        options.session = SSL_get1_session(first.ssl);
        SSL_shutdown(first.ssl);
        tls_client_done(&first);
        struct tls_client second = tls_client_new(server_port(server), &options);
        get(&second);
        assert_true(SSL_session_reused(second.ssl));
        tls_client_done(&second);
        SSL_SESSION_free(options.session);
    }
    server_free(server);
}

static void test_does_not_renegotiate(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct tls_client client = tls_client_new(
        server_port(server), &(struct tls_client_options){.version = TLS1_2_VERSION});
    get(&client);
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    assert_int_not_equal(SSL_do_handshake(client.ssl), 1);
    tls_client_done(&client);
    server_free(server);
}

static void test_closes_plain_http_on_a_tls_port(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/now"));
    SERVER_WAIT(server, refused, 1);
    assert_int_equal(server_counts(server).last_refusal, ERR_INVALID);
    assert_false(server_counts(server).last_answered);
    assert_string_equal(server_counts(server).last_text, "TLS: plain HTTP was sent to a TLS port");
    assert_int_equal(server_counts(server).last_reason, HTTP_REFUSED_TLS);
    client_done(&client);
    server_free(server);
}

static void test_times_out_a_handshake(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.header_timeout_ns = 100 * TEST_MS;
    struct server *server = tls_server(TLS_CLIENT_NONE, &limits);
    struct client client = client_new(server_port(server));
    client_send_n(&client, "\x16\x03\x01\x02\x00", 5);
    assert_true(client_sees_end(&client, 2000));
    SERVER_WAIT(server, refused, 1);
    assert_int_equal(server_counts(server).last_refusal, ERR_SLOW_REQUEST);
    assert_starts(server_counts(server).last_text, "TLS: ");
    client_done(&client);
    server_free(server);
}

/* Served or silent since the handshake, in the handshake, and come after the drain began: none
 * lives as long as its timeouts would let it. */
static void test_a_drain_ends_idle_connections_soon(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct tls_client_options any = {0};
    struct tls_client silent = tls_client_new(server_port(server), &any);
    struct client half = client_new(server_port(server));
    client_send_n(&half, "\x16\x03\x01\x02\x00", 5);
    for (int i = 0; i < 100 && server_connections(server) < 2; i++)
        test_sleep_ms(10);
    uint64_t start = test_now_ms();
    server_call(server, listener_drain);
    struct tls_client late = tls_client_new(server_port(server), &any);
    struct tls_client asking = tls_client_new(server_port(server), &any);
    assert_true(late.ready && asking.ready);
    tls_client_send(&asking, GET("/now"), sizeof GET("/now") - 1);
    assert_int_equal(tls_client_read(&asking, SIZE_MAX), SSL_ERROR_ZERO_RETURN);
    buffer_add_char(&asking.in, '\0');
    assert_starts(asking.in.data, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(tls_client_read(&silent, 1), SSL_ERROR_ZERO_RETURN);
    assert_in_range(test_now_ms() - start, 400, 5000);
    assert_int_equal(tls_client_read(&late, 1), SSL_ERROR_ZERO_RETURN);
    assert_true(client_sees_end(&half, 5000));
    assert_in_range(test_now_ms() - start, 400, 5000);
    tls_client_done(&silent);
    tls_client_done(&late);
    tls_client_done(&asking);
    client_done(&half);
    server_free(server);
}

static void test_cancels_when_the_client_says_goodbye(void **state) {
    (void)state;
    struct server *server = tls_server(TLS_CLIENT_NONE, NULL);
    struct tls_client client = tls_client_new(server_port(server), &(struct tls_client_options){0});
    tls_client_send(&client, GET("/hold"), sizeof GET("/hold") - 1);
    SERVER_WAIT(server, requests, 1);
    SSL_shutdown(client.ssl);
    SERVER_WAIT(server, cancelled, 1);
    tls_client_done(&client);
    server_free(server);
}

/* The serial number that a new connection sees. */
static long serial_now(struct server *server) {
    struct tls_client client = tls_client_new(server_port(server), &(struct tls_client_options){0});
    assert_true(client.ready);
    get(&client);
    long serial = tls_client_serial(&client);
    tls_client_done(&client);
    return serial;
}

static void test_takes_a_new_certificate_when_the_files_change(void **state) {
    (void)state;
    struct tls *tls = tls_made(TLS_CLIENT_NONE);
    struct server *server = server_new(NULL, tls);
    struct tls_client lasting =
        tls_client_new(server_port(server), &(struct tls_client_options){0});
    get(&lasting);
    assert_int_equal(serial_now(server), 100);
    double left = tls_not_after(tls) - (double)time(NULL);
    assert_true(left > 3500 && left <= 3601);
    bool changed = true;
    struct err_text text;
    assert_int_equal(tls_reload(tls, &changed, &text), ERR_OK);
    assert_false(changed);

    struct identity next = identity_new("next", &ca, 101);
    identity_write(&next, file("server.pem"), NULL); /* the key is not there yet */
    assert_int_equal(tls_reload(tls, &changed, &text), ERR_INVALID);
    assert_contains(text.s, "server.key: does not match the certificate");
    assert_int_equal(tls_reload(tls, &changed, &text), ERR_OK); /* said once */
    assert_false(changed);
    assert_int_equal(serial_now(server), 100);

    identity_write(&next, file("server.pem"), file("server.key"));
    assert_int_equal(tls_reload(tls, &changed, &text), ERR_OK);
    assert_true(changed);
    assert_int_equal(serial_now(server), 101);
    get(&lasting); /* goes on with what it began with */
    tls_client_done(&lasting);
    identity_done(&next);
    tls_unref(&tls);
    server_free(server);
}

static void check_new_fails(const char *certificate, const char *key, const char *client_ca,
                            const char *part) {
    struct tls_options options = {certificate, key, client_ca,
                                  client_ca ? TLS_CLIENT_REQUIRED : TLS_CLIENT_NONE};
    struct tls *tls = NULL;
    struct err_text text;
    assert_int_equal(tls_new(&options, &tls, &text), ERR_INVALID);
    assert_null(tls);
    assert_contains(text.s, part);
}

static void test_names_the_file_that_cannot_be_used(void **state) {
    (void)state;
    identity_write(&server_identity, file("server.pem"), file("server.key"));
    FILE *broken = fopen(file("broken.pem"), "w");
    fputs("hello\n", broken);
    fclose(broken);
    FILE *locked = fopen(file("locked.key"), "w");
    PEM_write_PrivateKey(locked, server_identity.key, EVP_aes_128_cbc(),
                         (const unsigned char *)"secret", 6, NULL, NULL);
    fclose(locked);
    check_new_fails(file("absent.pem"), file("server.key"), NULL, "absent.pem: No such file");
    check_new_fails(file("server.pem"), file("absent.key"), NULL, "absent.key: No such file");
    check_new_fails(file("broken.pem"), file("server.key"), NULL, "broken.pem: not PEM");
    check_new_fails(file("server.pem"), file("broken.pem"), NULL, "TLS key ");
    check_new_fails(file("server.pem"), file("locked.key"), NULL, "TLS key ");
    check_new_fails(file("server.pem"), file("other.key"), NULL, "other.key: does not match");
    check_new_fails(file("server.pem"), file("server.key"), file("broken.pem"), "TLS client CA ");
    check_new_fails(NULL, file("server.key"), NULL, "TLS needs a certificate file");
}

/* Opening a pipe without a writer would wait for one, here for ever. */
static void test_refuses_what_is_not_a_regular_file_without_waiting(void **state) {
    (void)state;
    identity_write(&server_identity, file("server.pem"), file("server.key"));
    assert_int_equal(mkfifo(file("pipe"), 0600), 0);
    check_new_fails(file("pipe"), file("server.key"), NULL, "pipe: not a regular file");
    check_new_fails(file("server.pem"), file("pipe"), NULL, "pipe: not a regular file");
    check_new_fails(file("server.pem"), file("server.key"), file("pipe"),
                    "pipe: not a regular file");
    check_new_fails(folder, file("server.key"), NULL, ": not a regular file");
    unlink(file("pipe"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves_tls_1_2_and_1_3),
        cmocka_unit_test(test_carries_large_bodies_both_ways),
        cmocka_unit_test(test_says_continue_and_goodbye),
        cmocka_unit_test(test_chooses_the_protocol_by_alpn),
        cmocka_unit_test(test_asks_for_client_certificates),
        cmocka_unit_test(test_resumes_sessions_by_ticket),
        cmocka_unit_test(test_does_not_renegotiate),
        cmocka_unit_test(test_closes_plain_http_on_a_tls_port),
        cmocka_unit_test(test_times_out_a_handshake),
        cmocka_unit_test(test_a_drain_ends_idle_connections_soon),
        cmocka_unit_test(test_cancels_when_the_client_says_goodbye),
        cmocka_unit_test(test_takes_a_new_certificate_when_the_files_change),
        cmocka_unit_test(test_names_the_file_that_cannot_be_used),
        cmocka_unit_test(test_refuses_what_is_not_a_regular_file_without_waiting),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
