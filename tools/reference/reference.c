// Prints a page of docs/reference that `inferd docs` does not: straight from the server's tables.
//
//   reference errors|routes
//
// tools/docs.sh compiles and runs it; it links nothing of the server.
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
        "Every way a request can fail. The body is always `{\"error\": \"...\"}`; its text names\n"
        "what was wrong, and is the one below only when nothing better is known.");
    printf("| error | HTTP | gRPC | text |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(errors); i++) {
        const struct error *e = &errors[i];
        const char *grpc =
            e->grpc >= 0 && (size_t)e->grpc < COUNT(grpc_names) ? grpc_names[e->grpc] : "?";
        printf("| `%s` | %d | %s | %s |\n", e->name, e->http, grpc, e->text);
    }
}

enum { DOOR_DATA = 1, DOOR_MANAGEMENT = 2 };

struct route {
    const char *method, *pattern, *needs;
    int doors;
};

static const struct route routes[] = {
#define ROUTE(method, pattern, handler, doors, needs, kind) {#method, pattern, #needs, doors},
#include "api/routes.def"
#undef ROUTE
};

static void print_routes(void) {
    print_header("Routes", "api/routes.def",
                 "`{m}` is a model's name, `{v}` a version. `HEAD` is answered wherever `GET` is.");
    printf("| method | path | listener | token |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(routes); i++) {
        const struct route *r = &routes[i];
        const char *door = r->doors == (DOOR_DATA | DOOR_MANAGEMENT) ? "both"
                           : r->doors == DOOR_DATA                   ? "data"
                                                                     : "management";
        const char *token = strcmp(r->needs, "ADMIN_TOKEN") == 0 ? "the admin token"
                            : strcmp(r->needs, "DATA_TOKEN") == 0
                                ? "on the data listener the data token, if configured"
                                : "none";
        printf("| %s | `%s` | %s | %s |\n", r->method, r->pattern, door, token);
    }
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
