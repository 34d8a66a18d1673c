/* The container's machine: cores in force (affinity and cgroup quota, v1 and v2), throttling, the
 * process. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct machine_cores {
    double in_force;        /* min(affinity, cpuset, quota); fractions stay */
    uint32_t affinity;      /* sched_getaffinity */
    uint32_t cpuset;        /* CPUs of the cgroup's cpuset; 0: unknown. Affinity has it already,
                               but for kernels in a sandbox that show the host's affinity */
    double quota;           /* cores; 0: none */
    uint32_t threads;       /* ceil(in_force), at least 1: what to size threads by */
    const char *quota_from; /* "cgroup v2", "cgroup v1", "none" */
};

/* `root` is "/" except in tests (a folder with proc/ and sys/ in it). */
void machine_read_cores(const char *root, struct machine_cores *ret);

struct machine_throttling {
    uint64_t periods, throttled_periods, throttled_ns;
    uint64_t memory_limit_bytes; /* 0: none */
};
void machine_read_throttling(const char *root, struct machine_throttling *ret);

struct machine_process {
    double cpu_seconds; /* user + system */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_fds, max_fds;
    double start_time_seconds; /* since 1970 */
    uint64_t threads;
};
void machine_read_process(const char *root, struct machine_process *ret);
