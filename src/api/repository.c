/* The model repository extension: index, load, unload. Orders go to the manager's thread and come
 * back to the loop that asked. */
#include "api/repository.h"
#include "api/body.h"
#include "api/handlers.h"
#include "api/lookup.h"
#include "api/rest.h"
#include "base/memory.h"

#include <stdio.h>
#include <yyjson.h>

static const char json_type[] = "application/json";

/* {"ready": true} asks for ready versions only. An empty body asks for all. */
static enum err read_index_request(struct call *call, bool *ret_ready_only, struct err_text *text) {
    *ret_ready_only = false;
    yyjson_doc *document;
    enum err e = call_json_body(call, "a repository index request", &document, text);
    yyjson_val *ready = yyjson_obj_get(yyjson_doc_get_root(document), "ready");
    if (ready && !yyjson_is_bool(ready))
        e = err_set(text, ERR_INVALID,
                    "'ready' must be true or false in a repository index request");
    else
        *ret_ready_only = yyjson_get_bool(ready);
    yyjson_doc_free(document);
    return e;
}

static void add_index_entry(struct buffer *body, const struct index_entry *entry) {
    if (body->data[body->used - 1] != '[')
        buffer_add_char(body, ',');
    buffer_add_c(body, "{\"name\":");
    buffer_add_json_string(body, str_of(entry->name));
    if (entry->version) {
        buffer_add_c(body, ",\"version\":");
        buffer_add_json_string(body, str_of(entry->version));
    }
    buffer_add_format(body, ",\"state\":\"%s\",\"reason\":", entry->state);
    buffer_add_json_string(body, str_of(entry->reason));
    buffer_add_char(body, '}');
}

void handle_repository_index(struct call *call) {
    bool ready_only;
    struct err_text text;
    enum err e = read_index_request(call, &ready_only, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    struct index_entry *entries;
    size_t count = call_list_index(call, ready_only, &entries);
    struct buffer *body = call_body(call);
    buffer_add_char(body, '[');
    for (size_t i = 0; i < count; i++)
        add_index_entry(body, &entries[i]);
    buffer_add_char(body, ']');
    rest_respond(call, 200, json_type);
}

/* An order outlives its call when the client goes away: it is on the heap, and the call is told or
 * forgotten. */
struct order {
    struct model_order order;
    struct call *call;
};

static void order_done(struct model_order *model_order) {
    struct order *order = CONTAINER_OF(model_order, struct order, order);
    struct call *call = order->call;
    if (order->order.err)
        call_fail(call, order->order.err, &order->order.text);
    else
        call->codec->succeed(call);
    mem_free(&order);
}

enum err repository_check_parameter(struct str name, struct err_text *text) {
    if (!str_eq(name, STR("config")) && !str_starts(name, STR("file:")))
        return ERR_OK;
    return err_set(text, ERR_INVALID,
                   "load parameter '%.*s' is not supported: change the files of the model "
                   "repository (model.yaml holds a model's settings)",
                   STR_ARG(name));
}

static enum err check_order_body(struct call *call, struct err_text *text) {
    yyjson_doc *document;
    enum err e = call_json_body(call, "a load or unload request", &document, text);
    yyjson_val *parameters = yyjson_obj_get(yyjson_doc_get_root(document), "parameters");
    if (parameters && !yyjson_is_obj(parameters))
        e = err_set(text, ERR_INVALID, "'parameters' must be a JSON object");
    yyjson_obj_iter iterator = yyjson_obj_iter_with(parameters);
    yyjson_val *key;
    while (!e && (key = yyjson_obj_iter_next(&iterator))) {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        e = repository_check_parameter(name, text);
    }
    yyjson_doc_free(document);
    return e;
}

void repository_order(struct call *call, bool unload) {
    struct err_text text;
    if (!model_name_valid(call->match.model)) {
        enum err e = err_set(&text, ERR_INVALID,
                             "'%.*s' is not a model name: it must start with a letter or digit, go "
                             "on with letters, digits, '.', '_' and '-', and have at most %d "
                             "characters",
                             STR_ARG(call->match.model), MODEL_NAME_MAX);
        call_fail(call, e, &text);
        return;
    }
    struct order *order = mem_new(sizeof *order);
    order->call = call;
    order->order.unload = unload;
    order->order.owner = loop_mailbox(call->loop->loop);
    order->order.done = order_done;
    snprintf(order->order.name, sizeof order->order.name, "%.*s", STR_ARG(call->match.model));
    model_manager_order(call->loop->service->manager, &order->order);
}

static void handle_order(struct call *call, bool unload) {
    struct err_text text;
    enum err e = check_order_body(call, &text);
    if (e)
        call_fail(call, e, &text);
    else
        repository_order(call, unload);
}

void handle_repository_load(struct call *call) {
    handle_order(call, false);
}

void handle_repository_unload(struct call *call) {
    handle_order(call, true);
}
