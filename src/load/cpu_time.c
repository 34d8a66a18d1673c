#include "load/cpu_time.h"

#include "base/buffer.h"
#include "base/file.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_MAX = 65536, FIELD_UTIME = 14, FIELD_STIME = 15, PATH_SIZE = 64 };

bool cpu_time_read_stat(struct str stat, uint64_t *ret_ticks) {
    /* The second field, the program's name, may hold blanks and brackets. */
    const char *after = NULL;
    for (size_t i = 0; i < stat.n; i++)
        if (stat.p[i] == ')')
            after = stat.p + i + 1;
    if (!after)
        return false;
    struct str rest = {after, stat.n - (size_t)(after - stat.p)}, field;
    uint64_t ticks = 0, number;
    rest = str_trim(rest);
    for (int i = 3; i <= FIELD_STIME; i++) {
        if (!str_split(&rest, ' ', &field))
            return false;
        if (i < FIELD_UTIME)
            continue;
        if (!str_to_u64(field, &number))
            return false;
        ticks += number;
    }
    *ret_ticks = ticks;
    return true;
}

static bool add_process(int64_t pid, uint64_t *ticks) {
    char path[PATH_SIZE];
    struct buffer stat;
    uint64_t more;
    buffer_init(&stat, FILE_MAX);
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    bool found = !file_read(path, &stat, NULL) && cpu_time_read_stat(buffer_str(&stat), &more);
    buffer_done(&stat);
    if (found)
        *ticks += more;
    return found;
}

static void add_children(int64_t pid, uint64_t *ticks) {
    char path[PATH_SIZE];
    struct buffer children;
    buffer_init(&children, FILE_MAX);
    snprintf(path, sizeof path, "/proc/%lld/task/%lld/children", (long long)pid, (long long)pid);
    if (!file_read(path, &children, NULL)) {
        struct str rest = buffer_str(&children), word;
        int64_t child;
        while (str_split(&rest, ' ', &word))
            if (str_to_i64(word, &child))
                (void)add_process(child, ticks);
    }
    buffer_done(&children);
}

enum err cpu_time_of_processes(const int64_t *pids, size_t count, double *ret_s,
                               struct err_text *text) {
    uint64_t ticks = 0;
    for (size_t i = 0; i < count; i++) {
        if (!add_process(pids[i], &ticks))
            return err_set(text, ERR_NOT_FOUND, "there is no process %lld", (long long)pids[i]);
        add_children(pids[i], &ticks);
    }
    *ret_s = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return ERR_OK;
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

double cpu_time_own(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}
