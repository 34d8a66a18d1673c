#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Atomic uint64_t anomaly_count;

void check_failed(const char *what, const char *file, int line) {
    fprintf(stderr, "inferd: check failed: %s at %s:%d\n", what, file, line);
    abort();
}
