/* Small files read whole: found, missing, too large, and what is not a file. */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64];
    char path[96];
    struct buffer out;
    struct err_text text;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->folder, sizeof f->folder, "/tmp/inferd-file-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/it", f->folder);
    buffer_init(&f->out, 10);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    rmdir(f->folder);
    buffer_done(&f->out);
    free(f);
    return 0;
}

static void write_file(const struct fixture *f, const char *content) {
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void test_reads_all_of_a_file_up_to_the_buffers_maximum(void **state) {
    struct fixture *f = *state;
    write_file(f, "0123456789");
    assert_int_equal(file_read(f->path, &f->out, &f->text), ERR_OK);
    assert_true(str_eq(buffer_str(&f->out), STR("0123456789")));
}

static void test_a_larger_file_is_refused_with_the_bound(void **state) {
    struct fixture *f = *state;
    write_file(f, "0123456789a");
    assert_int_equal(file_read(f->path, &f->out, &f->text), ERR_INVALID);
    assert_non_null(strstr(f->text.s, "is larger than 10 bytes"));
}

static void test_a_missing_file_is_not_found(void **state) {
    struct fixture *f = *state;
    assert_int_equal(file_read(f->path, &f->out, &f->text), ERR_NOT_FOUND);
    assert_non_null(strstr(f->text.s, f->path));
}

static void test_a_pipe_or_a_folder_is_refused_and_not_waited_for(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(file_read(f->path, &f->out, &f->text), ERR_INVALID);
    assert_non_null(strstr(f->text.s, "is not a regular file"));
    assert_int_equal(file_read(f->folder, &f->out, &f->text), ERR_INVALID);
}

/* The own process's memory is a regular file, and nothing is at its beginning. */
static void test_a_file_that_opens_but_cannot_be_read_is_refused_with_the_reason(void **state) {
    struct fixture *f = *state;
    assert_int_equal(file_read("/proc/self/mem", &f->out, &f->text), ERR_INVALID);
    assert_string_equal(f->text.s, "cannot read '/proc/self/mem': Input/output error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_all_of_a_file_up_to_the_buffers_maximum, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_larger_file_is_refused_with_the_bound, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_file_is_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pipe_or_a_folder_is_refused_and_not_waited_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_file_that_opens_but_cannot_be_read_is_refused_with_the_reason, set_up,
            tear_down),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
