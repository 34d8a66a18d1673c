/* The names of folders in a model repository. Pure. (Model names: model_name_valid in manager.h) */
#pragma once

#include "base/str.h"

/* Orders `a` and the name `b` as strcmp does: the order of every list of models. */
int model_name_order(struct str a, const char *b);
/* A version folder's name: 1 .. 2^63-1, decimal, without leading zeros. */
bool version_number_read(struct str name, int64_t *ret);
