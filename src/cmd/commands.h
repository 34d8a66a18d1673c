/* Thread: main. The subcommands: argc and argv without the program's and the command's names; the
 * result is the exit status. */
#pragma once

enum { EXIT_PROBLEM = 1, EXIT_USAGE = 2 };

int command_serve(int argc, char **argv);
int command_check(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_config(int argc, char **argv);
int command_docs(int argc, char **argv);
int command_version(void);

/* serve.c: the configuration of a command that takes one. True: go on with *ret. False: everything
 * was said (help, or problems on stderr) and *ret_status is the exit status. */
struct server_config;
_Bool config_or_exit(int argc, char **argv, const char *command, struct server_config *ret,
                     int *ret_status);
