#include "tls_support.h"

#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>

struct identity identity_new(const char *name, const struct identity *issuer, long serial) {
    struct identity identity = {EVP_EC_gen("P-256"), X509_new()};
    X509 *certificate = identity.certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, identity.key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate,
                         issuer ? X509_get_subject_name(issuer->certificate) : subject);
    if (!issuer) {
        X509_EXTENSION *ca =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(certificate, ca, -1);
        X509_EXTENSION_free(ca);
    }
    assert_true(X509_sign(certificate, issuer ? issuer->key : identity.key, EVP_sha256()) > 0);
    return identity;
}

void identity_done(struct identity *identity) {
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

void identity_write(const struct identity *identity, const char *certificate_file,
                    const char *key_file) {
    FILE *file = fopen(certificate_file, "w");
    assert_non_null(file);
    PEM_write_X509(file, identity->certificate);
    fclose(file);
    if (key_file) {
        file = fopen(key_file, "w");
        assert_non_null(file);
        PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
        fclose(file);
    }
}

/* Whether a signal, or a stop and a continue, ended a call that returned n and is to be repeated:
 * with SO_RCVTIMEO the kernel does not repeat it by itself. */
static bool interrupted(const SSL *ssl, int n) {
    if (n > 0 || errno != EINTR)
        return false;
    int error = SSL_get_error(ssl, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

struct tls_client tls_client_new(uint16_t port, const struct tls_client_options *options) {
    struct tls_client client = {.plain = client_new(port)};
    buffer_init(&client.in, 1 << 28);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(client.plain.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    client.context = SSL_CTX_new(TLS_client_method());
    if (options->identity) {
        SSL_CTX_use_certificate(client.context, options->identity->certificate);
        SSL_CTX_use_PrivateKey(client.context, options->identity->key);
    }
    if (options->version) {
        SSL_CTX_set_min_proto_version(client.context, options->version);
        SSL_CTX_set_max_proto_version(client.context, options->version);
    }
    client.ssl = SSL_new(client.context);
    if (options->alpn) {
        SSL_set_alpn_protos(client.ssl, (const unsigned char *)options->alpn,
                            (unsigned)strlen(options->alpn));
    }
    if (options->session)
        SSL_set_session(client.ssl, options->session);
    SSL_set_fd(client.ssl, client.plain.fd);
    int n;
    do {
        n = SSL_connect(client.ssl);
    } while (interrupted(client.ssl, n));
    client.ready = n == 1;
    return client;
}

void tls_client_done(struct tls_client *client) {
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    client_done(&client->plain);
    buffer_done(&client->in);
}

void tls_client_send(struct tls_client *client, const void *p, size_t n) {
    int sent;
    do {
        sent = SSL_write(client->ssl, p, (int)n);
    } while (interrupted(client->ssl, sent));
}

int tls_client_read(struct tls_client *client, size_t until) {
    while (client->in.used < until) {
        char *to = buffer_reserve(&client->in, 16384);
        int n = SSL_read(client->ssl, to, (int)MIN((size_t)16384, until - client->in.used));
        if (interrupted(client->ssl, n))
            continue;
        if (n <= 0)
            return SSL_get_error(client->ssl, n);
        client->in.used += (size_t)n;
    }
    return SSL_ERROR_NONE;
}

long tls_client_serial(const struct tls_client *client) {
    X509 *certificate = SSL_get1_peer_certificate(client->ssl);
    assert_non_null(certificate);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
    X509_free(certificate);
    return serial;
}
