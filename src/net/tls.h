/* TLS for a listener (OpenSSL): certificate and key re-read when their files change, optional
 * client certificates. TLS 1.2 and 1.3. Counted; shared by the loops: each handshake takes the
 * newest context (one atomic reference). */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct tls;

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_options {
    const char *certificate_file; /* PEM, leaf first, then the chain */
    const char *key_file;         /* PEM */
    const char *client_ca_file;   /* PEM; needed unless TLS_CLIENT_NONE */
    enum tls_client_auth client_auth;
};

/* ERR_INVALID naming the file and what is wrong (missing, not PEM, key does not match). */
enum err tls_new(const struct tls_options *options, struct tls **ret,
                 struct err_text *text) MUST_CHECK;
void tls_ref(struct tls *tls);
void tls_unref(struct tls **tls);

/* Reads the files again when they changed (inode, size, mtime): Kubernetes swaps a symlink.
 * *ret_changed says whether new connections now use a new certificate. On error the old one stays
 * in use. Thread: one at a time (control loop). */
enum err tls_reload(struct tls *tls, bool *ret_changed, struct err_text *text) MUST_CHECK;
/* Seconds since 1970 when the certificate in use ends. Thread: any. */
double tls_not_after(const struct tls *tls);
