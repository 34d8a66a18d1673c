/* Small files, read whole. Thread: any; blocks. */
#pragma once

#include "base/buffer.h"

/* Appends the file's content to `out`. ERR_NOT_FOUND when there is no such file; ERR_INVALID,
 * naming the file, when it cannot be read or does not fit out->max. */
enum err file_read(const char *path, struct buffer *out, struct err_text *text) MUST_CHECK;
