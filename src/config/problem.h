/* The list of problems of one reading: a line each, whole or not at all. Private to the layer.
 * Pure. */
#pragma once

#include "config/option.h"

struct problems {
    struct buffer *out;
    size_t count; /* all of them; only the first CONFIG_PROBLEMS_MAX are written */
};

/* Appends "where: text\n". */
void problem_add(struct problems *problems, const char *where, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Says how many more there were; ERR_INVALID when there was any. */
enum err problems_end(struct problems *problems) MUST_CHECK;

/* Something a person wrote, quoted and short, for use in a problem's text. */
enum { PROBLEM_QUOTE_SIZE = 400 };
const char *problem_quote(struct str s, char out[PROBLEM_QUOTE_SIZE]);

/* The same for "allowed: ..." of an option. */
enum { PROBLEM_ALLOWED_SIZE = 200 };
const char *problem_allowed(const struct option *option, char out[PROBLEM_ALLOWED_SIZE]);

/* What people call an option: its key, its variable or its flag. */
typedef void option_name_writer(const struct option *option, struct buffer *out);
void option_write_key(const struct option *option, struct buffer *out);

/* " (did you mean http.port?)" for the name nearest to `name`, or "" when none is near. */
enum { PROBLEM_HINT_SIZE = 160 };
const char *problem_hint(const struct option_table *table, option_name_writer *write_name,
                         struct str name, char out[PROBLEM_HINT_SIZE]);
