/* Reading W3C Trace Context, level 1, section 3.2: version "-" trace-id "-" parent-id "-" flags,
 * all in lower-case hexadecimal. Pure; thread: any. */
#include "observe/trace.h"

enum { VERSION_AT = 0, TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, TRACEPARENT_LENGTH = 55 };

/* Are the `n` characters lower-case hexadecimal? *ret_zero: all of them '0'. */
static bool all_hex(const char *p, size_t n, bool *ret_zero) {
    bool zero = true;
    for (size_t i = 0; i < n; i++) {
        if (str_hex_value(p[i]) < 0 || (p[i] >= 'A' && p[i] <= 'F'))
            return false;
        zero = zero && p[i] == '0';
    }
    *ret_zero = zero;
    return true;
}

static uint8_t hex_byte(const char *p) {
    return (uint8_t)(str_hex_value(p[0]) * 16 + str_hex_value(p[1]));
}

bool trace_context_read(struct str traceparent, struct trace_context *ret) {
    const char *p = traceparent.p;
    bool zero;
    if (traceparent.n < TRACEPARENT_LENGTH || !all_hex(p + VERSION_AT, 2, &zero))
        return false;
    uint8_t version = hex_byte(p + VERSION_AT);
    /* 3.2.2: version ff is invalid; a later version may append fields after another dash (4.3). */
    if (version == 0xff || (version == 0 && traceparent.n != TRACEPARENT_LENGTH))
        return false;
    if (traceparent.n > TRACEPARENT_LENGTH && p[TRACEPARENT_LENGTH] != '-')
        return false;
    if (p[TRACE_AT - 1] != '-' || p[PARENT_AT - 1] != '-' || p[FLAGS_AT - 1] != '-')
        return false;
    if (!all_hex(p + TRACE_AT, 32, &zero) || zero || !all_hex(p + PARENT_AT, 16, &zero) || zero)
        return false;
    if (!all_hex(p + FLAGS_AT, 2, &zero))
        return false;
    *ret = (struct trace_context){.flags = hex_byte(p + FLAGS_AT)};
    memcpy(ret->trace_id, p + TRACE_AT, 32);
    memcpy(ret->parent_id, p + PARENT_AT, 16);
    return true;
}
