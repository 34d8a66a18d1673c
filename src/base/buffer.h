/* A growing byte buffer, born with its maximum. Past the maximum, or when memory is out, it stops
 * growing and remembers
 * (`full`), so that a writer checks once at the end. Memory: heap. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct buffer {
    char *data;
    size_t used;
    size_t capacity;
    size_t max;
    bool full; /* something did not fit; the content is cut and must not be used */
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_done(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
/* Room for `more` bytes at data + used; NULL (and full) when that would pass the maximum. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_add(struct buffer *buffer, const void *p, size_t n);
void buffer_add_str(struct buffer *buffer, struct str s);
void buffer_add_c(struct buffer *buffer, const char *s);
void buffer_add_char(struct buffer *buffer, char c);
void buffer_add_u64(struct buffer *buffer, uint64_t value);
void buffer_add_i64(struct buffer *buffer, int64_t value);
void buffer_add_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void buffer_add_json_string(struct buffer *buffer, struct str s);

static inline struct str buffer_str(const struct buffer *buffer) {
    return (struct str){buffer->data, buffer->used};
}
