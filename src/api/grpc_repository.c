/* The repository's index, load and unload, as REST's (repository.c). Thread: the call's loop. */
#include "api/grpc.h"
#include "api/lookup.h"
#include "api/repository.h"
#include "api/rpcs.h"

#include <inference.pb-c.h>

static enum err check_repository(const char *name, struct err_text *text) {
    if (!*name)
        return ERR_OK;
    return err_set(text, ERR_INVALID, "there is one repository, without a name; asked for '%s'",
                   name);
}

static void add_entry(struct call *call, const struct index_entry *entry,
                      Inference__RepositoryIndexResponse__ModelIndex *ret) {
    inference__repository_index_response__model_index__init(ret);
    ret->name = arena_copy(call->arena, str_of(entry->name));
    if (entry->version)
        ret->version = arena_copy(call->arena, str_of(entry->version));
    ret->state = arena_copy(call->arena, str_of(entry->state));
    ret->reason = arena_copy(call->arena, str_of(entry->reason));
}

void rpc_repository_index(struct call *call) {
    struct err_text text;
    ProtobufCMessage *message;
    enum err e = grpc_read(call, &inference__repository_index_request__descriptor, &message, &text);
    const Inference__RepositoryIndexRequest *request = e ? NULL : (const void *)message;
    if (!e)
        e = check_repository(request->repository_name, &text);
    if (e) {
        call_fail(call, e, &text);
        return;
    }
    typedef Inference__RepositoryIndexResponse__ModelIndex model_index;
    struct index_entry *entries;
    size_t count = call_list_index(call, request->ready, &entries);
    model_index *items = arena_new(call->arena, (count + 1) * sizeof *items);
    model_index **pointers = arena_new(call->arena, (count + 1) * sizeof *pointers);
    for (size_t i = 0; i < count; i++) {
        add_entry(call, &entries[i], &items[i]);
        pointers[i] = &items[i];
    }
    Inference__RepositoryIndexResponse response = INFERENCE__REPOSITORY_INDEX_RESPONSE__INIT;
    response.n_models = count;
    response.models = pointers;
    grpc_respond(call, &response.base);
}

/* Both requests have the same fields under the same numbers. */
static enum err read_order(struct call *call, bool unload, struct err_text *text) {
    ProtobufCMessage *message;
    enum err e =
        grpc_read(call, &inference__repository_model_load_request__descriptor, &message, text);
    if (e)
        return e;
    const Inference__RepositoryModelLoadRequest *request = (const void *)message;
    e = check_repository(request->repository_name, text);
    for (size_t i = 0; !e && !unload && i < request->n_parameters; i++)
        e = repository_check_parameter(str_of(request->parameters[i]->key), text);
    if (!e)
        call->match.model = str_of(request->model_name);
    return e;
}

static void handle_order(struct call *call, bool unload) {
    struct err_text text;
    enum err e = read_order(call, unload, &text);
    if (e)
        call_fail(call, e, &text);
    else
        repository_order(call, unload);
}

void rpc_repository_load(struct call *call) {
    handle_order(call, false);
}

void rpc_repository_unload(struct call *call) {
    handle_order(call, true);
}
