/* A borrowed run of bytes: not owned, not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
/* For printf("%.*s", STR_ARG(s)); lengths over INT_MAX are cut. */
#define STR_ARG(s) ((s).n > 0x7fffffff ? 0x7fffffff : (int)(s).n), ((s).p ? (s).p : "")

static inline struct str str_of(const char *c) {
    return (struct str){c, c ? strlen(c) : 0};
}

static inline bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_eq_c(struct str a, const char *b) {
    return str_eq(a, str_of(b));
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s); /* without spaces and tabs at both ends */

/* Takes what stands before the first `separator` off *rest (all of it when there is none). False
 * when *rest is used up (p == NULL). "a,,b" gives "a", "", "b". */
bool str_split(struct str *rest, char separator, struct str *ret_part);

/* The whole of `s` as a decimal number; false when empty, not a number, or out of range. No sign
 * for u64. */
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_i64(struct str s, int64_t *ret);

/* The value of a hexadecimal digit of either case; -1 for what is none. */
static inline int str_hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* True when `s` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool str_is_utf8(struct str s);

/* Constant time in the content: for secrets. Lengths are not secret. */
bool str_eq_secret(struct str a, struct str b);
