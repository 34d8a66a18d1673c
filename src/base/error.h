/* Errors are values: one table (error.def), one enum, one text for people.
 * A function that can fail returns enum err; its last parameter receives the text, written only on
 * failure. */
#pragma once

#include <stdarg.h>

enum err {
#define ERR(name, http, grpc, text) ERR_##name,
#include "base/error.def"
#undef ERR
    ERR_COUNT
};

enum { ERR_TEXT_MAX = 768 };

/* The text for people that goes with an error. Always NUL-terminated once written. */
struct err_text {
    char s[ERR_TEXT_MAX];
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* Writes the text (cut at ERR_TEXT_MAX, on a UTF-8 boundary) and returns `e`. `text` may be NULL.
 */
enum err err_set(struct err_text *text, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);
enum err err_set_v(struct err_text *text, enum err e, const char *format, va_list args)
    PRINTF_LIKE(3, 0);

const char *err_name(enum err e);         /* "QUEUE_FULL" */
const char *err_default_text(enum err e); /* the table's last column */
int err_http_status(enum err e);
int err_grpc_code(enum err e);
