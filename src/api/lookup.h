/* Finding what a call speaks of. Thread: the call's loop. */
#pragma once

#include "api/call.h"

/* The version of the call's path, counted in call->version. ERR_NOT_FOUND, ERR_NOT_READY. */
enum err call_find_version(struct call *call, struct err_text *text) MUST_CHECK;
/* The model of the call's path, borrowed from the catalog. */
enum err call_find_model(const struct call *call, const struct catalog_model **ret,
                         struct err_text *text) MUST_CHECK;
