/* HTTP/1.1 by llhttp. A request is written as the caller prepared it, without a copy. Owns: the
 * parser's state and the body of an answer that is kept. */
#include "load/wire.h"

#include "base/check.h"
#include "base/memory.h"

#include <llhttp.h>
#include <stdio.h>

enum { NAME_MAX_BYTES = 48, VALUE_MAX_BYTES = 32 };

struct wire1 {
    struct wire wire; /* first */
    llhttp_t parser;
    llhttp_settings_t settings;
    struct str output;
    void *tag; /* of the request in flight; NULL: none */
    bool closed;
    bool keep_body;
    bool in_value;
    struct buffer body;
    struct wire_answer answer;
    char name[NAME_MAX_BYTES], value[VALUE_MAX_BYTES];
    size_t name_length, value_length; /* may be more than is kept */
};

static struct wire1 *wire1_of(llhttp_t *parser) {
    return parser->data;
}

static int on_message_begin(llhttp_t *parser) {
    struct wire1 *wire = wire1_of(parser);
    wire->answer = (struct wire_answer){.grpc_status = WIRE_NO_GRPC_STATUS,
                                        .json_length = WIRE_NO_JSON_LENGTH};
    wire->name_length = wire->value_length = 0;
    wire->in_value = false;
    buffer_clear(&wire->body);
    /* Nor can it be for one that has begun since, but is not on its way. */
    return wire->tag && wire->output.n == 0 ? 0 : HPE_USER;
}

static void keep_bytes(char *out, size_t size, size_t *length, struct str more) {
    for (size_t i = 0; i < more.n && *length + i < size; i++)
        out[*length + i] = more.p[i];
    *length += more.n;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n) {
    struct wire1 *wire = wire1_of(parser);
    if (wire->in_value) {
        wire->in_value = false;
        wire->name_length = wire->value_length = 0;
    }
    keep_bytes(wire->name, sizeof wire->name, &wire->name_length, (struct str){at, n});
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n) {
    struct wire1 *wire = wire1_of(parser);
    wire->in_value = true;
    keep_bytes(wire->value, sizeof wire->value, &wire->value_length, (struct str){at, n});
    return 0;
}

static int on_header_value_complete(llhttp_t *parser) {
    struct wire1 *wire = wire1_of(parser);
    struct str name = STR("inference-header-content-length");
    uint64_t length;
    if (wire->name_length == name.n && wire->value_length <= sizeof wire->value &&
        str_eq_nocase((struct str){wire->name, wire->name_length}, name) &&
        str_to_u64((struct str){wire->value, wire->value_length}, &length) && length <= INT64_MAX)
        wire->answer.json_length = (int64_t)length;
    wire->in_value = true;
    return 0;
}

static int on_headers_complete(llhttp_t *parser) {
    struct wire1 *wire = wire1_of(parser);
    wire->answer.status = llhttp_get_status_code(parser);
    wire->keep_body = wire->wire.options.keep_bodies || wire->answer.status / 100 != 2;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
    struct wire1 *wire = wire1_of(parser);
    wire->answer.body_bytes += n;
    if (wire->keep_body)
        buffer_add(&wire->body, at, n);
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    struct wire1 *wire = wire1_of(parser);
    if (wire->answer.status / 100 == 1) /* the answer itself is still to come */
        return 0;
    wire->closed = !llhttp_should_keep_alive(parser);
    wire->answer.body = buffer_str(&wire->body);
    void *tag = wire->tag;
    wire->tag = NULL;
    wire->wire.options.answered(wire->wire.options.context, tag, &wire->answer);
    return 0;
}

static void wire1_begin(struct wire *base, void *tag, const struct wire_request *request) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    CHECK(!wire->tag && tag && wire->output.n == 0);
    wire->tag = tag;
    wire->output = request->http1;
}

static void wire1_cancel(struct wire *base, void *tag) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    CHECK(wire->tag == tag);
    wire->tag = NULL;
    wire->closed = true;
}

static enum err wire1_feed(struct wire *base, const char *data, size_t n, struct err_text *text) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    llhttp_errno_t e = llhttp_execute(&wire->parser, data, n);
    if (e == HPE_OK)
        return ERR_OK;
    wire->closed = true;
    if (e == HPE_USER)
        return err_set(text, ERR_INVALID, "an answer that nothing asked for");
    return err_set(text, ERR_INVALID, "not an HTTP/1.1 answer: %s",
                   llhttp_get_error_reason(&wire->parser));
}

static void wire1_end(struct wire *base) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    if (wire->tag)
        (void)llhttp_finish(&wire->parser);
    wire->closed = true;
}

static struct str wire1_output(struct wire *base) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    struct str output = wire->output;
    wire->output = (struct str){0};
    return output;
}

static bool wire1_is_open(const struct wire *base) {
    return !((const struct wire1 *)(const void *)base)->closed;
}

static void wire1_free(struct wire *base) {
    struct wire1 *wire = (struct wire1 *)(void *)base;
    buffer_done(&wire->body);
    mem_free(&wire);
}

static const struct wire_kind wire1_kind = {
    .free = wire1_free,
    .begin = wire1_begin,
    .cancel = wire1_cancel,
    .feed = wire1_feed,
    .end = wire1_end,
    .output = wire1_output,
    .is_open = wire1_is_open,
};

struct wire *wire1_new(const struct wire_options *options) {
    struct wire1 *wire = mem_new(sizeof *wire);
    wire->wire = (struct wire){&wire1_kind, *options};
    buffer_init(&wire->body, WIRE_BODY_MAX);
    llhttp_settings_init(&wire->settings);
    wire->settings.on_message_begin = on_message_begin;
    wire->settings.on_header_field = on_header_field;
    wire->settings.on_header_value = on_header_value;
    wire->settings.on_header_value_complete = on_header_value_complete;
    wire->settings.on_headers_complete = on_headers_complete;
    wire->settings.on_body = on_body;
    wire->settings.on_message_complete = on_message_complete;
    llhttp_init(&wire->parser, HTTP_RESPONSE, &wire->settings);
    wire->parser.data = wire;
    return &wire->wire;
}
