/* Helpers over struct http_request. */
#include "net/http.h"

struct str http_header_find(const struct http_request *request, struct str name) {
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.n == name.n && str_eq_nocase(header->name, name))
            return header->value;
    }
    return (struct str){NULL, 0};
}
