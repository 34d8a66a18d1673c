/* Helpers over struct http_request. */
#include "net/http_parts.h"

#include "base/check.h"

struct str http_header_find(const struct http_request *request, struct str name) {
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.n == name.n && str_eq_nocase(header->name, name))
            return header->value;
    }
    return (struct str){NULL, 0};
}

static const struct {
    struct str text;
    enum http_method method;
} methods[] = {
    {{"GET", 3}, HTTP_GET}, {{"POST", 4}, HTTP_POST},     {{"HEAD", 4}, HTTP_HEAD},
    {{"PUT", 3}, HTTP_PUT}, {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS},
};

enum http_method http_method_of(struct str text) {
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(text, methods[i].text))
            return methods[i].method;
    return HTTP_OTHER;
}

void http_split_target(struct http_request *request, struct str target) {
    if (target.n > 0 && target.p[0] != '/') {
        const char *authority = memmem(target.p, target.n, "://", 3);
        const char *end = target.p + target.n;
        const char *path = authority ? authority + 3 : end;
        while (path < end && *path != '/' && *path != '?')
            path++;
        target = (struct str){path, (size_t)(end - path)};
    }
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark ? (size_t)(mark - target.p) : target.n;
    request->path = n ? (struct str){target.p, n} : STR("/");
    request->query = mark ? (struct str){mark + 1, target.n - n - 1} : STR("");
}
