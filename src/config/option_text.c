/* An option as text for people: what is allowed, its default, its value, its other names.
 * Pure; thread: any. */
#include "config/option.h"

#include "base/check.h"
#include "base/num.h"

static const void *field_of(const struct option *option, const void *config) {
    return (const char *)config + option->offset;
}

static void write_enum_values(const struct option *option, const char *separator,
                              struct buffer *out) {
    struct str value;
    for (uint32_t i = 0; option_enum_value(option, i, &value); i++) {
        buffer_add_c(out, i ? separator : "");
        buffer_add_str(out, value);
    }
}

void option_write_allowed(const struct option *option, struct buffer *out) {
    switch (option->type) {
    case OPTION_BOOL:
        buffer_add_c(out, "true or false");
        break;
    case OPTION_INT:
        buffer_add_format(out, "an integer from %lld to %lld", (long long)option->int_min,
                          (long long)option->int_max);
        break;
    case OPTION_SIZE:
        buffer_add_format(out, "a size from %s to %s, such as 64Mi, 10M or 4096", option->min,
                          option->max);
        break;
    case OPTION_DURATION:
        buffer_add_format(out, "a duration with its unit from %s to %s, such as 250ms, 5s or 1m",
                          option->min, option->max);
        break;
    case OPTION_NUMBER:
        buffer_add_format(out, "a number from %s to %s", option->min, option->max);
        break;
    case OPTION_STRING:
        buffer_add_format(out, "a text of at most %d bytes", CONFIG_TEXT_MAX);
        break;
    case OPTION_ENUM:
        buffer_add_c(out, "one of ");
        write_enum_values(option, ", ", out);
        break;
    case OPTION_LIST:
        buffer_add_format(out, "a list of at most %d texts, none empty", CONFIG_LIST_MAX);
        break;
    case OPTION_INTS:
        buffer_add_format(out, "a list of at most %d positive integers", CONFIG_INTS_MAX);
        break;
    case OPTION_MAP:
        buffer_add_format(out, "a map of at most %d texts by name", CONFIG_MAP_MAX);
        break;
    case OPTION_SECTION:
        break;
    }
}

void option_write_variable(const struct option *option, struct buffer *out) {
    buffer_add_c(out, "INFERD_");
    for (const char *c = option->key; *c; c++)
        buffer_add_char(out, *c == '.' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c);
}

void option_write_flag(const struct option *option, struct buffer *out) {
    buffer_add_c(out, "--");
    for (const char *c = option->key; *c; c++)
        buffer_add_char(out, *c == '.' || *c == '_' ? '-' : *c);
}

/* The largest unit that divides the value. */
static void write_amount(enum option_type type, uint64_t value, struct buffer *out) {
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[2][6] = {
        {{"Ti", UINT64_C(1) << 40},
         {"Gi", UINT64_C(1) << 30},
         {"Mi", UINT64_C(1) << 20},
         {"Ki", UINT64_C(1) << 10},
         {"", 1},
         {"", 1}},
        {{"h", UINT64_C(3600) * NS_PER_S},
         {"m", UINT64_C(60) * NS_PER_S},
         {"s", NS_PER_S},
         {"ms", NS_PER_MS},
         {"us", NS_PER_US},
         {"ns", 1}},
    };
    size_t kind = type == OPTION_DURATION;
    size_t i = 0;
    while (i < 5 && value % units[kind][i].factor != 0)
        i++;
    if (value == 0)
        buffer_add_char(out, '0');
    else
        buffer_add_format(out, "%llu%s", (unsigned long long)(value / units[kind][i].factor),
                          units[kind][i].suffix);
}

static void write_list(const struct config_list *list, struct buffer *out) {
    buffer_add_char(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buffer_add_c(out, i ? ", " : "");
        buffer_add_json_string(out, str_of(list->items[i]));
    }
    buffer_add_char(out, ']');
}

static void write_ints(const struct config_ints *ints, struct buffer *out) {
    buffer_add_char(out, '[');
    for (size_t i = 0; i < ints->count; i++)
        buffer_add_format(out, "%s%lld", i ? ", " : "", (long long)ints->items[i]);
    buffer_add_char(out, ']');
}

static void write_map(const struct config_map *map, struct buffer *out) {
    buffer_add_char(out, '{');
    for (size_t i = 0; i < map->count; i++) {
        buffer_add_c(out, i ? ", " : "");
        buffer_add_json_string(out, str_of(map->items[i].key));
        buffer_add_c(out, ": ");
        buffer_add_json_string(out, str_of(map->items[i].value));
    }
    buffer_add_char(out, '}');
}

void option_write_value(const struct option *option, const void *config, struct buffer *out) {
    const void *field = field_of(option, config);
    struct str name;
    switch (option->type) {
    case OPTION_BOOL:
        buffer_add_c(out, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_INT:
        buffer_add_i64(out, *(const int64_t *)field);
        break;
    case OPTION_SIZE:
    case OPTION_DURATION:
        write_amount(option->type, *(const uint64_t *)field, out);
        break;
    case OPTION_NUMBER:
        buffer_add_format(out, "%.17g", *(const double *)field);
        break;
    case OPTION_STRING:
        buffer_add_json_string(out, str_of(*(char *const *)field));
        break;
    case OPTION_ENUM:
        CHECK(option_enum_value(option, (uint32_t)*(const int *)field, &name));
        buffer_add_str(out, name);
        break;
    case OPTION_LIST:
        write_list(field, out);
        break;
    case OPTION_INTS:
        write_ints(field, out);
        break;
    case OPTION_MAP:
        write_map(field, out);
        break;
    case OPTION_SECTION:
        break;
    }
}

void option_write_default(const struct option *option, struct buffer *out) {
    if (option->type == OPTION_INT)
        buffer_add_i64(out, option->int_fallback);
    else
        buffer_add_c(out, option->fallback && *option->fallback ? option->fallback : "none");
}
