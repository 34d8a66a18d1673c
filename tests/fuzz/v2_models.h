// The signatures that the v2 fuzz targets choose from, and what must hold of every request they
// read.
#pragma once

#include "base/check.h"
#include "protocol/v2_infer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_x[] = "X";
static char fuzz_y[] = "Y";
static char fuzz_z[] = "Z";

static struct tensor_spec fuzz_specs[][3] = {
    {{fuzz_x, DATATYPE_FP32, 2, {-1, 2}},
     {fuzz_y, DATATYPE_INT64, 1, {-1}},
     {fuzz_z, DATATYPE_BYTES, 1, {-1}}},
    {{fuzz_x, DATATYPE_BYTES, 2, {-1, -1}},
     {fuzz_y, DATATYPE_BOOL, 0, {0}},
     {fuzz_z, DATATYPE_UINT8, 1, {3}}},
    {{fuzz_x, DATATYPE_FP16, 3, {-1, -1, -1}},
     {fuzz_y, DATATYPE_BF16, 1, {-1}},
     {fuzz_z, DATATYPE_UINT64, 1, {-1}}},
    {{fuzz_x, DATATYPE_FP64, 1, {-1}},
     {fuzz_y, DATATYPE_INT8, 2, {-1, 1}},
     {fuzz_z, DATATYPE_UINT32, 1, {-1}}},
    {{fuzz_x, DATATYPE_INT16, 1, {-1}},
     {fuzz_y, DATATYPE_UINT16, 1, {-1}},
     {fuzz_z, DATATYPE_INT32, 8, {1, 1, 1, 1, 1, 1, 1, -1}}},
};

// The first byte chooses a signature: its tensors, how many of them, and whether it batches.
// Outputs are the inputs, so that what was read can be written as an answer.
static struct signature fuzz_signature(uint8_t choice) {
    struct tensor_spec *specs = fuzz_specs[choice % 5];
    size_t count = 1 + choice / 5 % 3;
    return (struct signature){.model = "m",
                              .version = "1",
                              .inputs = specs,
                              .input_count = count,
                              .outputs = specs,
                              .output_count = count,
                              .batchable = choice / 15 % 2 == 1 && choice % 5 == 0};
}

static void fuzz_touch(const void *data, size_t n) {
    const volatile unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        (void)p[i];
}

// Shapes fit the model and every byte of the data can be read.
static void fuzz_check_request(const struct signature *signature,
                               const struct v2_infer_request *request) {
    for (size_t i = 0; i < signature->input_count; i++) {
        const struct tensor *tensor = &request->inputs[i];
        CHECK(tensor_check_spec(tensor, &signature->inputs[i], signature, NULL) == ERR_OK);
        struct tensor again;
        CHECK(tensor_set(&again, tensor->datatype, tensor->shape, tensor->rank, NULL) == ERR_OK);
        CHECK(again.count == tensor->count);
        if (tensor->count == 0)
            continue;
        size_t size = datatype_size(tensor->datatype);
        CHECK((uintptr_t)tensor->data % (tensor->datatype == DATATYPE_BYTES ? 8 : size) == 0);
        fuzz_touch(tensor->data, tensor_bytes(tensor));
        for (int64_t k = 0; tensor->datatype == DATATYPE_BYTES && k < tensor->count; k++) {
            const struct str *element = (const struct str *)tensor->data + k;
            fuzz_touch(element->p, element->n);
        }
    }
    CHECK(request->output_count <= signature->output_count);
    for (size_t i = 0; i < request->output_count; i++)
        CHECK(request->outputs[i].index < signature->output_count);
    fuzz_touch(request->id.p, request->id.n);
}
