/* Small files of /proc and the place of the process's cgroup, all under a root. Private to the
 * layer. */
#pragma once

#include "base/str.h"

enum { MACHINE_PATH_MAX = 4096, MACHINE_FILE_MAX = 8192 };

/* A file's text without the last line end; longer ones are cut. */
struct machine_file {
    struct str text;
    char data[MACHINE_FILE_MAX];
};

/* root + name + tail; false when that is too long. */
bool machine_path(char out[MACHINE_PATH_MAX], const char *root, const char *name, const char *tail);
bool machine_read(const char *root, const char *name, struct machine_file *ret);
/* The number after `key` in a file, of any length, of lines "key number". */
bool machine_find(const char *root, const char *name, struct str key, uint64_t *ret);

/* A group of one hierarchy, as a folder. */
struct cgroup {
    bool v2;
    size_t mount_length; /* of `path`: the mount point, above which nothing is seen */
    char path[MACHINE_PATH_MAX];
};

/* The process's group for a controller ("cpu", "memory"): cgroup v1's when that has it, else v2's.
 */
bool cgroup_find(const char *root, const char *controller, struct cgroup *ret);
/* Moves one level up; false at the mount point. */
bool cgroup_to_parent(struct cgroup *group);
bool cgroup_read(const struct cgroup *group, const char *name, struct machine_file *ret);
bool cgroup_read_u64(const struct cgroup *group, const char *name, uint64_t *ret);
