#include "api/lookup.h"

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
