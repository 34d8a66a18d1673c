#include "base/file.h"

#include <errno.h>
#include <stdio.h>

enum err file_read(const char *path, struct buffer *out, struct err_text *text) {
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(text, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "cannot read '%s': %s",
                       path, strerror(errno));
    char chunk[4096];
    size_t n;
    while (!out->full && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buffer_add(out, chunk, n);
    int trouble = ferror(file) ? errno : 0;
    fclose(file);
    if (trouble)
        return err_set(text, ERR_INVALID, "cannot read '%s': %s", path, strerror(trouble));
    if (out->full)
        return err_set(text, ERR_INVALID, "'%s' is larger than %zu bytes", path, out->max);
    return ERR_OK;
}
