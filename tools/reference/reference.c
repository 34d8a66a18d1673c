// Prints a page of docs/reference that `inferd docs` does not: straight from the server's tables.
//
//   reference errors|routes
//
// tools/docs.sh compiles and runs it; it links nothing of the server.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void print_header(const char *title, const char *source, const char *intro) {
    printf("<!-- Written by `make docs` from src/%s: do not edit. -->\n# %s\n\n%s\n\n", source,
           title, intro);
}

struct error {
    const char *name;
    int http, grpc;
    const char *text;
};

static const struct error errors[] = {
#define ERR(name, http, grpc, text) {#name, http, grpc, text},
#include "base/error.def"
#undef ERR
};

static void print_errors(void) {
    static const char *const grpc_names[] = {"OK",
                                             "CANCELLED",
                                             "UNKNOWN",
                                             "INVALID_ARGUMENT",
                                             "DEADLINE_EXCEEDED",
                                             "NOT_FOUND",
                                             "ALREADY_EXISTS",
                                             "PERMISSION_DENIED",
                                             "RESOURCE_EXHAUSTED",
                                             "FAILED_PRECONDITION",
                                             "ABORTED",
                                             "OUT_OF_RANGE",
                                             "UNIMPLEMENTED",
                                             "INTERNAL",
                                             "UNAVAILABLE",
                                             "DATA_LOSS",
                                             "UNAUTHENTICATED"};
    print_header(
        "Errors", "base/error.def",
        "Every way a request can fail. REST's body is always `{\"error\": \"...\"}`, and gRPC's\n"
        "`grpc-message` has the same text, which names what was wrong; it is the one below only\n"
        "when nothing better is known.");
    printf("| error | HTTP | gRPC | text |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(errors); i++) {
        const struct error *e = &errors[i];
        const char *grpc =
            e->grpc >= 0 && (size_t)e->grpc < COUNT(grpc_names) ? grpc_names[e->grpc] : "?";
        printf("| `%s` | %d | %s | %s |\n", e->name, e->http, grpc, e->text);
    }
}

enum { DOOR_DATA = 1, DOOR_MANAGEMENT = 2, DOOR_GRPC = 4 };

struct route {
    const char *method, *pattern, *needs;
    int doors;
    bool stream;
};

static const struct route routes[] = {
#define ROUTE(method, pattern, handler, doors, needs, kind)                                        \
    {#method, pattern, #needs, doors, false},
#include "api/routes.def"
#undef ROUTE
};

static const struct route rpcs[] = {
#define RPC(service, method, handler, doors, needs, kind)                                          \
    {"", service "/" method, #needs, doors, false},
#define STREAM(service, method, handler, doors, needs, kind)                                       \
    {"", service "/" method, #needs, doors, true},
#include "api/grpc_routes.def"
#undef STREAM
#undef RPC
};

static const char *doors_of(const struct route *r) {
    switch (r->doors) {
    case DOOR_DATA | DOOR_MANAGEMENT:
        return "both";
    case DOOR_DATA | DOOR_MANAGEMENT | DOOR_GRPC:
        return "all";
    case DOOR_DATA | DOOR_GRPC:
        return "gRPC, data";
    default:
        return r->doors == DOOR_DATA ? "data" : "management";
    }
}

/* `where`: the listeners on which the data token is asked for. */
static const char *token_of(const struct route *r, const char *where) {
    if (strcmp(r->needs, "ADMIN_TOKEN") == 0)
        return "the admin token";
    return strcmp(r->needs, "DATA_TOKEN") == 0 ? where : "none";
}

static void print_routes(void) {
    print_header("Routes", "api/routes.def and src/api/grpc_routes.def",
                 "`{m}` is a model's name, `{v}` a version. `HEAD` is answered wherever `GET` is.");
    printf("| method | path | listener | token |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(routes); i++)
        printf("| %s | `%s` | %s | %s |\n", routes[i].method, routes[i].pattern,
               doors_of(&routes[i]),
               token_of(&routes[i], "on the data listener the data token, if configured"));
    printf("\n## gRPC\n\nOn the gRPC listener (`grpc.port`), and on the data and management "
           "listeners too.\nSee [gRPC](protocol.md#grpc).\n\n");
    printf("| call | listener | token |\n|---|---|---|\n");
    for (size_t i = 0; i < COUNT(rpcs); i++)
        printf("| `%s`%s | %s | %s |\n", rpcs[i].pattern, rpcs[i].stream ? " (stream)" : "",
               doors_of(&rpcs[i]),
               token_of(&rpcs[i], "the data token, if configured, but none on management"));
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*print)(void);
    } pages[] = {{"errors", print_errors}, {"routes", print_routes}};
    for (size_t i = 0; argc == 2 && i < COUNT(pages); i++) {
        if (strcmp(argv[1], pages[i].name) == 0) {
            pages[i].print();
            return 0;
        }
    }
    fputs("usage: reference errors|routes\n", stderr);
    return 2;
}
