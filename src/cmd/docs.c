/* `inferd docs PAGE`, `inferd config` and `inferd --version`: what the program knows of itself. */
#include "cmd/commands.h"
#include "config/config.h"
#include "engine/engine.h"
#include "inferd_version.h"
#include "observe/metrics.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    void (*write)(struct buffer *out);
} pages[] = {
    {"configuration", config_write_reference},
    {"model", config_write_model_reference},
    {"metrics", metrics_write_reference},
    {"schema", config_write_schema},
};

enum { PAGE_MAX = 4 << 20 };

int command_docs(int argc, char **argv) {
    for (size_t i = 0; argc == 1 && i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(argv[0], pages[i].name) != 0)
            continue;
        struct buffer page;
        buffer_init(&page, PAGE_MAX);
        pages[i].write(&page);
        printf("%.*s", STR_ARG(buffer_str(&page)));
        buffer_done(&page);
        return 0;
    }
    fprintf(stderr, "usage: inferd docs configuration|model|metrics|schema\n");
    return EXIT_USAGE;
}

int command_config(int argc, char **argv) {
    struct server_config config = {0};
    int status;
    if (!config_or_exit(argc, argv, "config", &config, &status))
        return status;
    struct buffer text;
    buffer_init(&text, PAGE_MAX);
    config_write_effective(&config, &text);
    printf("%.*s", STR_ARG(buffer_str(&text)));
    buffer_done(&text);
    server_config_done(&config);
    return 0;
}

int command_version(void) {
    printf("inferd %s (%s), ONNX Runtime %s\n", INFERD_VERSION, INFERD_COMMIT,
           engine_onnx_version());
    return 0;
}
