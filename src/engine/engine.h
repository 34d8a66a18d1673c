/* The engine interface: what runs a model. ONNX Runtime is one; the fake (tests, benchmarks) is
 * another. An engine's functions may be called from any thread; run() concurrently on one model. */
#pragma once

#include "base/error.h"
#include "tensor/tensor.h"

#include <stdatomic.h>

struct engine; /* process-wide */

/* One loaded model version (for ONNX Runtime: one session); each engine has its own kind. */
struct engine_model {
    const struct engine_ops *ops;
};

struct engine_setting {
    char *key;
    char *value;
};

/* Execution settings of one model. Lists are borrowed for the call of load(). */
struct engine_options {
    uint32_t intra_op_threads;      /* >= 1, always set explicitly */
    uint32_t inter_op_threads;      /* >= 1 */
    const char *graph_optimization; /* "disable", "basic", "extended", "all" */
    bool spinning;                  /* worker threads spin while they wait (off by default) */
    bool memory_arena;
    bool memory_pattern;
    /* Any ONNX Runtime session configuration entries, as they are. */
    const struct engine_setting *session;
    size_t session_count;
};

/* Outputs of one run. Counted: several requests of one batch may share it from several threads.
 * The last reference goes before the model is unloaded: outputs may lie in the model's memory. */
struct engine_result {
    _Atomic uint32_t references;
    void (*destroy)(struct engine_result *result);
    size_t output_count;    /* = signature->output_count */
    struct tensor *outputs; /* data NULL (rank 0, count 0) for outputs that were not asked for */
};

void engine_result_ref(struct engine_result *result);
void engine_result_unref(struct engine_result **result); /* NULL is accepted */

struct engine_ops {
    const char *name; /* "onnxruntime" */
    /* ERR_INVALID with the engine's reason when the file is missing, damaged, or uses what the
     * engine lacks. Thread: any, blocks. */
    enum err (*load)(struct engine *engine, const char *path, const struct engine_options *options,
                     struct engine_model **ret, struct err_text *text);
    /* Gives the model's memory back to the system: slow, for threads off the serving path. NULL is
     * accepted. */
    void (*unload)(struct engine_model **model);
    /* The names of the model and of the version are "" in it. */
    const struct signature *(*signature)(const struct engine_model *model);
    /* inputs: signature->input_count tensors in order, borrowed for the call. output_mask: bit i
     * asks for output i. ERR_INVALID when the model refuses the inputs, ERR_INTERNAL when it fails
     * otherwise. Thread: any, blocks. */
    enum err (*run)(struct engine_model *model, const struct tensor *inputs, uint64_t output_mask,
                    struct engine_result **ret, struct err_text *text);
    /* Gives memory back to the system that earlier runs left behind. `inputs`: small ones, which
     * are run for it, without a result; ERR_INVALID when the model refuses them. NULL: the model's
     * next run does it, if there was a run far larger than usual since the last time. Thread: any
     * off the serving path, blocks. */
    enum err (*trim)(struct engine_model *model, const struct tensor *inputs);
    /* Is it a key of engine_options.session that does something? NULL: the engine cannot tell.
     * Thread: any. */
    bool (*knows_setting)(const char *key);
    void (*free)(struct engine **engine);
};

struct engine {
    const struct engine_ops *ops;
};

/* ONNX Runtime. One environment a process. ERR_INTERNAL when the library is too old or does
 * not start. */
enum err engine_onnx_new(struct engine **ret, struct err_text *text) MUST_CHECK;
const char *engine_onnx_version(void);

/* A fake for tests of everything else: the model file is text, one directive a line; see
 * engine/fake.c. */
struct engine *engine_fake_new(void);
/* While held, runs of the fake wait inside run(); released, they go on. Thread: any. */
void engine_fake_hold(struct engine *engine, bool hold);
/* Runs that wait inside run() because of a hold. Thread: any. */
uint32_t engine_fake_held(struct engine *engine);
