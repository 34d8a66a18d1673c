#include "api/router.h"

#include "api/rpcs.h"
#include "api/service.h"

static const struct route routes[] = {
#define ROUTE(method, pattern, handler, doors, needs, kind)                                        \
    {HTTP_##method,                                                                                \
     {pattern, sizeof(pattern) - 1},                                                               \
     handle_##handler,                                                                             \
     doors,                                                                                        \
     NEEDS_##needs,                                                                                \
     ROUTE_##kind,                                                                                 \
     false},
#include "api/routes.def"
#undef ROUTE
};

static const struct route rpcs[] = {
#define ROW(service, method, handler, doors, needs, kind, stream)                                  \
    {HTTP_POST,     {"/" service "/" method, sizeof("/" service "/" method) - 1},                  \
     rpc_##handler, doors,                                                                         \
     NEEDS_##needs, ROUTE_##kind,                                                                  \
     stream},
#define RPC(service, method, handler, doors, needs, kind)                                          \
    ROW(service, method, handler, doors, needs, kind, false)
#define STREAM(service, method, handler, doors, needs, kind)                                       \
    ROW(service, method, handler, doors, needs, kind, true)
#include "api/grpc_routes.def"
#undef STREAM
#undef RPC
#undef ROW
};

/* Does `path` fit `pattern`? The model and version segments are left as sent. */
static bool pattern_fits(struct str pattern, struct str path, struct str *model,
                         struct str *version) {
    size_t at = 0;
    size_t i = 0;
    while (i < pattern.n) {
        if (pattern.p[i] != '{') {
            if (at >= path.n || path.p[at] != pattern.p[i])
                return false;
            at++;
            i++;
            continue;
        }
        size_t start = at;
        while (at < path.n && path.p[at] != '/')
            at++;
        if (at == start)
            return false;
        *(pattern.p[i + 1] == 'm' ? model : version) = (struct str){path.p + start, at - start};
        i += 3;
    }
    return at == path.n;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum err percent_decode(struct arena *arena, struct str *segment, struct err_text *text) {
    if (segment->n == 0 || !memchr(segment->p, '%', segment->n))
        return ERR_OK;
    char *out = arena_new(arena, segment->n);
    size_t n = 0;
    for (size_t i = 0; i < segment->n; i++) {
        char c = segment->p[i];
        if (c == '%') {
            int high = i + 2 < segment->n ? hex_value(segment->p[i + 1]) : -1;
            int low = i + 2 < segment->n ? hex_value(segment->p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return err_set(text, ERR_INVALID,
                               "broken percent-escape in the path segment '%.*s'",
                               STR_ARG(*segment));
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[n++] = c;
    }
    *segment = (struct str){out, n};
    return ERR_OK;
}

static bool method_fits(enum http_method wanted, enum http_method got) {
    return wanted == got || (wanted == HTTP_GET && got == HTTP_HEAD);
}

/* Does the other listener answer this path? */
static bool answers_elsewhere(struct str path, unsigned door) {
    struct str model, version;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (!(routes[i].doors & door) && pattern_fits(routes[i].pattern, path, &model, &version))
            return true;
    return false;
}

static enum err fail_elsewhere(struct str path, unsigned door, struct err_text *text) {
    bool management = door == DOOR_DATA;
    return err_set(text, ERR_NOT_FOUND,
                   "no such path on this listener: %.*s; the %s listener (port: %s.port) answers "
                   "it",
                   STR_ARG(path), management ? "management" : "data",
                   management ? "management" : "http");
}

enum err route_find(struct arena *arena, const struct http_request *request, unsigned door,
                    unsigned extra_admin_doors, struct route_match *ret, const char **ret_allow,
                    struct err_text *text) {
    struct str path = request->path;
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    enum http_method allowed = HTTP_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *route = &routes[i];
        struct route_match match = {.route = route};
        unsigned doors = route->doors | (route->needs == NEEDS_ADMIN_TOKEN ? extra_admin_doors : 0);
        if (!(doors & door) || !pattern_fits(route->pattern, path, &match.model, &match.version))
            continue;
        if (!method_fits(route->method, request->method)) {
            allowed = route->method;
            continue;
        }
        enum err e = percent_decode(arena, &match.model, text);
        if (!e)
            e = percent_decode(arena, &match.version, text);
        if (!e)
            *ret = match;
        return e;
    }
    if (allowed == HTTP_OTHER && answers_elsewhere(path, door))
        return fail_elsewhere(path, door, text);
    if (allowed == HTTP_OTHER)
        return err_set(text, ERR_NOT_FOUND, "no such path: %.*s", STR_ARG(path));
    *ret_allow = allowed == HTTP_POST ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
    return err_set(text, ERR_BAD_METHOD, "method %.*s is not allowed for %.*s; allowed: %s",
                   STR_ARG(request->method_text), STR_ARG(path), *ret_allow);
}

const struct route *route_of_rpc(struct str path) {
    for (size_t i = 0; i < ARRAY_LEN(rpcs); i++)
        if (str_eq(rpcs[i].pattern, path))
            return &rpcs[i];
    return NULL;
}

enum err route_find_rpc(const struct http_request *request, unsigned door,
                        unsigned extra_admin_doors, struct route_match *ret,
                        struct err_text *text) {
    const struct route *route = route_of_rpc(request->path);
    if (!route)
        return err_set(text, ERR_UNSUPPORTED, "no such gRPC method: %.*s", STR_ARG(request->path));
    if (request->method != HTTP_POST)
        return err_set(text, ERR_BAD_METHOD, "gRPC calls are sent with POST, not %.*s",
                       STR_ARG(request->method_text));
    unsigned doors = route->doors | (route->needs == NEEDS_ADMIN_TOKEN ? extra_admin_doors : 0);
    if (!(doors & door))
        return err_set(text, ERR_UNSUPPORTED,
                       "%.*s is not answered on this listener; the %s listener (port: %s.port) "
                       "answers it",
                       STR_ARG(request->path), route->doors & DOOR_GRPC ? "gRPC" : "management",
                       route->doors & DOOR_GRPC ? "grpc" : "management");
    *ret = (struct route_match){.route = route};
    return ERR_OK;
}
