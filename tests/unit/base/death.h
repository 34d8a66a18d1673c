/* Does a call stop the process, as CHECK does? Tried in a child process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True when call(context) ends its process with SIGABRT; `said` then holds what it wrote on
 * standard error, cut at `size`. Thread: a process with one thread. */
bool dies(void (*call)(void *context), void *context, char *said, size_t size);
