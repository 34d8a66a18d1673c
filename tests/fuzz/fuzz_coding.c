// layer: protocol
// Content codings: the body is inflated as gzip and as deflate under a small bound, deflated and
// inflated again to itself, and read as the value of both headers.
#include "base/check.h"
#include "protocol/coding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BOUND = 1 << 16 };

static void inflate_any(enum coding coding, struct str in) {
    struct buffer out;
    struct err_text text = {""};
    buffer_init(&out, BOUND);
    enum err e = coding_inflate(coding, in, &out, &text);
    CHECK(out.used <= BOUND && out.capacity <= BOUND);
    CHECK(e == ERR_OK || (text.s[0] != '\0' && out.used == 0));
    CHECK(e == ERR_OK || e == ERR_INVALID || e == ERR_BODY_TOO_LARGE);
    buffer_done(&out);
}

static void deflate_and_back(enum coding coding, struct str in) {
    struct buffer packed, plain;
    struct err_text text = {""};
    buffer_init(&packed, SIZE_MAX);
    buffer_init(&plain, in.n);
    struct str parts[] = {{in.p, in.n / 2}, {in.p + in.n / 2, in.n - in.n / 2}};
    CHECK(coding_deflate(coding, parts, 2, &packed, &text) == ERR_OK);
    CHECK(coding_inflate(coding, buffer_str(&packed), &plain, &text) == ERR_OK);
    CHECK(str_eq(buffer_str(&plain), in));
    buffer_done(&packed);
    buffer_done(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str in = {(const char *)data, size};
    enum coding coding;
    struct err_text text;
    for (int i = CODING_IDENTITY; i <= CODING_DEFLATE; i++) {
        inflate_any((enum coding)i, in);
        deflate_and_back((enum coding)i, in);
    }
    enum err e = coding_from_content_encoding(in, &coding, &text);
    CHECK(e == ERR_OK || e == ERR_BAD_CODING);
    CHECK(coding_name(coding_from_accept_encoding(in)));
    return 0;
}
