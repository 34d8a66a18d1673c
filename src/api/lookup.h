/* Finding what a call speaks of. Thread: the call's loop. */
#pragma once

#include "api/call.h"

/* The version of the call's path, counted in call->version. ERR_NOT_FOUND, ERR_NOT_READY. */
enum err call_find_version(struct call *call, struct err_text *text) MUST_CHECK;
/* The model of the call's path, borrowed from the catalog. */
enum err call_find_model(const struct call *call, const struct catalog_model **ret,
                         struct err_text *text) MUST_CHECK;
/* The versions that the call speaks of and that serve: of all models when it names none. In the
 * call's arena, borrowed from the catalog. */
enum err call_find_versions(struct call *call, const struct model_version ***ret, size_t *ret_count,
                            struct err_text *text) MUST_CHECK;

/* One line of the repository's index; texts are the catalog's. */
struct index_entry {
    const char *name;
    const char *version; /* NULL: the model has none */
    const char *state, *reason;
};
/* The whole index, or what is ready of it, in the call's arena. Returns how many. */
size_t call_list_index(struct call *call, bool ready_only, struct index_entry **ret);
