#include "codec_driver.h"

#include "base/memory.h"
#include "base/num.h"

static void add_span(struct buffer *out, const char *data, struct http1_span span) {
    buffer_add(out, data + span.at, span.n);
}

static void add_message(struct buffer *out, const struct http1 *codec, const char *data) {
    add_span(out, data, codec->method);
    buffer_add_char(out, ' ');
    add_span(out, data, codec->target);
    buffer_add_format(out, " v=1.%u keep=%d ", (unsigned)codec->minor_version, codec->keep_alive);
    if (codec->expect_continue)
        buffer_add_c(out, "expect ");
    for (uint32_t i = 0; i < codec->field_count; i++) {
        add_span(out, data, codec->fields[i].name);
        buffer_add_char(out, ':');
        add_span(out, data, codec->fields[i].value);
        buffer_add_char(out, ';');
    }
    buffer_add_c(out, " body=");
    buffer_add(out, data + codec->head_bytes, codec->body_length);
    buffer_add_format(out, " wire=%llu|", (unsigned long long)codec->wire_bytes);
}

/* One connection: `data` holds what belongs to no message yet. */
struct driver {
    const struct http1_limits *limits;
    struct http1 codec;
    char *data;
    size_t used;
    struct buffer *out;
};

/* Takes all messages that are whole. False after an error. */
static bool drain(struct driver *driver) {
    while (driver->used > 0) {
        enum http1_status status = http1_feed(&driver->codec, driver->data, &driver->used);
        if (status == HTTP1_ERROR) {
            buffer_add_char(driver->out, '!');
            buffer_add_c(driver->out, err_name(driver->codec.error));
            buffer_add_c(driver->out, driver->codec.framing_lost ? " lost" : " kept");
            return false;
        }
        if (status != HTTP1_REQUEST)
            return true;
        add_message(driver->out, &driver->codec, driver->data);
        driver->used -= driver->codec.end;
        memmove(driver->data, driver->data + driver->codec.end, driver->used);
        http1_start(&driver->codec, driver->limits);
    }
    return true;
}

void codec_run(const struct http1_limits *limits, struct str input, piece_size *piece,
               void *context, struct buffer *out) {
    struct driver driver = {.limits = limits, .out = out};
    http1_init(&driver.codec);
    http1_start(&driver.codec, limits);
    bool ok = true;
    for (size_t fed = 0; fed < input.n && ok;) {
        size_t n = MIN(piece(context, fed, input.n), input.n - fed);
        /* A new block of just the size each time: reads beyond it, or at an old place, are seen. */
        char *grown = mem_new(driver.used + n);
        memcpy(grown, driver.data ? driver.data : "", driver.used);
        memcpy(grown + driver.used, input.p + fed, n);
        mem_free(&driver.data);
        driver.data = grown;
        driver.used += n;
        fed += n;
        ok = drain(&driver);
    }
    if (ok && driver.used > 0)
        buffer_add_c(out, "...");
    mem_free(&driver.data);
    http1_done(&driver.codec);
}
