/* Warm-up (warmup.h). The inputs: free dimensions are 1 (dimension 0 of a batchable model: as many
 * rows as are wanted), numbers are pseudo-random from a fixed seed and differ from row to row,
 * integers are 0 or 1 (they are indices as often as not), BYTES are "".
 *
 * Rows are made once, for the largest batch; a run of k rows, or of row r alone, is a view of them.
 * Thread: any, blocks. Owns the inputs and the results of the runs until it returns. */
#include "model/warmup.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>

struct warmup {
    const struct warmup_options *options;
    struct warmup_result *ret;
    uint64_t started_ns;
    uint64_t all_outputs; /* mask */
    int64_t rows;         /* that `inputs` hold; 1 when the model is not batchable */
    struct tensor inputs[SIGNATURE_TENSORS_MAX];
    size_t input_count;
    struct engine_result **alone; /* [rows]: each row by itself */
};

static uint64_t next_random(uint64_t *state) {
    /* xorshift64*, Vigna 2016: "An experimental exploration of Marsaglia's xorshift generators". */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void put_element(struct tensor *tensor, int64_t i, uint64_t random) {
    double real = (double)(random >> 11) * 0x1p-53 * 4 - 2; /* [-2, 2) */
    uint8_t *at = (uint8_t *)tensor->data + (size_t)i * datatype_size(tensor->datatype);
    float single = (float)real;
    uint16_t half;
    switch (datatype_json(tensor->datatype)) {
    case DATATYPE_JSON_BOOLEAN:
    case DATATYPE_JSON_UNSIGNED:
    case DATATYPE_JSON_SIGNED:
        *at = (uint8_t)(random >> 63); /* little-endian; the other bytes are 0 */
        break;
    case DATATYPE_JSON_TEXT:
        *(struct str *)(void *)at = (struct str){"", 0};
        break;
    case DATATYPE_JSON_REAL:
        if (tensor->datatype == DATATYPE_FP64) {
            memcpy(at, &real, sizeof real);
        } else if (tensor->datatype == DATATYPE_FP32) {
            memcpy(at, &single, sizeof single);
        } else {
            half = tensor->datatype == DATATYPE_FP16 ? fp16_from_float(single)
                                                     : bf16_from_float(single);
            memcpy(at, &half, sizeof half);
        }
        break;
    }
}

/* Shapes for `rows` rows. False when the inputs would be larger than the limit. */
static bool shape_inputs(struct warmup *w, int64_t rows) {
    const struct signature *signature = w->options->signature;
    size_t total = 0;
    for (size_t i = 0; i < signature->input_count; i++) {
        const struct tensor_spec *spec = &signature->inputs[i];
        int64_t shape[TENSOR_RANK_MAX];
        for (uint32_t d = 0; d < spec->rank; d++)
            shape[d] =
                spec->shape[d] < 0 ? (d == 0 && signature->batchable ? rows : 1) : spec->shape[d];
        if (tensor_set(&w->inputs[i], spec->datatype, shape, spec->rank, NULL) != ERR_OK ||
            !num_add_size(total, tensor_bytes(&w->inputs[i]), &total) ||
            total > WARMUP_INPUT_BYTES_MAX)
            return false;
    }
    w->rows = rows;
    w->input_count = signature->input_count;
    return true;
}

static void make_inputs(struct warmup *w) {
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < w->input_count; i++) {
        struct tensor *tensor = &w->inputs[i];
        tensor->data = mem_new(tensor_bytes(tensor));
        for (int64_t j = 0; j < tensor->count; j++)
            put_element(tensor, j, next_random(&random));
    }
}

static bool is_over(const struct warmup *w) {
    /* relaxed: a hint to hurry, nothing is read behind it */
    if (w->options->stop && atomic_load_explicit(w->options->stop, memory_order_relaxed))
        return true;
    return clock_now(w->options->clock) - w->started_ns > WARMUP_NS_MAX;
}

/* Runs rows first .. first+rows of the inputs (everything, when the model is not batchable). */
static enum err run_rows(struct warmup *w, int64_t first, int64_t rows, struct engine_result **ret,
                         uint64_t *ret_ns) {
    struct tensor inputs[SIGNATURE_TENSORS_MAX];
    for (size_t i = 0; i < w->input_count; i++) {
        inputs[i] = w->inputs[i];
        if (!w->options->signature->batchable)
            continue;
        int64_t each = inputs[i].count / w->rows;
        inputs[i].shape[0] = rows;
        inputs[i].count = each * rows;
        inputs[i].data =
            (char *)w->inputs[i].data + (size_t)(each * first) * datatype_size(inputs[i].datatype);
    }
    uint64_t before = clock_now(w->options->clock);
    enum err e =
        w->options->engine->ops->run(w->options->model, inputs, w->all_outputs, ret, &w->ret->text);
    *ret_ns = clock_now(w->options->clock) - before;
    return e;
}

static int compare_ns(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The model's first runs. False when it refuses. */
static bool measure(struct warmup *w) {
    uint64_t times[WARMUP_RUNS] = {0};
    size_t count = 0;
    while (count < WARMUP_RUNS && (count == 0 || !is_over(w))) {
        struct engine_result *result = NULL;
        if (run_rows(w, 0, 1, &result, &times[count]) != ERR_OK)
            return false;
        engine_result_unref(&result);
        count++;
    }
    size_t skip = count > 1; /* the first run allocates and optimises */
    qsort(times + skip, count - skip, sizeof times[0], compare_ns);
    for (size_t i = 0; i < w->input_count; i++)
        w->ret->run_elements += (uint64_t)(w->inputs[i].count / w->rows);
    w->ret->run_ns = MAX(times[skip + (count - skip) / 2], UINT64_C(1));
    return true;
}

static bool same_elements(const struct tensor *a, int64_t a_first, const struct tensor *b,
                          int64_t count) {
    size_t size = datatype_size(a->datatype);
    if (a->datatype != DATATYPE_BYTES)
        return count == 0 || memcmp((const char *)a->data + (size_t)a_first * size, b->data,
                                    (size_t)count * size) == 0;
    const struct str *x = (const struct str *)a->data + a_first;
    const struct str *y = b->data;
    for (int64_t i = 0; i < count; i++)
        if (!str_eq(x[i], y[i]))
            return false;
    return true;
}

/* Is row `row` of `batch` (of `rows`) what `alone` says? */
static bool same_row(const struct tensor *batch, int64_t rows, int64_t row,
                     const struct tensor *alone) {
    if (batch->rank == 0 || alone->rank != batch->rank || batch->shape[0] != rows ||
        alone->shape[0] != 1 || batch->datatype != alone->datatype)
        return false;
    for (uint32_t d = 1; d < batch->rank; d++)
        if (batch->shape[d] != alone->shape[d])
            return false;
    return same_elements(batch, row * alone->count, alone, alone->count);
}

static bool compare_batch(struct warmup *w, int64_t rows, const struct engine_result *batch) {
    const struct signature *signature = w->options->signature;
    for (size_t i = 0; i < signature->output_count; i++)
        for (int64_t row = 0; row < rows; row++)
            if (!same_row(&batch->outputs[i], rows, row, &w->alone[row]->outputs[i])) {
                err_set(&w->ret->text, ERR_INVALID,
                        "output '%s' of row %lld in a batch of %lld differs from the row alone",
                        signature->outputs[i].name, (long long)row, (long long)rows);
                return false;
            }
    return true;
}

/* One batch, after the rows it consists of. False when it differs, fails, or there is no time left.
 */
static bool try_batch(struct warmup *w, int64_t rows, int64_t *alone_count) {
    uint64_t ns;
    for (; *alone_count < rows; (*alone_count)++) {
        if (is_over(w)) {
            err_set(&w->ret->text, ERR_DEADLINE, "the model is too slow to compare its rows");
            return false;
        }
        if (run_rows(w, *alone_count, 1, &w->alone[*alone_count], &ns) != ERR_OK)
            return false;
    }
    if (is_over(w)) {
        err_set(&w->ret->text, ERR_DEADLINE, "the model is too slow to compare its rows");
        return false;
    }
    struct engine_result *batch = NULL;
    if (run_rows(w, 0, rows, &batch, &ns) != ERR_OK)
        return false;
    bool same = compare_batch(w, rows, batch);
    engine_result_unref(&batch);
    return same;
}

static bool compare_rows(struct warmup *w) {
    const int64_t sizes[] = {2, 3, 8, w->rows};
    int64_t alone_count = 0, before = 1;
    bool same = true;
    w->alone = mem_new_array((size_t)w->rows, sizeof(struct engine_result *));
    for (size_t i = 0; same && i < ARRAY_LEN(sizes); i++) {
        if (sizes[i] <= before || sizes[i] > w->rows)
            continue;
        before = sizes[i];
        same = try_batch(w, sizes[i], &alone_count);
    }
    for (int64_t i = 0; i < w->rows; i++)
        engine_result_unref(&w->alone[i]);
    mem_free(&w->alone);
    return same;
}

bool warmup_inputs_init(const struct signature *signature,
                        struct tensor inputs[SIGNATURE_TENSORS_MAX]) {
    const struct warmup_options options = {.signature = signature};
    struct warmup w = {.options = &options};
    if (!shape_inputs(&w, 1))
        return false;
    make_inputs(&w);
    memcpy(inputs, w.inputs, w.input_count * sizeof *inputs);
    return true;
}

void warmup_inputs_done(const struct signature *signature,
                        struct tensor inputs[SIGNATURE_TENSORS_MAX]) {
    for (size_t i = 0; i < signature->input_count; i++)
        mem_free(&inputs[i].data);
}

void warmup_run(const struct warmup_options *options, struct warmup_result *ret) {
    const struct signature *signature = options->signature;
    struct warmup w = {.options = options, .ret = ret};
    *ret = (struct warmup_result){0};
    w.started_ns = clock_now(options->clock);
    w.all_outputs =
        signature->output_count >= 64 ? UINT64_MAX : (UINT64_C(1) << signature->output_count) - 1;
    bool compares = signature->batchable && options->rows_max > 1;
    bool cut = compares && !shape_inputs(&w, options->rows_max);
    if ((!compares || cut) && !shape_inputs(&w, 1)) {
        ret->refused = true;
        err_set(&ret->text, ERR_INVALID, "its inputs are larger than what warm-up makes up");
        return;
    }
    make_inputs(&w);
    ret->refused = !measure(&w);
    if (ret->refused)
        ret->run_ns = 0;
    else if (cut)
        err_set(&ret->text, ERR_INVALID, "a batch is larger than what warm-up makes up");
    else if (compares)
        ret->rows_equal = compare_rows(&w);
    for (size_t i = 0; i < w.input_count; i++)
        mem_free(&w.inputs[i].data);
}
