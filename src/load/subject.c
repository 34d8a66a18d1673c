#include "load/subject.h"

#include "base/num.h"
#include "protocol/v2_proto.h"

#include <inference.pb-c.h>
#include <stdio.h>
#include <yyjson.h>

/* ---- metadata ---- */

static enum err set_spec(struct arena *arena, struct str name, struct str datatype,
                         struct tensor_spec *ret, struct err_text *text) {
    if (!datatype_from_name(datatype, &ret->datatype))
        return err_set(text, ERR_INVALID, "the metadata of tensor '%.*s' have the datatype '%.*s'",
                       STR_ARG(name), STR_ARG(datatype));
    ret->name = arena_copy(arena, name);
    return ERR_OK;
}

static enum err read_shape(yyjson_val *shape, struct tensor_spec *ret, struct err_text *text) {
    size_t i, count;
    yyjson_val *value;
    if (yyjson_arr_size(shape) > TENSOR_RANK_MAX)
        return err_set(text, ERR_INVALID, "tensor '%s' has more than %d dimensions", ret->name,
                       TENSOR_RANK_MAX);
    yyjson_arr_foreach(shape, i, count, value) {
        if (!yyjson_is_int(value))
            return err_set(text, ERR_INVALID, "the shape of tensor '%s' is not made of integers",
                           ret->name);
        ret->shape[ret->rank++] = yyjson_get_sint(value);
    }
    return ERR_OK;
}

static struct str str_of_value(yyjson_val *value) {
    return (struct str){yyjson_get_str(value), yyjson_get_len(value)};
}

static enum err read_specs(struct arena *arena, yyjson_val *list, struct tensor_spec **ret,
                           size_t *ret_count, struct err_text *text) {
    size_t i, count = yyjson_arr_size(list);
    yyjson_val *one;
    if (count == 0 || count > SIGNATURE_TENSORS_MAX)
        return err_set(text, ERR_INVALID, "the metadata have no list of 1 to %d inputs and outputs",
                       SIGNATURE_TENSORS_MAX);
    struct tensor_spec *specs = arena_new_zero(arena, count * sizeof *specs);
    yyjson_arr_foreach(list, i, count, one) {
        enum err e = set_spec(arena, str_of_value(yyjson_obj_get(one, "name")),
                              str_of_value(yyjson_obj_get(one, "datatype")), &specs[i], text);
        if (!e)
            e = read_shape(yyjson_obj_get(one, "shape"), &specs[i], text);
        if (e)
            return e;
    }
    *ret = specs;
    *ret_count = count;
    return ERR_OK;
}

enum err subject_read_json(struct arena *arena, struct str metadata, struct signature *ret,
                           struct err_text *text) {
    yyjson_doc *document = yyjson_read(metadata.p, metadata.n, YYJSON_READ_NOFLAG);
    if (!document)
        return err_set(text, ERR_INVALID, "the model's metadata are not JSON");
    yyjson_val *root = yyjson_doc_get_root(document);
    struct signature signature = {.version = ""};
    signature.model = arena_copy(arena, str_of_value(yyjson_obj_get(root, "name")));
    enum err e = read_specs(arena, yyjson_obj_get(root, "inputs"), &signature.inputs,
                            &signature.input_count, text);
    if (!e)
        e = read_specs(arena, yyjson_obj_get(root, "outputs"), &signature.outputs,
                       &signature.output_count, text);
    yyjson_doc_free(document);
    if (!e)
        *ret = signature;
    return e;
}

static enum err copy_specs(struct arena *arena,
                           Inference__ModelMetadataResponse__TensorMetadata *const *list,
                           size_t count, struct tensor_spec **ret, struct err_text *text) {
    if (count == 0 || count > SIGNATURE_TENSORS_MAX)
        return err_set(text, ERR_INVALID, "the metadata have no list of 1 to %d inputs and outputs",
                       SIGNATURE_TENSORS_MAX);
    *ret = arena_new_zero(arena, count * sizeof **ret);
    for (size_t i = 0; i < count; i++) {
        struct tensor_spec *spec = &(*ret)[i];
        enum err e = set_spec(arena, str_of(list[i]->name), str_of(list[i]->datatype), spec, text);
        if (e)
            return e;
        if (list[i]->n_shape > TENSOR_RANK_MAX)
            return err_set(text, ERR_INVALID, "tensor '%s' has more than %d dimensions", spec->name,
                           TENSOR_RANK_MAX);
        for (size_t j = 0; j < list[i]->n_shape; j++)
            spec->shape[spec->rank++] = list[i]->shape[j];
    }
    return ERR_OK;
}

enum err subject_read_proto(struct arena *arena, struct str metadata, struct signature *ret,
                            struct err_text *text) {
    ProtobufCMessage *message;
    enum err e = v2_proto_unpack(arena, &inference__model_metadata_response__descriptor, metadata,
                                 SUBJECT_METADATA_MAX, &message, text);
    if (e)
        return e;
    const Inference__ModelMetadataResponse *answer = (void *)message;
    struct signature signature = {.model = arena_copy(arena, str_of(answer->name)),
                                  .version = "",
                                  .input_count = answer->n_inputs,
                                  .output_count = answer->n_outputs};
    e = copy_specs(arena, answer->inputs, answer->n_inputs, &signature.inputs, text);
    if (!e)
        e = copy_specs(arena, answer->outputs, answer->n_outputs, &signature.outputs, text);
    if (!e)
        *ret = signature;
    return e;
}

/* ---- shapes ---- */

struct shape {
    int64_t dimensions[TENSOR_RANK_MAX];
    size_t rank;
};

/* Finds the input's part of "X:1,30,Y:1,4": after a comma, a word with a colon begins the next. */
static enum err given_shape(struct str list, const char *input, struct shape *ret, bool *ret_found,
                            struct err_text *text) {
    struct str word;
    bool here = false;
    *ret_found = false;
    while (str_split(&list, ',', &word)) {
        const char *colon = memrchr(word.p, ':', word.n);
        if (colon) {
            here = str_eq_c((struct str){word.p, (size_t)(colon - word.p)}, input);
            word = (struct str){colon + 1, word.n - (size_t)(colon - word.p) - 1};
            ret->rank = here ? 0 : ret->rank;
            *ret_found |= here;
        }
        int64_t dimension;
        if (!str_to_i64(str_trim(word), &dimension) || dimension < 0)
            return err_set(text, ERR_INVALID,
                           "the shape '%.*s' is not a number; expected NAME:1,30", STR_ARG(word));
        if (here && ret->rank == TENSOR_RANK_MAX)
            return err_set(text, ERR_INVALID, "the shape of '%s' has more than %d dimensions",
                           input, TENSOR_RANK_MAX);
        if (here)
            ret->dimensions[ret->rank++] = dimension;
    }
    return ERR_OK;
}

static enum err check_names(struct str list, const struct signature *signature,
                            struct err_text *text) {
    struct str word;
    bool first = true;
    size_t index;
    while (list.n > 0 && str_split(&list, ',', &word)) {
        const char *colon = memrchr(word.p, ':', word.n);
        if (!colon && first)
            return err_set(text, ERR_INVALID, "the shape '%.*s' names no input; expected NAME:1,30",
                           STR_ARG(word));
        struct str name = {word.p, colon ? (size_t)(colon - word.p) : 0};
        first = false;
        if (colon && !signature_find_input(signature, name, &index))
            return err_set(text, ERR_INVALID, "the shape's input '%.*s' is none of model '%s'",
                           STR_ARG(name), signature->model);
    }
    return ERR_OK;
}

static enum err choose_shape(const struct signature *signature, const struct tensor_spec *spec,
                             const struct subject_options *options, struct tensor *ret,
                             struct err_text *text) {
    struct shape shape = {.rank = spec->rank};
    bool found = false;
    if (options->shape.n > 0) {
        enum err e = given_shape(options->shape, spec->name, &shape, &found, text);
        if (e)
            return e;
    }
    if (!found) {
        shape.rank = spec->rank;
        for (size_t i = 0; i < spec->rank; i++)
            shape.dimensions[i] =
                spec->shape[i] >= 0 ? spec->shape[i] : (i == 0 ? options->batch : 1);
    }
    enum err e = tensor_set(ret, spec->datatype, shape.dimensions, shape.rank, text);
    return e ? e : tensor_check_spec(ret, spec, signature, text);
}

/* ---- values ---- */

static int64_t largest(enum datatype datatype) {
    switch (datatype) {
    case DATATYPE_BOOL:
        return 1;
    case DATATYPE_INT8:
        return INT8_MAX;
    case DATATYPE_UINT8:
        return UINT8_MAX;
    case DATATYPE_INT16:
        return INT16_MAX;
    case DATATYPE_UINT16:
        return UINT16_MAX;
    default:
        return INT32_MAX;
    }
}

static void set_real(struct tensor *tensor, size_t i, double value) {
    float single = (float)value;
    uint16_t half =
        tensor->datatype == DATATYPE_FP16 ? fp16_from_float(single) : bf16_from_float(single);
    if (tensor->datatype == DATATYPE_FP64)
        ((double *)tensor->data)[i] = value;
    else if (tensor->datatype == DATATYPE_FP32)
        ((float *)tensor->data)[i] = single;
    else
        ((uint16_t *)tensor->data)[i] = half;
}

static void set_text(struct arena *arena, struct tensor *tensor, size_t i, struct random *random) {
    enum { LETTERS = 8 };
    char *letters = arena_new(arena, LETTERS);
    for (size_t j = 0; j < LETTERS; j++)
        letters[j] = (char)('a' + (random ? (int)random_integer(random, 25) : 0));
    ((struct str *)tensor->data)[i] = (struct str){letters, LETTERS};
}

/* `random` NULL: zeros. */
static void fill(struct arena *arena, struct tensor *tensor, int64_t integers_max,
                 struct random *random) {
    enum datatype_json kind = datatype_json(tensor->datatype);
    size_t size = datatype_size(tensor->datatype);
    uint64_t most = (uint64_t)MIN(integers_max, largest(tensor->datatype));
    if (tensor->datatype == DATATYPE_BOOL)
        most = 1;
    for (size_t i = 0; i < (size_t)tensor->count; i++) {
        if (kind == DATATYPE_JSON_TEXT) {
            set_text(arena, tensor, i, random);
        } else if (kind == DATATYPE_JSON_REAL) {
            set_real(tensor, i, random ? random_real(random) : 0);
        } else {
            uint64_t value = random ? random_integer(random, most) : 0;
            memcpy((char *)tensor->data + i * size, &value, size); /* little-endian */
        }
    }
}

enum err subject_make_inputs(struct arena *arena, const struct signature *signature,
                             const struct subject_options *options, struct random *random,
                             struct tensor **ret, struct err_text *text) {
    enum err e = check_names(options->shape, signature, text);
    if (e)
        return e;
    struct tensor *inputs = arena_new_zero(arena, signature->input_count * sizeof *inputs);
    for (size_t i = 0; i < signature->input_count; i++) {
        struct tensor *tensor = &inputs[i];
        e = choose_shape(signature, &signature->inputs[i], options, tensor, text);
        if (e)
            return e;
        tensor->data = arena_try_new(arena, (size_t)tensor->count, datatype_size(tensor->datatype),
                                     SUBJECT_TENSOR_BYTES_MAX);
        if (!tensor->data)
            return err_set(text, ERR_INVALID, "input '%s' would take more than %d bytes",
                           signature->inputs[i].name, SUBJECT_TENSOR_BYTES_MAX);
        fill(arena, tensor, options->integers_max,
             options->values == SUBJECT_RANDOM ? random : NULL);
    }
    *ret = inputs;
    return ERR_OK;
}
