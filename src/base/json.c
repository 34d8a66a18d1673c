#include "base/json.h"

/* Bytes of the well-formed UTF-8 sequence at the start of `s`, or 0. */
static size_t utf8_sequence(struct str s) {
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n <= s.n && str_is_utf8((struct str){s.p, n}) ? n : 0;
}

/* Eight bytes at once: those below a bound borrow from their highest bit; of the bytes marked, the
 * lowest one is marked rightly. */
size_t json_plain_length(struct str s) {
    size_t n = 0;
    for (; s.n - n >= 8; n += 8) {
        uint64_t bytes;
        memcpy(&bytes, s.p + n, sizeof bytes);
        uint64_t quotes = bytes ^ 0x2222222222222222;
        uint64_t backslashes = bytes ^ 0x5C5C5C5C5C5C5C5C;
        uint64_t odd = ((bytes - 0x2020202020202020) | (quotes - 0x0101010101010101) |
                        (backslashes - 0x0101010101010101) | bytes) &
                       0x8080808080808080;
        if (odd)
            break;
    }
    while (n < s.n && json_is_plain((unsigned char)s.p[n]))
        n++;
    return n;
}

size_t json_escape_one(struct str *rest, char out[JSON_ESCAPE_MAX]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)rest->p[0];
    size_t taken = 1, n = 2;
    if (c >= 0x80) {
        size_t sequence = utf8_sequence(*rest);
        taken = sequence ? sequence : 1;
        n = sequence ? sequence : 3;
        memcpy(out, sequence ? rest->p : "\xEF\xBF\xBD", n);
    } else if (c == '"' || c == '\\') {
        memcpy(out, (char[]){'\\', (char)c}, 2);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        memcpy(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", 2);
    } else {
        n = JSON_ESCAPE_MAX;
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
    }
    *rest = (struct str){rest->p + taken, rest->n - taken};
    return n;
}
