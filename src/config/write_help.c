/* The options part of --help, and the values in force: views for a terminal. Pure; thread: any. */
#include "config/reader.h"

enum { HELP_COLUMNS = 96, HELP_INDENT = 6 };

/* What stands for the value in --flag=VALUE. */
static const char *placeholder(enum option_type type) {
    static const char *const names[] = {
        [OPTION_SECTION] = "",
        [OPTION_BOOL] = "true|false",
        [OPTION_INT] = "INTEGER",
        [OPTION_SIZE] = "SIZE",
        [OPTION_DURATION] = "DURATION",
        [OPTION_NUMBER] = "NUMBER",
        [OPTION_STRING] = "TEXT",
        [OPTION_ENUM] = "",
        [OPTION_LIST] = "TEXT,...",
        [OPTION_INTS] = "INTEGER,...",
        [OPTION_MAP] = "",
    };
    return names[type];
}

/* Words of `text`, broken into lines, each indented. */
static void write_wrapped(struct str text, struct buffer *out) {
    struct str word;
    size_t column = 0;
    while (str_split(&text, ' ', &word)) {
        if (column == 0 || column + 1 + word.n > HELP_COLUMNS) {
            buffer_add_format(out, "%s%*s", column ? "\n" : "", HELP_INDENT, "");
            column = HELP_INDENT;
        } else {
            buffer_add_char(out, ' ');
            column++;
        }
        buffer_add_str(out, word);
        column += word.n;
    }
    buffer_add_char(out, '\n');
}

static void write_option_help(const struct option *option, struct buffer *out) {
    buffer_add_c(out, "  ");
    option_write_flag(option, out);
    buffer_add_char(out, '=');
    buffer_add_c(out, option->type == OPTION_ENUM ? option->values : placeholder(option->type));
    buffer_add_char(out, '\n');
    struct buffer text;
    buffer_init(&text, 8192);
    buffer_add_format(&text, "%s [default: ", option->help);
    option_write_default(option, &text);
    if (option->type == OPTION_INT)
        buffer_add_format(&text, "; %lld to %lld", (long long)option->int_min,
                          (long long)option->int_max);
    else if (option->min)
        buffer_add_format(&text, "; %s to %s", option->min, option->max);
    buffer_add_char(&text, ']');
    write_wrapped(buffer_str(&text), out);
    buffer_done(&text);
}

static void write_table_help(const struct option_table *table, struct buffer *out) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->rows[i];
        if (option->type == OPTION_SECTION)
            buffer_add_format(out, "\n%s:\n", option->help);
        else if (option_is_scalar(option))
            write_option_help(option, out);
    }
}

void config_write_help(struct buffer *out) {
    buffer_add_c(out, "Every option is a flag (--http-port=8080 or --http-port 8080), a variable "
                      "(INFERD_HTTP_PORT)\nand a key of the YAML file (http: {port: 8080}); a flag "
                      "goes before a variable, a variable before\nthe file. Switches may be "
                      "--log-access and --no-log-access.\n\n"
                      "  --config=FILE\n      The YAML file; also INFERD_CONFIG.\n"
                      "  --help\n      This text.\n");
    write_table_help(&server_options, out);
}

void bench_config_write_help(struct buffer *out) {
    buffer_add_c(out, "Every option is a flag (--connections=64 or --connections 64).\n\n"
                      "  --help\n      This text.\n");
    write_table_help(&bench_options, out);
}

static void write_origin(const struct server_config *config, size_t row, struct buffer *out) {
    const struct option *option = &server_options.rows[row];
    const struct config_source source = config->sources[row];
    switch (source.origin) {
    case FROM_DEFAULT:
        buffer_add_c(out, "default");
        break;
    case FROM_FILE:
        buffer_add_format(out, "%s:%u", config->file ? config->file : "file",
                          (unsigned)source.line);
        break;
    case FROM_ENVIRONMENT:
        option_write_variable(option, out);
        break;
    case FROM_FLAG:
        option_write_flag(option, out);
        break;
    }
}

/* The maps that a key is in which the one before was not, each on a line; returns how deep it is.
 */
static size_t open_maps(struct str key, struct str before, struct buffer *out) {
    struct str part, old;
    size_t depth = 0;
    bool same = true;
    while (str_split(&key, '.', &part) && key.p) {
        same = same && str_split(&before, '.', &old) && before.p && str_eq(part, old);
        if (!same)
            buffer_add_format(out, "%*s%.*s:\n", (int)(2 * depth), "", STR_ARG(part));
        depth++;
    }
    return depth;
}

void config_write_effective(const struct server_config *config, struct buffer *out) {
    struct str before = STR("");
    for (size_t i = 0; i < server_options.count; i++) {
        const struct option *option = &server_options.rows[i];
        if (option->type == OPTION_SECTION)
            continue;
        size_t depth = open_maps(str_of(option->key), before, out);
        const char *dot = strrchr(option->key, '.');
        buffer_add_format(out, "%*s%s: ", (int)(2 * depth), "", dot ? dot + 1 : option->key);
        option_write_value(option, config, out);
        buffer_add_c(out, "  # ");
        write_origin(config, i, out);
        buffer_add_char(out, '\n');
        before = str_of(option->key);
    }
}
