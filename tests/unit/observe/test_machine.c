/* The container's machine, read from made-up roots: a folder with proc/ and sys/ in it. */
#include "observe/machine.h"

#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static int make_root(void **state) {
    (void)state;
    strcpy(root, "/tmp/inferd-machine-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the folders on the way too. */
static void put_file(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static double affinity(void) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

static struct machine_cores cores(void) {
    struct machine_cores cores;
    machine_read_cores(root, &cores);
    return cores;
}

static void assert_cores(double quota, uint32_t threads, const char *from) {
    struct machine_cores now = cores();
    assert_true(now.quota == quota);
    assert_true(now.in_force == (quota < affinity() ? quota : affinity()));
    assert_int_equal(now.threads, threads);
    assert_string_equal(now.quota_from, from);
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

static void test_without_cgroups_affinity_counts(void **state) {
    (void)state;
    struct machine_cores now = cores();
    assert_true(now.in_force == affinity());
    assert_int_equal(now.affinity, (uint32_t)affinity());
    assert_int_equal(now.threads, (uint32_t)affinity());
    assert_true(now.quota == 0);
    assert_string_equal(now.quota_from, "none");
}

static void test_v2_quota_is_a_fraction_of_cores(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_cores(0.5, 1, "cgroup v2");
}

static void test_v2_max_is_no_limit(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_true(cores().quota == 0);
    assert_true(cores().in_force == affinity());
}

static void test_quota_above_affinity_does_not_add_cores(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu.max", "90000000 100000\n");
    struct machine_cores now = cores();
    assert_true(now.quota == 900);
    assert_true(now.in_force == affinity());
    assert_int_equal(now.threads, (uint32_t)affinity());
}

static void test_tightest_of_nested_groups_counts(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/pod/container\n");
    put_file("/proc/self/mountinfo", "1 1 0:1 / / rw - ext4 /dev/sda rw\n" V2_MOUNT);
    put_file("/sys/fs/cgroup/pod/container/cpu.max", "75000 100000\n");
    put_file("/sys/fs/cgroup/pod/cpu.max", "25000 100000\n");
    put_file("/sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_cores(0.25, 1, "cgroup v2");
    put_file("/sys/fs/cgroup/pod/container/cpu.max", "12500 100000\n");
    assert_cores(0.125, 1, "cgroup v2");
}

static void test_host_path_in_a_container_falls_back_to_the_mount(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/kubepods/pod1/abc\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_cores(0.5, 1, "cgroup v2");
}

static void test_path_above_the_namespace_is_the_mount(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/../../other\n");
    put_file("/sys/cpu.max", "10000 100000\n"); /* outside the mount */
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_cores(0.5, 1, "cgroup v2");
}

static void test_v1_quota_is_read_from_its_own_mount(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/abc\n0::/\n");
    put_file("/proc/self/mountinfo",
             "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro shared:9 - cgroup cgroup "
             "rw,cpu,cpuacct\n" V2_MOUNT);
    put_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put_file("/sys/fs/cgroup/cpu.max", "10000 100000\n");
    assert_cores(0.5, 1, "cgroup v1");
    put_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    assert_true(cores().quota == 0);
}

static void test_v1_group_below_the_mounted_part(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "4:cpu:/docker/abc/inner\n");
    put_file("/proc/self/mountinfo",
             "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put_file("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "20000\n");
    put_file("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    assert_cores(0.2, 1, "cgroup v1");
}

static void test_v2_cpuset_bounds_the_cores(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/pod/container\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/cpuset.cpus.effective", "0-63\n");
    put_file("/sys/fs/cgroup/pod/cpuset.cpus.effective", "0-3,8,10-11\n");
    put_file("/sys/fs/cgroup/pod/container/cpuset.cpus.effective", "\n"); /* inherits */
    assert_int_equal(cores().cpuset, 7);
    put_file("/sys/fs/cgroup/pod/container/cpuset.cpus.effective", "3\n");
    assert_int_equal(cores().cpuset, 1);
    assert_true(cores().in_force == 1);
    assert_int_equal(cores().threads, 1);
    put_file("/sys/fs/cgroup/pod/cpu.max", "30000 100000\n");
    assert_true(cores().in_force == 0.3); /* the quota is tighter still */
}

static void test_v1_cpuset_is_read_from_its_own_mount(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "6:cpuset:/docker/abc\n4:cpu:/docker/abc\n");
    put_file("/proc/self/mountinfo",
             "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
             "32 23 0:28 /docker/abc /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
    put_file("/sys/fs/cgroup/cpuset/cpuset.cpus", "2\n");
    assert_int_equal(cores().cpuset, 1);
    assert_true(cores().in_force == 1);
    put_file("/sys/fs/cgroup/cpuset/cpuset.effective_cpus", "0-4095\n"); /* this one counts */
    assert_int_equal(cores().cpuset, 4096);
    assert_true(cores().in_force == affinity());
}

static void test_a_cpuset_that_is_no_list_is_unknown(void **state) {
    (void)state;
    static const char *const bad[] = {"",     "\n",   "a\n",  "3-1\n",
                                      "0-\n", "-3\n", "1,\n", "0-99999999\n"};
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    for (size_t i = 0; i < 8; i++) {
        put_file("/sys/fs/cgroup/cpuset.cpus.effective", bad[i]);
        assert_int_equal(cores().cpuset, 0);
        assert_true(cores().in_force == affinity());
    }
}

/* What a hybrid host shows: the quota in v1, memory in v2. */
static void test_a_changed_quota_is_seen_by_the_next_reading(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "4:cpu:/\n0::/\n");
    put_file("/proc/self/mountinfo",
             "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
             "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "40000\n");
    put_file("/sys/fs/cgroup/unified/memory.max", "5000000\n");
    struct machine_throttling now;
    machine_read_throttling(root, &now);
    assert_int_equal(now.memory_limit_bytes, 5000000);
    assert_cores(0.4, 1, "cgroup v1");
    put_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "80000\n");
    assert_cores(0.8, 1, "cgroup v1");
}

static void test_nonsense_is_no_limit(void **state) {
    (void)state;
    static const char *const bad[] = {"", "\n", "x y\n", "100000\n", "100000 0\n", "100000 \n"};
    put_file("/proc/self/cgroup", "junk\n::\n0::/\n9\n");
    put_file("/proc/self/mountinfo", "junk\n1 2 3 4 5 6\n" V2_MOUNT);
    for (size_t i = 0; i < 6; i++) {
        put_file("/sys/fs/cgroup/cpu.max", bad[i]);
        assert_true(cores().quota == 0);
    }
}

static void test_v2_throttling_comes_from_the_limiting_group(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/pod/container\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/pod/container/cpu.stat", "usage_usec 1\nnr_periods 0\n");
    put_file("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    put_file("/sys/fs/cgroup/pod/cpu.stat",
             "usage_usec 5\nnr_periods 11\nnr_throttled 7\nthrottled_usec 1300\n");
    struct machine_throttling now;
    machine_read_throttling(root, &now);
    assert_int_equal(now.periods, 11);
    assert_int_equal(now.throttled_periods, 7);
    assert_int_equal(now.throttled_ns, 1300000);
    assert_int_equal(now.memory_limit_bytes, 0);
}

static void test_v1_throttling_is_in_nanoseconds(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "1:cpu:/\n2:memory:/a\n");
    put_file("/sys/fs/cgroup/cpu/cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 999\n");
    put_file("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    struct machine_throttling now;
    machine_read_throttling(root, &now);
    assert_int_equal(now.periods, 3);
    assert_int_equal(now.throttled_ns, 999);
    assert_int_equal(now.memory_limit_bytes, 0);
    put_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    machine_read_throttling(root, &now);
    assert_int_equal(now.memory_limit_bytes, 1048576);
}

static void test_tightest_memory_limit_counts(void **state) {
    (void)state;
    put_file("/proc/self/cgroup", "0::/pod/container\n");
    put_file("/proc/self/mountinfo", V2_MOUNT);
    put_file("/sys/fs/cgroup/pod/container/memory.max", "max\n");
    put_file("/sys/fs/cgroup/pod/memory.max", "2000000\n");
    put_file("/sys/fs/cgroup/memory.max", "3000000\n");
    struct machine_throttling now;
    machine_read_throttling(root, &now);
    assert_int_equal(now.memory_limit_bytes, 2000000);
}

static void test_process_is_read_past_any_name(void **state) {
    (void)state;
    char stat[256];
    double ticks = (double)sysconf(_SC_CLK_TCK);
    snprintf(stat, sizeof stat,
             "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 300 200 0 0 20 0 5 0 %d 4096000 10 18446\n",
             (int)(3 * ticks));
    put_file("/proc/self/stat", stat);
    put_file("/proc/stat", "cpu  1 2 3\nintr 1 2 3\nbtime 1700000000\nprocesses 9\n");
    put_file("/proc/self/limits",
             "Limit                     Soft Limit           Hard Limit\n"
             "Max open files            1024                 4096      files\n");
    put_file("/proc/self/fd/0", "");
    put_file("/proc/self/fd/1", "");
    put_file("/proc/self/fd/2", "");
    struct machine_process now;
    machine_read_process(root, &now);
    assert_true(now.cpu_seconds == 500 / ticks);
    assert_int_equal(now.threads, 5);
    assert_int_equal(now.virtual_bytes, 4096000);
    assert_int_equal(now.resident_bytes, 10 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_true(now.start_time_seconds == 1700000003);
    assert_int_equal(now.max_fds, 1024);
    assert_int_equal(now.open_fds, 2);
}

static void test_missing_files_give_zeros(void **state) {
    (void)state;
    struct machine_process now;
    machine_read_process(root, &now);
    assert_true(now.cpu_seconds == 0 && now.start_time_seconds == 0);
    assert_int_equal(now.resident_bytes + now.threads + now.open_fds + now.max_fds, 0);
}

static void test_real_process_has_plausible_figures(void **state) {
    (void)state;
    struct machine_process now;
    machine_read_process("/", &now);
    assert_in_range(now.resident_bytes, 100000, UINT64_C(1) << 40);
    assert_true(now.virtual_bytes >= now.resident_bytes);
    assert_int_equal(now.open_fds > 2, 1);
    assert_true(now.max_fds >= now.open_fds);
    assert_true(now.start_time_seconds > 1.6e9);
    assert_true(now.threads >= 1);
}

int main(void) {
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        WITH_ROOT(test_without_cgroups_affinity_counts),
        WITH_ROOT(test_v2_quota_is_a_fraction_of_cores),
        WITH_ROOT(test_v2_max_is_no_limit),
        WITH_ROOT(test_quota_above_affinity_does_not_add_cores),
        WITH_ROOT(test_tightest_of_nested_groups_counts),
        WITH_ROOT(test_host_path_in_a_container_falls_back_to_the_mount),
        WITH_ROOT(test_path_above_the_namespace_is_the_mount),
        WITH_ROOT(test_v1_quota_is_read_from_its_own_mount),
        WITH_ROOT(test_v1_group_below_the_mounted_part),
        WITH_ROOT(test_v2_cpuset_bounds_the_cores),
        WITH_ROOT(test_v1_cpuset_is_read_from_its_own_mount),
        WITH_ROOT(test_a_cpuset_that_is_no_list_is_unknown),
        WITH_ROOT(test_a_changed_quota_is_seen_by_the_next_reading),
        WITH_ROOT(test_nonsense_is_no_limit),
        WITH_ROOT(test_v2_throttling_comes_from_the_limiting_group),
        WITH_ROOT(test_v1_throttling_is_in_nanoseconds),
        WITH_ROOT(test_tightest_memory_limit_counts),
        WITH_ROOT(test_process_is_read_past_any_name),
        WITH_ROOT(test_missing_files_give_zeros),
        cmocka_unit_test(test_real_process_has_plausible_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
