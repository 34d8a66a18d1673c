/* Parts of a request that HTTP/1.1 and HTTP/2 share: pure. */
#pragma once

#include "net/http.h"

enum http_method http_method_of(struct str text);
/* Fills path and query from the target: origin form "/path?query", absolute form
 * "http://host/path?query", or "*" (RFC 9112, 3.2). */
void http_split_target(struct http_request *request, struct str target);
