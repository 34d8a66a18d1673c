/* Runs a freshly loaded model with made-up inputs: its first, slow runs are over before the first
 * request, its speed is known, and it is known whether rows of different requests may share a
 * batch. Thread: any, blocks. */
#pragma once

#include "base/clock.h"
#include "engine/engine.h"

enum {
    WARMUP_RUNS = 6,                 /* of one row; the first is not measured */
    WARMUP_INPUT_BYTES_MAX = 1 << 28 /* of the inputs made up */
};
/* After this no further run is begun. */
#define WARMUP_NS_MAX (UINT64_C(10) * NS_PER_S)

struct warmup_options {
    struct engine *engine;
    struct engine_model *model;
    const struct signature *signature; /* the engine's */
    const struct clock *clock;
    uint32_t rows_max;        /* of a batch; < 2: rows are not compared */
    const _Atomic bool *stop; /* may be NULL: ends the warm-up early */
};

struct warmup_result {
    bool refused;          /* the model did not run with made-up inputs; why is in `text` */
    uint64_t run_ns;       /* median of the runs of one row; 0: nothing was measured */
    uint64_t run_elements; /* of all inputs of one of these runs */
    bool rows_equal;       /* each row of a batch gave, bit for bit, what it gives alone */
    struct err_text text;  /* why refused, or why rows are not shown equal */
};

/* One row of made-up inputs, for each input of the signature. False when they would be too large;
 * else warmup_inputs_done afterwards. Thread: any. */
bool warmup_inputs_init(const struct signature *signature,
                        struct tensor inputs[SIGNATURE_TENSORS_MAX]) MUST_CHECK;
void warmup_inputs_done(const struct signature *signature,
                        struct tensor inputs[SIGNATURE_TENSORS_MAX]);

void warmup_run(const struct warmup_options *options, struct warmup_result *ret);
