/* The subcommands: argc and argv without the program's and the command's names; the result is the exit status. */
#pragma once

enum { EXIT_PROBLEM = 1, EXIT_USAGE = 2 };

int command_serve(int argc, char **argv);
int command_check(int argc, char **argv);
int command_docs(int argc, char **argv);
int command_version(void);
