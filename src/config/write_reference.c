/* The reference pages of both tables, as Markdown. Pure; thread: any. */
#include "config/option.h"

static void write_cell(struct str text, struct buffer *out) {
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '|')
            buffer_add_char(out, '\\');
        if (text.p[i] == '<')
            buffer_add_c(out, "&lt;");
        else
            buffer_add_char(out, text.p[i]);
    }
}

static void write_default(const struct option_table *table, const struct option *option,
                          struct buffer *out) {
    const struct option *of_server = table == &model_options ? server_option_for(option) : NULL;
    if (of_server) {
        buffer_add_format(out, "the server's `%s`", of_server->key);
        return;
    }
    struct buffer text;
    buffer_init(&text, CONFIG_TEXT_MAX);
    option_write_default(option, &text);
    bool none = str_eq(buffer_str(&text), STR("none"));
    buffer_add_c(out, none ? "" : "`");
    buffer_add_str(out, buffer_str(&text));
    buffer_add_c(out, none ? "" : "`");
    buffer_done(&text);
}

static void write_table(const struct option_table *table, struct buffer *out) {
    struct buffer allowed;
    buffer_init(&allowed, CONFIG_TEXT_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->rows[i];
        if (option->type == OPTION_SECTION) {
            buffer_add_format(out,
                              "\n## %s\n\n| key | default | allowed | meaning |\n"
                              "|---|---|---|---|\n",
                              option->help);
            continue;
        }
        buffer_add_format(out, "| `%s` | ", option->key);
        write_default(table, option, out);
        buffer_add_c(out, " | ");
        buffer_clear(&allowed);
        option_write_allowed(option, &allowed);
        write_cell(buffer_str(&allowed), out);
        buffer_add_c(out, " | ");
        write_cell(str_of(option->help), out);
        buffer_add_c(out, " |\n");
    }
    buffer_done(&allowed);
}

void config_write_reference(struct buffer *out) {
    buffer_add_c(
        out,
        "# Configuration\n\n"
        "Made from `src/config/options.def`; do not edit.\n\n"
        "An option is set, in this order of precedence, by\n\n"
        "1. a flag: dots and underscores become dashes, `--http-port=8080` or "
        "`--http-port 8080`; a switch also\n   as `--log-access` and `--no-log-access`;\n"
        "2. an environment variable: `INFERD_`, then the key in capitals with underscores, "
        "`INFERD_HTTP_PORT=8080`;\n"
        "3. the YAML file named by `--config` or `INFERD_CONFIG`: dots are nested maps, "
        "`http: {port: 8080}`;\n"
        "4. its default.\n\n"
        "Lists are YAML lists in the file, and separated by commas in flags and variables. Sizes "
        "take the suffixes\nKi, Mi, Gi, Ti (powers of 1024) and K, M, G, T (powers of 1000); "
        "durations need a unit: ns, us, ms, s, m, h.\n\n"
        "A key, variable or flag that is not known, a key that stands twice, and a value that is "
        "not allowed refuse the\nstart; all problems are listed. Variables that Kubernetes sets "
        "for a Service named `inferd` (or `inferd-…`) are\nnot taken for options.\n");
    write_table(&server_options, out);
}

void config_write_model_reference(struct buffer *out) {
    buffer_add_c(out,
                 "# A model's `model.yaml`\n\n"
                 "Made from `src/config/model_options.def`; do not edit.\n\n"
                 "The file `<repository>/<model>/model.yaml` is optional, and so is every key. "
                 "Dots are nested maps:\n`versions.policy` is written `versions: {policy: all}`. "
                 "A file with a problem keeps the model from being\nloaded anew; `inferd check` "
                 "tells beforehand.\n");
    write_table(&model_options, out);
}
