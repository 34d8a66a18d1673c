/* How the manager (and a test) makes a catalog. A catalog is written by one thread, before it is
 * shared. */
#pragma once

#include "model/catalog.h"

/* One reference, the caller's. Texts are copied. trouble: NULL without. */
struct catalog *catalog_new(uint64_t generation, bool scanned, const char *trouble,
                            size_t model_max);
/* Models come in ascending name. reason: NULL without. The model is borrowed. */
struct catalog_model *catalog_add_model(struct catalog *catalog, const char *name,
                                        const char *reason, size_t version_max);
/* Versions come in ascending number. `row` is copied, its `version` text is made from the number;
 * `live` is referenced and makes the row READY-able. */
void catalog_add_version(struct catalog *catalog, struct catalog_model *model,
                         const struct catalog_version *row);
