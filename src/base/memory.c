#include "base/memory.h"

#include "base/check.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mem_new(size_t size) {
    void *p = calloc(1, size ? size : 1);
    CHECK(p);
    return p;
}

void *mem_new_array(size_t count, size_t size) {
    size_t total;
    CHECK(num_mul_size(count, size, &total));
    return mem_new(total);
}

void *mem_resize(void *p, size_t size) {
    p = realloc(p, size ? size : 1);
    CHECK(p);
    return p;
}

char *mem_copy_c(const char *s) {
    return s ? mem_copy_n(s, strlen(s)) : NULL;
}

char *mem_copy_n(const char *p, size_t n) {
    CHECK(n < SIZE_MAX);
    char *copy = mem_new(n + 1);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *mem_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    va_end(args);
    CHECK(n >= 0);
    return text;
}

void mem_free_raw(void *p) {
    free(p);
}
