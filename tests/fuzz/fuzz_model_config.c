// layer: config
// A model's model.yaml over the server's defaults.
#include "base/check.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct server_config server;
    struct model_config model;
    struct buffer problems;
    buffer_init(&problems, 1 << 20);
    server_config_defaults(&server);
    model_config_defaults(&server, &model);
    enum err e =
        model_config_read((struct str){(const char *)data, size}, "fuzz", &model, &problems);
    CHECK((e == ERR_OK) == (problems.used == 0));
    CHECK(model.batching_rows_max >= 1 && model.versions_latest >= 1);
    CHECK(model.versions_listed.count <= CONFIG_INTS_MAX);
    model_config_done(&model);
    server_config_done(&server);
    buffer_done(&problems);
    return 0;
}
