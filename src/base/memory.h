/* Heap memory that does not fail: a failed allocation aborts. Sizes from the wire never come here
 * without a limit checked before. */
#pragma once

#include <stddef.h>

void *mem_new(size_t size);                     /* zeroed; size 0 gives one byte */
void *mem_new_array(size_t count, size_t size); /* zeroed, overflow-checked */
void *mem_resize(void *p, size_t size);
char *mem_copy_c(const char *s);           /* strdup; NULL stays NULL */
char *mem_copy_n(const char *p, size_t n); /* NUL-terminated copy */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Frees *p and nulls it: mem_free(&x). */
#define mem_free(pointer_at) (mem_free_raw(*(pointer_at)), (void)(*(pointer_at) = NULL))
void mem_free_raw(void *p);
