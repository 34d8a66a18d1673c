/* Orders to the model repository, for whatever protocol they come by. Thread: the call's loop. */
#pragma once

#include "api/call.h"

/* Loads or unloads call->match.model and answers when it is done. */
void repository_order(struct call *call, bool unload);
/* Load parameters may carry Triton's config and file overrides, which change what is served without
 * a trace in the repository: refused by name. Anything else is ignored, as Triton's clients send
 * unload_dependents. */
enum err repository_check_parameter(struct str name, struct err_text *text) MUST_CHECK;
