/* OpenSSL over two custom BIOs of ours instead of its memory BIOs, which keep a copy of what they
 * carried for as long as the connection lives. Invariant: after tls_session_read has returned
 * TLS_MORE all ciphertext is used. */
#include "net/tls_session.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>

struct tls_session {
    SSL *ssl;
    const char *in;
    size_t in_n;
    struct buffer *out;
    bool goodbye_said;
    bool failed;
    char error[160];
};

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *to, int n) {
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in_n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = MIN(session->in_n, (size_t)n);
    memcpy(to, session->in, take);
    session->in += take;
    session->in_n -= take;
    return (int)take;
}

static int bio_write(BIO *bio, const char *p, int n) {
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!buffer_reserve(session->out, (size_t)n)) {
        session->out->full = false; /* what is there already still goes out; the session is over */
        return -1;
    }
    buffer_add(session->out, p, (size_t)n);
    return n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void method_make(void) {
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "inferd connection");
    CHECK(method);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

struct tls_session *tls_session_new(struct tls *tls, struct buffer *out) {
    pthread_once(&method_once, method_make);
    struct tls_session *session = mem_new(sizeof *session);
    session->out = out;
    session->ssl = tls_ssl_new(tls);
    BIO *bio = BIO_new(method);
    CHECK(session->ssl && bio);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_free(struct tls_session **session_at) {
    struct tls_session *session = *session_at;
    if (session) {
        SSL_free(session->ssl);
        mem_free(session_at);
    }
}

void tls_session_feed(struct tls_session *session, const char *ciphertext, size_t n) {
    session->in = ciphertext;
    session->in_n = n;
}

bool tls_session_ready(const struct tls_session *session) {
    return SSL_is_init_finished(session->ssl);
}

bool tls_session_http2(const struct tls_session *session) {
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(session->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}

const char *tls_session_error(const struct tls_session *session) {
    return session->error[0] ? session->error : "TLS: the session failed";
}

static enum tls_status fail(struct tls_session *session) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    session->failed = true;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST)
        reason = "plain HTTP was sent to a TLS port";
    snprintf(session->error, sizeof session->error, "TLS: %s", reason ? reason : "broken off");
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_status tls_session_read(struct tls_session *session, char *to, size_t room,
                                 size_t *ret_n) {
    if (session->failed)
        return TLS_FAILED;
    ERR_clear_error();
    int n = SSL_read(session->ssl, to, (int)MIN(room, (size_t)INT_MAX));
    if (n > 0) {
        *ret_n = (size_t)n;
        return TLS_BYTES;
    }
    int why = SSL_get_error(session->ssl, n);
    if (why == SSL_ERROR_WANT_READ) {
        CHECK(session->in_n == 0);
        return TLS_MORE;
    }
    return why == SSL_ERROR_ZERO_RETURN ? TLS_EOF : fail(session);
}

bool tls_session_write(struct tls_session *session, const char *p, size_t n) {
    while (n > 0 && !session->failed) {
        ERR_clear_error();
        int written = SSL_write(session->ssl, p, (int)MIN(n, (size_t)INT_MAX));
        if (written <= 0) {
            fail(session);
            break;
        }
        p += written;
        n -= (size_t)written;
    }
    return !session->failed;
}

void tls_session_goodbye(struct tls_session *session) {
    if (!session->goodbye_said && !session->failed && tls_session_ready(session)) {
        session->goodbye_said = true;
        ERR_clear_error();
        SSL_shutdown(session->ssl);
        ERR_clear_error();
    }
}
