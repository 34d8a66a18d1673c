#include "base/error.h"

#include "base/check.h"

#include <stdio.h>

static const struct {
    const char *name;
    int http;
    int grpc;
    const char *text;
} rows[] = {
#define ERR(name, http, grpc, text) {#name, http, grpc, text},
#include "base/error.def"
#undef ERR
};

enum err err_set_v(struct err_text *text, enum err e, const char *format, va_list args) {
    if (!text)
        return e;
    int n = vsnprintf(text->s, sizeof text->s, format, args);
    CHECK(n >= 0);
    if ((size_t)n >= sizeof text->s) {
        /* Cut before a UTF-8 sequence, never inside one: its first byte is one of the last four. */
        size_t end = sizeof text->s - 1, start = end - 1;
        while (start > end - 4 && ((unsigned char)text->s[start] & 0xC0) == 0x80)
            start--;
        if ((unsigned char)text->s[start] >= 0xC0)
            text->s[start] = '\0';
    }
    return e;
}

enum err err_set(struct err_text *text, enum err e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    err_set_v(text, e, format, args);
    va_end(args);
    return e;
}

const char *err_name(enum err e) {
    CHECK(e < ERR_COUNT);
    return rows[e].name;
}

const char *err_default_text(enum err e) {
    CHECK(e < ERR_COUNT);
    return rows[e].text;
}

int err_http_status(enum err e) {
    CHECK(e < ERR_COUNT);
    return rows[e].http;
}

int err_grpc_code(enum err e) {
    CHECK(e < ERR_COUNT);
    return rows[e].grpc;
}
