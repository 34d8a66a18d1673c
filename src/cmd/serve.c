/* `inferd serve`. */
#include "base/num.h"
#include "cmd/commands.h"
#include "cmd/server.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

enum { PROBLEMS_MAX = 1 << 20, LARGE_BLOCK_BYTES = 1 << 20 };

static int help(const char *command, const char *what) {
    struct buffer text;
    buffer_init(&text, PROBLEMS_MAX);
    config_write_help(&text);
    printf("usage: inferd %s [--config FILE] [OPTIONS]\n\n%s\n\n%.*s", command, what,
           STR_ARG(buffer_str(&text)));
    buffer_done(&text);
    return 0;
}

/* True: go on with *ret; false: *ret_status is the exit status. */
bool config_or_exit(int argc, char **argv, const char *command, struct server_config *ret,
                    int *ret_status) {
    bool wants_help = false;
    struct buffer problems;
    buffer_init(&problems, PROBLEMS_MAX);
    enum err e = server_config_read(argc, argv, environ, ret, &wants_help, &problems);
    if (wants_help)
        *ret_status = help(command, "Every option is also a YAML key and an environment variable.");
    else if (e) {
        fprintf(stderr, "%.*s", STR_ARG(buffer_str(&problems)));
        fprintf(stderr,
                "inferd: the configuration has problems, see above; inferd %s --help lists the "
                "options\n",
                command);
        *ret_status = EXIT_USAGE;
    }
    buffer_done(&problems);
    if (wants_help || e)
        server_config_done(ret);
    return !wants_help && !e;
}

int command_serve(int argc, char **argv) {
    struct server_config config = {0};
    int status;
    if (!config_or_exit(argc, argv, "serve", &config, &status))
        return status;
    /* Large blocks go back to the system when they are freed. glibc's own threshold grows with the
     * first large block and keeps hundreds of megabytes after a few large requests. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BLOCK_BYTES);
    signal(SIGPIPE, SIG_IGN);
    /* A stop that comes before the server can hear it waits; threads are born with it blocked. */
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stops, NULL);
    struct server *server = NULL;
    struct err_text text;
    if (server_new(&config, &server, &text)) {
        fprintf(stderr, "inferd: cannot start: %s\n", text.s);
        server_config_done(&config);
        return EXIT_PROBLEM;
    }
    pthread_sigmask(SIG_UNBLOCK, &stops, NULL);
    if (!server_run(server) || !server_free(&server)) {
        server_abandon(server);
        _exit(0);
    }
    server_config_done(&config);
    return 0;
}
