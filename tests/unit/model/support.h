/* Help for the tests of the model layer: repositories in temporary folders, and a keeper that runs
 * a manager over one with the fake engine (or another), remembers the newest catalog and lets a
 * test wait for what it should show. */
#pragma once

#include "model/manager.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A model file of the fake engine whose rows are independent. */
#define FAKE_MODEL "input A FP32 [-1,4]\noutput B FP32 [-1,4]\n"

/* Paths are below the repository's root. */
struct place {
    char root[64];
};
void place_make(struct place *place);
void place_remove(struct place *place);
const char *place_path(const struct place *place,
                       const char *path); /* until the next call in this thread */
void place_write(const struct place *place, const char *path,
                 const char *content); /* makes the folders */
void place_link(const struct place *place, const char *path, const char *target);
void place_delete(const struct place *place, const char *path); /* with all below */
void place_rename(const struct place *place, const char *from, const char *to);

struct keeper {
    struct place place;
    struct model_manager_options options; /* may be changed before keeper_start */
    struct model_options defaults;        /* what a model without model.yaml gets; ditto */
    struct model_manager *manager;
    struct metrics *metrics;
    struct log *log;
    int log_fd;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct catalog *catalog; /* newest; under the lock */
    uint32_t options_read;   /* calls of read_options minus free_options; under the lock */
    struct mailbox mailbox;  /* of orders; drained by keeper_order */
};

/* model.yaml of these tests: lines "latest N", "listed N", "default N", "batching on|off|auto",
 * "timeout N", "setting KEY", "warmup off", "bad". */
void keeper_make(struct keeper *keeper); /* an empty repository, watched; settles after 30 ms; no
                                            periodic scan */
void keeper_start(struct keeper *keeper);
void keeper_stop(struct keeper *keeper); /* the manager alone; the repository stays */
void keeper_remove(struct keeper *keeper);

/* A condition on a catalog, as text: "m/2=READY" (the state of a version), "m/2=none" (not listed),
 * "m=2" (the default version), "m=none" (listed, without a default), "m=absent" (not listed),
 * "m=unloaded"; several are joined by spaces. Waits at most 20 s for all to hold, and fails the
 * test when they do not. */
void keeper_wait(struct keeper *keeper, const char *condition);
bool catalog_shows(const struct catalog *catalog, const char *condition);
struct catalog *keeper_catalog(struct keeper *keeper); /* a reference */
/* The reason of a version, copied ("" when there is none), until the next call. */
const char *keeper_reason(struct keeper *keeper, const char *model, int64_t version);
/* A reference to the version that serves. */
struct model_version *keeper_version(struct keeper *keeper, const char *model, const char *version);
/* Waits for a line of the log that contains both texts; counts such lines. */
void keeper_wait_log(struct keeper *keeper, const char *one, const char *other);
size_t keeper_count_log(struct keeper *keeper, const char *one, const char *other);
/* An order, and its answer. */
enum err keeper_order(struct keeper *keeper, const char *name, bool unload, struct err_text *text);
void pause_ms(uint64_t ms);
