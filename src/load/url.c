#include "load/url.h"

#include "base/check.h"
#include "base/str.h"

#include <stdio.h>

static enum err refuse(const char *url, const char *why, struct err_text *error) {
    return err_set(error, ERR_INVALID, "'%s': %s; expected http://HOST:PORT", url, why);
}

/* Takes the host off *rest. */
static bool take_host(struct str *rest, struct str *ret) {
    if (rest->n > 0 && rest->p[0] == '[') {
        const char *end = memchr(rest->p, ']', rest->n);
        if (!end)
            return false;
        *ret = (struct str){rest->p + 1, (size_t)(end - rest->p) - 1};
        *rest = (struct str){end + 1, rest->n - ret->n - 2};
    } else {
        size_t n = 0;
        while (n < rest->n && rest->p[n] != ':')
            n++;
        *ret = (struct str){rest->p, n};
        *rest = (struct str){rest->p + n, rest->n - n};
    }
    return ret->n > 0 && ret->n < URL_HOST_SIZE && (rest->n == 0 || rest->p[0] == ':');
}

enum err url_read(const char *text, struct url *ret, struct err_text *error) {
    struct str rest = str_of(text), scheme = STR("http://"), host;
    CHECK(text);
    if (str_starts(rest, STR("https://")))
        return refuse(text, "TLS is not supported", error);
    if (!str_starts(rest, scheme))
        return refuse(text, "not an http address", error);
    rest = (struct str){rest.p + scheme.n, rest.n - scheme.n};
    if (str_ends(rest, STR("/")))
        rest.n--;
    if (memchr(rest.p, '/', rest.n) || memchr(rest.p, '@', rest.n))
        return refuse(text, "has more than a host and a port", error);
    if (!take_host(&rest, &host))
        return refuse(text, "has no host", error);
    uint64_t port = 80;
    if (rest.n > 0 &&
        (!str_to_u64((struct str){rest.p + 1, rest.n - 1}, &port) || port == 0 || port > 65535))
        return refuse(text, "has no port from 1 to 65535", error);
    bool is_v6 = memchr(host.p, ':', host.n) != NULL;
    snprintf(ret->host, sizeof ret->host, "%.*s", STR_ARG(host));
    snprintf(ret->port, sizeof ret->port, "%u", (unsigned)port);
    snprintf(ret->authority, sizeof ret->authority, "%s%s%s:%s", is_v6 ? "[" : "", ret->host,
             is_v6 ? "]" : "", ret->port);
    return ERR_OK;
}
