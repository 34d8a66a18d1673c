/* Certificates made on the spot, and a TLS client. */
#pragma once

#include "net_support.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

/* A key and a certificate; signed by `issuer`, or by itself when that is NULL. */
struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct identity identity_new(const char *name, const struct identity *issuer, long serial);
void identity_done(struct identity *identity);
void identity_write(const struct identity *identity, const char *certificate_file,
                    const char *key_file);

struct tls_client {
    struct client plain;
    SSL_CTX *context;
    SSL *ssl;
    bool ready; /* the handshake worked */
    struct buffer in;
};

struct tls_client_options {
    const struct identity *identity; /* NULL: none */
    int version;                     /* TLS1_2_VERSION ...; 0: any */
    const char *alpn;                /* in wire form; NULL: none */
    SSL_SESSION *session;            /* to resume; NULL: none */
};

struct tls_client tls_client_new(uint16_t port, const struct tls_client_options *options);
void tls_client_done(struct tls_client *client);
void tls_client_send(struct tls_client *client, const void *p, size_t n);
/* Reads until `until` bytes are in client->in, or the end; the result of the last SSL_read's
 * SSL_get_error. */
int tls_client_read(struct tls_client *client, size_t until);
/* The serial number of the server's certificate. */
long tls_client_serial(const struct tls_client *client);
