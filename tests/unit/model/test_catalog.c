/* Lookups in a catalog, and what it says about readiness. */
#include "model/support.h"

#include "model/catalog_build.h"
#include "model/version_owner.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

static struct mailbox mailbox;
static unsigned freed;

static void on_freed(struct model_version_owner *owner) {
    freed++;
    model_version_destroy(owner);
}

static int start(void **state) {
    (void)state;
    mailbox_init(&mailbox, NULL, NULL);
    freed = 0;
    return 0;
}

static struct model_version *make_ready(const char *model, int64_t number) {
    struct model_version_owner *owner = model_version_new(model, number, &mailbox);
    owner->freed = on_freed;
    model_version_set_state(owner, MODEL_LOADING, NULL);
    model_version_set_state(owner, MODEL_WARMING, NULL);
    model_version_set_state(owner, MODEL_READY, NULL);
    return &owner->version;
}

static void retire(struct model_version *version) {
    model_version_set_state(version->owner, MODEL_UNLOADING, NULL);
    model_version_unref(&version);
}

/* Rows as text: "1=READY 2=FAILED:why"; the default is the highest that is ready. */
static void add(struct catalog *catalog, const char *name, const char *rows) {
    struct catalog_model *model = catalog_add_model(catalog, name, NULL, 8);
    struct str rest = str_of(rows), row;
    while (str_split(&rest, ' ', &row) && row.n > 0) {
        struct str number, state, reason = row;
        struct catalog_version version = {0};
        char text[64];
        str_split(&reason, '=', &number);
        str_split(&reason, ':', &state);
        assert_true(str_to_i64(number, &version.number));
        for (enum model_state s = 0; s < MODEL_STATE_COUNT; s++)
            if (str_eq_c(state, model_state_name(s)))
                version.state = s;
        snprintf(text, sizeof text, "%.*s", STR_ARG(reason));
        version.reason = text;
        for (char *c = text; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        if (version.state == MODEL_READY)
            model->default_version = version.live = make_ready(name, version.number);
        catalog_add_version(catalog, model, &version);
        if (version.live)
            retire(version.live); /* the catalog's reference stays */
    }
}

static struct catalog *make(void) {
    struct catalog *catalog = catalog_new(1, true, NULL, 8);
    add(catalog, "Big", "1=READY");
    add(catalog, "a", "1=READY 2=READY 3=FAILED:no_such_operator");
    add(catalog, "a-b", "4=LOADING");
    add(catalog, "ab", "5=FAILED:truncated");
    add(catalog, "none", "");
    return catalog;
}

static void drop(struct catalog **catalog) {
    catalog_unref(catalog);
    mailbox_drain(&mailbox);
}

static void test_models_are_found_by_name(void **state) {
    (void)state;
    struct catalog *catalog = make();
    static const char *const NAMES[] = {"Big", "a", "a-b", "ab", "none"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(catalog_find_model(catalog, str_of(NAMES[i]))->name, NAMES[i]);
    static const char *const OTHERS[] = {"", "A", "aa", "abc", "z", "Bi", "a-"};
    for (size_t i = 0; i < 7; i++)
        assert_null(catalog_find_model(catalog, str_of(OTHERS[i])));
    drop(&catalog);
}

static void test_a_request_gets_its_version_or_the_default(void **state) {
    (void)state;
    struct catalog *catalog = make();
    struct model_version *version = NULL;
    struct err_text text;
    assert_int_equal(catalog_find(catalog, STR("a"), STR(""), &version, &text), ERR_OK);
    assert_int_equal(version->number, 2);
    assert_int_equal(catalog_find(catalog, STR("a"), STR("1"), &version, &text), ERR_OK);
    assert_int_equal(version->number, 1);
    drop(&catalog);
}

static void test_what_cannot_answer_says_why(void **state) {
    (void)state;
    static const struct {
        const char *name, *version;
        enum err err;
        const char *text;
    } CASES[] = {
        {"zzz", "", ERR_NOT_FOUND, "Request for unknown model: 'zzz' is not found"},
        {"a", "9", ERR_NOT_FOUND, "Request for unknown model: 'a' version '9' is not found"},
        {"a", "01", ERR_NOT_FOUND, "'a' version '01' is not found"},
        {"a", "x/y", ERR_NOT_FOUND, "version 'x/y' is not found"},
        {"a", "3", ERR_NOT_READY, "version 3 is not at ready state: FAILED: no such operator"},
        {"a-b", "4", ERR_NOT_READY, "version 4 is not at ready state: LOADING"},
        {"a-b", "", ERR_NOT_READY, "'a-b' has no available versions: version 4 is LOADING"},
        {"ab", "", ERR_NOT_READY, "version 5 is FAILED: truncated"},
        {"none", "", ERR_NOT_READY, "it has no version folder"},
    };
    struct catalog *catalog = make();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct model_version *version = NULL;
        struct err_text text = {""};
        enum err e =
            catalog_find(catalog, str_of(CASES[i].name), str_of(CASES[i].version), &version, &text);
        assert_int_equal(e, CASES[i].err);
        assert_null(version);
        if (!strstr(text.s, CASES[i].text))
            fail_msg("'%s' is not in '%s'", CASES[i].text, text.s);
    }
    drop(&catalog);
}

static void test_before_the_first_scan_no_model_is_unknown(void **state) {
    (void)state;
    struct catalog *catalog = catalog_new(1, false, NULL, 0);
    struct model_version *version = NULL;
    struct err_text text;
    assert_int_equal(catalog_find(catalog, STR("a"), STR(""), &version, &text), ERR_NOT_READY);
    assert_non_null(strstr(text.s, "has not been read yet"));
    drop(&catalog);
    catalog = catalog_new(1, false, "the disk is gone", 0);
    assert_int_equal(catalog_find(catalog, STR("a"), STR(""), &version, &text), ERR_NOT_READY);
    assert_non_null(strstr(text.s, "the disk is gone"));
    drop(&catalog);
}

static void test_an_unloaded_model_says_so(void **state) {
    (void)state;
    struct catalog *catalog = catalog_new(1, true, NULL, 1);
    struct model_version *version = NULL;
    struct err_text text;
    add(catalog, "a", "1=UNLOADED:unloaded");
    catalog->models[0].unloaded = true;
    assert_int_equal(catalog_find(catalog, STR("a"), STR(""), &version, &text), ERR_NOT_READY);
    assert_non_null(strstr(text.s, "it is unloaded"));
    drop(&catalog);
}

static void test_live_versions_end_with_the_last_catalog(void **state) {
    (void)state;
    struct catalog *catalog = make(), *other = catalog;
    struct model_version *version = NULL;
    struct err_text text;
    catalog_ref(other);
    drop(&catalog);
    assert_int_equal(freed, 0);
    assert_int_equal(catalog_find(other, STR("a"), STR("2"), &version, &text), ERR_OK);
    model_version_ref(version);
    drop(&other);
    assert_int_equal(freed, 2); /* Big and a/1 */
    model_version_unref(&version);
    mailbox_drain(&mailbox);
    assert_int_equal(freed, 3);
    catalog_unref(&other); /* NULL */
}

/* ---- readiness ---- */

static const char *ready_text(const struct catalog *catalog, enum ready_policy policy,
                              const char *name, bool *ret_ready) {
    static char out[2048];
    struct buffer missing;
    buffer_init(&missing, 4096);
    buffer_add_c(&missing, "before");
    *ret_ready = catalog_ready(catalog, policy, &name, name != NULL, &missing);
    snprintf(out, sizeof out, "%.*s", STR_ARG(buffer_str(&missing)));
    buffer_done(&missing);
    return out + strlen("before");
}

static void test_all_models_must_have_a_default(void **state) {
    (void)state;
    bool ready;
    struct catalog *catalog = make();
    assert_string_equal(
        ready_text(catalog, READY_ALL, NULL, &ready),
        "[{\"model\":\"a-b\",\"version\":\"4\",\"state\":\"LOADING\",\"reason\":\"\"},"
        "{\"model\":\"ab\",\"version\":\"5\",\"state\":\"FAILED\",\"reason\":\"truncated\"},"
        "{\"model\":\"none\",\"version\":\"\",\"state\":\"FAILED\","
        "\"reason\":\"it has no version folder\"}]");
    assert_false(ready);
    drop(&catalog);
    catalog = catalog_new(1, true, NULL, 1);
    add(catalog, "a", "1=READY 2=FAILED:why");
    assert_string_equal(ready_text(catalog, READY_ALL, NULL, &ready), "[]");
    assert_true(ready);
    drop(&catalog);
}

static void test_any_model_is_enough_for_any(void **state) {
    (void)state;
    bool ready;
    struct catalog *catalog = make();
    ready_text(catalog, READY_ANY, NULL, &ready);
    assert_true(ready);
    drop(&catalog);
    catalog = catalog_new(1, true, NULL, 2);
    add(catalog, "a", "1=LOADING");
    add(catalog, "b", "1=FAILED:why");
    assert_non_null(strstr(ready_text(catalog, READY_ANY, NULL, &ready), "\"model\":\"b\""));
    assert_false(ready);
    drop(&catalog);
}

static void test_a_list_names_what_must_serve(void **state) {
    (void)state;
    bool ready;
    struct catalog *catalog = make();
    assert_string_equal(ready_text(catalog, READY_LIST, "a", &ready), "[]");
    assert_true(ready);
    assert_non_null(strstr(ready_text(catalog, READY_LIST, "ab", &ready), "truncated"));
    assert_false(ready);
    assert_string_equal(ready_text(catalog, READY_LIST, "other", &ready),
                        "[{\"model\":\"other\",\"version\":\"\",\"state\":\"UNLOADED\","
                        "\"reason\":\"the repository has no such model\"}]");
    assert_false(ready);
    drop(&catalog);
}

static void test_nothing_there_is_not_ready(void **state) {
    (void)state;
    bool ready;
    struct catalog *catalog = catalog_new(1, true, NULL, 0);
    for (enum ready_policy policy = READY_ALL; policy <= READY_ANY; policy++) {
        assert_non_null(strstr(ready_text(catalog, policy, NULL, &ready), "is empty"));
        assert_false(ready);
    }
    drop(&catalog);
    catalog = catalog_new(1, false, NULL, 0);
    assert_string_equal(ready_text(catalog, READY_ALL, NULL, &ready),
                        "[{\"model\":\"\",\"version\":\"\",\"state\":\"LOADING\","
                        "\"reason\":\"the model repository has not been read yet\"}]");
    assert_false(ready);
    drop(&catalog);
}

static void test_an_unloaded_model_does_not_count_for_all(void **state) {
    (void)state;
    bool ready;
    struct catalog *catalog = catalog_new(1, true, NULL, 2);
    add(catalog, "a", "1=UNLOADED:unloaded");
    add(catalog, "b", "1=READY");
    catalog->models[0].unloaded = true;
    assert_string_equal(ready_text(catalog, READY_ALL, NULL, &ready), "[]");
    assert_true(ready);
    ready_text(catalog, READY_LIST, "a", &ready);
    assert_false(ready);
    drop(&catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_models_are_found_by_name, start),
        cmocka_unit_test_setup(test_a_request_gets_its_version_or_the_default, start),
        cmocka_unit_test_setup(test_what_cannot_answer_says_why, start),
        cmocka_unit_test_setup(test_before_the_first_scan_no_model_is_unknown, start),
        cmocka_unit_test_setup(test_an_unloaded_model_says_so, start),
        cmocka_unit_test_setup(test_live_versions_end_with_the_last_catalog, start),
        cmocka_unit_test_setup(test_all_models_must_have_a_default, start),
        cmocka_unit_test_setup(test_any_model_is_enough_for_any, start),
        cmocka_unit_test_setup(test_a_list_names_what_must_serve, start),
        cmocka_unit_test_setup(test_nothing_there_is_not_ready, start),
        cmocka_unit_test_setup(test_an_unloaded_model_does_not_count_for_all, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
