/* What the engine's tests share: test models by name, tensors in few words, a folder for own files.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
/* Freed memory is kept back, and all is slow. */
#ifdef __SANITIZE_ADDRESS__
#define UNDER_ADDRESS_SANITIZER 1
#else
#define UNDER_ADDRESS_SANITIZER 0
#endif
/* ONNX Runtime is not instrumented: half of its locking is seen, and reported as misuse. */
#ifdef __SANITIZE_THREAD__
#define UNDER_THREAD_SANITIZER 1
#else
#define UNDER_THREAD_SANITIZER 0
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
