/* One TLS connection, without a socket: ciphertext in, plaintext out, and back. OpenSSL reads from
 * the bytes just received and appends records to a buffer that the caller sends; neither is kept,
 * so an idle connection holds only OpenSSL's state. Thread: the connection's loop. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

struct tls;
struct tls_session;

enum tls_status {
    TLS_MORE,   /* needs more ciphertext */
    TLS_BYTES,  /* plaintext was read */
    TLS_EOF,    /* the peer said goodbye (close_notify) */
    TLS_FAILED, /* see tls_session_error */
};

/* Records go to `out` (borrowed). Takes the newest certificate. */
struct tls_session *tls_session_new(struct tls *tls, struct buffer *out);
void tls_session_free(struct tls_session **session);

/* The ciphertext that tls_session_read reads next; borrowed until it returned TLS_MORE. */
void tls_session_feed(struct tls_session *session, const char *ciphertext, size_t n);
/* Goes on with the handshake, then with the data; may append to `out` in every case. */
enum tls_status tls_session_read(struct tls_session *session, char *to, size_t room, size_t *ret_n);
bool tls_session_ready(const struct tls_session *session); /* the handshake is over */
bool tls_session_http2(const struct tls_session *session); /* the client chose h2 (ALPN) */
/* Encrypts all of it. False: the session is broken. */
bool tls_session_write(struct tls_session *session, const char *p, size_t n) MUST_CHECK;
void tls_session_goodbye(struct tls_session *session); /* close_notify, once */
/* What went wrong, beginning with "TLS". Static or the session's. */
const char *tls_session_error(const struct tls_session *session);

/* tls.c */
struct ssl_st *tls_ssl_new(struct tls *tls);
