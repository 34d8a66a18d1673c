#include "api/body.h"

#include "protocol/coding.h"

#include <yyjson.h>

enum err call_plain_body(struct call *call, char **ret_body, size_t *ret_length,
                         struct err_text *text) {
    struct http_request *request = &call->exchange->request;
    *ret_body = request->body;
    *ret_length = request->body_length;
    struct str header = http_header_find(request, STR("Content-Encoding"));
    enum coding coding = CODING_IDENTITY;
    enum err e = header.p ? coding_from_content_encoding(header, &coding, text) : ERR_OK;
    if (e || coding == CODING_IDENTITY)
        return e;
    struct buffer *out = &call->inflated;
    buffer_init(out, call->loop->service->options.inflated_bytes_max);
    e = coding_inflate(coding, (struct str){request->body, request->body_length}, out, text);
    if (e)
        return e;
    out->max += V2_BODY_SPARE;
    if (!buffer_reserve(out, V2_BODY_SPARE))
        return err_set(text, ERR_NO_MEMORY, "no memory to decompress the body");
    *ret_body = out->data;
    *ret_length = out->used;
    return ERR_OK;
}

enum err call_json_body(struct call *call, const char *what, struct yyjson_doc **ret,
                        struct err_text *text) {
    char *body;
    size_t length;
    *ret = NULL;
    enum err e = call_plain_body(call, &body, &length, text);
    if (e || length == 0)
        return e;
    yyjson_read_err error;
    yyjson_doc *document = yyjson_read_opts(body, length, 0, NULL, &error);
    if (!document && error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(text, ERR_NO_MEMORY, "no memory to read the request JSON of %s", what);
    if (!document)
        return err_set(text, ERR_INVALID, "failed to parse the request JSON of %s: %s at byte %zu",
                       what, error.msg, error.pos);
    if (!yyjson_is_obj(yyjson_doc_get_root(document))) {
        yyjson_doc_free(document);
        return err_set(text, ERR_INVALID, "the body of %s must be a JSON object", what);
    }
    *ret = document;
    return ERR_OK;
}
