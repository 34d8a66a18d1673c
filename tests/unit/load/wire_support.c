#include "wire_support.h"

static void answered(void *context, void *tag, const struct wire_answer *answer) {
    struct wire_fixture *fixture = context;
    buffer_add_format(&fixture->said, "%d:%d", (int)((int *)tag - fixture->tags), answer->status);
    if (answer->grpc_status != WIRE_NO_GRPC_STATUS)
        buffer_add_format(&fixture->said, " grpc=%d", answer->grpc_status);
    if (answer->grpc_message[0])
        buffer_add_format(&fixture->said, " message=%s", answer->grpc_message);
    if (answer->json_length != WIRE_NO_JSON_LENGTH)
        buffer_add_format(&fixture->said, " json=%d", (int)answer->json_length);
    buffer_add_format(&fixture->said, " n=%d", (int)answer->body_bytes);
    if (answer->body.n > 0)
        buffer_add_format(&fixture->said, " body=%.*s", STR_ARG(answer->body));
    buffer_add_char(&fixture->said, '\n');
    if (fixture->begin_more > 0) {
        fixture->begin_more--;
        wire_begin(fixture->wire, &fixture->tags[0], &fixture->request);
    }
}

static void refused(void *context, void *tag, const char *why) {
    struct wire_fixture *fixture = context;
    buffer_add_format(&fixture->said, "%d refused: %s\n", (int)((int *)tag - fixture->tags), why);
}

void wire_fixture_init(struct wire_fixture *fixture,
                       struct wire *(*make)(const struct wire_options *), unsigned streams,
                       bool keep_bodies) {
    *fixture = (struct wire_fixture){0};
    buffer_init(&fixture->said, 1 << 20);
    struct wire_options options = {.streams = streams,
                                   .keep_bodies = keep_bodies,
                                   .context = fixture,
                                   .answered = answered,
                                   .refused = refused};
    fixture->wire = make(&options);
}

void wire_fixture_done(struct wire_fixture *fixture) {
    wire_free(&fixture->wire);
    buffer_done(&fixture->said);
}

const char *wire_said(struct wire_fixture *fixture) {
    buffer_add_char(&fixture->said, '\0');
    fixture->said.used = 0;
    return fixture->said.data;
}
