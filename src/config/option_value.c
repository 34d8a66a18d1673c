/* Reading an option's value from text, keeping and freeing it. One function a type, no other place
 * knows. Pure; thread: any. Owns nothing: fields own their texts and lists. */
#include "config/option.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void *field_of(const struct option *option, void *config) {
    return (char *)config + option->offset;
}

static size_t field_size(enum option_type type) {
    static const size_t sizes[] = {
        [OPTION_SECTION] = 0,
        [OPTION_BOOL] = sizeof(bool),
        [OPTION_INT] = sizeof(int64_t),
        [OPTION_SIZE] = sizeof(uint64_t),
        [OPTION_DURATION] = sizeof(uint64_t),
        [OPTION_NUMBER] = sizeof(double),
        [OPTION_STRING] = sizeof(char *),
        [OPTION_ENUM] = sizeof(int),
        [OPTION_LIST] = sizeof(struct config_list),
        [OPTION_INTS] = sizeof(struct config_ints),
        [OPTION_MAP] = sizeof(struct config_map),
    };
    return sizes[type];
}

bool option_bool_from_text(struct str text, bool *ret) {
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (size_t truth = 0; truth < 2; truth++)
            if (str_eq_nocase(text, str_of(words[i][truth]))) {
                *ret = truth == 1;
                return true;
            }
    return false;
}

struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix size_suffixes[] = {
    {"", 1},
    {"k", 1000},
    {"K", 1000},
    {"M", 1000000},
    {"G", 1000000000},
    {"T", 1000000000000},
    {"Ki", UINT64_C(1) << 10},
    {"Mi", UINT64_C(1) << 20},
    {"Gi", UINT64_C(1) << 30},
    {"Ti", UINT64_C(1) << 40},
};

static const struct suffix duration_suffixes[] = {
    {"ns", 1},
    {"us", NS_PER_US},
    {"ms", NS_PER_MS},
    {"s", NS_PER_S},
    {"m", UINT64_C(60) * NS_PER_S},
    {"h", UINT64_C(3600) * NS_PER_S},
};

/* Digits, then one of the suffixes. */
static bool parse_suffixed(struct str text, const struct suffix *suffixes, size_t count,
                           uint64_t *ret) {
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    struct str suffix = {text.p + digits, text.n - digits};
    uint64_t value;
    if (!str_to_u64((struct str){text.p, digits}, &value))
        return false;
    for (size_t i = 0; i < count; i++)
        if (str_eq_c(suffix, suffixes[i].text))
            return !__builtin_mul_overflow(value, suffixes[i].factor, ret);
    return false;
}

static bool parse_amount(enum option_type type, struct str text, uint64_t *ret) {
    if (type == OPTION_SIZE)
        return parse_suffixed(text, size_suffixes, ARRAY_LEN(size_suffixes), ret);
    if (str_eq(text, STR("0"))) {
        *ret = 0;
        return true;
    }
    return parse_suffixed(text, duration_suffixes, ARRAY_LEN(duration_suffixes), ret);
}

/* A SIZE or DURATION within its range. */
static bool parse_ranged(const struct option *option, struct str text, uint64_t *ret) {
    uint64_t value, min, max;
    CHECK(parse_amount(option->type, str_of(option->min), &min));
    CHECK(parse_amount(option->type, str_of(option->max), &max));
    if (!parse_amount(option->type, text, &value) || value < min || value > max)
        return false;
    *ret = value;
    return true;
}

/* A decimal fraction with an optional exponent; not "nan", "inf" or hexadecimal, which strtod
 * takes. */
static bool parse_double(struct str text, double *ret) {
    char copy[64];
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!memchr("0123456789+-.eE", text.p[i], 15))
            return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    char *end;
    double value = strtod(copy, &end);
    if (end != copy + text.n || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

static bool parse_number(const struct option *option, struct str text, double *ret) {
    double value, min, max;
    CHECK(parse_double(str_of(option->min), &min) && parse_double(str_of(option->max), &max));
    if (!parse_double(text, &value) || value < min || value > max)
        return false;
    *ret = value;
    return true;
}

bool option_enum_value(const struct option *option, uint32_t index, struct str *ret) {
    struct str rest = str_of(option->values);
    for (uint32_t i = 0; str_split(&rest, '|', ret); i++)
        if (i == index)
            return true;
    return false;
}

/* YAML 1.1 tools turn `mode: on` into true: "true" and "false" are taken for values on and off. */
static bool parse_enum(const struct option *option, struct str text, int *ret) {
    struct str value;
    struct str meant = str_eq(text, STR("true"))    ? STR("on")
                       : str_eq(text, STR("false")) ? STR("off")
                                                    : text;
    for (uint32_t i = 0; option_enum_value(option, i, &value); i++) {
        if (str_eq(value, text) || str_eq(value, meant)) {
            *ret = (int)i;
            return true;
        }
    }
    return false;
}

/* Texts become C strings. */
static bool text_allowed(struct str text) {
    return text.n <= CONFIG_TEXT_MAX && (text.n == 0 || !memchr(text.p, '\0', text.n)) &&
           str_is_utf8(text);
}

bool option_append(const struct option *option, struct str item, void *config) {
    if (option->type == OPTION_LIST) {
        struct config_list *list = field_of(option, config);
        if (list->count >= CONFIG_LIST_MAX || item.n == 0 || !text_allowed(item))
            return false;
        list->items = mem_resize(list->items, (list->count + 1) * sizeof *list->items);
        list->items[list->count++] = mem_copy_n(item.p, item.n);
        return true;
    }
    CHECK(option->type == OPTION_INTS);
    struct config_ints *ints = field_of(option, config);
    int64_t value;
    if (ints->count >= CONFIG_INTS_MAX || !str_to_i64(item, &value) || value < 1)
        return false;
    ints->items = mem_resize(ints->items, (ints->count + 1) * sizeof *ints->items);
    ints->items[ints->count++] = value;
    return true;
}

bool option_put(const struct option *option, struct str key, struct str value, void *config) {
    CHECK(option->type == OPTION_MAP);
    struct config_map *map = field_of(option, config);
    if (map->count >= CONFIG_MAP_MAX || key.n == 0 || !text_allowed(key) || !text_allowed(value))
        return false;
    for (size_t i = 0; i < map->count; i++)
        if (str_eq_c(key, map->items[i].key))
            return false;
    map->items = mem_resize(map->items, (map->count + 1) * sizeof *map->items);
    map->items[map->count++] =
        (struct config_pair){mem_copy_n(key.p, key.n), mem_copy_n(value.p, value.n)};
    return true;
}

/* "a, b": the items replace the list. An empty text is an empty list. */
static bool parse_items(const struct option *option, struct str text, void *config) {
    union {
        struct config_list list;
        struct config_ints ints;
    } items = {0};
    struct option here = *option; /* the same option of a struct that is only this field */
    here.offset = 0;
    struct str rest = str_trim(text), item;
    bool good = true;
    while (rest.n > 0 && good && str_split(&rest, ',', &item))
        good = option_append(&here, str_trim(item), &items) && !(rest.p && rest.n == 0);
    if (!good) {
        option_clear(&here, &items);
        return false;
    }
    option_clear(option, config);
    memcpy(field_of(option, config), &items, field_size(option->type));
    return true;
}

static bool parse_string(struct str text, char **field) {
    if (!text_allowed(text))
        return false;
    mem_free(field);
    *field = mem_copy_n(text.p, text.n);
    return true;
}

static bool parse_int(const struct option *option, struct str text, int64_t *ret) {
    int64_t value;
    if (!str_to_i64(text, &value) || value < option->int_min || value > option->int_max)
        return false;
    *ret = value;
    return true;
}

bool option_parse(const struct option *option, struct str text, void *config) {
    void *field = field_of(option, config);
    switch (option->type) {
    case OPTION_BOOL:
        return option_bool_from_text(text, field);
    case OPTION_INT:
        return parse_int(option, text, field);
    case OPTION_SIZE:
    case OPTION_DURATION:
        return parse_ranged(option, text, field);
    case OPTION_NUMBER:
        return parse_number(option, text, field);
    case OPTION_STRING:
        return parse_string(text, field);
    case OPTION_ENUM:
        return parse_enum(option, text, field);
    case OPTION_LIST:
    case OPTION_INTS:
        return parse_items(option, text, config);
    case OPTION_MAP:
    case OPTION_SECTION:
        break;
    }
    return false;
}

void option_clear(const struct option *option, void *config) {
    void *field = field_of(option, config);
    if (option->type == OPTION_STRING) {
        mem_free((char **)field);
    } else if (option->type == OPTION_LIST) {
        struct config_list *list = field;
        for (size_t i = 0; i < list->count; i++)
            mem_free(&list->items[i]);
        mem_free(&list->items);
        list->count = 0;
    } else if (option->type == OPTION_INTS) {
        struct config_ints *ints = field;
        mem_free(&ints->items);
        ints->count = 0;
    } else if (option->type == OPTION_MAP) {
        struct config_map *map = field;
        for (size_t i = 0; i < map->count; i++) {
            mem_free(&map->items[i].key);
            mem_free(&map->items[i].value);
        }
        mem_free(&map->items);
        map->count = 0;
    }
}

void option_set_default(const struct option *option, void *config) {
    option_clear(option, config);
    if (option->type == OPTION_INT)
        memcpy(field_of(option, config), &option->int_fallback, sizeof option->int_fallback);
    else if (option->fallback)
        CHECK(option_parse(option, str_of(option->fallback), config));
}

void option_move(const struct option *option, void *from, void *to) {
    option_clear(option, to);
    memcpy(field_of(option, to), field_of(option, from), field_size(option->type));
    memset(field_of(option, from), 0, field_size(option->type));
}

void option_copy(const struct option *from_option, const void *from, const struct option *to_option,
                 void *to) {
    enum option_type type = to_option->type;
    CHECK(from_option->type == type && (type < OPTION_STRING || type == OPTION_ENUM));
    memcpy(field_of(to_option, to), (const char *)from + from_option->offset, field_size(type));
}
