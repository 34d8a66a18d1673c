#include "api/lookup.h"

#include "base/num.h"

static enum err not_read_yet(struct err_text *text) {
    return err_set(text, ERR_NOT_READY, "the model repository has not been read yet");
}

enum err call_find_version(struct call *call, struct err_text *text) {
    if (!call->loop->catalog)
        return not_read_yet(text);
    struct model_version *version;
    enum err e =
        catalog_find(call->loop->catalog, call->match.model, call->match.version, &version, text);
    if (e)
        return e;
    model_version_ref(version);
    call->version = version;
    return ERR_OK;
}

enum err call_find_model(const struct call *call, const struct catalog_model **ret,
                         struct err_text *text) {
    if (!call->loop->catalog)
        return not_read_yet(text);
    const struct catalog_model *model = catalog_find_model(call->loop->catalog, call->match.model);
    if (!model)
        return err_set(text, ERR_NOT_FOUND, "Request for unknown model: '%.*s' is not found",
                       STR_ARG(call->match.model));
    *ret = model;
    return ERR_OK;
}

static size_t count_versions(const struct catalog *catalog) {
    size_t count = 0;
    for (size_t m = 0; catalog && m < catalog->model_count; m++)
        count += MAX(1, catalog->models[m].version_count);
    return count;
}

enum err call_find_versions(struct call *call, const struct model_version ***ret, size_t *ret_count,
                            struct err_text *text) {
    const struct catalog *catalog = call->loop->catalog;
    const struct catalog_model *only = NULL;
    enum err e = call->match.model.n ? call_find_model(call, &only, text) : ERR_OK;
    if (!e && call->match.version.n)
        e = call_find_version(call, text);
    if (e)
        return e;
    size_t count = 0;
    const struct model_version **list =
        arena_new(call->arena, count_versions(catalog) * sizeof *list);
    for (size_t m = 0; catalog && m < catalog->model_count; m++) {
        const struct catalog_model *model = &catalog->models[m];
        for (size_t v = 0; (!only || model == only) && v < model->version_count; v++) {
            const struct model_version *live = model->versions[v].live;
            if (live && (!call->version || live == call->version))
                list[count++] = live;
        }
    }
    *ret = list;
    *ret_count = count;
    return ERR_OK;
}

size_t call_list_index(struct call *call, bool ready_only, struct index_entry **ret) {
    const struct catalog *catalog = call->loop->catalog;
    size_t count = 0;
    struct index_entry *list = arena_new(call->arena, count_versions(catalog) * sizeof *list);
    for (size_t m = 0; catalog && m < catalog->model_count; m++) {
        const struct catalog_model *model = &catalog->models[m];
        for (size_t v = 0; v < model->version_count; v++) {
            const struct catalog_version *version = &model->versions[v];
            if (!ready_only || version->live)
                list[count++] = (struct index_entry){
                    model->name, version->version, model_state_v2(version->state), version->reason};
        }
        if (model->version_count == 0 && !ready_only)
            list[count++] = (struct index_entry){model->name, NULL, "UNAVAILABLE",
                                                 model->unloaded ? "unloaded" : model->reason};
    }
    *ret = list;
    return count;
}
