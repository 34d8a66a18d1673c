/* What a model repository holds at one moment. Reading never fails as a whole: what cannot be read
 * is said where it belongs, so that the reader can keep what it knew of that part. */
#pragma once

#include "base/arena.h"

enum {
    SCAN_MODELS_MAX = 4096,   /* folders of the root */
    SCAN_VERSIONS_MAX = 4096, /* folders of a model */
    SCAN_FILES_MAX = 4096,    /* of a version, in all its folders */
    SCAN_DEPTH_MAX = 8,       /* folders within a version's folder */
    SCAN_IGNORED_MAX = 256    /* remembered; more are not named */
};

struct scan_version {
    int64_t number;
    uint64_t content;    /* hash of each file's name, size, mtime, ctime and inode */
    uint64_t newest_ns;  /* the newest mtime or ctime of its files and folders, wall clock */
    const char *trouble; /* why it cannot be loaded ("model.onnx is missing"); NULL without */
    bool unknown;        /* it cannot be looked at now, `trouble` says why: nothing else is set */
};

struct scan_model {
    const char *name;
    uint64_t settings;            /* model.yaml's size, times and inode; 0: there is none */
    uint64_t settings_newest_ns;  /* its newest time */
    const char *settings_trouble; /* NULL without */
    const char
        *trouble; /* it cannot be looked at or read now: versions are unknown; NULL without */
    struct scan_version *versions; /* ascending number */
    size_t version_count;
};

/* A folder that is neither a model nor a version; or a file that other servers read. */
struct scan_ignored {
    const char *path; /* below the root */
    const char *why;
    bool file;
};

struct scan {
    struct arena arena;        /* owns everything below */
    const char *trouble;       /* the root cannot be read: models are unknown; NULL without */
    struct scan_model *models; /* ascending name (strcmp) */
    size_t model_count;
    struct scan_ignored *ignored; /* in the order found */
    size_t ignored_count;
};

/* `entering` (may be NULL) is called with each folder's path before it is read: to watch it. */
struct scan_watcher {
    void (*entering)(void *context, const char *folder);
    void *context;
};

/* Reads the repository at `root`. Symbolic links are followed only while they stay inside it; names
 * that begin with '.' are skipped (Kubernetes' "..data" is reached through the links to it).
 * scan_done afterwards in any case. Thread: any, blocks. */
void scan_read(struct scan *ret, const char *root, const struct scan_watcher *watcher);
void scan_done(struct scan *scan);

/* Does `path` exist and, links resolved, lie inside `root`? Thread: any, blocks. */
bool scan_path_inside(const char *root, const char *path);
