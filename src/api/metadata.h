/* What metadata calls say whatever the protocol. Thread: the call's loop. */
#pragma once

#include "api/call.h"

extern const char *const metadata_extensions[];
extern const size_t metadata_extension_count;
extern const char metadata_platform[];

/* The names of the versions that serve, or just `only`'s; in the call's arena. Returns how many. */
size_t metadata_versions(struct call *call, const struct catalog_model *model,
                         const struct model_version *only, const char ***ret);
