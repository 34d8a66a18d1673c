/* Characters within JSON strings, for those who write them by hand. Pure. */
#pragma once

#include "base/str.h"

enum { JSON_ESCAPE_MAX = 6 };

/* Does the byte stand in a string as it is, and alone? */
static inline bool json_is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many plain bytes `s` begins with. */
size_t json_plain_length(struct str s);

/* The character at the start of *rest (not empty) as a JSON string has it: an escape, a UTF-8
 * sequence, or U+FFFD for a byte that is not part of one. Takes it off; returns the bytes of
 * `out`. */
size_t json_escape_one(struct str *rest, char out[JSON_ESCAPE_MAX]);
