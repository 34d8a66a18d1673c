/* A reading in progress: a table, the struct it fills, and where each value came from. Private to
 * the layer. Pure. */
#pragma once

#include "config/problem.h"

enum config_origin { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct config_source {
    enum config_origin origin;
    uint32_t line; /* FROM_FILE */
};

struct reader {
    const struct option_table *table;
    void *config;                  /* the table's struct; every field valid */
    struct config_source *sources; /* one a row */
    struct problems *problems;
    const char *file; /* its name in texts; set by read_yaml */
};

/* The option's row; `count` when there is none. */
size_t reader_find_row(const struct reader *reader, struct str key);
/* Sets an option from one text; on a value that is not allowed, a problem. `where` is the variable
 * or flag. */
void reader_set_text(struct reader *reader, size_t row, enum config_origin origin,
                     const char *where, struct str text);

/* Each sets what it can and adds a problem for what it cannot. */
void read_yaml(struct reader *reader, struct str yaml, const char *name);
void read_environment(struct reader *reader, char *const *environment);
void read_flags(struct reader *reader, int argc, char *const *argv);

/* The value of --config or --config=, the last one given; NULL without. *ret_help: --help is there.
 */
const char *find_config_flag(int argc, char *const *argv, bool *ret_help);

/* What no option can say alone: certificates without keys, lists that a policy needs, ... */
void check_server_config(struct reader *reader);
void check_model_config(struct reader *reader);
void check_bench_config(struct reader *reader);
