/* Response heads; reason phrases are the registered ones (RFC 9110, 6585). */
#include "net/http1_response.h"

#include "base/check.h"

struct reason {
    int status;
    const char *line; /* "200 OK" */
};

static const struct reason reasons[] = {
    {200, "200 OK"},
    {202, "202 Accepted"},
    {204, "204 No Content"},
    {206, "206 Partial Content"},
    {301, "301 Moved Permanently"},
    {302, "302 Found"},
    {304, "304 Not Modified"},
    {307, "307 Temporary Redirect"},
    {308, "308 Permanent Redirect"},
    {400, "400 Bad Request"},
    {401, "401 Unauthorized"},
    {403, "403 Forbidden"},
    {404, "404 Not Found"},
    {405, "405 Method Not Allowed"},
    {406, "406 Not Acceptable"},
    {408, "408 Request Timeout"},
    {409, "409 Conflict"},
    {411, "411 Length Required"},
    {412, "412 Precondition Failed"},
    {413, "413 Content Too Large"},
    {414, "414 URI Too Long"},
    {415, "415 Unsupported Media Type"},
    {417, "417 Expectation Failed"},
    {421, "421 Misdirected Request"},
    {422, "422 Unprocessable Content"},
    {429, "429 Too Many Requests"},
    {431, "431 Request Header Fields Too Large"},
    {499, "499 Client Closed Request"},
    {500, "500 Internal Server Error"},
    {501, "501 Not Implemented"},
    {502, "502 Bad Gateway"},
    {503, "503 Service Unavailable"},
    {504, "504 Gateway Timeout"},
    {505, "505 HTTP Version Not Supported"},
};

static void add_status_line(struct buffer *out, int status) {
    buffer_add_str(out, STR("HTTP/1.1 "));
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status) {
            buffer_add_c(out, reasons[i].line);
            buffer_add_str(out, STR("\r\n"));
            return;
        }
    }
    buffer_add_format(out, "%03d \r\n", status); /* the phrase may be empty */
}

static void add_value(struct buffer *out, struct str value) {
    char *to = buffer_reserve(out, value.n);
    if (!to)
        return;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        to[i] = ANOMALY(c == '\r' || c == '\n' || c == '\0') ? ' ' : c;
    }
    out->used += value.n;
}

bool http1_status_has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

void http1_write_head(struct buffer *out, const struct http1_head *head) {
    add_status_line(out, head->status);
    for (size_t i = 0; i < head->header_count; i++) {
        buffer_add_str(out, head->headers[i].name);
        buffer_add_str(out, STR(": "));
        add_value(out, head->headers[i].value);
        buffer_add_str(out, STR("\r\n"));
    }
    if (http1_status_has_body(head->status)) {
        buffer_add_str(out, STR("Content-Length: "));
        buffer_add_u64(out, head->body_length);
        buffer_add_str(out, STR("\r\n"));
    }
    if (head->close)
        buffer_add_str(out, STR("Connection: close\r\n"));
    else if (head->minor_version == 0)
        buffer_add_str(out, STR("Connection: keep-alive\r\n"));
    buffer_add_str(out, STR("\r\n"));
}

size_t http1_refusal_headers(const struct http_refusal *refusal,
                             struct http_header to[HTTP1_REFUSAL_HEADERS_MAX]) {
    size_t count = 0;
    to[count++] = (struct http_header){STR("Content-Type"), STR("application/json")};
    if (refusal->err == ERR_TOO_MANY_CONNECTIONS)
        to[count++] = (struct http_header){STR("Retry-After"), STR("1")};
    CHECK(refusal->extra_count <= HTTP_REFUSAL_HEADERS_MAX);
    for (size_t i = 0; i < refusal->extra_count; i++)
        to[count++] = refusal->extra[i];
    return count;
}

void http1_write_error(struct buffer *out, const char *text) {
    buffer_add_str(out, STR("{\"error\":"));
    buffer_add_json_string(out, str_of(text));
    buffer_add_char(out, '}');
}
