/* What the engine's tests share: test models by name, tensors in few words, a folder for own files.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

extern const struct engine_options plain_options; /* one thread, all optimisations, arena on */

struct engine *start_onnx(void);
/* <INFERD_TEST_MODELS>/<name>/1/model.onnx, or <INFERD_TEST_MODELS>-broken/...; skips the test when
 * the variable is not set. Static memory. */
const char *test_model(const char *name);
const char *broken_model(const char *name);
/* models/repository/breast-cancer/1/model.onnx of the source tree. */
const char *demonstration_model(void);
/* A path in a folder that is removed at exit. Static memory. */
const char *own_file(const char *name);

/* Fails the test with the text when loading fails. */
struct engine_model *load(struct engine *engine, const char *path);
/* Fails the test when loading works; the text says why it did not. */
void refuse(struct engine *engine, const char *path, struct err_text *text);
/* Fails the test with the text when the run fails. */
struct engine_result *run(struct engine_model *model, const struct tensor *inputs,
                          uint64_t output_mask);

struct tensor make_tensor(enum datatype datatype, void *data, size_t rank, const int64_t *shape);
void assert_contains(const char *text, const char *part);
