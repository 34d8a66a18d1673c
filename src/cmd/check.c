/* `inferd check`: what `serve` would refuse or fail to load, said without serving. */
#include "cmd/commands.h"
#include "cmd/server.h"
#include "cmd/wire.h"

#include <stdio.h>

enum { REPORT_MAX = 16 << 20 };

static enum err read_options(void *context, const char *model_dir, struct model_options *ret,
                             struct err_text *text) {
    return wire_read_model_options(context, model_dir, ret, text);
}

static void free_options(void *context, struct model_options *options) {
    (void)context;
    wire_free_model_options(options);
}

static enum err read_request(void *context, const struct recorded_body *body,
                             const struct signature *signature, struct recorded_request *ret,
                             struct err_text *text) {
    return wire_read_request(context, body, signature, ret, text);
}

/* Files that serve would read at the start. */
static size_t check_files(const struct server_config *config) {
    size_t problems = 0;
    static const enum door doors[] = {DOOR_DATA, DOOR_GRPC, DOOR_MANAGEMENT};
    static const char *const keys[] = {"http", "grpc", "management"};
    for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
        struct tls_options options;
        struct tls *tls = NULL;
        struct err_text text;
        if (wire_tls(config, doors[i], &options) && tls_new(&options, &tls, &text)) {
            printf("%s.tls: %s\n", keys[i], text.s);
            problems++;
        }
        tls_unref(&tls);
    }
    char *admin = NULL, *data = NULL;
    struct err_text text;
    if (tokens_read(config, &admin, &data, &text)) {
        printf("%s\n", text.s);
        problems++;
    }
    tokens_free(&admin, &data);
    return problems;
}

static size_t check_repository(struct server_config *config, struct buffer *report) {
    struct engine *engine;
    struct err_text text;
    if (config->engine == CONFIG_ENGINE_FAKE) {
        engine = engine_fake_new();
    } else if (engine_onnx_new(&engine, &text)) {
        buffer_add_format(report, "%s\n", text.s);
        return 1;
    }
    struct model_manager_options options = wire_manager(config);
    options.engine = engine;
    options.clock = &clock_real;
    options.read_options = read_options;
    options.free_options = free_options;
    options.read_request = read_request;
    options.context = config;
    size_t problems = model_repository_check(&options, report);
    engine->ops->free(&engine);
    return problems;
}

int command_check(int argc, char **argv) {
    struct server_config config = {0};
    int status;
    if (!config_or_exit(argc, argv, "check", &config, &status))
        return status;
    struct buffer report;
    buffer_init(&report, REPORT_MAX);
    size_t problems = check_files(&config) + check_repository(&config, &report);
    printf("%.*s", STR_ARG(buffer_str(&report)));
    if (problems)
        printf("%zu problem%s\n", problems, problems == 1 ? "" : "s");
    else
        printf("no problems\n");
    buffer_done(&report);
    server_config_done(&config);
    return problems ? EXIT_PROBLEM : 0;
}
