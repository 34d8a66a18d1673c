/* One table a place (request, input, output): a name, and what reads its value. */
#include "protocol/v2_parameters.h"

#include "base/check.h"
#include "protocol/v2_infer.h"

struct place {
    const struct v2_reader *reader;
    const char *kind; /* "input", "output", or "request" */
    struct str name;  /* of the input or output */
};

struct parameter {
    const char *name;
    enum err (*read)(const struct place *place, const struct parameter *parameter,
                     const struct v2_parameter *value, void *out);
};

static enum err fail(const struct place *place, const char *name, const char *what) {
    const char *model = place->reader->signature->model;
    int length = (int)MIN(strlen(name), (size_t)V2_NAME_TEXT_MAX);
    if (!place->name.p) {
        return err_set(place->reader->text, ERR_INVALID,
                       "Unable to parse 'parameters': '%.*s' of the request for model '%s' %s",
                       length, name, model, what);
    }
    return err_set(place->reader->text, ERR_INVALID,
                   "Unable to parse 'parameters': '%.*s' of %s '%.*s' for model '%s' %s", length,
                   name, place->kind, V2_NAME_ARG(place->name), model, what);
}

static enum err read_unsigned(const struct place *place, const struct parameter *parameter,
                              const struct v2_parameter *value, void *out) {
    if (value->kind != V2_PARAMETER_UNSIGNED)
        return fail(place, parameter->name, "must be an integer from 0 to 2^64-1");
    memcpy(out, &value->whole, sizeof value->whole);
    return ERR_OK;
}

static enum err read_size(const struct place *place, const struct parameter *parameter,
                          const struct v2_parameter *value, void *out) {
    struct v2_input_parameters *ret = out;
    ret->has_size = true;
    return read_unsigned(place, parameter, value, &ret->size);
}

static enum err read_bool(const struct place *place, const struct parameter *parameter,
                          const struct v2_parameter *value, void *out) {
    if (value->kind != V2_PARAMETER_BOOLEAN)
        return fail(place, parameter->name, "must be true or false");
    *(bool *)out = value->boolean;
    return ERR_OK;
}

/* Accepts the value that means "no": 0, false or "". */
static enum err read_unsupported(const struct place *place, const struct parameter *parameter,
                                 const struct v2_parameter *value, void *out) {
    (void)out;
    return value->zero ? ERR_OK : fail(place, parameter->name, "is not supported by this server");
}

static enum err refuse_reserved(const struct place *place, const struct parameter *parameter,
                                const struct v2_parameter *value, void *out) {
    (void)value;
    (void)out;
    return fail(place, parameter->name, "is a reserved name");
}

static enum err refuse_memory(const struct place *place, const struct parameter *parameter,
                              const struct v2_parameter *value, void *out) {
    (void)value;
    (void)out;
    return fail(place, parameter->name,
                "is not supported by this server: send data in the body, as JSON or binary");
}

const char *v2_parameters_check_count(size_t count) {
    _Static_assert(V2_PARAMETERS_MAX == 256, "the text below");
    return count > V2_PARAMETERS_MAX ? "has too many members (at most 256)" : NULL;
}

static struct v2_parameter from_json(struct str name, yyjson_val *value) {
    struct v2_parameter ret = {.name = name};
    if (yyjson_is_bool(value)) {
        ret.kind = V2_PARAMETER_BOOLEAN;
        ret.boolean = yyjson_get_bool(value);
        ret.zero = !ret.boolean;
    } else if (yyjson_is_uint(value)) {
        ret.kind = V2_PARAMETER_UNSIGNED;
        ret.whole = yyjson_get_uint(value);
        ret.zero = ret.whole == 0;
    } else if (yyjson_is_num(value) || v2_json_is_big_number(value)) {
        ret.kind = V2_PARAMETER_NUMBER;
        ret.zero = yyjson_is_num(value) && yyjson_get_num(value) == 0;
    } else if (yyjson_is_str(value)) {
        ret.kind = V2_PARAMETER_TEXT;
        ret.zero = yyjson_get_len(value) == 0;
    }
    return ret;
}

struct v2_parameters v2_parameters_from_json(const struct v2_reader *reader, yyjson_val *value) {
    if (!value)
        return (struct v2_parameters){NULL, 0, NULL};
    if (!yyjson_is_obj(value))
        return (struct v2_parameters){.fault = "must be an object"};
    size_t count = yyjson_obj_size(value);
    const char *fault = v2_parameters_check_count(count);
    if (fault)
        return (struct v2_parameters){.fault = fault};
    struct v2_parameter *items = arena_new(reader->arena, count * sizeof *items);
    size_t i = 0;
    yyjson_obj_iter iter = yyjson_obj_iter_with(value);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)); i++)
        items[i] = from_json(v2_json_str(key), yyjson_obj_iter_get_val(key));
    return (struct v2_parameters){items, count, NULL};
}

/* Reads every parameter that `table` names into outs[i]; the row named NULL ends the table. */
static enum err read_parameters(const struct place *place, const struct v2_parameters *parameters,
                                const struct parameter *table, void *const *outs) {
    if (parameters->fault)
        return fail(place, "parameters", parameters->fault);
    uint64_t seen = 0;
    for (size_t at = 0; at < parameters->count; at++) {
        const struct v2_parameter *value = &parameters->items[at];
        struct str name = value->name;
        if (value->kind == V2_PARAMETER_OTHER)
            return fail(place, name.p, "must be a string, a number or a boolean");
        if (!place->name.p && str_starts(name, STR("triton_"))) {
            return fail(place, name.p,
                        "is reserved: parameter keys starting with 'triton_' are not accepted");
        }
        for (size_t i = 0; table[i].name; i++) {
            if (!str_eq_c(name, table[i].name))
                continue;
            if (seen & (uint64_t)1 << i)
                return fail(place, table[i].name, "is given twice");
            seen |= (uint64_t)1 << i;
            enum err e = table[i].read(place, &table[i], value, outs[i]);
            if (e)
                return e;
        }
    }
    return ERR_OK;
}

enum err v2_parameters_read_request(struct v2_reader *reader,
                                    const struct v2_parameters *parameters,
                                    struct v2_infer_request *request) {
    static const struct parameter table[] = {
        {"priority", read_unsigned},          {"timeout", read_unsigned},
        {"binary_data_output", read_bool},    {"sequence_id", read_unsupported},
        {"sequence_start", read_unsupported}, {"sequence_end", read_unsupported},
        {"headers", refuse_reserved},         {NULL, NULL},
    };
    void *const outs[ARRAY_LEN(table)] = {&request->priority, &request->timeout_us,
                                          &reader->binary_default};
    struct place place = {reader, "request", {NULL, 0}};
    return read_parameters(&place, parameters, table, outs);
}

enum err v2_parameters_read_input(const struct v2_reader *reader,
                                  const struct v2_parameters *parameters, struct str input,
                                  struct v2_input_parameters *ret) {
    static const struct parameter table[] = {
        {"binary_data_size", read_size},
        {"shared_memory_region", refuse_memory},
        {"shared_memory_byte_size", refuse_memory},
        {"shared_memory_offset", refuse_memory},
        {NULL, NULL},
    };
    *ret = (struct v2_input_parameters){false, 0};
    void *const outs[ARRAY_LEN(table)] = {ret};
    struct place place = {reader, "input", input};
    return read_parameters(&place, parameters, table, outs);
}

enum err v2_parameters_read_output(const struct v2_reader *reader,
                                   const struct v2_parameters *parameters, struct str output,
                                   bool *ret_binary) {
    static const struct parameter table[] = {
        {"binary_data", read_bool},
        {"classification", read_unsupported},
        {"shared_memory_region", refuse_memory},
        {"shared_memory_byte_size", refuse_memory},
        {"shared_memory_offset", refuse_memory},
        {NULL, NULL},
    };
    void *const outs[ARRAY_LEN(table)] = {ret_binary};
    struct place place = {reader, "output", output};
    return read_parameters(&place, parameters, table, outs);
}
