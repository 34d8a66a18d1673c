#include "base/buffer.h"

#include "base/check.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 256 };

void buffer_init(struct buffer *buffer, size_t max) {
    *buffer = (struct buffer){.max = max};
}

void buffer_done(struct buffer *buffer) {
    mem_free(&buffer->data);
    buffer_init(buffer, buffer->max);
}

void buffer_clear(struct buffer *buffer) {
    buffer->used = 0;
    buffer->full = false;
}

char *buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->full || more > buffer->max - buffer->used) {
        buffer->full = true;
        return NULL;
    }
    size_t need = buffer->used + more;
    if (need > buffer->capacity || !buffer->data) {
        size_t doubled = buffer->capacity > buffer->max / 2 ? buffer->max : buffer->capacity * 2;
        size_t want = MAX(MAX(need, doubled), MIN((size_t)CAPACITY_MIN, buffer->max));
        CHECK(want < SIZE_MAX);
        char *grown = realloc(buffer->data, want + 1); /* one more: see buffer_add_format */
        if (!grown) {
            buffer->full = true;
            return NULL;
        }
        buffer->data = grown;
        buffer->capacity = want;
    }
    return buffer->data + buffer->used;
}

void buffer_add(struct buffer *buffer, const void *p, size_t n) {
    if (n == 0)
        return;
    bool fits = n <= buffer->capacity - buffer->used && !buffer->full;
    char *to = fits ? buffer->data + buffer->used : buffer_reserve(buffer, n);
    if (!to)
        return;
    memcpy(to, p, n);
    buffer->used += n;
}

void buffer_add_str(struct buffer *buffer, struct str s) {
    buffer_add(buffer, s.p, s.n);
}

void buffer_add_c(struct buffer *buffer, const char *s) {
    buffer_add(buffer, s, strlen(s));
}

void buffer_add_char(struct buffer *buffer, char c) {
    buffer_add(buffer, &c, 1);
}

void buffer_add_u64(struct buffer *buffer, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buffer_add(buffer, digits + at, sizeof digits - at);
}

void buffer_add_i64(struct buffer *buffer, int64_t value) {
    if (value < 0)
        buffer_add_char(buffer, '-');
    buffer_add_u64(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buffer_add_format(struct buffer *buffer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    char *to = buffer_reserve(buffer, (size_t)n);
    if (!to)
        return;
    /* The zero at the end goes into the byte past the capacity, at most. */
    va_start(args, format);
    vsnprintf(to, (size_t)n + 1, format, args);
    va_end(args);
    buffer->used += (size_t)n;
}

void buffer_add_json_string(struct buffer *buffer, struct str s) {
    buffer_add_char(buffer, '"');
    while (s.n > 0) {
        size_t plain = json_plain_length(s);
        buffer_add(buffer, s.p, plain);
        s = (struct str){s.p + plain, s.n - plain};
        char escaped[JSON_ESCAPE_MAX];
        if (s.n > 0)
            buffer_add(buffer, escaped, json_escape_one(&s, escaped));
    }
    buffer_add_char(buffer, '"');
}
