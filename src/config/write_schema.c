/* The server's options as a JSON schema (draft 07), for values files that hold them.
 *
 * Objects are the maps of the YAML file. Ranges of sizes and durations are beyond what a schema can
 * say of a text; their form is a pattern. Pure; thread: any. */
#include "config/option.h"

#include "base/check.h"

/* The first option below `prefix` whose next part is `part`. */
static size_t first_with_part(struct str prefix, struct str part) {
    for (size_t i = 0; i < server_options.count; i++) {
        struct str key = str_of(server_options.rows[i].key), next;
        if (server_options.rows[i].type == OPTION_SECTION || !str_starts(key, prefix))
            continue;
        struct str rest = {key.p + prefix.n, key.n - prefix.n};
        if (str_split(&rest, '.', &next) && str_eq(next, part))
            return i;
    }
    return server_options.count;
}

static void write_property(const struct option *option, struct buffer *out) {
    struct str value;
    switch (option->type) {
    case OPTION_BOOL:
        buffer_add_c(out, "\"type\":\"boolean\"");
        break;
    case OPTION_INT:
        buffer_add_format(out, "\"type\":\"integer\",\"minimum\":%lld,\"maximum\":%lld",
                          (long long)option->int_min, (long long)option->int_max);
        break;
    case OPTION_SIZE:
        buffer_add_c(out, "\"type\":[\"string\",\"integer\"],\"minimum\":0,"
                          "\"pattern\":\"^[0-9]+(k|K|M|G|T|Ki|Mi|Gi|Ti)?$\"");
        break;
    case OPTION_DURATION:
        buffer_add_c(out, "\"type\":[\"string\",\"integer\"],\"maximum\":0,\"minimum\":0,"
                          "\"pattern\":\"^(0|[0-9]+(ns|us|ms|s|m|h))$\"");
        break;
    case OPTION_NUMBER:
        buffer_add_format(out, "\"type\":\"number\",\"minimum\":%s,\"maximum\":%s", option->min,
                          option->max);
        break;
    case OPTION_STRING:
        buffer_add_format(out, "\"type\":\"string\",\"maxLength\":%d", CONFIG_TEXT_MAX);
        break;
    case OPTION_ENUM: /* tools that read YAML make other values of null, on and off */
        buffer_add_c(out, "\"enum\":[");
        for (uint32_t i = 0; option_enum_value(option, i, &value); i++) {
            buffer_add_c(out, i ? "," : "");
            buffer_add_json_string(out, value);
            if (str_eq(value, STR("on")) || str_eq(value, STR("off")))
                buffer_add_c(out, value.n == 2 ? ",true" : ",false");
            if (str_eq(value, STR("null")))
                buffer_add_c(out, ",null");
        }
        buffer_add_char(out, ']');
        break;
    case OPTION_LIST:
        buffer_add_format(out,
                          "\"type\":\"array\",\"maxItems\":%d,"
                          "\"items\":{\"type\":\"string\",\"minLength\":1}",
                          CONFIG_LIST_MAX);
        break;
    case OPTION_INTS:
        buffer_add_format(out,
                          "\"type\":\"array\",\"maxItems\":%d,"
                          "\"items\":{\"type\":\"integer\",\"minimum\":1}",
                          CONFIG_INTS_MAX);
        break;
    case OPTION_MAP:
        buffer_add_c(out, "\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}");
        break;
    case OPTION_SECTION:
        break;
    }
}

static void write_described(const struct option *option, struct buffer *out) {
    struct buffer text;
    buffer_init(&text, CONFIG_TEXT_MAX);
    buffer_add_c(out, "{\"description\":");
    buffer_add_format(&text, "%s Default: ", option->help);
    option_write_default(option, &text);
    buffer_add_json_string(out, buffer_str(&text));
    buffer_add_char(out, ',');
    write_property(option, out);
    buffer_add_char(out, '}');
    buffer_done(&text);
}

/* The object of the options below `prefix` ("" or "http."), each part once. As deep as keys have
 * dots. */
static void write_object(struct str prefix, struct buffer *out) {
    buffer_add_c(out, "\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    const char *separator = "";
    for (size_t i = 0; i < server_options.count; i++) {
        const struct option *option = &server_options.rows[i];
        struct str key = str_of(option->key), part;
        if (option->type == OPTION_SECTION || !str_starts(key, prefix))
            continue;
        struct str rest = {key.p + prefix.n, key.n - prefix.n};
        CHECK(str_split(&rest, '.', &part));
        if (first_with_part(prefix, part) != i)
            continue;
        buffer_add_c(out, separator);
        separator = ",";
        buffer_add_json_string(out, part);
        buffer_add_char(out, ':');
        if (rest.p) {
            buffer_add_char(out, '{');
            write_object((struct str){key.p, (size_t)(part.p - key.p) + part.n + 1}, out);
            buffer_add_char(out, '}');
        } else {
            write_described(option, out);
        }
    }
    buffer_add_char(out, '}');
}

void config_write_schema(struct buffer *out) {
    buffer_add_c(out, "{\"$schema\":\"http://json-schema.org/draft-07/schema#\","
                      "\"title\":\"inferd configuration\",");
    write_object(STR(""), out);
    buffer_add_c(out, "}\n");
}
