/* The options tables as data. Constant; thread: any. */
#include "config/option.h"

#include "base/check.h"

#define OPTION_STRUCT server_config
static const struct option server_rows[] = {
#include "config/rows_begin.def"

#include "config/options.def"
#include "config/rows_end.def"
};
#undef OPTION_STRUCT

#define OPTION_STRUCT model_config
static const struct option model_rows[] = {
#include "config/rows_begin.def"

#include "config/model_options.def"
#include "config/rows_end.def"
};
#undef OPTION_STRUCT

#define OPTION_STRUCT bench_config
static const struct option bench_rows[] = {
#include "config/rows_begin.def"

#include "config/bench_options.def"
#include "config/rows_end.def"
};
#undef OPTION_STRUCT

const struct option_table server_options = {server_rows, ARRAY_LEN(server_rows),
                                            sizeof(struct server_config)};
const struct option_table model_options = {model_rows, ARRAY_LEN(model_rows),
                                           sizeof(struct model_config)};
const struct option_table bench_options = {bench_rows, ARRAY_LEN(bench_rows),
                                           sizeof(struct bench_config)};

const struct option *server_option_for(const struct option *option) {
    static const char prefix[] = "model.";
    for (size_t i = 0; i < server_options.count; i++) {
        const struct option *candidate = &server_options.rows[i];
        const char *key = candidate->key;
        if (candidate->type == option->type && candidate->type != OPTION_SECTION &&
            (strcmp(key, option->key) == 0 || (strncmp(key, prefix, sizeof prefix - 1) == 0 &&
                                               strcmp(key + sizeof prefix - 1, option->key) == 0)))
            return candidate;
    }
    return NULL;
}
