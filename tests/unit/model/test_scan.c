/* Reading a repository's folders. */
#include "model/support.h"

#include "model/scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct place place, outside;
static struct scan scan;

static int start(void **state) {
    (void)state;
    place_make(&place);
    place_make(&outside);
    return 0;
}

static int stop(void **state) {
    (void)state;
    scan_done(&scan);
    place_remove(&place);
    place_remove(&outside);
    return 0;
}

static void read_again(void) {
    scan_done(&scan);
    scan_read(&scan, place.root, NULL);
}

static const struct scan_model *model(const char *name) {
    for (size_t i = 0; i < scan.model_count; i++)
        if (strcmp(scan.models[i].name, name) == 0)
            return &scan.models[i];
    return NULL;
}

static const struct scan_version *version(const char *name, int64_t number) {
    const struct scan_model *found = model(name);
    for (size_t i = 0; found && i < found->version_count; i++)
        if (found->versions[i].number == number)
            return &found->versions[i];
    return NULL;
}

static const char *why_ignored(const char *path) {
    for (size_t i = 0; i < scan.ignored_count; i++)
        if (strcmp(scan.ignored[i].path, path) == 0)
            return scan.ignored[i].why;
    return NULL;
}

static void test_models_and_versions_come_in_order(void **state) {
    (void)state;
    place_write(&place, "b/10/model.onnx", "x");
    place_write(&place, "b/9/model.onnx", "x");
    place_write(&place, "a/1/model.onnx", "x");
    place_write(&place, "a/README.md", "x");
    place_write(&place, "README.md", "x");
    read_again();
    assert_null(scan.trouble);
    assert_int_equal(scan.model_count, 2);
    assert_string_equal(scan.models[0].name, "a");
    assert_int_equal(scan.models[1].versions[0].number, 9);
    assert_int_equal(scan.models[1].versions[1].number, 10);
    assert_null(version("b", 9)->trouble);
    assert_int_equal(scan.ignored_count, 0);
    assert_int_equal(scan.models[0].settings, 0);
}

static void test_other_folders_are_ignored_with_a_reason(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {
        "m/01", "m/0", "m/v1", "m/-1", "m/9223372036854775808", "bad name", "_m"};
    for (size_t i = 0; i < 7; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/model.onnx", FOLDERS[i]);
        place_write(&place, path, "x");
    }
    place_write(&place, ".git/1/model.onnx", "x");
    place_write(&place, "m/.tmp/model.onnx", "x");
    place_write(&place, "lost+found/", "");
    read_again();
    for (size_t i = 0; i < 7; i++)
        assert_non_null(why_ignored(FOLDERS[i]));
    assert_int_equal(scan.ignored_count, 7);
    assert_int_equal(scan.model_count, 1);
    assert_int_equal(model("m")->version_count, 0);
}

static void test_a_version_without_its_file_says_so(void **state) {
    (void)state;
    place_write(&place, "m/1/", "");
    place_write(&place, "m/2/model.onnx/", "");
    place_write(&place, "m/3/other.onnx", "x");
    place_link(&place, "m/4/model.onnx", "nowhere");
    assert_int_equal(
        (place_write(&place, "m/5/", ""), mkfifo(place_path(&place, "m/5/model.onnx"), 0600)), 0);
    read_again();
    assert_string_equal(version("m", 1)->trouble, "model.onnx is missing");
    assert_string_equal(version("m", 2)->trouble, "model.onnx is not a file");
    assert_string_equal(version("m", 3)->trouble, "model.onnx is missing");
    assert_string_equal(version("m", 4)->trouble, "model.onnx is missing");
    assert_string_equal(version("m", 5)->trouble, "model.onnx is not a file");
}

static void test_content_changes_with_any_file_and_only_then(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_write(&place, "m/1/weights/a.bin", "x");
    read_again();
    uint64_t before = version("m", 1)->content;
    place_write(&place, "m/1/.hidden", "x");
    place_write(&place, "m/2/model.onnx", "x");
    place_write(&place, "m/model.yaml", "x");
    read_again();
    assert_true(version("m", 1)->content == before);
    assert_true(model("m")->settings != 0);
    place_write(&place, "m/1/weights/a.bin", "xy");
    read_again();
    uint64_t longer = version("m", 1)->content;
    assert_true(longer != before);
    place_rename(&place, "m/1/weights/a.bin", "m/1/weights/b.bin");
    read_again();
    uint64_t renamed = version("m", 1)->content;
    assert_true(renamed != longer);
    place_delete(&place, "m/1/weights/b.bin");
    read_again();
    assert_true(version("m", 1)->content != renamed);
}

static void test_a_file_replaced_by_one_of_same_size_and_time_is_seen(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_write(&place, "other", "y");
    struct stat s;
    assert_int_equal(stat(place_path(&place, "m/1/model.onnx"), &s), 0);
    read_again();
    uint64_t before = version("m", 1)->content;
    assert_int_equal(utimensat(AT_FDCWD, place_path(&place, "other"),
                               (struct timespec[]){s.st_atim, s.st_mtim}, 0),
                     0);
    place_rename(&place, "other", "m/1/model.onnx");
    read_again();
    assert_true(version("m", 1)->content != before);
}

static void test_the_newest_time_is_the_newest_of_all_files(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_write(&place, "m/1/weights/a.bin", "x");
    struct timespec later = {4000000000, 5};
    assert_int_equal(utimensat(AT_FDCWD, place_path(&place, "m/1/weights/a.bin"),
                               (struct timespec[]){later, later}, 0),
                     0);
    read_again();
    assert_true(version("m", 1)->newest_ns == UINT64_C(4000000000000000005));
}

static void test_links_are_followed_inside_the_root_only(void **state) {
    (void)state;
    place_write(&outside, "1/model.onnx", "x");
    place_write(&outside, "secret", "x");
    place_write(&place, "store/7/model.onnx", "x");
    place_link(&place, "inside", "store");
    place_link(&place, "m/1", "../store/7");
    place_link(&place, "m/2/model.onnx", "../../store/7/model.onnx");
    place_link(&place, "gone", outside.root);
    place_link(&place, "m/3", place_path(&outside, "1"));
    place_link(&place, "m/4/model.onnx", place_path(&outside, "1/model.onnx"));
    place_write(&place, "m/5/model.onnx", "x");
    place_link(&place, "m/5/weights.bin", place_path(&outside, "secret"));
    place_link(&place, "m/6/model.onnx", "/etc/passwd");
    place_link(&place, "n/model.yaml", place_path(&outside, "secret"));
    read_again();
    assert_null(version("inside", 7)->trouble);
    assert_null(version("m", 1)->trouble);
    assert_null(version("m", 2)->trouble);
    assert_null(model("gone"));
    assert_non_null(why_ignored("gone"));
    assert_null(version("m", 3));
    assert_non_null(why_ignored("m/3"));
    assert_string_equal(version("m", 4)->trouble, "model.onnx leads out of the repository");
    assert_string_equal(version("m", 5)->trouble, "weights.bin leads out of the repository");
    assert_string_equal(version("m", 6)->trouble, "model.onnx leads out of the repository");
    assert_string_equal(model("n")->settings_trouble, "model.yaml leads out of the repository");
}

static void test_a_root_beside_one_of_a_longer_name_is_not_its_inside(void **state) {
    (void)state;
    char longer[80];
    snprintf(longer, sizeof longer, "%s-2", place.root);
    assert_int_equal(mkdir(longer, 0700), 0);
    place_link(&place, "m/1", longer);
    read_again();
    assert_non_null(why_ignored("m/1"));
    assert_false(scan_path_inside(place.root, longer));
    assert_int_equal(rmdir(longer), 0);
}

static void test_the_layout_of_kubernetes_volumes_is_read(void **state) {
    (void)state;
    place_write(&place, "m/1/..2024_01/model.onnx", "x");
    place_link(&place, "m/1/..data", "..2024_01");
    place_link(&place, "m/1/model.onnx", "..data/model.onnx");
    read_again();
    assert_null(version("m", 1)->trouble);
    uint64_t before = version("m", 1)->content;
    place_write(&place, "m/1/..2024_02/model.onnx", "y");
    place_link(&place, "m/1/..data_tmp", "..2024_02");
    place_rename(&place, "m/1/..data_tmp", "m/1/..data");
    read_again();
    assert_null(version("m", 1)->trouble);
    assert_true(version("m", 1)->content != before);
}

static void test_the_root_itself_may_be_a_link(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_link(&outside, "link", place.root);
    scan_read(&scan, place_path(&outside, "link"), NULL);
    assert_null(scan.trouble);
    assert_null(version("m", 1)->trouble);
}

static void test_loops_of_links_end(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_link(&place, "m/1/loop", ".");
    place_link(&place, "m/1/again", ".");
    place_link(&place, "m/2/model.onnx", "model.onnx");
    read_again();
    assert_non_null(version("m", 1)->trouble);
    assert_non_null(strstr(version("m", 2)->trouble, "model.onnx"));
}

static void test_a_version_with_too_many_files_is_refused(void **state) {
    (void)state;
    for (int i = 0; i <= SCAN_FILES_MAX; i++) {
        char path[64];
        snprintf(path, sizeof path, "m/1/f%d", i);
        place_write(&place, path, "");
    }
    read_again();
    assert_non_null(strstr(version("m", 1)->trouble, "more than 4096 files"));
}

static void test_a_root_that_is_not_there_is_trouble(void **state) {
    (void)state;
    scan_read(&scan, place_path(&place, "nowhere"), NULL);
    assert_non_null(strstr(scan.trouble, "No such file"));
    assert_int_equal(scan.model_count, 0);
}

static void test_what_cannot_be_looked_at_is_not_taken_for_gone(void **state) {
    (void)state;
    place_write(&place, "m/1/model.onnx", "x");
    place_link(&place, "m/2", "2"); /* a link to itself: ELOOP */
    place_link(&place, "m/3", "nowhere");
    place_link(&place, "m/other", "other");
    place_link(&place, "n", "n");
    place_link(&place, "o", "nowhere");
    read_again();
    assert_null(model("m")->trouble);
    assert_false(version("m", 1)->unknown);
    assert_true(version("m", 2)->unknown);
    assert_non_null(strstr(version("m", 2)->trouble, "version 2 cannot be looked at: "));
    assert_null(version("m", 3));
    assert_int_equal(model("m")->version_count, 2);
    assert_non_null(strstr(model("n")->trouble, "cannot be looked at: "));
    assert_null(model("o"));
}

static size_t entered;
static void on_entering(void *context, const char *folder) {
    assert_ptr_equal(context, &place);
    assert_int_equal(strncmp(folder, place.root, strlen(place.root)), 0);
    entered++;
}

static void test_each_folder_is_told_before_it_is_read(void **state) {
    (void)state;
    struct scan_watcher watcher = {on_entering, &place};
    place_write(&place, "m/1/weights/a", "x");
    place_write(&place, "n/", "");
    entered = 0;
    scan_read(&scan, place.root, &watcher);
    assert_int_equal(entered, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_models_and_versions_come_in_order),
        TEST(test_other_folders_are_ignored_with_a_reason),
        TEST(test_a_version_without_its_file_says_so),
        TEST(test_content_changes_with_any_file_and_only_then),
        TEST(test_a_file_replaced_by_one_of_same_size_and_time_is_seen),
        TEST(test_the_newest_time_is_the_newest_of_all_files),
        TEST(test_links_are_followed_inside_the_root_only),
        TEST(test_a_root_beside_one_of_a_longer_name_is_not_its_inside),
        TEST(test_the_layout_of_kubernetes_volumes_is_read),
        TEST(test_the_root_itself_may_be_a_link),
        TEST(test_loops_of_links_end),
        TEST(test_a_version_with_too_many_files_is_refused),
        TEST(test_a_root_that_is_not_there_is_trouble),
        TEST(test_what_cannot_be_looked_at_is_not_taken_for_gone),
        TEST(test_each_folder_is_told_before_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
