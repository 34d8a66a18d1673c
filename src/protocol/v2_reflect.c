/* Server reflection over the definitions that were compiled in: a FileDescriptorSet, searched as it
 * lies. It is asked for by people's tools, seldom, so nothing is indexed.
 * Field numbers: google/protobuf/descriptor.proto. Source: gRPC, server reflection. */
#include "base/check.h"
#include "base/num.h"
#include "protocol/v2_proto.h"
#include "protocol/v2_wire.h"

#include <proto_descriptors.h>

enum { ENTRIES_MAX = 16, ASKED_TEXT_MAX = 256, REQUEST_MAX = 65536 };

enum request_field {
    ASKS_NOTHING = 0,
    HOST = 1,
    BY_FILENAME = 3,
    BY_SYMBOL = 4,
    BY_EXTENSION = 5,
    EXTENSIONS_OF = 6,
    SERVICES = 7,
};
enum {
    VALID_HOST = 1,
    ORIGINAL_REQUEST = 2,
    FILES = 4,
    NUMBERS = 5,
    SERVICE_LIST = 6,
    FAILURE = 7
};
enum { FILES_ENTRY = 1, NUMBERS_BASE = 1, SERVICE_ENTRY = 1, FAILURE_CODE = 1, FAILURE_TEXT = 2 };

enum { SET_FILE = 1 };
enum { ANY_NAME = 1 }; /* of a file, message, enum, service, method, field */
enum { FILE_PACKAGE = 2, FILE_DEPENDENCY = 3, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6 };
enum { MESSAGE_FIELD = 2, MESSAGE_MESSAGE = 3, MESSAGE_ENUM = 4 };
enum { SERVICE_METHOD = 2 };

enum kind { KIND_FILE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_MEMBER };

/* The kind of what a field of a descriptor holds; false when it is nothing with a name. */
static bool kind_of(enum kind parent, uint32_t number, enum kind *ret) {
    static const struct {
        enum kind parent;
        uint32_t number;
        enum kind kind;
    } rows[] = {
        {KIND_FILE, FILE_MESSAGE, KIND_MESSAGE},       {KIND_FILE, FILE_ENUM, KIND_ENUM},
        {KIND_FILE, FILE_SERVICE, KIND_SERVICE},       {KIND_MESSAGE, MESSAGE_FIELD, KIND_MEMBER},
        {KIND_MESSAGE, MESSAGE_MESSAGE, KIND_MESSAGE}, {KIND_MESSAGE, MESSAGE_ENUM, KIND_ENUM},
        {KIND_SERVICE, SERVICE_METHOD, KIND_MEMBER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].parent == parent && rows[i].number == number) {
            *ret = rows[i].kind;
            return true;
        }
    }
    return false;
}

/* The first field of that number; p == NULL: none. */
static struct str field_of(struct str message, uint32_t number) {
    struct v2_wire_field field;
    while (v2_wire_next(&message, &field))
        if (field.number == number && field.type == V2_WIRE_BYTES)
            return field.bytes;
    return (struct str){NULL, 0};
}

/* Takes the next file off *rest, which begins as the whole set. */
static bool next_file(struct str *rest, struct str *ret) {
    struct v2_wire_field field;
    if (!v2_wire_next(rest, &field))
        return false;
    CHECK(field.number == SET_FILE);
    *ret = field.bytes;
    return true;
}

static struct str all_files(void) {
    return (struct str){(const char *)proto_descriptors, proto_descriptors_size};
}

/* Takes `name` and the dot behind it off *path; false when it does not begin so. */
static bool take_name(struct str *path, struct str name) {
    if (!str_starts(*path, name) || (path->n > name.n && path->p[name.n] != '.'))
        return false;
    size_t n = MIN(name.n + 1, path->n);
    *path = (struct str){path->p + n, path->n - n};
    return true;
}

/* Is `path` ("Message.Nested.field") defined in this descriptor? Each turn goes down one level. */
static bool defines(struct str scope, struct str path, enum kind *ret_kind) {
    enum kind kind = KIND_FILE;
    while (path.n > 0) {
        struct str rest = scope;
        struct v2_wire_field field;
        bool found = false;
        while (!found && v2_wire_next(&rest, &field)) {
            enum kind child;
            found = kind_of(kind, field.number, &child) &&
                    take_name(&path, field_of(field.bytes, ANY_NAME));
            if (found) {
                scope = field.bytes;
                kind = child;
            }
        }
        if (!found)
            return false;
    }
    *ret_kind = kind;
    return kind != KIND_FILE;
}

/* The file that defines a symbol by its full name. */
static bool find_symbol(struct str symbol, struct str *ret_file, enum kind *ret_kind) {
    struct str rest = all_files();
    struct str file;
    while (next_file(&rest, &file)) {
        struct str path = symbol;
        if (take_name(&path, field_of(file, FILE_PACKAGE)) && defines(file, path, ret_kind)) {
            *ret_file = file;
            return true;
        }
    }
    return false;
}

static bool find_file(struct str name, struct str *ret) {
    struct str rest = all_files();
    while (next_file(&rest, ret))
        if (str_eq(field_of(*ret, ANY_NAME), name))
            return true;
    return false;
}

/* ---- Answers: the content of one of the fields FILES, NUMBERS, SERVICE_LIST, FAILURE ---- */

struct answer {
    struct arena *arena;
    uint32_t field;
    struct str content;
};

static void answer_error(struct answer *answer, enum err e, const char *what, struct str asked) {
    asked.n = MIN(asked.n, (size_t)ASKED_TEXT_MAX);
    const char *message = arena_format(answer->arena, "%s '%.*s'", what, STR_ARG(asked));
    struct str text = str_of(str_is_utf8(str_of(message)) ? message : what);
    char *start = arena_new(answer->arena, 1 + V2_WIRE_VARINT_MAX + v2_wire_bytes_size(text.n));
    char *out = start;
    *out++ = FAILURE_CODE << 3 | V2_WIRE_VARINT;
    out = v2_wire_put_varint(out, (uint64_t)err_grpc_code(e));
    out = v2_wire_put_str(out, FAILURE_TEXT, text);
    answer->field = FAILURE;
    answer->content = (struct str){start, (size_t)(out - start)};
}

/* The same field for each of the entries. */
static void answer_list(struct answer *answer, uint32_t field, uint32_t entry_field,
                        const struct str *entries, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += v2_wire_bytes_size(entries[i].n);
    char *start = arena_new(answer->arena, size);
    char *out = start;
    for (size_t i = 0; i < count; i++)
        out = v2_wire_put_str(out, entry_field, entries[i]);
    CHECK((size_t)(out - start) == size);
    answer->field = field;
    answer->content = (struct str){start, size};
}

/* Appends those of a file's dependencies that are not listed yet. */
static size_t add_dependencies(struct str file, struct str *list, size_t count) {
    struct v2_wire_field field;
    while (v2_wire_next(&file, &field)) {
        struct str found;
        if (field.number != FILE_DEPENDENCY || !find_file(field.bytes, &found))
            continue;
        bool listed = false;
        for (size_t i = 0; i < count; i++)
            listed = listed || list[i].p == found.p;
        if (listed)
            continue;
        CHECK(count < ENTRIES_MAX);
        list[count++] = found;
    }
    return count;
}

/* A file and, behind it, all that it depends on. */
static void answer_file(struct answer *answer, struct str file) {
    struct str list[ENTRIES_MAX] = {file};
    size_t count = 1;
    for (size_t i = 0; i < count; i++)
        count = add_dependencies(list[i], list, count);
    answer_list(answer, FILES, FILES_ENTRY, list, count);
}

static void answer_symbol(struct answer *answer, struct str symbol) {
    struct str file;
    enum kind kind;
    if (find_symbol(symbol, &file, &kind))
        answer_file(answer, file);
    else
        answer_error(answer, ERR_NOT_FOUND, "unknown symbol", symbol);
}

static void answer_filename(struct answer *answer, struct str name) {
    struct str file;
    if (find_file(name, &file))
        answer_file(answer, file);
    else
        answer_error(answer, ERR_NOT_FOUND, "unknown file", name);
}

/* No message here has extensions. */
static void answer_extensions(struct answer *answer, struct str type) {
    struct str file;
    enum kind kind;
    if (find_symbol(type, &file, &kind) && kind == KIND_MESSAGE)
        answer_list(answer, NUMBERS, NUMBERS_BASE, &type, 1);
    else
        answer_error(answer, ERR_NOT_FOUND, "unknown message", type);
}

/* "package.Service" as the name (1) in a ServiceResponse. */
static struct str service_entry(struct arena *arena, struct str package, struct str service) {
    struct str name = str_of(arena_format(arena, "%.*s.%.*s", STR_ARG(package), STR_ARG(service)));
    char *out = arena_new(arena, v2_wire_bytes_size(name.n));
    return (struct str){out, (size_t)(v2_wire_put_str(out, ANY_NAME, name) - out)};
}

static void answer_services(struct answer *answer) {
    struct str list[ENTRIES_MAX];
    size_t count = 0;
    struct str rest = all_files();
    struct str file;
    while (next_file(&rest, &file)) {
        struct str package = field_of(file, FILE_PACKAGE);
        struct v2_wire_field field;
        while (v2_wire_next(&file, &field)) {
            if (field.number != FILE_SERVICE)
                continue;
            CHECK(count < ENTRIES_MAX);
            list[count++] = service_entry(answer->arena, package, field_of(field.bytes, ANY_NAME));
        }
    }
    answer_list(answer, SERVICE_LIST, SERVICE_ENTRY, list, count);
}

static void answer_request(struct answer *answer, enum request_field asks, struct str asked) {
    switch (asks) {
    case BY_FILENAME:
        answer_filename(answer, asked);
        break;
    case BY_SYMBOL:
        answer_symbol(answer, asked);
        break;
    case BY_EXTENSION:
        answer_error(answer, ERR_NOT_FOUND, "there are no extensions", STR(""));
        break;
    case EXTENSIONS_OF:
        answer_extensions(answer, asked);
        break;
    case SERVICES:
        answer_services(answer);
        break;
    case HOST:
    case ASKS_NOTHING:
        answer_error(answer, ERR_INVALID, "nothing is asked for", STR(""));
        break;
    }
}

static void write_answer(struct buffer *out, const struct answer *answer, struct str host,
                         struct str request) {
    size_t size = v2_wire_bytes_size(host.n) + v2_wire_bytes_size(request.n) +
                  v2_wire_bytes_size(answer->content.n);
    char *start = buffer_reserve(out, GRPC_PREFIX_SIZE + size);
    if (!start)
        return;
    grpc_prefix_write(start, false, size);
    char *to = start + GRPC_PREFIX_SIZE;
    to = v2_wire_put_str(to, VALID_HOST, host);
    to = v2_wire_put_str(to, ORIGINAL_REQUEST, request);
    to = v2_wire_put_str(to, answer->field, answer->content);
    CHECK(to == start + GRPC_PREFIX_SIZE + size);
    out->used += GRPC_PREFIX_SIZE + size;
}

enum err v2_proto_reflect(struct arena *arena, struct str message, struct buffer *out,
                          struct err_text *text) {
    if (message.n > REQUEST_MAX) { /* it is echoed */
        return err_set(text, ERR_BODY_TOO_LARGE,
                       "the ServerReflectionRequest has %zu bytes, and at most %d are accepted",
                       message.n, REQUEST_MAX);
    }
    enum request_field asks = ASKS_NOTHING;
    struct str asked = STR("");
    struct str host = STR("");
    struct str rest = message;
    struct v2_wire_field field;
    bool fits = true;
    while (v2_wire_next(&rest, &field)) {
        if (field.number == HOST)
            host = field.bytes;
        else if (field.number < BY_FILENAME || field.number > SERVICES)
            continue;
        else {
            asks = (enum request_field)field.number;
            asked = field.bytes;
        }
        fits = fits && field.type == V2_WIRE_BYTES &&
               (field.number == BY_EXTENSION || str_is_utf8(field.bytes));
    }
    if (!fits || rest.n > 0) {
        return err_set(text, ERR_INVALID,
                       "Unable to parse the ServerReflectionRequest: its %zu bytes are no such "
                       "message",
                       message.n);
    }
    struct answer answer = {arena, 0, STR("")};
    answer_request(&answer, asks, asked);
    write_answer(out, &answer, host, message);
    return ERR_OK;
}
