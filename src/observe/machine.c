/* The container's machine, read from /proc and the cgroup file systems.
 *
 * Where a cgroup's files lie: /proc/self/mountinfo says where the hierarchies are mounted and which
 * part of them, /proc/self/cgroup which group the process is in. A limit holds at every level, so
 * each is read from the process's own group up to the mount, and the tightest counts. What cannot
 * be read is taken as "no limit": a container may show anything here. Everything under a `root`
 * that tests replace. Thread: any; blocks on files that are in memory. */
#include "observe/machine.h"

#include "observe/machine_files.h"

#include "base/check.h"
#include "base/num.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum { CPU_NUMBER_MAX = 1 << 20 };

/* A limit in bytes from which on cgroup v1 means "none" (it says LONG_MAX rounded to a page). */
#define MEMORY_UNLIMITED (UINT64_C(1) << 60)

/* cpu.max: "QUOTA PERIOD" or "max PERIOD", in microseconds. 0: none. */
static double quota_v2(const struct cgroup *group) {
    struct machine_file file;
    if (!cgroup_read(group, "cpu.max", &file))
        return 0;
    struct str rest = file.text, quota_text, period_text;
    uint64_t quota, period;
    if (!str_split(&rest, ' ', &quota_text) || !str_split(&rest, ' ', &period_text))
        return 0;
    if (!str_to_u64(quota_text, &quota) || !str_to_u64(period_text, &period) || period == 0)
        return 0;
    return (double)quota / (double)period;
}

static double quota_v1(const struct cgroup *group) {
    uint64_t quota, period;
    if (!cgroup_read_u64(group, "cpu.cfs_quota_us", &quota) ||
        !cgroup_read_u64(group, "cpu.cfs_period_us", &period) || period == 0)
        return 0; /* no limit is -1, which is no number here */
    return (double)quota / (double)period;
}

/* The tightest quota from the process's group up; *ret_group is the one that sets it, or the
 * process's own where none does. 0: none. */
static double find_quota(struct cgroup *group, struct cgroup *ret_group) {
    double tightest = 0;
    *ret_group = *group;
    do {
        double quota = group->v2 ? quota_v2(group) : quota_v1(group);
        if (quota > 0 && (tightest <= 0 || quota < tightest)) {
            tightest = quota;
            *ret_group = *group;
        }
    } while (cgroup_to_parent(group));
    return tightest;
}

static uint32_t count_affinity(void) {
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int count = 0;
        if (set && sched_getaffinity(0, size, set) == 0)
            count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
    }
    return 1;
}

/* CPUs of a list as in cpuset(7): "0-3,8". 0 when it says none, or is no such list. */
static uint32_t count_list(struct str list) {
    struct str item, first_text;
    uint64_t count = 0;
    while (str_split(&list, ',', &item)) {
        struct str last_text = item;
        uint64_t first, last;
        if (!str_split(&last_text, '-', &first_text) || !str_to_u64(first_text, &first))
            return 0;
        last = first;
        if (last_text.p && !str_to_u64(last_text, &last))
            return 0;
        if (last < first || last > CPU_NUMBER_MAX)
            return 0;
        count += last - first + 1;
    }
    return count <= CPU_NUMBER_MAX ? (uint32_t)count : 0;
}

/* The kernel gives each group a part of its parent's, so the innermost that says one is the
 * tightest. v1 has the file without "effective" in containers of older kernels. */
static uint32_t count_cpuset(const char *root) {
    static const char *const names[] = {"cpuset.cpus.effective", "cpuset.effective_cpus",
                                        "cpuset.cpus"};
    struct cgroup group;
    struct machine_file file;
    if (!cgroup_find(root, "cpuset", &group))
        return 0;
    do {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            uint32_t count = cgroup_read(&group, names[i], &file) ? count_list(file.text) : 0;
            if (count > 0)
                return count;
        }
    } while (cgroup_to_parent(&group));
    return 0;
}

void machine_read_cores(const char *root, struct machine_cores *ret) {
    struct cgroup group, limiting = {.v2 = false};
    bool found = cgroup_find(root, "cpu", &group);
    double quota = found ? find_quota(&group, &limiting) : 0;
    uint32_t affinity = count_affinity(), cpuset = count_cpuset(root);
    uint32_t allowed = cpuset > 0 ? MIN(cpuset, affinity) : affinity;
    double in_force = quota > 0 ? MIN(quota, (double)allowed) : (double)allowed;
    uint32_t whole = (uint32_t)in_force;
    *ret = (struct machine_cores){
        .in_force = in_force,
        .affinity = affinity,
        .cpuset = cpuset,
        .quota = quota,
        .threads = MAX(whole + ((double)whole < in_force), 1u),
        .quota_from = quota <= 0    ? "none"
                      : limiting.v2 ? "cgroup v2"
                                    : "cgroup v1",
    };
}

/* The value after `key` in lines of "key value". */
static bool find_value(struct str text, struct str key, uint64_t *ret) {
    struct str line, name;
    while (str_split(&text, '\n', &line))
        if (str_split(&line, ' ', &name) && str_eq(name, key) && line.p)
            return str_to_u64(str_trim(line), ret);
    return false;
}

static void read_throttling(const struct cgroup *group, struct machine_throttling *ret) {
    struct machine_file file;
    if (!cgroup_read(group, "cpu.stat", &file))
        return;
    find_value(file.text, STR("nr_periods"), &ret->periods);
    find_value(file.text, STR("nr_throttled"), &ret->throttled_periods);
    uint64_t us;
    if (group->v2 && find_value(file.text, STR("throttled_usec"), &us))
        ret->throttled_ns = us * NS_PER_US;
    else if (!group->v2)
        find_value(file.text, STR("throttled_time"), &ret->throttled_ns);
}

static uint64_t read_memory_limit(const char *root) {
    struct cgroup group;
    uint64_t tightest = 0, limit;
    if (!cgroup_find(root, "memory", &group))
        return 0;
    do {
        const char *name = group.v2 ? "memory.max" : "memory.limit_in_bytes";
        if (cgroup_read_u64(&group, name, &limit) && limit < MEMORY_UNLIMITED &&
            (tightest == 0 || limit < tightest))
            tightest = limit;
    } while (cgroup_to_parent(&group));
    return tightest;
}

void machine_read_throttling(const char *root, struct machine_throttling *ret) {
    *ret = (struct machine_throttling){.memory_limit_bytes = read_memory_limit(root)};
    struct cgroup group, limiting;
    if (cgroup_find(root, "cpu", &group)) {
        find_quota(&group, &limiting);
        read_throttling(&limiting, ret);
    }
}

/* Field `wanted` (from 3, as proc(5) counts) of /proc/self/stat, after the name, which may hold
 * blanks and parentheses. */
static uint64_t stat_field(struct str stat, unsigned wanted) {
    const char *end = stat.n ? memrchr(stat.p, ')', stat.n) : NULL;
    if (!end || (size_t)(end - stat.p) + 2 > stat.n)
        return 0;
    struct str rest = {end + 2, stat.n - (size_t)(end + 2 - stat.p)}, field;
    uint64_t value = 0;
    for (unsigned i = 3; str_split(&rest, ' ', &field); i++)
        if (i == wanted)
            return str_to_u64(field, &value) ? value : 0;
    return 0;
}

/* Entries of /proc/self/fd, less the one that reading it opens. */
static uint64_t count_open_fds(const char *root) {
    char path[MACHINE_PATH_MAX];
    DIR *folder = machine_path(path, root, "/proc/self/fd", "") ? opendir(path) : NULL;
    if (!folder)
        return 0;
    uint64_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count > 0 ? count - 1 : 0;
}

/* "Max open files            1024                 524288               files": the soft limit. */
static uint64_t read_max_fds(const char *root) {
    struct machine_file file;
    if (!machine_read(root, "/proc/self/limits", &file))
        return 0;
    struct str line, number, name = STR("Max open files");
    while (str_split(&file.text, '\n', &line)) {
        if (!str_starts(line, name))
            continue;
        line = str_trim((struct str){line.p + name.n, line.n - name.n});
        uint64_t value;
        return str_split(&line, ' ', &number) && str_to_u64(number, &value) ? value : 0;
    }
    return 0;
}

void machine_read_process(const char *root, struct machine_process *ret) {
    *ret =
        (struct machine_process){.open_fds = count_open_fds(root), .max_fds = read_max_fds(root)};
    struct machine_file file;
    double ticks = (double)MAX(sysconf(_SC_CLK_TCK), 1L);
    uint64_t started = 0;
    if (machine_read(root, "/proc/self/stat", &file)) {
        uint64_t ran = stat_field(file.text, 14) + stat_field(file.text, 15);
        ret->cpu_seconds = (double)ran / ticks;
        ret->threads = stat_field(file.text, 20);
        started = stat_field(file.text, 22);
        ret->virtual_bytes = stat_field(file.text, 23);
        ret->resident_bytes = stat_field(file.text, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    uint64_t boot;
    if (machine_find(root, "/proc/stat", STR("btime"), &boot))
        ret->start_time_seconds = (double)boot + (double)started / ticks;
}
