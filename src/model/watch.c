/* inotify watches of the repository's folders (watch.h).
 *
 * Watches are kept by descriptor, not by path: adding a folder again gives the same descriptor
 * while the path leads to the same inode, and a new one when a link or a rename put another folder
 * there. So each scan adds all it enters, and what was not added again is removed. Data is not
 * watched while it is written (no IN_MODIFY): the end of a copy (IN_CLOSE_WRITE) and of a rename
 * are enough, and a long copy makes no storm. */
#include "model/watch.h"

#include "base/memory.h"

#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_EVENTS                                                                               \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

struct watched {
    int descriptor;
    bool seen; /* in this round */
};

struct watch {
    int fd;
    struct watched *list; /* ascending descriptor */
    size_t count;
    size_t room;
    unsigned refused;
};

struct watch *watch_new(void) {
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct watch *watch = mem_new(sizeof *watch);
    watch->fd = fd;
    return watch;
}

void watch_free(struct watch **pointer) {
    struct watch *watch = *pointer;
    if (!watch)
        return;
    close(watch->fd);
    mem_free(&watch->list);
    mem_free(pointer);
}

int watch_fd(const struct watch *watch) {
    return watch->fd;
}

unsigned watch_refused(const struct watch *watch) {
    return watch->refused;
}

/* Where the descriptor is, or belongs. */
static size_t find_place(const struct watch *watch, int descriptor) {
    size_t low = 0, high = watch->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (watch->list[middle].descriptor < descriptor)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct watch *watch, size_t place, int descriptor) {
    return place < watch->count && watch->list[place].descriptor == descriptor;
}

static void forget(struct watch *watch, int descriptor) {
    size_t place = find_place(watch, descriptor);
    if (!is_at(watch, place, descriptor))
        return;
    watch->count--;
    memmove(&watch->list[place], &watch->list[place + 1],
            (watch->count - place) * sizeof watch->list[0]);
}

bool watch_read(struct watch *watch) {
    _Alignas(struct inotify_event) char data[16384];
    bool changed = false;
    ssize_t n;
    while ((n = read(watch->fd, data, sizeof data)) > 0) {
        for (size_t at = 0; at < (size_t)n;) {
            const struct inotify_event *event = (const void *)(data + at);
            at += sizeof *event + event->len;
            /* Our own removals come back as IN_IGNORED alone. */
            if (event->mask & IN_IGNORED)
                forget(watch, event->wd);
            else
                changed = true;
        }
    }
    return changed;
}

void watch_begin(struct watch *watch) {
    watch->refused = 0;
    for (size_t i = 0; i < watch->count; i++)
        watch->list[i].seen = false;
}

void watch_add(struct watch *watch, const char *folder) {
    int descriptor = inotify_add_watch(watch->fd, folder, WATCH_EVENTS);
    if (descriptor < 0) {
        watch->refused++;
        return;
    }
    size_t place = find_place(watch, descriptor);
    if (!is_at(watch, place, descriptor)) {
        if (watch->count == watch->room) {
            watch->room = watch->room ? watch->room * 2 : 16;
            watch->list = mem_resize(watch->list, watch->room * sizeof watch->list[0]);
        }
        memmove(&watch->list[place + 1], &watch->list[place],
                (watch->count - place) * sizeof watch->list[0]);
        watch->list[place].descriptor = descriptor;
        watch->count++;
    }
    watch->list[place].seen = true;
}

void watch_end(struct watch *watch) {
    size_t kept = 0;
    for (size_t i = 0; i < watch->count; i++)
        if (watch->list[i].seen)
            watch->list[kept++] = watch->list[i];
        else
            inotify_rm_watch(watch->fd, watch->list[i].descriptor);
    watch->count = kept;
}
