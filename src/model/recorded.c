/* Recorded requests (recorded.h). Owns one request's bytes and tensors at a time. */
#include "model/recorded.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/num.h"
#include "model/scan.h"
#include "model/warmup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recorded {
    const struct recorded_options *options;
    struct recorded_result *ret;
    struct err_text *text;
    uint64_t started_ns;
    char *names[RECORDED_FILES_MAX]; /* without ".json", sorted */
    size_t count;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Hidden files are not looked at: editors and file systems leave them. */
static enum err list_names(struct recorded *recorded) {
    const struct recorded_options *options = recorded->options;
    DIR *folder = opendir(options->folder);
    if (!folder && (errno == ENOENT || errno == ENOTDIR))
        return ERR_OK;
    if (!folder)
        return err_set(recorded->text, ERR_INVALID, "warmup: %s", strerrordesc_np(errno));
    enum err e = ERR_OK;
    for (struct dirent *entry; e == ERR_OK && (entry = readdir(folder));) {
        struct str name = str_of(entry->d_name);
        if (name.p[0] == '.' || !str_ends(name, STR(".json")))
            continue;
        if (recorded->count == RECORDED_FILES_MAX)
            e = err_set(recorded->text, ERR_INVALID, "warmup: more than %d requests",
                        (int)RECORDED_FILES_MAX);
        else
            recorded->names[recorded->count++] = mem_copy_n(name.p, name.n - (sizeof ".json" - 1));
    }
    closedir(folder);
    if (recorded->count > 1)
        qsort(recorded->names, recorded->count, sizeof recorded->names[0], compare_names);
    return e;
}

/* Appends a file's content. ERR_NOT_FOUND, without a text, when there is none. */
static enum err read_file(const struct recorded *recorded, const char *name, const char *ending,
                          struct buffer *into) {
    const struct recorded_options *options = recorded->options;
    char *path = mem_format("%s/%s%s", options->folder, name, ending);
    struct err_text reason;
    enum err e;
    if (access(path, F_OK) == 0 && !scan_path_inside(options->root, path))
        e = err_set(recorded->text, ERR_INVALID, "warmup/%s%s leads out of the repository", name,
                    ending);
    else if ((e = file_read(path, into, &reason)) != ERR_OK && e != ERR_NOT_FOUND)
        err_set(recorded->text, e, "warmup/%s%s: %s", name, ending, reason.s);
    mem_free(&path);
    return e;
}

static enum err read_body(const struct recorded *recorded, const char *name, struct buffer *buffer,
                          struct recorded_body *ret) {
    enum err e = read_file(recorded, name, ".json", buffer);
    if (e == ERR_NOT_FOUND) /* it was there a moment ago */
        return err_set(recorded->text, ERR_INVALID, "warmup/%s.json is gone", name);
    ret->json_length = buffer->used;
    if (e == ERR_OK) {
        e = read_file(recorded, name, ".bin", buffer);
        ret->binary = e == ERR_OK;
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    if (e == ERR_OK && !buffer_reserve(buffer, RECORDED_SPARE))
        e = err_set(recorded->text, ERR_INVALID, "warmup/%s.json is larger than %d MiB", name,
                    RECORDED_BYTES_MAX >> 20);
    ret->data = buffer->data;
    ret->length = buffer->used;
    return e;
}

static bool is_stopped(const struct recorded *recorded) {
    const _Atomic bool *stop = recorded->options->stop;
    /* relaxed: a hint to hurry, nothing is read behind it */
    return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static void note_run(struct recorded *recorded, const struct recorded_request *request,
                     uint64_t run_ns) {
    struct recorded_result *ret = recorded->ret;
    if (run_ns <= ret->run_ns)
        return;
    ret->run_ns = run_ns;
    ret->elements = 0;
    for (size_t i = 0; i < recorded->options->signature->input_count; i++)
        ret->elements += (uint64_t)request->inputs[i].count;
}

/* The first run has to succeed; there is no time without end for the others. */
static enum err run_request(struct recorded *recorded, const struct recorded_request *request,
                            struct err_text *reason) {
    const struct recorded_options *options = recorded->options;
    uint64_t quickest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < options->runs && !is_stopped(recorded); i++) {
        struct engine_result *result = NULL;
        uint64_t before_ns = clock_now(options->clock);
        if (i > 0 && before_ns - recorded->started_ns > WARMUP_NS_MAX)
            break;
        enum err e = options->model->ops->run(options->model, request->inputs, request->output_mask,
                                              &result, reason);
        if (e != ERR_OK)
            return e;
        quickest_ns = MIN(quickest_ns, clock_now(options->clock) - before_ns);
        engine_result_unref(&result);
    }
    if (quickest_ns != UINT64_MAX) {
        recorded->ret->requests++;
        note_run(recorded, request, MAX(quickest_ns, UINT64_C(1)));
    }
    return ERR_OK;
}

static enum err run_file(struct recorded *recorded, const char *name) {
    const struct recorded_options *options = recorded->options;
    struct arena arena;
    struct buffer buffer;
    arena_init(&arena);
    buffer_init(&buffer, RECORDED_BYTES_MAX + RECORDED_SPARE);
    struct recorded_body body = {.arena = &arena};
    struct recorded_request request = {0};
    struct err_text reason;
    enum err e = read_body(recorded, name, &buffer, &body);
    if (e == ERR_OK) {
        e = options->read(options->context, &body, options->signature, &request, &reason);
        if (e == ERR_OK)
            e = run_request(recorded, &request, &reason);
        if (e != ERR_OK)
            err_set(recorded->text, e, "warmup/%s.json: %s", name, reason.s);
    }
    buffer_done(&buffer);
    arena_done(&arena);
    return e == ERR_OK ? ERR_OK : ERR_INVALID;
}

enum err recorded_run(const struct recorded_options *options, struct recorded_result *ret,
                      struct err_text *text) {
    struct recorded recorded = {.options = options, .ret = ret, .text = text};
    CHECK(options->runs >= 1);
    *ret = (struct recorded_result){0};
    recorded.started_ns = clock_now(options->clock);
    enum err e = list_names(&recorded);
    for (size_t i = 0; i < recorded.count && e == ERR_OK && !is_stopped(&recorded); i++)
        e = run_file(&recorded, recorded.names[i]);
    for (size_t i = 0; i < recorded.count; i++)
        mem_free(&recorded.names[i]);
    return e;
}
