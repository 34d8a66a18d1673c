/* An engine without ONNX Runtime, for tests and benchmarks of everything around it.
 *
 * The model file is text, one directive a line; '#' begins a comment:
 *   input NAME DATATYPE [-1,4]    output NAME DATATYPE [-1,4]     ("[]": rank 0)
 *   run_us N     each run computes for N µs          sleep_us N   each run sleeps N µs
 *   load_us N    loading sleeps N µs                 fail_load TEXT   loading fails
 *   gate PATH    each run waits until a file of that name exists
 *   fail TEXT    every run fails (INTERNAL)          fail_every N     every Nth run fails
 *   poison N     a run fails (INVALID) when a row of input 0 begins with the byte N
 *   rows_limit N a run of more than N rows fails     collapse     outputs have the first row only
 * It knows every setting whose key does not begin with "unknown.".
 * Output i is input (i modulo the number of inputs), copied: so every answer can be checked.
 * A model is constant after the load but for its counter of runs. Thread: any. */
#include "engine/engine.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FAKE_FILE_MAX = 65536, GATE_POLL_US = 1000 };

struct fake_engine {
    struct engine engine; /* first */
    pthread_mutex_t lock;
    pthread_cond_t released;
    bool hold;     /* under the lock */
    uint32_t held; /* under the lock */
};

struct fake_model {
    struct engine_model model; /* first */
    struct fake_engine *engine;
    struct signature signature;
    uint64_t run_us, sleep_us, load_us, fail_every, poison, rows_limit;
    bool has_poison, collapse;
    char *fail, *fail_load, *gate;
    _Atomic uint64_t runs;
};

/* ---- the model file ---- */

static struct str next_word(struct str *rest) {
    struct str word;
    *rest = str_trim(*rest);
    if (!str_split(rest, ' ', &word))
        return (struct str){"", 0};
    return word;
}

static bool parse_shape(struct str s, struct tensor_spec *spec) {
    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    s = (struct str){s.p + 1, s.n - 2};
    struct str part;
    while (s.n > 0 && str_split(&s, ',', &part)) {
        if (spec->rank == TENSOR_RANK_MAX ||
            !str_to_i64(str_trim(part), &spec->shape[spec->rank]) || spec->shape[spec->rank] < -1)
            return false;
        spec->rank++;
    }
    return true;
}

static bool add_spec(struct tensor_spec **specs, size_t *count, struct str rest) {
    struct tensor_spec spec = {0};
    struct str name = next_word(&rest), datatype = next_word(&rest);
    if (*count == SIGNATURE_TENSORS_MAX || name.n == 0 ||
        !datatype_from_name(datatype, &spec.datatype) || !parse_shape(str_trim(rest), &spec))
        return false;
    spec.name = mem_copy_n(name.p, name.n);
    *specs = mem_resize(*specs, (*count + 1) * sizeof **specs);
    (*specs)[(*count)++] = spec;
    return true;
}

static bool parse_line(struct fake_model *model, struct str line) {
    struct signature *signature = &model->signature;
    struct str key = next_word(&line), rest = str_trim(line);
    if (key.n == 0 || key.p[0] == '#')
        return true;
    if (str_eq_c(key, "input"))
        return add_spec(&signature->inputs, &signature->input_count, rest);
    if (str_eq_c(key, "output"))
        return add_spec(&signature->outputs, &signature->output_count, rest);
    if (str_eq_c(key, "collapse")) {
        model->collapse = true;
        return true;
    }
    char **text = str_eq_c(key, "fail")        ? &model->fail
                  : str_eq_c(key, "fail_load") ? &model->fail_load
                  : str_eq_c(key, "gate")      ? &model->gate
                                               : NULL;
    if (text) {
        mem_free(text);
        *text = mem_copy_n(rest.p, rest.n);
        return true;
    }
    const struct {
        const char *key;
        uint64_t *into;
    } numbers[] = {{"run_us", &model->run_us},   {"sleep_us", &model->sleep_us},
                   {"load_us", &model->load_us}, {"fail_every", &model->fail_every},
                   {"poison", &model->poison},   {"rows_limit", &model->rows_limit}};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (!str_eq_c(key, numbers[i].key))
            continue;
        model->has_poison |= numbers[i].into == &model->poison;
        return str_to_u64(rest, numbers[i].into);
    }
    return false;
}

static bool rows_are_free(const struct tensor_spec *specs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (specs[i].rank == 0 || specs[i].shape[0] != -1)
            return false;
    return count > 0;
}

static enum err parse_model(struct fake_model *model, struct str content, struct err_text *text) {
    struct signature *signature = &model->signature;
    struct str line;
    for (int number = 1; str_split(&content, '\n', &line); number++)
        if (!parse_line(model, line))
            return err_set(text, ERR_INVALID, "line %d: '%.*s' is not a directive", number,
                           STR_ARG(line));
    if (signature->input_count == 0 || signature->output_count == 0)
        return err_set(text, ERR_INVALID, "at least one input and one output are needed");
    for (size_t i = 0; i < signature->output_count; i++)
        if (signature->outputs[i].datatype !=
            signature->inputs[i % signature->input_count].datatype)
            return err_set(text, ERR_INVALID, "output '%s' and its input differ in datatype",
                           signature->outputs[i].name);
    signature->model = signature->version = "";
    signature->batchable = rows_are_free(signature->inputs, signature->input_count) &&
                           rows_are_free(signature->outputs, signature->output_count);
    return ERR_OK;
}

/* ---- load and unload ---- */

static void sleep_for(uint64_t us) {
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    while (us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static void compute_for(uint64_t us) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((uint64_t)((now.tv_sec - start.tv_sec) * NS_PER_S + now.tv_nsec - start.tv_nsec) <
             us * NS_PER_US);
}

static void free_specs(struct tensor_spec **specs, size_t count) {
    for (size_t i = 0; i < count; i++)
        mem_free(&(*specs)[i].name);
    mem_free(specs);
}

static void fake_unload(struct engine_model **base) {
    if (!*base)
        return;
    struct fake_model *model = CONTAINER_OF(*base, struct fake_model, model);
    *base = NULL;
    free_specs(&model->signature.inputs, model->signature.input_count);
    free_specs(&model->signature.outputs, model->signature.output_count);
    mem_free(&model->fail);
    mem_free(&model->fail_load);
    mem_free(&model->gate);
    mem_free(&model);
}

static enum err read_file(const char *path, char *into, size_t size, size_t *ret,
                          struct err_text *text) {
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(text, ERR_INVALID, "%s: %s", path, strerrordesc_np(errno));
    *ret = fread(into, 1, size, file);
    bool bad = ferror(file) != 0;
    fclose(file);
    return bad ? err_set(text, ERR_INVALID, "%s cannot be read", path) : ERR_OK;
}

static enum err fake_load(struct engine *base, const char *path,
                          const struct engine_options *options, struct engine_model **ret,
                          struct err_text *text) {
    (void)options;
    struct fake_model *model = mem_new(sizeof *model);
    model->model.ops = base->ops;
    model->engine = CONTAINER_OF(base, struct fake_engine, engine);
    char *content = mem_new(FAKE_FILE_MAX);
    size_t size = 0;
    enum err e = read_file(path, content, FAKE_FILE_MAX, &size, text);
    if (e == ERR_OK)
        e = parse_model(model, (struct str){content, size}, text);
    mem_free(&content);
    if (e == ERR_OK)
        sleep_for(model->load_us);
    if (e == ERR_OK && model->fail_load)
        e = err_set(text, ERR_INVALID, "%s", model->fail_load);
    if (e != ERR_OK) {
        struct engine_model *failed = &model->model;
        fake_unload(&failed);
        return e;
    }
    *ret = &model->model;
    return ERR_OK;
}

static const struct signature *fake_signature(const struct engine_model *base) {
    return &((const struct fake_model *)(const void *)base)->signature;
}

/* ---- running ---- */

static void destroy_result(struct engine_result *result) {
    mem_free(&result);
}

/* Bytes that a copy of `tensor` takes behind the result, 16-aligned. */
static size_t copy_size(const struct tensor *tensor) {
    size_t size = tensor_bytes(tensor);
    const struct str *texts = tensor->data;
    for (int64_t i = 0; tensor->datatype == DATATYPE_BYTES && i < tensor->count; i++)
        size += texts[i].n;
    return (size + 15) & ~(size_t)15;
}

static void copy_tensor(const struct tensor *from, struct tensor *to, char *memory) {
    *to = *from;
    to->data = memory;
    if (tensor_bytes(from) > 0)
        memcpy(memory, from->data, tensor_bytes(from));
    if (from->datatype != DATATYPE_BYTES)
        return;
    struct str *texts = to->data;
    char *content = memory + tensor_bytes(from);
    for (int64_t i = 0; i < from->count; i++) {
        if (texts[i].n)
            memcpy(content, texts[i].p, texts[i].n);
        texts[i].p = content;
        content += texts[i].n;
    }
}

static struct tensor output_of(const struct fake_model *model, const struct tensor *inputs,
                               size_t i) {
    struct tensor output = inputs[i % model->signature.input_count];
    if (model->collapse && output.rank > 0 && output.shape[0] > 1) {
        output.count /= output.shape[0];
        output.shape[0] = 1;
    }
    return output;
}

static struct engine_result *make_result(const struct fake_model *model,
                                         const struct tensor *inputs, uint64_t output_mask) {
    size_t count = model->signature.output_count;
    size_t size = sizeof(struct engine_result) + count * sizeof(struct tensor);
    size_t at = size = (size + 15) & ~(size_t)15;
    for (size_t i = 0; i < count; i++) {
        struct tensor output = output_of(model, inputs, i);
        size += output_mask >> i & 1 ? copy_size(&output) : 0;
    }
    struct engine_result *result = mem_new(size);
    atomic_init(&result->references, 1);
    result->destroy = destroy_result;
    result->output_count = count;
    result->outputs = (struct tensor *)(void *)(result + 1);
    for (size_t i = 0; i < count; i++) {
        if (!(output_mask >> i & 1))
            continue;
        struct tensor output = output_of(model, inputs, i);
        copy_tensor(&output, &result->outputs[i], (char *)result + at);
        at += copy_size(&output);
    }
    return result;
}

static void wait_while_held(struct fake_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->held++;
    while (engine->hold)
        pthread_cond_wait(&engine->released, &engine->lock);
    engine->held--;
    pthread_mutex_unlock(&engine->lock);
}

static void wait_for_gate(const struct fake_model *model) {
    while (model->gate && access(model->gate, F_OK) != 0)
        sleep_for(GATE_POLL_US);
}

static bool is_poisoned(const struct fake_model *model, const struct tensor *input) {
    if (!model->has_poison || input->rank == 0 || input->datatype == DATATYPE_BYTES)
        return false;
    size_t rows = (size_t)input->shape[0], row = rows ? tensor_bytes(input) / rows : 0;
    const unsigned char *bytes = input->data;
    for (size_t i = 0; row > 0 && i < rows; i++)
        if (bytes[i * row] == model->poison)
            return true;
    return false;
}

static enum err fake_run(struct engine_model *base, const struct tensor *inputs,
                         uint64_t output_mask, struct engine_result **ret, struct err_text *text) {
    struct fake_model *model = CONTAINER_OF(base, struct fake_model, model);
    /* relaxed: a counter, nothing hangs on its order */
    uint64_t run = atomic_fetch_add_explicit(&model->runs, 1, memory_order_relaxed) + 1;
    wait_while_held(model->engine);
    wait_for_gate(model);
    sleep_for(model->sleep_us);
    if (model->run_us > 0)
        compute_for(model->run_us);
    if (model->fail)
        return err_set(text, ERR_INTERNAL, "%s", model->fail);
    if (model->fail_every > 0 && run % model->fail_every == 0)
        return err_set(text, ERR_INTERNAL, "run %llu fails", (unsigned long long)run);
    if (is_poisoned(model, &inputs[0]))
        return err_set(text, ERR_INVALID, "a row is poisoned");
    if (model->rows_limit > 0 && inputs[0].rank > 0 &&
        (uint64_t)inputs[0].shape[0] > model->rows_limit)
        return err_set(text, ERR_INTERNAL, "more than %llu rows",
                       (unsigned long long)model->rows_limit);
    *ret = make_result(model, inputs, output_mask);
    return ERR_OK;
}

/* ---- the engine ---- */

static void fake_free(struct engine **base) {
    if (!*base)
        return;
    struct fake_engine *engine = CONTAINER_OF(*base, struct fake_engine, engine);
    *base = NULL;
    pthread_cond_destroy(&engine->released);
    pthread_mutex_destroy(&engine->lock);
    mem_free(&engine);
}

static enum err fake_trim(struct engine_model *base, const struct tensor *inputs) {
    (void)base, (void)inputs; /* what it allocates, it frees */
    return ERR_OK;
}

static bool fake_knows_setting(const char *key) {
    return strncmp(key, "unknown.", 8) != 0;
}

static const struct engine_ops fake_ops = {.name = "fake",
                                           .load = fake_load,
                                           .unload = fake_unload,
                                           .signature = fake_signature,
                                           .run = fake_run,
                                           .trim = fake_trim,
                                           .knows_setting = fake_knows_setting,
                                           .free = fake_free};

struct engine *engine_fake_new(void) {
    struct fake_engine *engine = mem_new(sizeof *engine);
    engine->engine.ops = &fake_ops;
    CHECK(pthread_mutex_init(&engine->lock, NULL) == 0);
    CHECK(pthread_cond_init(&engine->released, NULL) == 0);
    return &engine->engine;
}

void engine_fake_hold(struct engine *base, bool hold) {
    struct fake_engine *engine = CONTAINER_OF(base, struct fake_engine, engine);
    pthread_mutex_lock(&engine->lock);
    engine->hold = hold;
    pthread_cond_broadcast(&engine->released);
    pthread_mutex_unlock(&engine->lock);
}

uint32_t engine_fake_held(struct engine *base) {
    struct fake_engine *engine = CONTAINER_OF(base, struct fake_engine, engine);
    pthread_mutex_lock(&engine->lock);
    uint32_t held = engine->hold ? engine->held : 0;
    pthread_mutex_unlock(&engine->lock);
    return held;
}
