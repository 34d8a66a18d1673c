/* Folders watched for changes (inotify): says that something changed, never what: a scan finds out.
 * Thread: one at a time. */
#pragma once

#include <stdbool.h>

struct watch;

struct watch *watch_new(void);           /* NULL when the kernel gives none (errno says why) */
void watch_free(struct watch **watch);   /* NULL is accepted */
int watch_fd(const struct watch *watch); /* readable when something changed */
/* Reads what came. True when a watched folder changed (or events were lost). */
bool watch_read(struct watch *watch);
/* Between begin and end, watch_add each folder that should be watched (again: links may lead
 * elsewhere now); end stops watching all others. */
void watch_begin(struct watch *watch);
void watch_add(struct watch *watch, const char *folder);
void watch_end(struct watch *watch);
/* Folders that the kernel refused to watch in the last round (its limit): a periodic scan still
 * sees them. */
unsigned watch_refused(const struct watch *watch);
