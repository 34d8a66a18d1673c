/* Reading /proc and cgroup files, and finding the process's cgroup: proc_pid_cgroup(5),
 * proc_pid_mountinfo(5), cgroups(7). Used by machine.c, which says what the numbers mean. */
#include "observe/machine_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool machine_path(char out[MACHINE_PATH_MAX], const char *root, const char *name,
                  const char *tail) {
    size_t n = strlen(root);
    while (n > 0 && root[n - 1] == '/')
        n--;
    int length = snprintf(out, MACHINE_PATH_MAX, "%.*s%s%s", (int)n, root, name, tail);
    return length >= 0 && length < MACHINE_PATH_MAX;
}

static bool read_path(const char *path, struct machine_file *ret) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    ssize_t n;
    while (used < sizeof ret->data && (n = read(fd, ret->data + used, sizeof ret->data - used)) > 0)
        used += (size_t)n;
    close(fd);
    if (used > 0 && ret->data[used - 1] == '\n')
        used--;
    ret->text = (struct str){ret->data, used};
    return used > 0;
}

bool machine_read(const char *root, const char *name, struct machine_file *ret) {
    char path[MACHINE_PATH_MAX];
    return machine_path(path, root, name, "") && read_path(path, ret);
}

/* Calls `visit` with each line until it says true; false when none did. */
static bool each_line(const char *root, const char *name,
                      bool (*visit)(struct str line, void *context), void *context) {
    char path[MACHINE_PATH_MAX];
    FILE *file = machine_path(path, root, name, "") ? fopen(path, "re") : NULL;
    if (!file)
        return false;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    bool found = false;
    while (!found && (n = getline(&line, &capacity, file)) > 0)
        found = visit((struct str){line, (size_t)n - (line[n - 1] == '\n')}, context);
    free(line);
    fclose(file);
    return found;
}

struct find_number {
    struct str key;
    uint64_t value;
};

static bool visit_number(struct str line, void *context) {
    struct find_number *find = context;
    struct str key;
    return str_split(&line, ' ', &key) && str_eq(key, find->key) && line.p &&
           str_to_u64(str_trim(line), &find->value);
}

bool machine_find(const char *root, const char *name, struct str key, uint64_t *ret) {
    struct find_number find = {.key = key};
    if (!each_line(root, name, visit_number, &find))
        return false;
    *ret = find.value;
    return true;
}

static bool list_has(struct str list, struct str wanted) {
    struct str item;
    while (str_split(&list, ',', &item))
        if (str_eq(item, wanted))
            return true;
    return false;
}

/* What is put together while the two files are read. */
struct find_cgroup {
    struct str controller;
    bool v1, v2;                  /* the process is in a group of that version */
    char in_v1[MACHINE_PATH_MAX]; /* its path within the hierarchy */
    char in_v2[MACHINE_PATH_MAX];
    bool mounted;
    char mount_root[MACHINE_PATH_MAX]; /* the part of the hierarchy that is mounted */
    char mount_point[MACHINE_PATH_MAX];
};

static bool copy(char out[MACHINE_PATH_MAX], struct str s) {
    if (s.n >= MACHINE_PATH_MAX)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* "4:cpu,cpuacct:/path" (v1) or "0::/path" (v2). */
static bool visit_membership(struct str line, void *context) {
    struct find_cgroup *find = context;
    struct str id, controllers;
    if (!str_split(&line, ':', &id) || !str_split(&line, ':', &controllers) || !line.p)
        return false;
    if (controllers.n == 0 && str_eq(id, STR("0")))
        find->v2 = copy(find->in_v2, line);
    else if (list_has(controllers, find->controller))
        find->v1 = copy(find->in_v1, line);
    return false;
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE SUPER-OPTIONS" */
static bool visit_mount(struct str line, void *context) {
    struct find_cgroup *find = context;
    struct str fields[5], field, type, source;
    for (size_t i = 0; i < 5; i++)
        if (!str_split(&line, ' ', &fields[i]))
            return false;
    do {
        if (!str_split(&line, ' ', &field))
            return false;
    } while (!str_eq(field, STR("-")));
    if (!str_split(&line, ' ', &type) || !str_split(&line, ' ', &source) || !line.p)
        return false;
    if (find->v1 ? !str_eq(type, STR("cgroup")) || !list_has(line, find->controller)
                 : !str_eq(type, STR("cgroup2")))
        return false;
    find->mounted = copy(find->mount_root, fields[3]) && copy(find->mount_point, fields[4]);
    return find->mounted;
}

/* The group's path below the mount point: what is left of it without the part that is not mounted.
 * A container that sees its own group mounted but the host's path (or one above its namespace,
 * "/..") is at the mount point itself. */
static const char *path_below_mount(const struct find_cgroup *find) {
    const char *path = find->v1 ? find->in_v1 : find->in_v2;
    struct str root = str_of(find->mount_root);
    if (strstr(path, "/..") || str_eq(str_of(path), STR("/")))
        return "";
    if (root.n <= 1)
        return path;
    if (str_starts(str_of(path), root) && (path[root.n] == '/' || path[root.n] == '\0'))
        return path + root.n;
    return "";
}

bool cgroup_find(const char *root, const char *controller, struct cgroup *ret) {
    struct find_cgroup find = {.controller = str_of(controller)};
    each_line(root, "/proc/self/cgroup", visit_membership, &find);
    if (!find.v1 && !find.v2)
        return false;
    if (!each_line(root, "/proc/self/mountinfo", visit_mount, &find))
        snprintf(find.mount_point, sizeof find.mount_point, "/sys/fs/cgroup%s%s",
                 find.v1 ? "/" : "", find.v1 ? controller : "");
    ret->v2 = !find.v1;
    if (!machine_path(ret->path, root, find.mount_point, ""))
        return false;
    ret->mount_length = strlen(ret->path);
    if (!machine_path(ret->path, root, find.mount_point, path_below_mount(&find)))
        return false;
    while (access(ret->path, F_OK) != 0)
        if (!cgroup_to_parent(ret))
            return false;
    return true;
}

bool cgroup_to_parent(struct cgroup *group) {
    char *slash = strrchr(group->path, '/');
    if (!slash || (size_t)(slash - group->path) < group->mount_length)
        return false;
    *slash = '\0';
    return true;
}

bool cgroup_read(const struct cgroup *group, const char *name, struct machine_file *ret) {
    char path[MACHINE_PATH_MAX];
    return machine_path(path, group->path, "/", name) && read_path(path, ret);
}

bool cgroup_read_u64(const struct cgroup *group, const char *name, uint64_t *ret) {
    struct machine_file file;
    return cgroup_read(group, name, &file) && str_to_u64(file.text, ret);
}
