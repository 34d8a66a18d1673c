/* Answers of one model version, kept for requests that come again byte for byte.
 *
 * An answer is found by its inputs (shapes and all bytes) and the outputs asked for: a hash finds
 * the place, the bytes are then compared, so that no request ever gets another's answer. What is
 * kept is a copy, in the form of an engine's result: a hit is served exactly as a run is, whatever
 * the protocol. The cache belongs to one loaded version and dies with it; so no answer outlives the
 * files it was computed from.
 *
 * Memory is bounded; the answer not used for longest goes first. Thread: any; a lock of one of
 * several parts is held for the time of a look-up in a table, never while bytes are hashed,
 * compared or copied. */
#pragma once

#include "engine/engine.h"

struct response_cache;

enum {
    /* Of an entry, inputs and outputs: hashing and copying them must not hold up a loop. */
    RESPONSE_CACHE_ENTRY_BYTES_MAX = 4 << 20,
    RESPONSE_CACHE_PARTS_MAX = 16 /* each as large as the largest entry, or more */
};

/* What is asked: borrowed until the answer is put. */
struct response_key {
    const struct tensor *inputs; /* signature->input_count */
    uint64_t output_mask;
    uint64_t hash[2]; /* by response_cache_key */
};

/* `signature` outlives the cache. */
struct response_cache *response_cache_new(uint64_t bytes_max, const struct signature *signature);
/* NULL is accepted. Results that were found stay valid until they are let go. */
void response_cache_free(struct response_cache **cache);

/* False: the inputs alone are too large to be kept. */
bool response_cache_key(const struct response_cache *cache, const struct tensor *inputs,
                        uint64_t output_mask, struct response_key *ret) MUST_CHECK;
/* True: *ret is the caller's reference to the answer. */
bool response_cache_find(struct response_cache *cache, const struct response_key *key,
                         struct engine_result **ret);
/* Keeps a copy of `outputs` (signature->output_count, those of the key's mask with data) when it
 * fits. Returns how many entries had to go. */
uint32_t response_cache_put(struct response_cache *cache, const struct response_key *key,
                            const struct tensor *outputs);
/* What is in it: bytes with the tables and the inputs that entries are compared with. */
void response_cache_load(struct response_cache *cache, uint64_t *ret_entries, uint64_t *ret_bytes);
