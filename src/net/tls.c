/* Certificates and OpenSSL contexts behind tls.h. A context is never changed once it is in use:
 * reloading makes a new one and swaps the pointer under a mutex that is held for a few
 * instructions; sessions hold the context they began with. Tickets made by an older context are not
 * accepted by a newer one, so a new client CA binds at once. OpenSSL's errors are read here, per
 * thread, right where they happen. Owns its contexts. */
#include "net/tls.h"

#include "base/check.h"
#include "base/memory.h"
#include "net/tls_session.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TLS_FILES = 3 };

/* What changes when a file does, Kubernetes' symlink swap included. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec mtime;
};

struct tls {
    _Atomic(int) references;
    char *files[TLS_FILES];
    struct tls_options options; /* points to the files above */
    pthread_mutex_t mutex;
    SSL_CTX *context; /* under mutex */
    _Atomic(int64_t) not_after_s;
    struct file_stamp stamps[TLS_FILES]; /* of the newest attempt */
};

static void stamps_read(const struct tls *tls, struct file_stamp stamps[TLS_FILES]) {
    for (int i = 0; i < TLS_FILES; i++) {
        struct stat status;
        stamps[i] = (struct file_stamp){0};
        if (tls->files[i] && stat(tls->files[i], &status) == 0) {
            stamps[i].device = status.st_dev;
            stamps[i].inode = status.st_ino;
            stamps[i].size = status.st_size;
            stamps[i].mtime = status.st_mtim;
        }
    }
}

static bool stamps_equal(const struct file_stamp *a, const struct file_stamp *b) {
    for (int i = 0; i < TLS_FILES; i++) {
        if (a[i].device != b[i].device || a[i].inode != b[i].inode || a[i].size != b[i].size ||
            a[i].mtime.tv_sec != b[i].mtime.tv_sec || a[i].mtime.tv_nsec != b[i].mtime.tv_nsec) {
            return false;
        }
    }
    return true;
}

static enum err fail_file(struct err_text *text, const char *what, const char *file) {
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    if (reason && ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
        reason = "not PEM";
    enum err e =
        err_set(text, ERR_INVALID, "TLS %s %s: %s", what, file, reason ? reason : "cannot be used");
    ERR_clear_error();
    return e;
}

/* OpenSSL would wait for a pipe's writer, and the control loop with it: regular files only. */
static enum err check_readable(const char *what, const char *file, struct err_text *text) {
    if (!file)
        return err_set(text, ERR_INVALID, "TLS needs a %s file", what);
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(text, ERR_INVALID, "TLS %s %s: %s", what, file, strerrordesc_np(errno));
    struct stat status;
    bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    close(fd);
    return regular ? ERR_OK
                   : err_set(text, ERR_INVALID, "TLS %s %s: not a regular file", what, file);
}

/* A key with a passphrase is refused; nobody is there to be asked. */
static int no_passphrase(char *buffer, int size, int writing, void *context) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static const unsigned char alpn_offered[] = "\x02h2\x08http/1.1"; /* in order of preference */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *context) {
    (void)ssl;
    (void)context;
    unsigned char *chosen = NULL;
    int found =
        SSL_select_next_proto(&chosen, out_n, alpn_offered, sizeof alpn_offered - 1, in, in_n);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_new(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context);
    CHECK(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    /* A session is resumed by its ticket; the server itself remembers none. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    static const unsigned char id[] = "inferd";
    CHECK(SSL_CTX_set_session_id_context(context, id, sizeof id - 1) == 1);
    return context;
}

static enum err use_client_ca(SSL_CTX *context, const struct tls_options *options,
                              struct err_text *text) {
    if (options->client_auth == TLS_CLIENT_NONE)
        return ERR_OK;
    enum err e = check_readable("client CA", options->client_ca_file, text);
    if (e != ERR_OK)
        return e;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->client_ca_file);
    if (!names || SSL_CTX_load_verify_file(context, options->client_ca_file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail_file(text, "client CA", options->client_ca_file);
    }
    SSL_CTX_set_client_CA_list(context, names);
    int mode = SSL_VERIFY_PEER;
    if (options->client_auth == TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context, mode, NULL);
    return ERR_OK;
}

static enum err use_files(SSL_CTX *context, const struct tls_options *options,
                          struct err_text *text) {
    enum err e = check_readable("certificate", options->certificate_file, text);
    if (e == ERR_OK)
        e = check_readable("key", options->key_file, text);
    if (e != ERR_OK)
        return e;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, options->certificate_file) != 1)
        return fail_file(text, "certificate", options->certificate_file);
    if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long code = ERR_peek_last_error();
        if (ERR_GET_LIB(code) != ERR_LIB_X509)
            return fail_file(text, "key", options->key_file);
        ERR_clear_error();
        return err_set(text, ERR_INVALID, "TLS key %s: does not match the certificate %s",
                       options->key_file, options->certificate_file);
    }
    return use_client_ca(context, options, text);
}

static int64_t not_after_of(SSL_CTX *context) {
    X509 *certificate = SSL_CTX_get0_certificate(context);
    struct tm when;
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1)
        return 0;
    return (int64_t)timegm(&when);
}

/* Reads the files into a new context and puts it in use. */
static enum err load(struct tls *tls, struct err_text *text) {
    SSL_CTX *context = context_new();
    enum err e = use_files(context, &tls->options, text);
    if (e != ERR_OK) {
        SSL_CTX_free(context);
        return e;
    }
    atomic_store_explicit(&tls->not_after_s, not_after_of(context), memory_order_relaxed);
    pthread_mutex_lock(&tls->mutex);
    SSL_CTX *old = tls->context;
    tls->context = context;
    pthread_mutex_unlock(&tls->mutex);
    SSL_CTX_free(old);
    return ERR_OK;
}

enum err tls_new(const struct tls_options *options, struct tls **ret, struct err_text *text) {
    struct tls *tls = mem_new(sizeof *tls);
    atomic_init(&tls->references, 1);
    CHECK(pthread_mutex_init(&tls->mutex, NULL) == 0);
    tls->files[0] = mem_copy_c(options->certificate_file);
    tls->files[1] = mem_copy_c(options->key_file);
    tls->files[2] = mem_copy_c(options->client_ca_file);
    tls->options =
        (struct tls_options){tls->files[0], tls->files[1], tls->files[2], options->client_auth};
    stamps_read(tls, tls->stamps);
    enum err e = load(tls, text);
    if (e != ERR_OK) {
        tls_unref(&tls);
        return e;
    }
    *ret = tls;
    return ERR_OK;
}

void tls_ref(struct tls *tls) {
    atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
}

void tls_unref(struct tls **tls_at) {
    struct tls *tls = *tls_at;
    *tls_at = NULL;
    /* acq_rel: the last one sees what the others wrote */
    if (!tls || atomic_fetch_sub_explicit(&tls->references, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->mutex);
    for (int i = 0; i < TLS_FILES; i++)
        mem_free(&tls->files[i]);
    mem_free(&tls);
}

enum err tls_reload(struct tls *tls, bool *ret_changed, struct err_text *text) {
    struct file_stamp stamps[TLS_FILES];
    stamps_read(tls, stamps);
    if (stamps_equal(stamps, tls->stamps)) {
        *ret_changed = false;
        return ERR_OK;
    }
    /* Noted before reading: a file that changes meanwhile is read again next time; one that cannot
     * be used is reported once, and again when it changes. */
    memcpy(tls->stamps, stamps, sizeof stamps);
    enum err e = load(tls, text);
    if (e == ERR_OK)
        *ret_changed = true;
    return e;
}

double tls_not_after(const struct tls *tls) {
    return (double)atomic_load_explicit(&tls->not_after_s, memory_order_relaxed);
}

struct ssl_st *tls_ssl_new(struct tls *tls) {
    pthread_mutex_lock(&tls->mutex);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->mutex);
    return ssl;
}
