/* Fields of a protobuf message, one after the other, without recursion or memory. */
#include "protocol/v2_wire.h"

#include "base/check.h"

enum { NUMBER_MAX = (1 << 29) - 1, NUMBER_IN_ONE_BYTE_MAX = 15 };

static bool take_varint(struct str *rest, uint64_t *ret) {
    uint64_t value = 0;
    for (size_t i = 0; i < rest->n && i < V2_WIRE_VARINT_MAX; i++) {
        uint64_t byte = (unsigned char)rest->p[i];
        if (i == V2_WIRE_VARINT_MAX - 1 && byte > 1) /* beyond 64 bits */
            return false;
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = (struct str){rest->p + i + 1, rest->n - i - 1};
            *ret = value;
            return true;
        }
    }
    return false;
}

bool v2_wire_next(struct str *rest, struct v2_wire_field *ret) {
    struct str left = *rest;
    uint64_t tag, size;
    if (!take_varint(&left, &tag) || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return false;
    switch (tag & 7) {
    case V2_WIRE_VARINT: {
        struct str from = left;
        uint64_t value;
        if (!take_varint(&left, &value))
            return false;
        size = from.n - left.n;
        left = from;
        break;
    }
    case V2_WIRE_FIXED64:
        size = 8;
        break;
    case V2_WIRE_FIXED32:
        size = 4;
        break;
    case V2_WIRE_BYTES:
        if (!take_varint(&left, &size))
            return false;
        break;
    default:
        return false;
    }
    if (size > left.n)
        return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->type = (enum v2_wire_type)(tag & 7);
    ret->bytes = (struct str){left.p, (size_t)size};
    ret->whole = (struct str){rest->p, (size_t)(left.p - rest->p) + (size_t)size};
    *rest = (struct str){left.p + size, left.n - (size_t)size};
    return true;
}

size_t v2_wire_varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

size_t v2_wire_bytes_size(size_t n) {
    return 1 + v2_wire_varint_size(n) + n;
}

char *v2_wire_put_varint(char *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *out++ = (char)(value | 0x80);
    *out++ = (char)value;
    return out;
}

char *v2_wire_put_head(char *out, uint32_t number, size_t n) {
    CHECK(number >= 1 && number <= NUMBER_IN_ONE_BYTE_MAX);
    *out++ = (char)(number << 3 | V2_WIRE_BYTES);
    return v2_wire_put_varint(out, n);
}

char *v2_wire_put_str(char *out, uint32_t number, struct str s) {
    out = v2_wire_put_head(out, number, s.n);
    if (s.n > 0)
        memcpy(out, s.p, s.n);
    return out + s.n;
}
