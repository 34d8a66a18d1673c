/* Reads a model repository: <root>/<model>/<version>/model.onnx and <root>/<model>/model.yaml.
 *
 * 1. No path leaves the root: a link is resolved (realpath) before it is followed, and what lies
 * outside is ignored (folders) or is the version's trouble (files).
 * 2. A version's content is a hash of what the files are, never of their bytes: network volumes are
 * slow.
 * 3. Everything is bounded (scan.h): folders, files, depth; link loops end at the depth.
 * Thread: any; blocks on the file system. */
#include "model/scan.h"

#include "base/num.h"
#include "model/hash.h"
#include "model/manager.h"
#include "model/name.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

struct reader {
    struct scan *scan;
    const struct scan_watcher *watcher;
    char *root;        /* resolved; heap */
    const char *given; /* as the caller spells it */
};

/* The names in a folder, sorted; in the scan's arena. */
struct names {
    const char **list;
    size_t count;
    bool cut; /* there were more than the maximum */
};

/* NONE: nothing is there. UNKNOWN: it cannot be looked at, for a while perhaps (ESTALE, EIO,
 * EACCES): that is no reason to take it for gone. */
enum kind { KIND_NONE, KIND_UNKNOWN, KIND_FILE, KIND_FOLDER, KIND_OTHER, KIND_OUTSIDE };

static const char *error_text(struct reader *reader, int error) {
    char text[128];
    return arena_copy(&reader->scan->arena, str_of(strerror_r(error, text, sizeof text)));
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* 0, or the errno. */
static int read_names(struct reader *reader, const char *path, size_t max, struct names *ret) {
    if (reader->watcher && reader->watcher->entering)
        reader->watcher->entering(reader->watcher->context, path);
    *ret = (struct names){0};
    DIR *folder = opendir(path);
    if (!folder)
        return errno;
    struct arena *arena = &reader->scan->arena;
    size_t room = 0;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (ret->count == max) {
            ret->cut = true;
            break;
        }
        if (ret->count == room) {
            size_t grown = room ? room * 2 : 16;
            ret->list =
                arena_resize(arena, ret->list, room * sizeof *ret->list, grown * sizeof *ret->list);
            room = grown;
        }
        ret->list[ret->count++] = arena_copy(arena, str_of(entry->d_name));
    }
    int error = errno;
    closedir(folder);
    if (ret->count > 1)
        qsort(ret->list, ret->count, sizeof *ret->list, compare_names);
    return error;
}

static bool lies_inside(const char *root, const char *resolved) {
    size_t n = strlen(root);
    if (strcmp(root, "/") == 0)
        return true;
    return strncmp(resolved, root, n) == 0 && (resolved[n] == '/' || resolved[n] == '\0');
}

static enum kind kind_of_failure(void) {
    return errno == ENOENT || errno == ENOTDIR ? KIND_NONE : KIND_UNKNOWN;
}

/* What stands at `path`, links followed while they stay inside. `ret_stat` is set for files and
 * folders; a KIND_UNKNOWN's reason is in errno. */
static enum kind look_at(struct reader *reader, const char *path, struct stat *ret_stat) {
    if (lstat(path, ret_stat) != 0)
        return kind_of_failure();
    if (S_ISLNK(ret_stat->st_mode)) {
        char *resolved = realpath(path, NULL);
        if (!resolved)
            return kind_of_failure();
        bool inside = lies_inside(reader->root, resolved);
        free(resolved);
        if (!inside)
            return KIND_OUTSIDE;
        if (stat(path, ret_stat) != 0)
            return kind_of_failure();
    }
    return S_ISREG(ret_stat->st_mode)   ? KIND_FILE
           : S_ISDIR(ret_stat->st_mode) ? KIND_FOLDER
                                        : KIND_OTHER;
}

static uint64_t time_ns(struct timespec t) {
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t newest_time(const struct stat *s) {
    return MAX(time_ns(s->st_mtim), time_ns(s->st_ctim));
}

static uint64_t hash_stat(uint64_t hash, const struct stat *s) {
    hash = hash_u64(hash, (uint64_t)s->st_size);
    hash = hash_u64(hash, time_ns(s->st_mtim));
    hash = hash_u64(hash, time_ns(s->st_ctim));
    return hash_u64(hash, (uint64_t)s->st_ino);
}

static void ignore(struct reader *reader, const char *path, const char *why) {
    struct scan *scan = reader->scan;
    if (scan->ignored_count == SCAN_IGNORED_MAX)
        return;
    if (!scan->ignored)
        scan->ignored = arena_new(&scan->arena, SCAN_IGNORED_MAX * sizeof *scan->ignored);
    scan->ignored[scan->ignored_count++] =
        (struct scan_ignored){arena_copy(&scan->arena, str_of(path)), why, false};
}

/* It stands beside many models that come from Triton, where it may stay. */
static void ignore_triton_settings(struct reader *reader, const char *path) {
    struct scan *scan = reader->scan;
    size_t before = scan->ignored_count;
    ignore(reader, path,
           "Triton's settings are not read: inputs and outputs come from model.onnx, batching, "
           "versions and execution settings from model.yaml");
    if (scan->ignored_count > before)
        scan->ignored[before].file = true;
}

/* Only the first trouble is told: it is the one to mend first. */
static void set_trouble(struct scan_version *version, const char *trouble) {
    if (!version->trouble)
        version->trouble = trouble;
}

struct version_walk {
    struct reader *reader;
    struct scan_version *version;
    const char *prefix; /* of names within the version: "" or "weights/" */
    uint32_t depth;
    uint32_t *files;
};

static void walk_folder(const struct version_walk *walk, const char *path);

static void walk_entry(const struct version_walk *walk, const char *path, const char *name) {
    struct scan_version *version = walk->version;
    struct arena *arena = &walk->reader->scan->arena;
    struct stat s = {0};
    const char *inner = arena_format(arena, "%s%s", walk->prefix, name);
    bool is_model = strcmp(inner, "model.onnx") == 0;
    enum kind kind = look_at(walk->reader, path, &s);
    int error = errno;
    version->content = hash_u64(hash_c(version->content, inner), kind);
    if (kind == KIND_FILE || kind == KIND_FOLDER)
        version->newest_ns = MAX(version->newest_ns, newest_time(&s));
    if (kind == KIND_FILE) {
        version->content = hash_stat(version->content, &s);
    } else if (kind == KIND_FOLDER && !is_model) {
        struct version_walk deeper = *walk;
        deeper.prefix = arena_format(arena, "%s/", inner);
        deeper.depth++;
        walk_folder(&deeper, path);
    } else if (kind == KIND_OUTSIDE) {
        set_trouble(version, arena_format(arena, "%s leads out of the repository", inner));
    } else if (is_model && kind == KIND_UNKNOWN) {
        set_trouble(version, arena_format(arena, "model.onnx cannot be read: %s",
                                          error_text(walk->reader, error)));
    } else if (is_model && kind != KIND_NONE) {
        set_trouble(version, "model.onnx is not a file");
    }
}

static void walk_folder(const struct version_walk *walk, const char *path) {
    struct scan_version *version = walk->version;
    struct arena *arena = &walk->reader->scan->arena;
    struct names names;
    if (walk->depth > SCAN_DEPTH_MAX) {
        set_trouble(version, arena_format(arena, "%s has folders deeper than %d", walk->prefix,
                                          (int)SCAN_DEPTH_MAX));
        return;
    }
    int error = read_names(walk->reader, path, SCAN_FILES_MAX, &names);
    if (error) {
        version->content = hash_u64(version->content, (uint64_t)error);
        set_trouble(version, arena_format(arena, "%scannot be read: %s",
                                          walk->depth ? walk->prefix : "the folder ",
                                          error_text(walk->reader, error)));
        return;
    }
    for (size_t i = 0; i < names.count; i++) {
        if (++*walk->files > SCAN_FILES_MAX || names.cut) {
            set_trouble(version, arena_format(arena, "more than %d files", (int)SCAN_FILES_MAX));
            return;
        }
        walk_entry(walk, arena_format(arena, "%s/%s", path, names.list[i]), names.list[i]);
    }
}

static void read_version(struct reader *reader, const char *path, const struct stat *s,
                         struct scan_version *version) {
    uint32_t files = 0;
    struct version_walk walk = {reader, version, "", 0, &files};
    version->content = HASH_START;
    version->newest_ns = newest_time(s);
    walk_folder(&walk, path);
    char *model = arena_format(&reader->scan->arena, "%s/model.onnx", path);
    struct stat model_stat;
    if (!version->trouble && stat(model, &model_stat) != 0)
        version->trouble = "model.onnx is missing";
}

static int compare_versions(const void *a, const void *b) {
    int64_t x = ((const struct scan_version *)a)->number;
    int64_t y = ((const struct scan_version *)b)->number;
    return (x > y) - (x < y);
}

static void read_settings(struct reader *reader, struct scan_model *model, const char *folder) {
    struct arena *arena = &reader->scan->arena;
    struct stat s;
    enum kind kind = look_at(reader, arena_format(arena, "%s/model.yaml", folder), &s);
    int error = errno;
    if (kind == KIND_NONE)
        return;
    model->settings = hash_u64(HASH_START, kind);
    if (kind == KIND_FILE) {
        model->settings = hash_stat(model->settings, &s);
        model->settings_newest_ns = newest_time(&s);
    } else if (kind == KIND_UNKNOWN) {
        model->settings = hash_u64(model->settings, (uint64_t)error);
        model->settings_trouble =
            arena_format(arena, "model.yaml cannot be read: %s", error_text(reader, error));
    } else {
        model->settings_trouble = kind == KIND_OUTSIDE ? "model.yaml leads out of the repository"
                                                       : "model.yaml is not a file";
    }
}

/* What is in a model's folder and is not a version that can be read. */
static void read_other(struct reader *reader, struct scan_model *model, const char *name,
                       enum kind kind) {
    struct arena *arena = &reader->scan->arena;
    struct scan_version version = {.unknown = true};
    int error = errno;
    bool is_number = version_number_read((struct str){name, strlen(name)}, &version.number);
    const char *inner = arena_format(arena, "%s/%s", model->name, name);
    if (kind == KIND_UNKNOWN && is_number) {
        version.trouble = arena_format(arena, "version %s cannot be looked at: %s", name,
                                       error_text(reader, error));
        model->versions[model->version_count++] = version;
    } else if (kind == KIND_FILE && strcmp(name, "config.pbtxt") == 0) {
        ignore_triton_settings(reader, inner);
    } else if (kind == KIND_FOLDER) {
        ignore(reader, inner, "a version is a whole number from 1 to 2^63-1 without leading zeros");
    } else if (kind == KIND_OUTSIDE && strcmp(name, "model.yaml") != 0) {
        ignore(reader, inner, "the link leads out of the repository");
    }
}

static void read_model(struct reader *reader, struct scan_model *model, const char *folder) {
    struct arena *arena = &reader->scan->arena;
    struct names names;
    int error = read_names(reader, folder, SCAN_VERSIONS_MAX, &names);
    if (error) {
        model->trouble =
            arena_format(arena, "the folder cannot be read: %s", error_text(reader, error));
        return;
    }
    if (names.cut)
        ignore(reader, model->name, "it holds more entries than are read");
    read_settings(reader, model, folder);
    model->versions = arena_new_zero(arena, (names.count + 1) * sizeof *model->versions);
    for (size_t i = 0; i < names.count; i++) {
        const char *path = arena_format(arena, "%s/%s", folder, names.list[i]);
        struct scan_version version = {0};
        struct stat s;
        enum kind kind = look_at(reader, path, &s);
        if (kind == KIND_FOLDER && version_number_read(str_of(names.list[i]), &version.number)) {
            read_version(reader, path, &s, &version);
            model->versions[model->version_count++] = version;
        } else {
            read_other(reader, model, names.list[i], kind);
        }
    }
    qsort(model->versions, model->version_count, sizeof *model->versions, compare_versions);
}

static void read_root_entry(struct reader *reader, const char *name) {
    struct scan *scan = reader->scan;
    const char *path = arena_format(&scan->arena, "%s/%s", reader->given, name);
    struct stat s;
    enum kind kind = look_at(reader, path, &s);
    int error = errno;
    if (kind == KIND_OUTSIDE) {
        ignore(reader, name, "the link leads out of the repository");
        return;
    }
    /* "lost+found" is in the root of every ext4 volume. */
    if ((kind != KIND_FOLDER && kind != KIND_UNKNOWN) || strcmp(name, "lost+found") == 0)
        return;
    if (!model_name_valid(str_of(name))) {
        ignore(reader, name,
               "a model's name is [A-Za-z0-9][A-Za-z0-9._-]*, at most 128 characters, no \"..\"");
        return;
    }
    struct scan_model *model = &scan->models[scan->model_count++];
    *model = (struct scan_model){.name = name};
    if (kind == KIND_UNKNOWN)
        model->trouble = arena_format(&scan->arena, "the folder cannot be looked at: %s",
                                      error_text(reader, error));
    else
        read_model(reader, model, path);
}

void scan_read(struct scan *ret, const char *root, const struct scan_watcher *watcher) {
    *ret = (struct scan){0};
    arena_init(&ret->arena);
    struct reader reader = {ret, watcher, realpath(root, NULL), root};
    struct names names = {0};
    int error = reader.root ? read_names(&reader, root, SCAN_MODELS_MAX, &names) : errno;
    if (error) {
        ret->trouble = arena_format(&ret->arena, "the model repository %s cannot be read: %s", root,
                                    error_text(&reader, error));
    } else {
        if (names.cut)
            ignore(&reader, ".", "it holds more entries than are read");
        ret->models = arena_new_zero(&ret->arena, (names.count + 1) * sizeof *ret->models);
        for (size_t i = 0; i < names.count; i++)
            read_root_entry(&reader, names.list[i]);
    }
    free(reader.root);
}

void scan_done(struct scan *scan) {
    arena_done(&scan->arena);
    *scan = (struct scan){0};
}

bool scan_path_inside(const char *root, const char *path) {
    char *resolved_root = realpath(root, NULL);
    char *resolved = realpath(path, NULL);
    bool inside = resolved_root && resolved && lies_inside(resolved_root, resolved);
    free(resolved_root);
    free(resolved);
    return inside;
}
