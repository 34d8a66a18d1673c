/* ONNX Runtime's bare Run in a loop: the least that an inference can cost, one of the two limits
 * the server is measured beside.
 *
 *   bare_run MODEL ROW BATCH SECONDS
 *
 * ROW is a file of little-endian floats, one row of the model's only input; it is repeated BATCH
 * times. One thread, one session, all optimisations, as the server has it. The input is wrapped
 * once; outputs are made by ONNX Runtime in each run and released, as they are for a server that
 * must keep them until the answer is written. Prints one line of JSON: CPU time (of the whole
 * process, so of every thread ONNX Runtime has) and wall time per run, and the last value of the
 * last output, so that who reads it can see that the runs gave the right answer. */
#include <onnxruntime_c_api.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROW_MAX = 1 << 20,
    BATCH_MAX = 4096,
    OUTPUTS_MAX = 16,
    WARM_UP_RUNS = 500,
    RUNS_A_LOOK = 64
};

static const OrtApi *api;

struct bench {
    OrtEnv *env;
    OrtSession *session;
    OrtAllocator *allocator;
    OrtMemoryInfo *memory;
    OrtValue *input;
    float *data;
    char *input_name;
    char *output_names[OUTPUTS_MAX];
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
    size_t inputs = 0;
    must(api->SessionGetInputCount(bench->session, &inputs), path);
    must(api->SessionGetOutputCount(bench->session, &bench->output_count), path);
    if (inputs != 1 || bench->output_count > OUTPUTS_MAX)
        stop(path, "needs one input and at most 16 outputs");
    must(api->SessionGetInputName(bench->session, 0, bench->allocator, &bench->input_name), path);
    for (size_t i = 0; i < bench->output_count; i++)
        must(
            api->SessionGetOutputName(bench->session, i, bench->allocator, &bench->output_names[i]),
            path);
}

/* The row of the file, `batch` times, as the input. */
static void make_input(struct bench *bench, const char *path, size_t batch) {
    FILE *file = fopen(path, "rbe");
    float *row = malloc(ROW_MAX);
    if (!file || !row)
        stop(path, "cannot be opened");
    size_t width = fread(row, sizeof *row, ROW_MAX / sizeof *row, file);
    fclose(file);
    if (width == 0)
        stop(path, "holds no floats");
    bench->data = malloc(batch * width * sizeof *row);
    if (!bench->data)
        stop("memory", "none left");
    for (size_t i = 0; i < batch; i++)
        memcpy(bench->data + i * width, row, width * sizeof *row);
    free(row);
    const int64_t shape[] = {(int64_t)batch, (int64_t)width};
    must(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &bench->memory), "memory");
    must(api->CreateTensorWithDataAsOrtValue(bench->memory, bench->data,
                                             batch * width * sizeof *row, shape, 2,
                                             ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &bench->input),
         "input");
}

static void run_once(struct bench *bench, OrtValue **outputs) {
    memset(outputs, 0, bench->output_count * sizeof *outputs);
    must(api->Run(bench->session, NULL, (const char *const *)&bench->input_name,
                  (const OrtValue *const *)&bench->input, 1,
                  (const char *const *)bench->output_names, bench->output_count, outputs),
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

static void measure(struct bench *bench, size_t batch, double seconds) {
    OrtValue *outputs[OUTPUTS_MAX];
    for (int i = 0; i < WARM_UP_RUNS; i++) {
        run_once(bench, outputs);
        release(bench, outputs);
    }
    uint64_t runs = 0;
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
    double now = wall;
    while (now - wall < seconds) {
        for (int i = 0; i < RUNS_A_LOOK; i++) {
            run_once(bench, outputs);
            release(bench, outputs);
        }
        runs += RUNS_A_LOOK;
        now = seconds_of(CLOCK_MONOTONIC);
    }
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = now - wall;
    run_once(bench, outputs);
    printf("{\"batch\": %zu, \"runs\": %llu, \"cpu_us\": %.3f, \"wall_us\": %.3f, "
           "\"last_value\": %.9g, \"onnxruntime\": \"%s\"}\n",
           batch, (unsigned long long)runs, cpu * 1e6 / (double)runs, wall * 1e6 / (double)runs,
           last_value(bench, outputs), OrtGetApiBase()->GetVersionString());
    release(bench, outputs);
}

static void close_session(struct bench *bench) {
    api->ReleaseValue(bench->input);
    free(bench->data);
    api->ReleaseMemoryInfo(bench->memory);
    must(api->AllocatorFree(bench->allocator, bench->input_name), "free");
    for (size_t i = 0; i < bench->output_count; i++)
        must(api->AllocatorFree(bench->allocator, bench->output_names[i]), "free");
    api->ReleaseSession(bench->session);
    api->ReleaseEnv(bench->env);
}

int main(int argc, char **argv) {
    if (argc != 5)
        stop("usage", "bare_run MODEL ROW BATCH SECONDS");
    long batch = strtol(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    if (batch < 1 || batch > BATCH_MAX || !(seconds > 0))
        stop("usage", "BATCH is 1 to 4096, SECONDS is above 0");
    api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!api)
        stop("ONNX Runtime", "older than its header");
    struct bench bench = {0};
    open_session(&bench, argv[1]);
    make_input(&bench, argv[2], (size_t)batch);
    measure(&bench, (size_t)batch, seconds);
    close_session(&bench);
    return 0;
}
