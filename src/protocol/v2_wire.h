/* Protobuf's wire format, for what protobuf-c would copy: fields as views, and the few bytes that
 * stand before large data. Internal to the layer. Source: Protocol Buffers, Encoding. */
#pragma once

#include "base/str.h"

enum v2_wire_type {
    V2_WIRE_VARINT = 0,
    V2_WIRE_FIXED64 = 1,
    V2_WIRE_BYTES = 2,
    V2_WIRE_FIXED32 = 5
};

enum { V2_WIRE_VARINT_MAX = 10 }; /* bytes of a 64-bit number */

struct v2_wire_field {
    uint32_t number;
    enum v2_wire_type type;
    struct str whole; /* with its tag */
    struct str bytes; /* V2_WIRE_BYTES: the content */
};

/* Takes the next field off *rest. False when it is used up (n == 0) or malformed (n > 0, where it
 * stands): a number cut short or over 64 bits, a field number of 0 or over 2^29-1, a group, more
 * bytes than there are. */
bool v2_wire_next(struct str *rest, struct v2_wire_field *ret);

size_t v2_wire_varint_size(uint64_t value);
/* Bytes of a string or message field with a content of n: tag, length and content. Field numbers up
 * to 15. */
size_t v2_wire_bytes_size(size_t n);
/* Both return the end of what they wrote. */
char *v2_wire_put_varint(char *out, uint64_t value);
/* Tag and length: n bytes of content are to follow. */
char *v2_wire_put_head(char *out, uint32_t number, size_t n);
char *v2_wire_put_str(char *out, uint32_t number, struct str s);
