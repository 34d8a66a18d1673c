/* CPU time of processes, from /proc (proc(5)); user and system, all threads. Reads files.
 * Thread: any. */
#pragma once

#include "base/error.h"
#include "base/str.h"

/* The fields utime and stime of /proc/PID/stat, in clock ticks. Pure. False when it is not one. */
bool cpu_time_read_stat(struct str stat, uint64_t *ret_ticks);

/* Seconds of these processes and of the children they have now (nginx's workers). ERR_NOT_FOUND
 * names a process that is not there. */
enum err cpu_time_of_processes(const int64_t *pids, size_t count, double *ret_s,
                               struct err_text *text) MUST_CHECK;
/* Seconds of this process. */
double cpu_time_own(void);
