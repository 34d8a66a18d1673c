/* The ONNX Runtime engine: environment, loading and unloading.
 *
 * What ONNX Runtime would log comes back as an error value instead: its log goes nowhere. Sessions
 * are created one at a time (microsoft/onnxruntime#27089). Each session has its own memory arena,
 * not one shared by all: so unloading a model gives all its memory back, and one model's outlier
 * shape does not stay in the memory of the others. Thread counts are always ours, never guessed
 * from the host. */
#include "engine/onnx.h"

#include "base/check.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REASON_MAX = 512 };

/* ONNX Runtime puts the place in its own source before some reasons: "/onnxruntime_src/....cc:180
 * void Function(arguments) reason". Returns the reason, or `from` when no such place is there. */
static const char *skip_place(const char *from) {
    static const char root[] = "/onnxruntime_src/";
    if (strncmp(from, root, sizeof root - 1) != 0)
        return from;
    const char *at = strchr(from, '(');
    for (int depth = 0; at && *at; at++) {
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        if (depth > 0)
            continue;
        at++;
        at += strncmp(at, " const", 6) == 0 ? 6 : 0;
        return *at == ' ' ? at + 1 : from;
    }
    return from;
}

/* The reason as one line: control characters and runs of blanks become one blank. */
static void one_line(const char *from, char *to, size_t size) {
    size_t n = 0;
    for (from = skip_place(from); *from && n + 1 < size; from = skip_place(from + 1)) {
        bool blank = (unsigned char)*from <= ' ';
        if (blank && (n == 0 || to[n - 1] == ' '))
            continue;
        to[n++] = blank ? ' ' : *from;
    }
    while (n > 0 && to[n - 1] == ' ')
        n--;
    to[n] = '\0';
}

enum err onnx_error(const OrtApi *api, OrtStatus *status, const char *what, struct err_text *text) {
    if (!status)
        return ERR_OK;
    char reason[REASON_MAX];
    one_line(api->GetErrorMessage(status), reason, sizeof reason);
    enum err e = api->GetErrorCode(status) == ORT_INVALID_ARGUMENT ? ERR_INVALID : ERR_INTERNAL;
    api->ReleaseStatus(status);
    return err_set(text, e, "%s: %s", what, reason);
}

/* ONNX Runtime answers a missing file with a text of its parser: say ourselves what is plain. */
static enum err check_file(const char *path, struct err_text *text) {
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            return err_set(text, ERR_INVALID, "%s is missing", path);
        return err_set(text, ERR_INVALID, "%s: %s", path, strerrordesc_np(errno));
    }
    if (!S_ISREG(st.st_mode))
        return err_set(text, ERR_INVALID, "%s is not a file", path);
    if (st.st_size == 0)
        return err_set(text, ERR_INVALID, "%s is empty (0 bytes): not an ONNX file", path);
    if (access(path, R_OK) != 0)
        return err_set(text, ERR_INVALID, "%s cannot be read: %s", path, strerrordesc_np(errno));
    return ERR_OK;
}

/* A download that failed often leaves the error page of a web server. */
static bool begins_as_html(const char *path) {
    char begin[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : read(fd, begin, sizeof begin);
    if (fd >= 0)
        close(fd);
    struct str text = {begin, n > 0 ? (size_t)n : 0};
    while (text.n > 0 && (unsigned char)*text.p <= ' ')
        text = (struct str){text.p + 1, text.n - 1};
    static const struct str marks[] = {{"<!doctype html", 14}, {"<html", 5}, {"<head", 5}};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (text.n >= marks[i].n && str_eq_nocase((struct str){text.p, marks[i].n}, marks[i]))
            return true;
    return false;
}

static enum err optimization_level(const char *name, GraphOptimizationLevel *ret,
                                   struct err_text *text) {
    static const struct {
        const char *name;
        GraphOptimizationLevel level;
    } levels[] = {{"disable", ORT_DISABLE_ALL},
                  {"basic", ORT_ENABLE_BASIC},
                  {"extended", ORT_ENABLE_EXTENDED},
                  {"all", ORT_ENABLE_ALL}};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (name && strcmp(name, levels[i].name) == 0) {
            *ret = levels[i].level;
            return ERR_OK;
        }
    }
    return err_set(text, ERR_INVALID,
                   "graph optimization '%s': expected disable, basic, extended or all",
                   name ? name : "");
}

static enum err set_entry(const OrtApi *api, OrtSessionOptions *options, const char *key,
                          const char *value, struct err_text *text) {
    char what[160];
    snprintf(what, sizeof what, "session option '%.100s'", key);
    enum err e = onnx_error(api, api->AddSessionConfigEntry(options, key, value), what, text);
    return e == ERR_OK ? ERR_OK : ERR_INVALID;
}

static enum err set_entries(const OrtApi *api, OrtSessionOptions *options,
                            const struct engine_options *from, struct err_text *text) {
    const char *spinning = from->spinning ? "1" : "0";
    enum err e = set_entry(api, options, "session.intra_op.allow_spinning", spinning, text);
    if (e == ERR_OK)
        e = set_entry(api, options, "session.inter_op.allow_spinning", spinning, text);
    /* After ours: what the user writes wins. */
    for (size_t i = 0; e == ERR_OK && i < from->session_count; i++)
        e = set_entry(api, options, from->session[i].key, from->session[i].value, text);
    return e;
}

static enum err make_options(const OrtApi *api, const struct engine_options *from,
                             OrtSessionOptions **ret, struct err_text *text) {
    CHECK(from->intra_op_threads >= 1 && from->inter_op_threads >= 1);
    GraphOptimizationLevel level = ORT_ENABLE_ALL;
    enum err e = optimization_level(from->graph_optimization, &level, text);
    if (e != ERR_OK)
        return e;
    OrtSessionOptions *options = NULL;
    OrtStatus *status = api->CreateSessionOptions(&options);
    if (!status)
        status = api->SetIntraOpNumThreads(options, (int)from->intra_op_threads);
    if (!status)
        status = api->SetInterOpNumThreads(options, (int)from->inter_op_threads);
    if (!status) /* inter-op threads do nothing in sequential mode: who asks for them wants parallel
                  */
        status = api->SetSessionExecutionMode(options, from->inter_op_threads > 1 ? ORT_PARALLEL
                                                                                  : ORT_SEQUENTIAL);
    if (!status)
        status = api->SetSessionGraphOptimizationLevel(options, level);
    if (!status)
        status =
            from->memory_arena ? api->EnableCpuMemArena(options) : api->DisableCpuMemArena(options);
    if (!status)
        status =
            from->memory_pattern ? api->EnableMemPattern(options) : api->DisableMemPattern(options);
    e = onnx_error(api, status, "session options", text);
    if (e == ERR_OK)
        e = set_entries(api, options, from, text);
    if (e != ERR_OK) {
        api->ReleaseSessionOptions(options);
        return e;
    }
    *ret = options;
    return ERR_OK;
}

/* ONNX Runtime's parser does not say that the file was never a model. */
static enum err fail_create(const OrtApi *api, OrtStatus *status, const char *path,
                            struct err_text *text) {
    bool unreadable = status && api->GetErrorCode(status) == ORT_INVALID_PROTOBUF;
    char what[160];
    struct stat st;
    snprintf(what, sizeof what, "ONNX Runtime refuses the model");
    if (unreadable && stat(path, &st) == 0)
        snprintf(what, sizeof what, "not an ONNX file, or a damaged one (%lld bytes%s)",
                 (long long)st.st_size, begins_as_html(path) ? ", an HTML page" : "");
    enum err e = onnx_error(api, status, what, text);
    return e == ERR_OK ? ERR_OK : ERR_INVALID;
}

static enum err create_session(struct onnx_engine *engine, const char *path,
                               const struct engine_options *from, OrtSession **ret,
                               struct err_text *text) {
    OrtSessionOptions *options = NULL;
    enum err e = make_options(engine->api, from, &options, text);
    if (e != ERR_OK)
        return e;
    pthread_mutex_lock(&engine->create);
    OrtStatus *status = engine->api->CreateSession(engine->env, path, options, ret);
    pthread_mutex_unlock(&engine->create);
    engine->api->ReleaseSessionOptions(options);
    return fail_create(engine->api, status, path, text);
}

static enum err make_shrink(const OrtApi *api, OrtRunOptions **ret, struct err_text *text) {
    OrtStatus *status = api->CreateRunOptions(ret);
    if (!status)
        status = api->AddRunConfigEntry(*ret, "memory.enable_memory_arena_shrinkage", "cpu:0");
    return onnx_error(api, status, "run options", text);
}

static const char **names_of(const struct tensor_spec *specs, size_t count) {
    const char **names = mem_new_array(count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = specs[i].name;
    return names;
}

static void onnx_unload(struct engine_model **base) {
    if (!*base)
        return;
    struct onnx_model *model = CONTAINER_OF(*base, struct onnx_model, model);
    *base = NULL;
    const OrtApi *api = model->engine->api;
    if (model->session)
        api->ReleaseSession(model->session);
    if (model->shrink)
        api->ReleaseRunOptions(model->shrink);
    mem_free(&model->input_names);
    mem_free(&model->output_names);
    onnx_signature_done(&model->signature);
    mem_free(&model);
    /* glibc keeps what a session freed; a server that swaps models would grow without bound. */
    malloc_trim(0);
}

static enum err onnx_load(struct engine *base, const char *path,
                          const struct engine_options *options, struct engine_model **ret,
                          struct err_text *text) {
    struct onnx_engine *engine = CONTAINER_OF(base, struct onnx_engine, engine);
    enum err e = check_file(path, text);
    if (e != ERR_OK)
        return e;
    struct onnx_model *model = mem_new(sizeof *model);
    model->model.ops = base->ops;
    model->engine = engine;
    e = create_session(engine, path, options, &model->session, text);
    if (e == ERR_OK)
        e = onnx_signature_read(engine, model->session, &model->signature, text);
    if (e == ERR_OK && options->memory_arena)
        e = make_shrink(engine->api, &model->shrink, text);
    if (e != ERR_OK) {
        struct engine_model *failed = &model->model;
        onnx_unload(&failed);
        return e;
    }
    const struct signature *signature = &model->signature;
    model->input_names = names_of(signature->inputs, signature->input_count);
    model->output_names = names_of(signature->outputs, signature->output_count);
    if (signature->output_count > 0)
        model->output_mask = UINT64_MAX >> (SIGNATURE_TENSORS_MAX - signature->output_count);
    *ret = &model->model;
    return ERR_OK;
}

static const struct signature *onnx_signature(const struct engine_model *base) {
    return &((const struct onnx_model *)(const void *)base)->signature;
}

static void onnx_free(struct engine **base) {
    if (!*base)
        return;
    struct onnx_engine *engine = CONTAINER_OF(*base, struct onnx_engine, engine);
    *base = NULL;
    if (engine->memory)
        engine->api->ReleaseMemoryInfo(engine->memory);
    if (engine->env)
        engine->api->ReleaseEnv(engine->env);
    pthread_mutex_destroy(&engine->create);
    mem_free(&engine);
}

static const struct engine_ops onnx_ops = {.name = "onnxruntime",
                                           .load = onnx_load,
                                           .unload = onnx_unload,
                                           .signature = onnx_signature,
                                           .run = onnx_run,
                                           .trim = onnx_trim,
                                           .knows_setting = onnx_knows_setting,
                                           .free = onnx_free};

static void ORT_API_CALL drop_log(void *context, OrtLoggingLevel level, const char *category,
                                  const char *id, const char *location, const char *message) {
    (void)context, (void)level, (void)category, (void)id, (void)location, (void)message;
}

/* Places of newer functions in the API's table, counted in pointers. */
enum { NEWER_API_VERSION = 24, HAS_SHAPE_PLACE = 390, SHAPE_REFERENCE_PLACE = 414 };
#if ORT_API_VERSION >= 24
_Static_assert(offsetof(OrtApi, TensorTypeAndShape_HasShape) == HAS_SHAPE_PLACE * sizeof(void *),
               "as in the binary interface");
_Static_assert(offsetof(OrtApi, GetTensorElementTypeAndShapeDataReference) ==
                   SHAPE_REFERENCE_PLACE * sizeof(void *),
               "as in the binary interface");
#endif

/* The N of version "1.N.P" is the API's version. Asking for one the library lacks prints a
 * complaint. */
static bool has_newer(void) {
    struct str version = str_of(engine_onnx_version()), part;
    uint64_t major = 0, minor = 0;
    return str_split(&version, '.', &part) && str_to_u64(part, &major) && major == 1 &&
           str_split(&version, '.', &part) && str_to_u64(part, &minor) &&
           minor >= NEWER_API_VERSION;
}

static void find_newer(struct onnx_newer *ret) {
    const OrtApi *api = has_newer() ? OrtGetApiBase()->GetApi(NEWER_API_VERSION) : NULL;
    if (!api)
        return;
    const char *table = (const char *)api;
    memcpy(&ret->has_shape, table + HAS_SHAPE_PLACE * sizeof(void *), sizeof ret->has_shape);
    memcpy(&ret->shape_reference, table + SHAPE_REFERENCE_PLACE * sizeof(void *),
           sizeof ret->shape_reference);
}

const char *engine_onnx_version(void) {
    return OrtGetApiBase()->GetVersionString();
}

enum err engine_onnx_new(struct engine **ret, struct err_text *text) {
    const OrtApi *api = OrtGetApiBase()->GetApi(ONNX_API_VERSION);
    if (!api)
        return err_set(text, ERR_INTERNAL, "ONNX Runtime %s is too old: 1.%d or newer is needed",
                       engine_onnx_version(), ONNX_API_VERSION);
    struct onnx_engine *engine = mem_new(sizeof *engine);
    engine->engine.ops = &onnx_ops;
    engine->api = api;
    find_newer(&engine->newer);
    CHECK(pthread_mutex_init(&engine->create, NULL) == 0);
    OrtStatus *status = api->CreateEnvWithCustomLogger(drop_log, NULL, ORT_LOGGING_LEVEL_ERROR,
                                                       "inferd", &engine->env);
    if (!status)
        status = api->DisableTelemetryEvents(engine->env);
    if (!status)
        status = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &engine->memory);
    if (!status)
        status = api->GetAllocatorWithDefaultOptions(&engine->allocator);
    struct engine *made = &engine->engine;
    if (onnx_error(api, status, "ONNX Runtime does not start", text) != ERR_OK) {
        onnx_free(&made);
        return ERR_INTERNAL;
    }
    *ret = made;
    return ERR_OK;
}
