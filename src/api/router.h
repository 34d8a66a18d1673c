/* From method and path to a row of routes.def, or of grpc_routes.def. Pure. */
#pragma once

#include "base/arena.h"
#include "net/http.h"

struct call;

enum route_needs { NEEDS_NOTHING, NEEDS_DATA_TOKEN, NEEDS_ADMIN_TOKEN };
enum route_kind { ROUTE_INFER, ROUTE_API, ROUTE_QUIET };

struct route {
    enum http_method method;
    struct str pattern;
    void (*handle)(struct call *call);
    unsigned doors;
    enum route_needs needs;
    enum route_kind kind;
    bool stream; /* gRPC: messages one by one */
};

struct route_match {
    const struct route *route;
    struct str model; /* percent-decoded, in the arena or the path; n == 0: none in the pattern */
    struct str version;
};

/* `extra_admin_doors`: doors that answer ADMIN_TOKEN routes besides the table's. ERR_NOT_FOUND;
 * ERR_BAD_METHOD, then *ret_allow is the Allow header's value; ERR_INVALID for a broken
 * percent-escape. */
enum err route_find(struct arena *arena, const struct http_request *request, unsigned door,
                    unsigned extra_admin_doors, struct route_match *ret, const char **ret_allow,
                    struct err_text *text) MUST_CHECK;

/* The same for gRPC. ERR_UNSUPPORTED: no such service or method, or not on this door;
 * ERR_BAD_METHOD. */
enum err route_find_rpc(const struct http_request *request, unsigned door,
                        unsigned extra_admin_doors, struct route_match *ret,
                        struct err_text *text) MUST_CHECK;
/* The row of a path; NULL: there is none. */
const struct route *route_of_rpc(struct str path);
