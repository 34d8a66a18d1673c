/* Listening sockets: resolve, bind, listen, and the filter that lets a listener end without losing
 * a connection. libuv's own bind knows neither SO_REUSEPORT (1.44) nor probing. */
#include "net/listener_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* A bound socket, or -1 with errno. */
static int bound_socket(const struct addrinfo *address, bool reuse_port) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (ok && reuse_port)
        ok = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (ok && address->ai_family == AF_INET6)
        ok = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (ok && bind(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* A listening socket, or -1 with errno. With `probe`, first without SO_REUSEPORT: that fails when
 * another process serves the port, even one that would share it. The kernel compares ports when
 * they are listened on. */
static int listening_socket(const struct addrinfo *address, const struct listener_options *options,
                            bool probe) {
    if (probe && options->reuse_port) {
        int fd = bound_socket(address, false);
        if (fd < 0)
            return -1;
        close(fd);
    }
    int fd = bound_socket(address, options->reuse_port);
    if (fd < 0)
        return -1;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* inherited by what is accepted */
    if (listen(fd, options->backlog > 0 ? options->backlog : SOMAXCONN) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum err socket_listen(const struct listener_options *options, bool probe, int *ret_fd,
                       struct err_text *text) {
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    int failed = getaddrinfo(options->host, port, &hints, &addresses);
    if (failed) {
        return err_set(text, ERR_INVALID, "%s listener: %s: %s", options->name,
                       options->host ? options->host : "", gai_strerror(failed));
    }
    int fd = -1;
    int why = 0;
    for (struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next) {
        fd = listening_socket(address, options, probe);
        why = fd < 0 && !why ? errno : why;
    }
    freeaddrinfo(addresses);
    if (fd < 0) {
        bool colons = options->host && strchr(options->host, ':');
        return err_set(text, ERR_INVALID, "%s listener: %s%s%s:%s: %s", options->name,
                       colons ? "[" : "", options->host ? options->host : "", colons ? "]" : "",
                       port, strerrordesc_np(why));
    }
    *ret_fd = fd;
    return ERR_OK;
}

uint16_t socket_port(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return 0;
    struct sockaddr_in6 six;
    struct sockaddr_in four;
    if (address.ss_family == AF_INET6) {
        memcpy(&six, &address, sizeof six);
        return ntohs(six.sin6_port);
    }
    memcpy(&four, &address, sizeof four);
    return ntohs(four.sin_port);
}

bool socket_drop_syns(int fd) {
    /* A listening TCP socket's filter sees segments from their TCP header on; the flags are its
     * byte 13. */
    enum { FLAGS_AT = 13, SYN = 0x02, ACK = 0x10 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}
