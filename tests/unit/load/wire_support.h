/* A wire under test, and what it said: one line of text for each answer. */
#pragma once

#include "load/wire.h"

struct wire_fixture {
    struct wire *wire;
    struct buffer said;
    int tags[8];    /* their addresses are tags: "0", "1", ... */
    int begin_more; /* begin again with tags[0] at each answer, so many times */
    struct wire_request request;
};

void wire_fixture_init(struct wire_fixture *fixture,
                       struct wire *(*make)(const struct wire_options *), unsigned streams,
                       bool keep_bodies);
void wire_fixture_done(struct wire_fixture *fixture);
/* What was said since the last call. */
const char *wire_said(struct wire_fixture *fixture);
