/* The codec of http1.h around llhttp. llhttp reads heads and chunk framing, in its strict mode: no
 * bare LF, no folded lines, no blank before a colon, no repeated or mixed Content-Length and
 * Transfer-Encoding. Bodies with a length are only counted here. What llhttp leaves to its user is
 * checked at the end of the head: version, Host, codings, expectation, limits.
 *
 * Invariant: the result does not depend on how the bytes were cut. So limits are checked where
 * llhttp has finished a thing (a name, the target), or by counting bytes, never on part of a thing.
 */
#include "net/http1.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "base/str.h"

#include <llhttp.h>

enum { PHASE_HEAD, PHASE_LENGTH, PHASE_CHUNKED, PHASE_DONE, PHASE_FAILED };

static struct http1 *codec_of(llhttp_t *parser) {
    return parser->data;
}

static uint32_t offset_of(const struct http1 *codec, const char *at) {
    return (uint32_t)(at - codec->data);
}

static enum http1_status fail(struct http1 *codec, enum err error, const char *text) {
    codec->phase = PHASE_FAILED;
    codec->error = error;
    codec->error_text = text;
    return HTTP1_ERROR;
}

/* An error found inside a callback: llhttp stops, http1_feed reports it. */
static int refuse(struct http1 *codec, enum err error, const char *text) {
    codec->error = error;
    codec->error_text = text;
    return HPE_USER;
}

/* llhttp hands a thing over in as many pieces as it was fed in; they lie side by side. */
static void span_add(struct http1_span *span, uint32_t at, size_t n) {
    if (span->n == 0)
        span->at = at;
    span->n = at + (uint32_t)n - span->at;
}

static int on_method(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    span_add(&codec->method, offset_of(codec, at), n);
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    span_add(&codec->target, offset_of(codec, at), n);
    return 0;
}

static int on_url_complete(llhttp_t *parser) {
    struct http1 *codec = codec_of(parser);
    codec->target_done = true;
    if (codec->target.n > codec->limits.target_bytes_max)
        return refuse(codec, ERR_TARGET_TOO_LONG, "the request target is longer than the limit");
    return 0;
}

static int on_version(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    (void)n;
    if (codec->version_at == 0)
        codec->version_at = offset_of(codec, at);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    if (codec->trailing)
        return 0;
    if (!codec->in_name) {
        codec->in_name = true;
        if (codec->field_count == codec->field_capacity) {
            codec->field_capacity = codec->field_capacity ? codec->field_capacity * 2 : 32;
            codec->fields =
                mem_resize(codec->fields, codec->field_capacity * sizeof *codec->fields);
        }
        codec->fields[codec->field_count] = (struct http1_field){0};
    }
    span_add(&codec->fields[codec->field_count].name, offset_of(codec, at), n);
    return 0;
}

static int on_header_field_complete(llhttp_t *parser) {
    struct http1 *codec = codec_of(parser);
    if (codec->trailing) {
        if (++codec->trailer_count > codec->limits.header_count_max)
            return refuse(codec, ERR_HEADERS_TOO_LARGE, "more trailers than the limit");
        return 0;
    }
    codec->in_name = false;
    if (codec->field_count == codec->limits.header_count_max)
        return refuse(codec, ERR_HEADERS_TOO_LARGE, "more headers than the limit");
    codec->field_count++;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    if (!codec->trailing)
        span_add(&codec->fields[codec->field_count - 1].value, offset_of(codec, at), n);
    return 0;
}

static int pause_here(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

/* The size of a chunk is known: it fits, or the body is refused before the chunk comes. */
static int on_chunk_header(llhttp_t *parser) {
    struct http1 *codec = codec_of(parser);
    if (parser->content_length > codec->limits.body_bytes_max - codec->body_length)
        return refuse(codec, ERR_BODY_TOO_LARGE, "the body is larger than the limit");
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
    struct http1 *codec = codec_of(parser);
    memmove(codec->data + codec->head_bytes + codec->body_length, at, n);
    codec->body_length += n;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_version = on_version,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = pause_here,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = pause_here,
};

void http1_init(struct http1 *codec) {
    *codec = (struct http1){.parser = mem_new(sizeof(llhttp_t))};
}

void http1_done(struct http1 *codec) {
    mem_free(&codec->parser);
    mem_free(&codec->fields);
}

void http1_start(struct http1 *codec, const struct http1_limits *limits) {
    llhttp_t *parser = codec->parser;
    *codec = (struct http1){
        .limits = *limits,
        .parser = parser,
        .fields = codec->fields,
        .field_capacity = codec->field_capacity,
        .phase = PHASE_HEAD,
    };
    llhttp_init(parser, HTTP_REQUEST, &settings);
    parser->data = codec;
}

static struct str text_of(const struct http1 *codec, struct http1_span span) {
    return (struct str){codec->data + span.at, span.n};
}

/* What llhttp said about a head or a chunk. */
static enum http1_status fail_parse(struct http1 *codec) {
    const llhttp_t *parser = codec->parser;
    codec->framing_lost = true;
    llhttp_errno_t e = llhttp_get_errno(parser);
    const char *reason = parser->reason ? parser->reason : "malformed request";
    if (codec->error != ERR_OK) /* a callback of ours; llhttp has its own name for that */
        return fail(codec, codec->error, codec->error_text);
    if (e == HPE_PAUSED_H2_UPGRADE)
        return fail(codec, ERR_BAD_HTTP_VERSION, "HTTP/2 is not served here");
    if (e == HPE_INVALID_VERSION && !strstr(reason, "CRLF"))
        return fail(codec, ERR_BAD_HTTP_VERSION, "HTTP/1.0 and HTTP/1.1 are understood");
    return fail(codec, ERR_INVALID, reason);
}

static void trim(const struct http1 *codec, struct http1_span *span) {
    struct str s = str_trim(text_of(codec, *span));
    span->at = s.n ? offset_of(codec, s.p) : 0;
    span->n = (uint32_t)s.n;
}

/* Host, Transfer-Encoding and Expect: the fields that net itself acts on. */
static enum http1_status check_fields(struct http1 *codec) {
    int hosts = 0;
    const char *bad_expectation = NULL;
    for (uint32_t i = 0; i < codec->field_count; i++) {
        struct http1_field *field = &codec->fields[i];
        trim(codec, &field->value);
        struct str name = text_of(codec, field->name);
        struct str value = text_of(codec, field->value);
        if (name.n == 4 && str_eq_nocase(name, STR("host"))) {
            hosts++;
        } else if (name.n == 6 && str_eq_nocase(name, STR("expect"))) {
            if (!str_eq_nocase(value, STR("100-continue")))
                bad_expectation = "the only expectation understood is 100-continue";
            codec->expect_continue = true;
        } else if (name.n == 17 && str_eq_nocase(name, STR("transfer-encoding"))) {
            codec->framing_lost = true; /* until shown to be chunked */
            if (!str_eq_nocase(value, STR("chunked"))) {
                return fail(codec, ERR_UNSUPPORTED,
                            "the only Transfer-Encoding understood is chunked");
            }
        }
    }
    if (hosts > 1 || (hosts == 0 && codec->minor_version == 1)) {
        codec->framing_lost = true;
        return fail(codec, ERR_INVALID,
                    hosts ? "more than one Host header"
                          : "an HTTP/1.1 request needs a Host header");
    }
    if (bad_expectation)
        return fail(codec, ERR_BAD_EXPECTATION, bad_expectation);
    codec->expect_continue = codec->expect_continue && codec->minor_version == 1;
    return HTTP1_MORE;
}

static enum http1_status check_target(struct http1 *codec) {
    struct str target = text_of(codec, codec->target);
    if (((const llhttp_t *)codec->parser)->method == HTTP_CONNECT) {
        codec->framing_lost = true;
        return fail(codec, ERR_UNSUPPORTED, "this server is no proxy: CONNECT is not supported");
    }
    if (memchr(target.p, '#', target.n))
        return fail(codec, ERR_INVALID, "a request target has no fragment (#)");
    bool origin = target.n > 0 && target.p[0] == '/';
    bool absolute = target.n > 0 && target.p[0] != '*' && memmem(target.p, target.n, "://", 3);
    if (!origin && !absolute && !str_eq(target, STR("*")))
        return fail(codec, ERR_INVALID, "the request target does not begin with /");
    return HTTP1_MORE;
}

static bool is_http_1(const struct http1 *codec) {
    const llhttp_t *parser = codec->parser;
    return codec->version_at >= 5 && memcmp(codec->data + codec->version_at - 5, "HTTP/", 5) == 0 &&
           parser->http_major == 1 && parser->http_minor <= 1;
}

/* The head is complete at `parsed`: decides what comes next. */
static enum http1_status head_done(struct http1 *codec) {
    const llhttp_t *parser = codec->parser;
    codec->head_bytes = codec->parsed;
    codec->wire_bytes = codec->parsed;
    if (!is_http_1(codec)) {
        codec->framing_lost = true;
        return fail(codec, ERR_BAD_HTTP_VERSION, "HTTP/1.0 and HTTP/1.1 are understood");
    }
    codec->minor_version = parser->http_minor;
    codec->keep_alive = !(parser->flags & F_CONNECTION_CLOSE) &&
                        (codec->minor_version == 1 || (parser->flags & F_CONNECTION_KEEP_ALIVE));
    codec->chunked = (parser->flags & F_CHUNKED) != 0;
    codec->body_expected = parser->flags & F_CONTENT_LENGTH ? parser->content_length : 0;
    if (check_fields(codec) == HTTP1_ERROR || check_target(codec) == HTTP1_ERROR)
        return HTTP1_ERROR;
    if ((parser->flags & F_TRANSFER_ENCODING) && (!codec->chunked || codec->minor_version == 0))
        return fail(codec, ERR_INVALID, "a Transfer-Encoding that does not give the body's end");
    codec->framing_lost = codec->chunked;
    if (codec->body_expected > codec->limits.body_bytes_max)
        return fail(codec, ERR_BODY_TOO_LARGE, "the body is larger than the limit");
    codec->phase = codec->chunked ? PHASE_CHUNKED : PHASE_LENGTH;
    codec->trailing = true; /* fields from here on are trailers */
    return HTTP1_HEAD;
}

static enum http1_status feed_head(struct http1 *codec, size_t used) {
    llhttp_t *parser = codec->parser;
    size_t limit = MIN(used, (size_t)codec->limits.header_bytes_max);
    llhttp_errno_t e = llhttp_execute(parser, codec->data + codec->parsed, limit - codec->parsed);
    if (e == HPE_PAUSED) {
        codec->parsed = (size_t)(llhttp_get_error_pos(parser) - codec->data);
        llhttp_resume(parser);
        return head_done(codec);
    }
    if (e != HPE_OK)
        return fail_parse(codec);
    codec->parsed = limit;
    if (used > limit) {
        codec->framing_lost = true;
        if (codec->target.n > 0 && !codec->target_done)
            return fail(codec, ERR_TARGET_TOO_LONG, "the request target is longer than the limit");
        return fail(codec, ERR_HEADERS_TOO_LARGE, "the headers are larger than the limit");
    }
    return HTTP1_MORE;
}

static enum http1_status request_done(struct http1 *codec, size_t end) {
    codec->phase = PHASE_DONE;
    codec->end = end;
    return HTTP1_REQUEST;
}

static enum http1_status feed_length(struct http1 *codec, size_t used) {
    size_t there = used - codec->head_bytes;
    bool whole = there >= codec->body_expected;
    codec->body_length = whole ? (size_t)codec->body_expected : there;
    codec->wire_bytes = codec->head_bytes + codec->body_length;
    return whole ? request_done(codec, codec->head_bytes + codec->body_length) : HTTP1_MORE;
}

static enum http1_status feed_chunked(struct http1 *codec, size_t *used) {
    llhttp_t *parser = codec->parser;
    char *from = codec->data + codec->parsed;
    llhttp_errno_t e = llhttp_execute(parser, from, *used - codec->parsed);
    size_t taken =
        e == HPE_OK ? *used - codec->parsed : (size_t)(llhttp_get_error_pos(parser) - from);
    codec->body_wire += taken;
    codec->wire_bytes = codec->head_bytes + codec->body_wire;
    if (codec->body_wire - codec->body_length >
        HTTP1_CHUNK_OVERHEAD_BASE + (codec->limits.body_bytes_max >> HTTP1_CHUNK_OVERHEAD_SHIFT)) {
        return fail(codec, ERR_BODY_TOO_LARGE, "the body has too many small chunks");
    }
    if (e == HPE_PAUSED)
        return request_done(codec, codec->parsed + taken);
    if (e != HPE_OK)
        return fail_parse(codec);
    /* All is consumed: only the joined body stays, so small chunks do not fill the buffer. */
    *used = codec->parsed = codec->head_bytes + codec->body_length;
    return HTTP1_MORE;
}

enum http1_status http1_feed(struct http1 *codec, char *data, size_t *used) {
    codec->data = data;
    bool head_now = false;
    if (codec->phase == PHASE_HEAD) {
        enum http1_status status = feed_head(codec, *used);
        if (status != HTTP1_HEAD)
            return status;
        head_now = true;
    }
    CHECK(codec->phase == PHASE_LENGTH || codec->phase == PHASE_CHUNKED);
    /* While the client may wait for 100, no body byte is looked at before the caller knows. */
    if (head_now && *used == codec->head_bytes && (codec->chunked || codec->body_expected > 0))
        return HTTP1_HEAD;
    enum http1_status status =
        codec->phase == PHASE_LENGTH ? feed_length(codec, *used) : feed_chunked(codec, used);
    return status == HTTP1_MORE && head_now ? HTTP1_HEAD : status;
}

size_t http1_message_bytes(const struct http1 *codec) {
    return codec->phase == PHASE_LENGTH ? codec->head_bytes + (size_t)codec->body_expected : 0;
}
