/* ONNX Runtime's bare Run in a loop: the least that an inference can cost, one of the limits the
 * server is measured beside.
 *
 *   bare_run MODEL SECONDS NAME:DATATYPE:SHAPE:FILE...
 *
 * One argument for each input: its name, FP32 or INT64, its shape as 1x30, and a file of that many
 * little-endian values. One thread, one session, all optimisations, as the server has it. The
 * inputs are wrapped once; outputs are made by ONNX Runtime in each run and released, as they are
 * for a server that must keep them until the answer is written. Prints one line of JSON: CPU time
 * (of the whole process, so of every thread ONNX Runtime has) and wall time per run, and the last
 * value of the last output, so that who reads it can see that the runs gave the right answer. */
#include <onnxruntime_c_api.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INPUT_BYTES_MAX = 64 << 20, TENSORS_MAX = 16, RANK_MAX = 8, NAME_BYTES = 256 };
static const double WARM_UP_SECONDS = 0.1;

static const OrtApi *api;

struct bench {
    OrtEnv *env;
    OrtSession *session;
    OrtAllocator *allocator;
    OrtMemoryInfo *memory;
    OrtValue *inputs[TENSORS_MAX];
    void *data[TENSORS_MAX];
    char names[TENSORS_MAX][NAME_BYTES];
    const char *input_names[TENSORS_MAX];
    size_t input_count;
    char *output_names[TENSORS_MAX];
    size_t output_count;
};

_Noreturn static void stop(const char *what, const char *why) {
    fprintf(stderr, "bare_run: error: %s: %s\n", what, why);
    exit(1);
}

static void must(OrtStatus *status, const char *what) {
    if (status)
        stop(what, api->GetErrorMessage(status));
}

static double seconds_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void open_session(struct bench *bench, const char *path) {
    OrtSessionOptions *options;
    must(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bare_run", &bench->env), "environment");
    must(api->CreateSessionOptions(&options), "options");
    must(api->SetIntraOpNumThreads(options, 1), "options");
    must(api->SetInterOpNumThreads(options, 1), "options");
    must(api->SetSessionExecutionMode(options, ORT_SEQUENTIAL), "options");
    must(api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL), "options");
    must(api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), "options");
    must(api->CreateSession(bench->env, path, options, &bench->session), path);
    api->ReleaseSessionOptions(options);
    must(api->GetAllocatorWithDefaultOptions(&bench->allocator), "allocator");
    must(api->SessionGetOutputCount(bench->session, &bench->output_count), path);
    if (bench->output_count > TENSORS_MAX)
        stop(path, "has more than 16 outputs");
    for (size_t i = 0; i < bench->output_count; i++)
        must(
            api->SessionGetOutputName(bench->session, i, bench->allocator, &bench->output_names[i]),
            path);
    must(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &bench->memory), "memory");
}

static size_t read_file(const char *path, void *into, size_t size) {
    FILE *file = fopen(path, "rbe");
    if (!file)
        stop(path, "cannot be opened");
    size_t n = fread(into, 1, size, file);
    fclose(file);
    return n;
}

/* "1x30" into dimensions; their product. */
static size_t read_shape(const char *text, int64_t shape[RANK_MAX], size_t *ret_rank) {
    size_t rank = 0, count = 1;
    char *end = (char *)(uintptr_t)text;
    do {
        shape[rank] = strtol(end, &end, 10);
        if (shape[rank] < 1 || (*end && *end != 'x'))
            stop(text, "is not a shape such as 1x30");
        count *= (size_t)shape[rank++];
    } while (*end++ == 'x' && rank < RANK_MAX && count <= INPUT_BYTES_MAX);
    *ret_rank = rank;
    return count;
}

/* NAME:DATATYPE:SHAPE:FILE; only the name may hold colons. */
static void add_input(struct bench *bench, char *argument) {
    char *parts[3];
    for (int i = 2; i >= 0; i--) {
        char *colon = strrchr(argument, ':');
        if (!colon)
            stop(argument, "is not NAME:DATATYPE:SHAPE:FILE");
        parts[i] = colon + 1;
        *colon = '\0';
    }
    if (bench->input_count == TENSORS_MAX || strlen(argument) >= NAME_BYTES)
        stop(argument, "is one input too many, or its name is too long");
    bool wide = strcmp(parts[0], "INT64") == 0;
    if (!wide && strcmp(parts[0], "FP32") != 0)
        stop(parts[0], "is neither FP32 nor INT64");
    int64_t shape[RANK_MAX];
    size_t rank, size = read_shape(parts[1], shape, &rank) * (wide ? 8 : 4);
    size_t i = bench->input_count++;
    bench->data[i] = malloc(size);
    if (!bench->data[i] || read_file(parts[2], bench->data[i], size) != size)
        stop(parts[2], "holds fewer values than the shape says");
    strcpy(bench->names[i], argument);
    bench->input_names[i] = bench->names[i];
    must(api->CreateTensorWithDataAsOrtValue(bench->memory, bench->data[i], size, shape, rank,
                                             wide ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
                                                  : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                             &bench->inputs[i]),
         "input");
}

static void run_once(struct bench *bench, OrtValue **outputs) {
    memset(outputs, 0, bench->output_count * sizeof *outputs);
    must(api->Run(bench->session, NULL, bench->input_names, (const OrtValue *const *)bench->inputs,
                  bench->input_count, (const char *const *)bench->output_names, bench->output_count,
                  outputs),
         "run");
}

static void release(struct bench *bench, OrtValue **outputs) {
    for (size_t i = 0; i < bench->output_count; i++)
        api->ReleaseValue(outputs[i]);
}

/* The last element of the last output, which is FP32: what a right answer can be known by. */
static double last_value(struct bench *bench, OrtValue **outputs) {
    OrtValue *output = outputs[bench->output_count - 1];
    OrtTensorTypeAndShapeInfo *info;
    ONNXTensorElementDataType type;
    size_t count;
    void *data;
    must(api->GetTensorTypeAndShape(output, &info), "output");
    must(api->GetTensorElementType(info, &type), "output");
    must(api->GetTensorShapeElementCount(info, &count), "output");
    must(api->GetTensorMutableData(output, &data), "output");
    api->ReleaseTensorTypeAndShapeInfo(info);
    if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || count == 0)
        stop("output", "the last one has no FP32 elements");
    return (double)((const float *)data)[count - 1];
}

/* Runs until the time is over; how many runs that were. */
static uint64_t run_for(struct bench *bench, double seconds) {
    OrtValue *outputs[TENSORS_MAX];
    uint64_t runs = 0;
    for (double end = seconds_of(CLOCK_MONOTONIC) + seconds; seconds_of(CLOCK_MONOTONIC) < end;) {
        run_once(bench, outputs);
        release(bench, outputs);
        runs++;
    }
    return runs;
}

static void measure(struct bench *bench, double seconds) {
    run_for(bench, WARM_UP_SECONDS);
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
    uint64_t runs = run_for(bench, seconds);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds_of(CLOCK_MONOTONIC) - wall;
    OrtValue *outputs[TENSORS_MAX];
    run_once(bench, outputs);
    printf("{\"runs\": %llu, \"cpu_us\": %.3f, \"wall_us\": %.3f, \"last_value\": %.9g, "
           "\"onnxruntime\": \"%s\"}\n",
           (unsigned long long)runs, cpu * 1e6 / (double)runs, wall * 1e6 / (double)runs,
           last_value(bench, outputs), OrtGetApiBase()->GetVersionString());
    release(bench, outputs);
}

static void close_session(struct bench *bench) {
    for (size_t i = 0; i < bench->input_count; i++) {
        api->ReleaseValue(bench->inputs[i]);
        free(bench->data[i]);
    }
    api->ReleaseMemoryInfo(bench->memory);
    for (size_t i = 0; i < bench->output_count; i++)
        must(api->AllocatorFree(bench->allocator, bench->output_names[i]), "free");
    api->ReleaseSession(bench->session);
    api->ReleaseEnv(bench->env);
}

int main(int argc, char **argv) {
    double seconds = argc > 3 ? strtod(argv[2], NULL) : 0;
    if (!(seconds > 0))
        stop("usage", "bare_run MODEL SECONDS NAME:DATATYPE:SHAPE:FILE...");
    api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!api)
        stop("ONNX Runtime", "older than its header");
    struct bench bench = {0};
    open_session(&bench, argv[1]);
    for (int i = 3; i < argc; i++)
        add_input(&bench, argv[i]);
    measure(&bench, seconds);
    close_session(&bench);
    return 0;
}
