/* An options table as data, and the one place that knows how a value of each type is written,
 * checked, kept and freed. Private to the layer. Pure; thread: any. */
#pragma once

#include "config/config.h"

#include <stddef.h>

enum option_type {
    OPTION_SECTION, /* no option: heads those that follow */
    OPTION_BOOL,
    OPTION_INT,
    OPTION_SIZE,
    OPTION_DURATION,
    OPTION_NUMBER,
    OPTION_STRING,
    OPTION_ENUM,
    OPTION_LIST,
    OPTION_INTS,
    OPTION_MAP
};

struct option {
    enum option_type type;
    const char *key;  /* dotted */
    const char *help; /* of a section: its title */
    size_t offset;    /* of the field in the table's struct */
    int64_t int_fallback, int_min, int_max;
    const char *fallback; /* others than INT: as one would write it; NULL for lists and maps */
    const char *min, *max;
    const char *values; /* ENUM: "a|b|c" */
};

struct option_table {
    const struct option *rows;
    size_t count;
    size_t config_size; /* of the table's struct */
};

extern const struct option_table server_options;
extern const struct option_table model_options;
extern const struct option_table bench_options;

/* The server's option that gives a model's its default: of the same key, or "model." and the key;
 * NULL without. */
const struct option *server_option_for(const struct option *option);

/* A scalar as text into the field; lists and INTS separated by commas. False, and nothing written,
 * when it is not allowed. */
bool option_parse(const struct option *option, struct str text, void *config);
/* One more item of a LIST or INTS; false when it is not allowed or there are too many. */
bool option_append(const struct option *option, struct str item, void *config);
/* One more pair of a MAP; false when there are too many or the key is there. */
bool option_put(const struct option *option, struct str key, struct str value, void *config);

void option_set_default(const struct option *option, void *config);
/* Frees what the field owns and empties it. */
void option_clear(const struct option *option, void *config);
/* Moves the field's value; what `to` had is freed, and `from` is left empty. */
void option_move(const struct option *option, void *from, void *to);

/* Copies a value that owns nothing between options of one type. */
void option_copy(const struct option *from_option, const void *from, const struct option *to_option,
                 void *to);

/* "an integer from 0 to 65535": what may stand there. */
void option_write_allowed(const struct option *option, struct buffer *out);
/* "http.port" as INFERD_HTTP_PORT, as --http-port. */
void option_write_variable(const struct option *option, struct buffer *out);
void option_write_flag(const struct option *option, struct buffer *out);
/* The value as one would write it in YAML. */
void option_write_value(const struct option *option, const void *config, struct buffer *out);
/* The default, likewise; "none" for an empty text or list. */
void option_write_default(const struct option *option, struct buffer *out);

/* Does the environment and do flags have this option? (Maps are for files only.) */
static inline bool option_is_scalar(const struct option *option) {
    return option->type != OPTION_SECTION && option->type != OPTION_MAP;
}

/* The value number `index` of "a|b|c"; false beyond the last. */
bool option_enum_value(const struct option *option, uint32_t index, struct str *ret);
/* Is this text a word of truth? "true", "yes", "on", "1", and their opposites. */
bool option_bool_from_text(struct str text, bool *ret);
