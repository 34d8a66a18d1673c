/* inferd: one program, one file a subcommand. */
#include "cmd/commands.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"serve", command_serve, "serve the models of a repository"},
    {"check", command_check, "validate a configuration and a model repository without serving"},
    {"bench", command_bench, "load a server and measure it"},
    {"config", command_config, "print the options in force and where each value comes from"},
    {"docs", command_docs,
     "print a generated reference page (configuration, model, metrics, schema)"},
};

static int usage(FILE *out) {
    fprintf(out, "usage: inferd COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fprintf(out,
            "\ninferd COMMAND --help lists its options; inferd --version prints the version.\n");
    return out == stdout ? 0 : EXIT_USAGE;
}

/* A closed stdin, stdout or stderr would be the next descriptor that is opened, and be written to.
 */
static void open_standard_descriptors(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv) {
    open_standard_descriptors();
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--version") == 0)
        return command_version();
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "inferd: unknown command '%s'\n", argv[1]);
    return usage(stderr);
}
