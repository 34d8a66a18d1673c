/* http://HOST:PORT and nothing else. Pure. */
#pragma once

#include "base/error.h"

enum { URL_HOST_SIZE = 256, URL_PORT_SIZE = 6 };

struct url {
    char host[URL_HOST_SIZE]; /* without the brackets of an IPv6 address */
    char port[URL_PORT_SIZE];
    char authority[URL_HOST_SIZE + URL_PORT_SIZE + 2]; /* "host:port", as Host and :authority */
};

/* The port may be absent: 80. ERR_INVALID names what is wrong. */
enum err url_read(const char *text, struct url *ret, struct err_text *error) MUST_CHECK;
