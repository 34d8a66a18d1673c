/* Looks for `"data"`, a colon, brackets and a digit. An array ends at the last bracket before the
 * next quote or brace, if it is one of numbers; if it is not, reading it will tell. What merely
 * looks so (a name that ends in \"data") is a member that nobody asks for. Each byte is looked at
 * about twice, whatever the text. */
#include "protocol/v2_lift.h"

#include "protocol/v2_infer.h"

enum { REST_MAX = 65536 }; /* bytes of text without the arrays: it is copied */

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* `p` is behind the member's name. */
static bool find_array(const char *p, const char *end, struct str *ret) {
    p = skip_space(p, end);
    if (p == end || *p != ':')
        return false;
    p = skip_space(p + 1, end);
    const char *start = p;
    while (p < end && *p == '[')
        p = skip_space(p + 1, end);
    if (p == start || p == end || !(*p == '-' || (*p >= '0' && *p <= '9')))
        return false;
    const char *quote = memchr(p, '"', (size_t)(end - p));
    const char *stop = quote ? quote : end;
    const char *brace = memchr(p, '}', (size_t)(stop - p));
    stop = brace ? brace : stop;
    while (stop > p && stop[-1] != ']') {
        char c = *--stop;
        if (c != ',' && c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return false;
    }
    *ret = (struct str){start, (size_t)(stop - start)};
    return stop > p && ret->n >= V2_LIFT_MIN;
}

static size_t find_arrays(const char *json, size_t length, struct v2_lift *lift) {
    static const struct str name = {"\"data\"", 6};
    const char *p = json;
    const char *end = json + length;
    size_t lifted = 0;
    while (lift->count < SIGNATURE_TENSORS_MAX &&
           (p = memmem(p, (size_t)(end - p), name.p, name.n))) {
        struct str array;
        p += name.n;
        if (!find_array(p, end, &array))
            continue;
        lift->arrays[lift->count++].array = array;
        lifted += array.n;
        p = array.p + array.n;
    }
    return lifted;
}

static char *copy(char *to, const char *from, const char *end) {
    memcpy(to, from, (size_t)(end - from));
    return to + (end - from);
}

bool v2_lift_arrays(struct arena *arena, const char *json, size_t length, struct v2_lift *ret) {
    ret->count = 0;
    ret->taken = 0;
    size_t rest = length - find_arrays(json, length, ret);
    if (ret->count == 0 || rest > REST_MAX)
        return false;
    ret->json = arena_new(arena, rest + 2 * ret->count + V2_BODY_SPARE);
    char *out = ret->json;
    const char *from = json;
    for (size_t i = 0; i < ret->count; i++) {
        struct v2_lifted *lifted = &ret->arrays[i];
        out = copy(out, from, lifted->array.p);
        *out++ = '"';
        lifted->string = out;
        *out++ = '"';
        from = lifted->array.p + lifted->array.n;
    }
    out = copy(out, from, json + length);
    ret->length = (size_t)(out - ret->json);
    return true;
}

bool v2_lift_take(struct v2_lift *lift, const char *string, struct str *ret_array) {
    for (size_t i = 0; i < lift->count; i++) {
        if (lift->arrays[i].string == string && lift->arrays[i].array.p) {
            *ret_array = lift->arrays[i].array;
            lift->arrays[i].array.p = NULL;
            lift->taken++;
            return true;
        }
    }
    return false;
}
