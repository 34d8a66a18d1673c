// layer: config
// A server's configuration file: read, and when it is sound, written out and read again to the
// same.
#include "base/check.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 20 };

static void write_and_read(const struct server_config *config) {
    struct buffer out, again, problems;
    buffer_init(&out, 16 * TEXT_MAX);
    buffer_init(&again, 16 * TEXT_MAX);
    buffer_init(&problems, TEXT_MAX);
    config_write_effective(config, &out);
    struct server_config copy;
    server_config_defaults(&copy);
    if (out.used <= CONFIG_FILE_BYTES_MAX) {
        CHECK(server_config_read_text(buffer_str(&out), "f", &copy, &problems) == ERR_OK);
        buffer_clear(&out);
        config_write_effective(&copy, &out);
        struct server_config third;
        server_config_defaults(&third);
        CHECK(server_config_read_text(buffer_str(&out), "f", &third, &problems) == ERR_OK);
        config_write_effective(&third, &again);
        CHECK(str_eq(buffer_str(&out), buffer_str(&again)));
        server_config_done(&third);
    }
    server_config_done(&copy);
    buffer_done(&out);
    buffer_done(&again);
    buffer_done(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct server_config config;
    struct buffer problems;
    buffer_init(&problems, TEXT_MAX);
    server_config_defaults(&config);
    enum err e =
        server_config_read_text((struct str){(const char *)data, size}, "fuzz", &config, &problems);
    CHECK((e == ERR_OK) == (problems.used == 0));
    if (!e)
        write_and_read(&config);
    server_config_done(&config);
    buffer_done(&problems);
    return 0;
}
