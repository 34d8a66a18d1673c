// Runs a fuzz target over the files and folders named on the command line, as an ordinary test:
// every finding kept in the corpus stays fixed. The empty input is always run first.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs_run;

static void die(const char *what, const char *path) {
    fprintf(stderr, "replay: cannot %s %s\n", what, path);
    exit(2);
}

// Copies the file into an allocation of exactly its size, so that a read beyond it is caught.
static void replay_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        die("open", path);
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size)
        die("read", path);
    fclose(file);
    fprintf(stderr, "replay: %s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    inputs_run++;
    free(data);
}

static void replay_path(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        die("find", path);
    if (!S_ISDIR(status.st_mode)) {
        replay_file(path, (size_t)status.st_size);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        die("list", path);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char child[4096];
            int length = snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
            if (length < 0 || (size_t)length >= sizeof child)
                die("name a file below", path);
            replay_path(child);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    if (inputs_run == 0) {
        fputs("replay: the corpus is empty\n", stderr);
        return 2;
    }
    printf("replay: %zu inputs\n", inputs_run);
    return 0;
}
