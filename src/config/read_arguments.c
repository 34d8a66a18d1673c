/* Environment and flags over a table. Pure; thread: any. */
#include "config/reader.h"

#include "base/num.h"

#include <stdio.h>

#define VARIABLE_PREFIX "INFERD_"
#define CONFIG_VARIABLE "INFERD_CONFIG"

size_t reader_find_row(const struct reader *reader, struct str key) {
    size_t row = 0;
    while (row < reader->table->count && (reader->table->rows[row].type == OPTION_SECTION ||
                                          !str_eq_c(key, reader->table->rows[row].key)))
        row++;
    return row;
}

void reader_set_text(struct reader *reader, size_t row, enum config_origin origin,
                     const char *where, struct str text) {
    const struct option *option = &reader->table->rows[row];
    char quote[PROBLEM_QUOTE_SIZE], allowed[PROBLEM_ALLOWED_SIZE];
    if (option_parse(option, text, reader->config))
        reader->sources[row] = (struct config_source){.origin = origin};
    else
        problem_add(reader->problems, where, "%s: found %s; allowed: %s", option->key,
                    problem_quote(text, quote), problem_allowed(option, allowed));
}

/* The row that `write_name` calls `name`; `count` when there is none. */
static size_t find_named(const struct option_table *table, option_name_writer *write_name,
                         struct str name) {
    struct buffer text;
    buffer_init(&text, 1024);
    size_t row = 0;
    for (; row < table->count; row++) {
        if (!option_is_scalar(&table->rows[row]))
            continue;
        buffer_clear(&text);
        write_name(&table->rows[row], &text);
        if (str_eq(buffer_str(&text), name))
            break;
    }
    buffer_done(&text);
    return row;
}

static bool all_digits(struct str s) {
    uint64_t number;
    return str_to_u64(s, &number);
}

static bool is_protocol(struct str s) {
    return str_eq(s, STR("TCP")) || str_eq(s, STR("UDP")) || str_eq(s, STR("SCTP"));
}

static bool is_address(struct str value) {
    return str_starts(value, STR("tcp://")) || str_starts(value, STR("udp://")) ||
           str_starts(value, STR("sctp://"));
}

/* "8080_TCP", "8080_TCP_PROTO", "8080_TCP_PORT", "8080_TCP_ADDR" */
static bool is_port_detail(struct str rest) {
    struct str number, protocol, what;
    if (!str_split(&rest, '_', &number) || !str_split(&rest, '_', &protocol) ||
        !all_digits(number) || !is_protocol(protocol))
        return false;
    if (!str_split(&rest, '_', &what))
        return true;
    return !rest.p &&
           (str_eq(what, STR("PROTO")) || str_eq(what, STR("PORT")) || str_eq(what, STR("ADDR")));
}

static struct str after(struct str s, struct str part) {
    const char *at = s.n ? memmem(s.p, s.n, part.p, part.n) : NULL;
    if (!at)
        return (struct str){NULL, 0};
    size_t skipped = (size_t)(at - s.p) + part.n;
    return (struct str){s.p + skipped, s.n - skipped};
}

/* Kubernetes tells every container of each Service in its namespace by variables made of the
 * Service's name; for one called "inferd" or "inferd-management" they begin like ours:
 * X_SERVICE_HOST, X_SERVICE_PORT[_NAME], X_PORT=tcp://..., X_PORT_8080_TCP[_PROTO|_PORT|_ADDR]. */
static bool is_service_variable(struct str name, struct str value) {
    if (str_ends(name, STR("_SERVICE_HOST")))
        return true;
    if (str_ends(name, STR("_SERVICE_PORT")) || after(name, STR("_SERVICE_PORT_")).p)
        return all_digits(value);
    if (str_ends(name, STR("_PORT")) && is_address(value))
        return true;
    struct str detail = after(name, STR("_PORT_"));
    return detail.p && is_port_detail(detail);
}

void read_environment(struct reader *reader, char *const *environment) {
    for (; environment && *environment; environment++) {
        struct str value = str_of(*environment), name;
        if (!str_starts(value, STR(VARIABLE_PREFIX)) || !str_split(&value, '=', &name))
            continue;
        if (!value.p || str_eq(name, STR(CONFIG_VARIABLE)) || is_service_variable(name, value))
            continue;
        char where[PROBLEM_QUOTE_SIZE], hint[PROBLEM_HINT_SIZE];
        size_t row = find_named(reader->table, option_write_variable, name);
        if (row < reader->table->count) {
            snprintf(where, sizeof where, "%.*s", STR_ARG(name));
            reader_set_text(reader, row, FROM_ENVIRONMENT, where, value);
        } else {
            problem_add(reader->problems, "environment", "unknown variable %s%s",
                        problem_quote(name, where),
                        problem_hint(reader->table, option_write_variable, name, hint));
        }
    }
}

/* One argument, and the next one where that is its value. */
struct flag {
    struct str name;  /* "--http-port" */
    struct str value; /* p NULL: none */
    int used;         /* arguments */
};

static struct flag split_flag(int argc, char *const *argv) {
    struct flag flag = {.value = str_of(argv[0]), .used = 1};
    (void)str_split(&flag.value, '=', &flag.name);
    if (!flag.value.p && argc > 1 && strncmp(argv[1], "--", 2) != 0)
        flag = (struct flag){flag.name, str_of(argv[1]), 2};
    return flag;
}

const char *find_config_flag(int argc, char *const *argv, bool *ret_help) {
    const char *found = NULL;
    *ret_help = false;
    for (int i = 0; i < argc; i++) {
        struct flag flag = split_flag(argc - i, argv + i);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *ret_help = true;
        if (str_eq(flag.name, STR("--config")) && flag.value.p)
            found = flag.value.p;
    }
    return found;
}

/* "--no-log-access" is "--log-access" with the value false. */
static bool find_negated(struct reader *reader, struct str name, size_t *ret_row) {
    struct str prefix = STR("--no-");
    char positive[PROBLEM_QUOTE_SIZE];
    if (!str_starts(name, prefix))
        return false;
    snprintf(positive, sizeof positive, "--%.*s",
             STR_ARG(((struct str){name.p + prefix.n, name.n - prefix.n})));
    *ret_row = find_named(reader->table, option_write_flag, str_of(positive));
    return *ret_row < reader->table->count && reader->table->rows[*ret_row].type == OPTION_BOOL;
}

/* Returns how many arguments it was: a value that follows an unknown flag is no problem of its own.
 */
static int unknown_flag(struct reader *reader, const char *argument, const struct flag *flag) {
    char quote[PROBLEM_QUOTE_SIZE], hint[PROBLEM_HINT_SIZE];
    struct str name = flag->name;
    bool is_flag = str_starts(name, STR("--"));
    problem_add(reader->problems, "command line", "%s %s%s",
                is_flag ? "unknown flag" : "unexpected argument",
                problem_quote(is_flag ? name : str_of(argument), quote),
                problem_hint(reader->table, option_write_flag, name, hint));
    return is_flag ? flag->used : 1;
}

/* Takes the flag at argv[0]; returns how many arguments it used. */
static int read_flag(struct reader *reader, int argc, char *const *argv) {
    struct flag flag = split_flag(argc, argv);
    char where[PROBLEM_QUOTE_SIZE];
    snprintf(where, sizeof where, "%.*s", STR_ARG(flag.name));
    if (reader->table == &server_options && str_eq(flag.name, STR("--config"))) {
        if (!flag.value.p)
            problem_add(reader->problems, where, "found no value; allowed: a file");
        return flag.used;
    }
    size_t row = find_named(reader->table, option_write_flag, flag.name);
    bool is_switch = row < reader->table->count && reader->table->rows[row].type == OPTION_BOOL;
    bool has_equals = strchr(argv[0], '=') != NULL;
    if (is_switch && !has_equals) {
        reader_set_text(reader, row, FROM_FLAG, where, STR("true"));
        return 1;
    }
    if (row < reader->table->count) {
        if (flag.value.p)
            reader_set_text(reader, row, FROM_FLAG, where, flag.value);
        else
            problem_add(reader->problems, where, "%s: found no value",
                        reader->table->rows[row].key);
        return flag.used;
    }
    if (!has_equals && find_negated(reader, flag.name, &row))
        reader_set_text(reader, row, FROM_FLAG, where, STR("false"));
    else
        return unknown_flag(reader, argv[0], &flag);
    return 1;
}

void read_flags(struct reader *reader, int argc, char *const *argv) {
    for (int i = 0; i < argc;)
        i += read_flag(reader, argc - i, argv + i);
}
