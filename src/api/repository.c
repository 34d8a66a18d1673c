/* The model repository extension: index, load, unload. Orders go to the manager's thread and come
 * back to the loop that asked. */
#include "api/body.h"
#include "api/call.h"
#include "api/handlers.h"
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

static void add_index_entry(struct buffer *body, const char *model,
                            const struct catalog_version *version) {
    if (body->data[body->used - 1] != '[')
        buffer_add_char(body, ',');
    buffer_add_c(body, "{\"name\":");
    buffer_add_json_string(body, str_of(model));
    if (version) {
        buffer_add_c(body, ",\"version\":");
        buffer_add_json_string(body, str_of(version->version));
        buffer_add_format(body, ",\"state\":\"%s\",\"reason\":", model_state_v2(version->state));
        buffer_add_json_string(body, str_of(version->reason));
    }
}

void handle_repository_index(struct call *call) {
    bool ready_only;
    struct err_text text;
    enum err e = read_index_request(call, &ready_only, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    const struct catalog *catalog = call->loop->catalog;
    struct buffer *body = call_body(call);
    buffer_add_char(body, '[');
    for (size_t m = 0; catalog && m < catalog->model_count; m++) {
        const struct catalog_model *model = &catalog->models[m];
        for (size_t v = 0; v < model->version_count; v++) {
            if (ready_only && !model->versions[v].live)
                continue;
            add_index_entry(body, model->name, &model->versions[v]);
            buffer_add_char(body, '}');
        }
        if (model->version_count == 0 && !ready_only) {
            add_index_entry(body, model->name, NULL);
            buffer_add_c(body, ",\"state\":\"UNAVAILABLE\",\"reason\":");
            buffer_add_json_string(body, str_of(model->unloaded ? "unloaded" : model->reason));
            buffer_add_char(body, '}');
        }
    }
    buffer_add_char(body, ']');
    call_respond(call, 200, json_type);
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
        call_respond(call, 200, NULL);
    mem_free(&order);
}

/* `parameters` of load may carry Triton's config and file overrides, which change what is served
 * without a trace in the repository: refused by name. Anything else is ignored, as Triton's clients
 * send unload_dependents. */
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
        if (str_eq(name, STR("config")) || str_starts(name, STR("file:")))
            e = err_set(
                text, ERR_INVALID,
                "load parameter '%.*s' is not supported: change the files of the model repository "
                "(model.yaml holds a model's settings)",
                STR_ARG(name));
    }
    yyjson_doc_free(document);
    return e;
}

static void handle_order(struct call *call, bool unload) {
    struct err_text text;
    enum err e = check_order_body(call, &text);
    if (!e && !model_name_valid(call->match.model))
        e = err_set(
            &text, ERR_INVALID,
            "'%.*s' is not a model name: it must start with a letter or digit, go on with letters, "
            "digits, '.', '_' and '-', and have at most %d characters",
            STR_ARG(call->match.model), MODEL_NAME_MAX);
    if (e) {
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

void handle_repository_load(struct call *call) {
    handle_order(call, false);
}

void handle_repository_unload(struct call *call) {
    handle_order(call, true);
}
