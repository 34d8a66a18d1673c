/* The names of folders in a model repository. Pure. (Model names: model_name_valid in manager.h) */
#pragma once

#include "base/str.h"

/* A version folder's name: 1 .. 2^63-1, decimal, without leading zeros. */
bool version_number_read(struct str name, int64_t *ret);
