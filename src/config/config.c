/* Reading a whole configuration: the order of sources, and what stays of it.
 *
 * A reading fills a struct of its own, with the table's defaults first; only when there was no
 * problem are values given to the caller. Thread: any; blocks only on the configuration file. Owns:
 * nothing after the call; texts and lists belong to the caller's struct. */
#include "config/reader.h"

#include "base/check.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>

static void table_defaults(const struct option_table *table, void *config) {
    for (size_t i = 0; i < table->count; i++)
        option_set_default(&table->rows[i], config);
}

static void table_clear(const struct option_table *table, void *config) {
    for (size_t i = 0; i < table->count; i++)
        option_clear(&table->rows[i], config);
}

/* A reading of `table` over its defaults, into memory of its own. */
static void reader_init(struct reader *reader, const struct option_table *table,
                        struct problems *problems) {
    *reader = (struct reader){
        .table = table,
        .config = mem_new(table->config_size),
        .sources = mem_new_array(table->count, sizeof *reader->sources),
        .problems = problems,
    };
    table_defaults(table, reader->config);
}

static void reader_done(struct reader *reader) {
    table_clear(reader->table, reader->config);
    mem_free(&reader->config);
    mem_free(&reader->sources);
}

/* Values that were read, not defaults, move to `config`. */
static void reader_give(struct reader *reader, void *config) {
    for (size_t i = 0; i < reader->table->count; i++)
        if (reader->sources[i].origin != FROM_DEFAULT)
            option_move(&reader->table->rows[i], reader->config, config);
}

void server_config_defaults(struct server_config *ret) {
    *ret = (struct server_config){0};
    table_defaults(&server_options, ret);
    ret->sources = mem_new_array(server_options.count, sizeof *ret->sources);
}

void server_config_done(struct server_config *config) {
    table_clear(&server_options, config);
    mem_free(&config->sources);
    mem_free(&config->file);
}

static void give_server(struct reader *reader, struct server_config *ret) {
    reader_give(reader, ret);
    CHECK(ret->sources);
    for (size_t i = 0; i < server_options.count; i++)
        if (reader->sources[i].origin != FROM_DEFAULT)
            ret->sources[i] = reader->sources[i];
    if (reader->file) {
        mem_free(&ret->file);
        ret->file = mem_copy_c(reader->file);
    }
}

enum err server_config_read_text(struct str yaml, const char *name, struct server_config *ret,
                                 struct buffer *problems_out) {
    struct problems problems = {.out = problems_out};
    struct reader reader;
    reader_init(&reader, &server_options, &problems);
    read_yaml(&reader, yaml, name);
    if (problems.count == 0)
        check_server_config(&reader);
    enum err e = problems_end(&problems);
    if (!e)
        give_server(&reader, ret);
    reader_done(&reader);
    return e;
}

/* The file's bytes; `out` is full when they are too many. False: *ret_errno says why. */
static bool read_file(const char *path, struct buffer *out, int *ret_errno) {
    FILE *file = fopen(path, "re");
    if (!file) {
        *ret_errno = errno;
        return false;
    }
    char chunk[4096];
    size_t n;
    errno = 0;
    while (!out->full && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buffer_add(out, chunk, n);
    *ret_errno = errno;
    bool good = !ferror(file);
    fclose(file);
    return good;
}

static void read_config_file(struct reader *reader, const char *path) {
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_BYTES_MAX);
    int number;
    if (!read_file(path, &text, &number)) {
        char reason[128];
        problem_add(reader->problems, path, "cannot be read: %s",
                    strerror_r(number, reason, sizeof reason));
    } else if (text.full) {
        problem_add(reader->problems, path, "found more than the allowed %d bytes",
                    CONFIG_FILE_BYTES_MAX);
    } else {
        read_yaml(reader, buffer_str(&text), path);
    }
    buffer_done(&text);
}

static const char *find_config_variable(char *const *environment) {
    static const char name[] = "INFERD_CONFIG=";
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, sizeof name - 1) == 0)
            return (*environment)[sizeof name - 1] ? *environment + sizeof name - 1 : NULL;
    return NULL;
}

enum err server_config_read(int argc, char *const *argv, char *const *environment,
                            struct server_config *ret, bool *ret_help,
                            struct buffer *problems_out) {
    bool help;
    const char *path = find_config_flag(argc, argv, &help);
    if (help) {
        server_config_defaults(ret);
        *ret_help = true;
        return ERR_OK;
    }
    struct problems problems = {.out = problems_out};
    struct reader reader;
    reader_init(&reader, &server_options, &problems);
    if (!path)
        path = find_config_variable(environment);
    if (path)
        read_config_file(&reader, path);
    read_environment(&reader, environment);
    read_flags(&reader, argc, argv);
    if (problems.count == 0)
        check_server_config(&reader);
    enum err e = problems_end(&problems);
    if (!e) {
        server_config_defaults(ret);
        give_server(&reader, ret);
        *ret_help = false;
    }
    reader_done(&reader);
    return e;
}

enum err bench_config_read(int argc, char *const *argv, struct bench_config *ret, bool *ret_help,
                           struct buffer *problems_out) {
    bool help;
    (void)find_config_flag(argc, argv, &help);
    struct problems problems = {.out = problems_out};
    struct reader reader;
    reader_init(&reader, &bench_options, &problems);
    if (!help) {
        read_flags(&reader, argc, argv);
        if (problems.count == 0)
            check_bench_config(&reader);
    }
    enum err e = problems_end(&problems);
    if (!e) {
        *ret = (struct bench_config){0};
        table_defaults(&bench_options, ret);
        reader_give(&reader, ret);
        *ret_help = help;
    }
    reader_done(&reader);
    return e;
}

void bench_config_done(struct bench_config *config) {
    table_clear(&bench_options, config);
}

enum err model_config_read(struct str yaml, const char *name, struct model_config *ret,
                           struct buffer *problems_out) {
    struct problems problems = {.out = problems_out};
    struct reader reader;
    reader_init(&reader, &model_options, &problems);
    read_yaml(&reader, yaml, name);
    if (problems.count == 0)
        check_model_config(&reader);
    enum err e = problems_end(&problems);
    if (!e)
        reader_give(&reader, ret);
    reader_done(&reader);
    return e;
}

void model_config_defaults(const struct server_config *server, struct model_config *ret) {
    *ret = (struct model_config){0};
    table_defaults(&model_options, ret);
    for (size_t i = 0; i < model_options.count; i++) {
        const struct option *option = &model_options.rows[i];
        const struct option *of_server = server_option_for(option);
        if (of_server)
            option_copy(of_server, server, option, ret);
    }
}

void model_config_done(struct model_config *config) {
    table_clear(&model_options, config);
}
