#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err cannot(struct err_text *text, const char *path, int error) {
    return err_set(text, error == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "cannot read '%s': %s",
                   path, strerror(error));
}

enum err file_read(const char *path, struct buffer *out, struct err_text *text) {
    /* O_NONBLOCK: opening a pipe must not wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cannot(text, path, errno);
    struct stat status;
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        close(fd);
        return err_set(text, ERR_INVALID, "'%s' is not a regular file", path);
    }
    char chunk[4096];
    ssize_t n = 0;
    while (!out->full && (n = read(fd, chunk, sizeof chunk)) > 0)
        buffer_add(out, chunk, (size_t)n);
    int error = !out->full && n < 0 ? errno : 0;
    close(fd);
    if (error)
        return cannot(text, path, error);
    if (out->full)
        return err_set(text, ERR_INVALID, "'%s' is larger than %zu bytes", path, out->max);
    return ERR_OK;
}
