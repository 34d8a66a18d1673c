/* Configuration: tables (options.def, model_options.def, bench_options.def) and everything that is
 * a view of them. Precedence: flag > environment > file > default. Problems are collected, all of
 * them, each naming where (file and line, variable, or flag), the key, what was found and what is
 * allowed. The core is pure: text in, values out; only server_config_read reads a file. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct config_list {
    char **items;
    size_t count;
};

struct config_ints {
    int64_t *items;
    size_t count;
};

struct config_map {
    struct config_pair {
        char *key, *value;
    } *items;
    size_t count;
};

/* Where each option's value came from; one entry a row of the table. */
struct config_source;

/* The fields of a table: one member a row. */
struct server_config {
#include "config/fields_begin.def"
#include "config/options.def"
#include "config/rows_end.def"
    struct config_source *sources;
    char *file; /* the configuration file that was read; NULL: none */
};

struct model_config {
#include "config/fields_begin.def"
#include "config/model_options.def"
#include "config/rows_end.def"
};

struct bench_config {
#include "config/fields_begin.def"

#include "config/bench_options.def"
#include "config/rows_end.def"
};

/* Orders of ENUM rows that have no enum elsewhere. */
enum { CONFIG_CONTROL_AUTO, CONFIG_CONTROL_EXPLICIT };
enum { CONFIG_ENGINE_ONNXRUNTIME, CONFIG_ENGINE_FAKE };
enum {
    CONFIG_BENCH_REST,
    CONFIG_BENCH_REST_BINARY,
    CONFIG_BENCH_GRPC,
    CONFIG_BENCH_GET,
    CONFIG_BENCH_POST
};
enum { CONFIG_BENCH_HTTP_1, CONFIG_BENCH_HTTP_2 };
enum { CONFIG_BENCH_RANDOM, CONFIG_BENCH_ZERO };

/* Limits of a configuration text, and of what is said about it. */
enum {
    CONFIG_FILE_BYTES_MAX = 256 * 1024,
    CONFIG_DEPTH_MAX = 16,
    CONFIG_NODES_MAX = 20000,
    CONFIG_ANCHORS_MAX = 64,
    CONFIG_LIST_MAX = 1024, /* items of a list */
    CONFIG_INTS_MAX = 64,
    CONFIG_MAP_MAX = 256,
    CONFIG_TEXT_MAX = 4096, /* bytes of one value */
    CONFIG_PROBLEMS_MAX = 50,
    CONFIG_PROBLEM_BYTES_MAX = 600 /* one line of `problems` */
};

/* Defaults, then the file of --config or INFERD_CONFIG, then `environment` (a NULL-ended environ),
 * then flags (argv without program and command names). Every problem is a line appended to
 * `problems`; ERR_INVALID when there is any. *ret_help: --help was asked for (then nothing else is
 * looked at, and *ret holds the defaults). *ret and *ret_help are written only on success. Reads
 * the config file. */
enum err server_config_read(int argc, char *const *argv, char *const *environment,
                            struct server_config *ret, bool *ret_help,
                            struct buffer *problems) MUST_CHECK;
void server_config_done(struct server_config *config);

/* A server's configuration file's text over `ret`, which holds the defaults. Pure; `name` is the
 * file's name in texts. On error `ret` is as it was. */
enum err server_config_read_text(struct str yaml, const char *name, struct server_config *ret,
                                 struct buffer *problems) MUST_CHECK;
void server_config_defaults(struct server_config *ret);

/* A model.yaml over `ret`, which holds the defaults (see model_config_defaults). `name` is the
 * file's name in texts. Pure. Problems are lines appended to `problems`; on error `ret` is as it
 * was. */
enum err model_config_read(struct str yaml, const char *name, struct model_config *ret,
                           struct buffer *problems) MUST_CHECK;
/* The server's values where both tables have the option, else the table's default. */
void model_config_defaults(const struct server_config *server, struct model_config *ret);
void model_config_done(struct model_config *config);

/* `inferd bench` knows flags only. As server_config_read. */
enum err bench_config_read(int argc, char *const *argv, struct bench_config *ret, bool *ret_help,
                           struct buffer *problems) MUST_CHECK;
void bench_config_done(struct bench_config *config);

void config_write_help(struct buffer *out);            /* the options part of --help */
void bench_config_write_help(struct buffer *out);      /* of `inferd bench`, likewise */
void config_write_reference(struct buffer *out);       /* docs/reference/configuration.md */
void config_write_model_reference(struct buffer *out); /* docs/reference/model.md */
void config_write_schema(struct buffer *out);          /* JSON schema of the server's options */
/* The values in force as a YAML file, each with where it came from as a comment. */
void config_write_effective(const struct server_config *config, struct buffer *out);
