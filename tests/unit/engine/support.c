#include "engine/support.h"

#include "base/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct engine_options plain_options = {.intra_op_threads = 1,
                                             .inter_op_threads = 1,
                                             .graph_optimization = "all",
                                             .memory_arena = true,
                                             .memory_pattern = true};

struct engine *start_onnx(void) {
    struct engine *engine = NULL;
    struct err_text text = {""};
    if (engine_onnx_new(&engine, &text) != ERR_OK)
        fail_msg("%s", text.s);
    return engine;
}

static const char *model_path(const char *suffix, const char *name) {
    static char path[4096];
    const char *folder = getenv("INFERD_TEST_MODELS");
    if (!folder) {
        print_message("INFERD_TEST_MODELS is not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s%s/%s/1/model.onnx", folder, suffix, name);
    return path;
}

const char *test_model(const char *name) {
    return model_path("", name);
}

const char *broken_model(const char *name) {
    return model_path("-broken", name);
}

const char *demonstration_model(void) {
    static char path[4096];
    const char *source = getenv("INFERD_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/models/repository/breast-cancer/1/model.onnx",
             source ? source : ".");
    return path;
}

static char own_folder[] = "/tmp/inferd-engine-XXXXXX";

static void remove_own_folder(void) {
    DIR *folder = opendir(own_folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(own_folder);
}

const char *own_file(const char *name) {
    static char path[4096];
    static bool made;
    if (!made) {
        assert_non_null(mkdtemp(own_folder));
        assert_int_equal(atexit(remove_own_folder), 0);
        made = true;
    }
    snprintf(path, sizeof path, "%s/%s", own_folder, name);
    return path;
}

struct engine_model *load(struct engine *engine, const char *path) {
    struct engine_model *model = NULL;
    struct err_text text = {""};
    if (engine->ops->load(engine, path, &plain_options, &model, &text) != ERR_OK)
        fail_msg("%s: %s", path, text.s);
    return model;
}

void refuse(struct engine *engine, const char *path, struct err_text *text) {
    struct engine_model *model = NULL;
    text->s[0] = '\0';
    assert_int_equal(engine->ops->load(engine, path, &plain_options, &model, text), ERR_INVALID);
    assert_null(model);
    assert_null(strchr(text->s, '\n'));
    assert_true(strlen(text->s) > 0);
}

struct engine_result *run(struct engine_model *model, const struct tensor *inputs,
                          uint64_t output_mask) {
    struct engine_result *result = NULL;
    struct err_text text = {""};
    if (model->ops->run(model, inputs, output_mask, &result, &text) != ERR_OK)
        fail_msg("%s", text.s);
    return result;
}

struct tensor make_tensor(enum datatype datatype, void *data, size_t rank, const int64_t *shape) {
    struct tensor tensor;
    struct err_text text;
    if (tensor_set(&tensor, datatype, shape, rank, &text) != ERR_OK)
        fail_msg("%s", text.s);
    tensor.data = data;
    return tensor;
}

void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}
