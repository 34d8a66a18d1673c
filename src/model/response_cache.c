/* The response cache (response_cache.h).
 *
 * 1. A part is a hash table of fixed size with its own lock and its own share of the bytes; the
 * hash says which part. Loops that ask at the same time seldom meet in one.
 * 2. An entry is one block of memory that never changes: the result, the outputs' data, and the
 * bytes that a request must equal. The table holds one reference to its result, a request in flight
 * another; the last to go frees the block. So bytes are compared outside the lock.
 * 3. At most one entry of a hash is in the table: a later one takes the place of an earlier one.
 * 4. The hash is seeded by chance, so that nobody can choose inputs that meet in one chain. */
#include "model/response_cache.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/num.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    BYTES_A_PLACE = 512, /* of a part's share, for each place of its table */
    PLACES_MIN = 16,
    CACHE_LINE = 64,
    ALIGNMENT = 16,
    MALLOC_OVERHEAD = 16
};

struct entry {
    struct engine_result result; /* first */
    struct list_node node;       /* in the part's `used`; under its lock, as is `next` */
    struct entry *next;          /* of the same place */
    uint64_t hash[2];
    size_t bytes;          /* of the block */
    const char *key_bytes; /* what a request must equal; in the block */
    size_t key_size;
};

struct part {
    alignas(CACHE_LINE) pthread_mutex_t lock;
    struct entry **places;
    struct list used; /* the entry not used for longest is the first */
    uint64_t entries, bytes;
};

struct response_cache {
    const struct signature *signature;
    uint64_t seed;
    uint64_t part_bytes_max, entry_bytes_max;
    size_t place_count; /* of a part; a power of two */
    size_t part_count;
    struct part *parts;
};

/* ---- a request as a run of bytes ---- */

typedef bool visit_bytes(void *context, const void *bytes, size_t n);

static bool visit_tensor(const struct tensor *tensor, visit_bytes *visit, void *context) {
    if (!visit(context, tensor->shape, tensor->rank * sizeof tensor->shape[0]))
        return false;
    if (tensor->datatype != DATATYPE_BYTES)
        return tensor->count == 0 || visit(context, tensor->data, tensor_bytes(tensor));
    const struct str *texts = tensor->data;
    for (int64_t i = 0; i < tensor->count; i++) {
        uint64_t n = texts[i].n; /* so that "ab","c" is not "a","bc" */
        if (!visit(context, &n, sizeof n) || (n > 0 && !visit(context, texts[i].p, texts[i].n)))
            return false;
    }
    return true;
}

/* The datatypes and the number of inputs are the model's: they need no bytes. The rank is, too,
 * but for models that leave it open. */
static bool visit_key(const struct response_cache *cache, const struct response_key *key,
                      visit_bytes *visit, void *context) {
    if (!visit(context, &key->output_mask, sizeof key->output_mask))
        return false;
    for (size_t i = 0; i < cache->signature->input_count; i++) {
        uint64_t rank = key->inputs[i].rank;
        if (!visit(context, &rank, sizeof rank) || !visit_tensor(&key->inputs[i], visit, context))
            return false;
    }
    return true;
}

/* Each piece is hashed with what came before it as the seed. */
static bool visit_hash(void *context, const void *bytes, size_t n) {
    XXH128_hash_t *hash = context;
    *hash = XXH3_128bits_withSeed(bytes, n, hash->low64 ^ hash->high64);
    return true;
}

static bool visit_size(void *context, const void *bytes, size_t n) {
    (void)bytes;
    size_t *size = context;
    return num_add_size(*size, n, size);
}

static bool visit_copy(void *context, const void *bytes, size_t n) {
    char **into = context;
    if (n > 0)
        memcpy(*into, bytes, n);
    *into += n;
    return true;
}

static bool visit_compare(void *context, const void *bytes, size_t n) {
    struct str *left = context;
    if (n > left->n || (n > 0 && memcmp(left->p, bytes, n) != 0))
        return false;
    *left = (struct str){left->p + n, left->n - n};
    return true;
}

static bool is_same(const struct response_cache *cache, const struct response_key *key,
                    const struct entry *entry) {
    struct str left = {entry->key_bytes, entry->key_size};
    return visit_key(cache, key, visit_compare, &left) && left.n == 0;
}

bool response_cache_key(const struct response_cache *cache, const struct tensor *inputs,
                        uint64_t output_mask, struct response_key *ret) {
    struct response_key key = {.inputs = inputs, .output_mask = output_mask};
    size_t size = 0;
    if (!visit_key(cache, &key, visit_size, &size) || size > cache->entry_bytes_max)
        return false;
    XXH128_hash_t hash = {.low64 = cache->seed};
    CHECK(visit_key(cache, &key, visit_hash, &hash));
    key.hash[0] = hash.low64;
    key.hash[1] = hash.high64;
    *ret = key;
    return true;
}

/* ---- entries ---- */

static void destroy_entry(struct engine_result *result) {
    free(CONTAINER_OF(result, struct entry, result));
}

static bool add_aligned(size_t *size, size_t more) {
    return num_add_size(*size, more, size) && num_add_size(*size, ALIGNMENT - 1, size) &&
           (*size &= ~(size_t)(ALIGNMENT - 1), true);
}

static bool has_output(const struct response_key *key, size_t i) {
    return key->output_mask >> i & 1;
}

/* Bytes of an output's copy: BYTES are an array of struct str, then the contents. */
static bool add_output(size_t *size, const struct tensor *output) {
    size_t bytes = tensor_bytes(output);
    const struct str *texts = output->data;
    for (int64_t i = 0; output->datatype == DATATYPE_BYTES && i < output->count; i++)
        if (!num_add_size(bytes, texts[i].n, &bytes))
            return false;
    return add_aligned(size, bytes);
}

static void copy_output(const struct tensor *from, struct tensor *to, char **at) {
    *to = *from;
    to->data = *at;
    size_t bytes = tensor_bytes(from), size = 0;
    if (bytes > 0)
        memcpy(*at, from->data, bytes);
    struct str *texts = to->data;
    char *content = *at + bytes;
    for (int64_t i = 0; from->datatype == DATATYPE_BYTES && i < from->count; i++) {
        if (texts[i].n > 0)
            memcpy(content, texts[i].p, texts[i].n);
        texts[i].p = content;
        content += texts[i].n;
    }
    CHECK(add_output(&size, from));
    *at += size;
}

/* The block's size, and where the outputs' data and the key begin; false when it is too large. */
static bool entry_size(const struct response_cache *cache, const struct response_key *key,
                       const struct tensor *outputs, size_t *ret_size, size_t *ret_key_size) {
    size_t output_count = cache->signature->output_count, size = 0, key_size = 0;
    bool fits = add_aligned(&size, sizeof(struct entry)) &&
                add_aligned(&size, output_count * sizeof(struct tensor)) &&
                visit_key(cache, key, visit_size, &key_size) && add_aligned(&size, key_size);
    for (size_t i = 0; fits && i < output_count; i++)
        fits = !has_output(key, i) || add_output(&size, &outputs[i]);
    *ret_size = size;
    *ret_key_size = key_size;
    return fits && size < SIZE_MAX - MALLOC_OVERHEAD;
}

/* NULL when it is too large, or memory is out. */
static struct entry *make_entry(const struct response_cache *cache, const struct response_key *key,
                                const struct tensor *outputs) {
    size_t size, key_size, output_count = cache->signature->output_count, at = 0;
    if (!entry_size(cache, key, outputs, &size, &key_size) ||
        size + MALLOC_OVERHEAD > cache->entry_bytes_max)
        return NULL;
    struct entry *entry = malloc(size);
    if (!entry)
        return NULL;
    *entry = (struct entry){.hash = {key->hash[0], key->hash[1]},
                            .bytes = size + MALLOC_OVERHEAD,
                            .key_size = key_size};
    CHECK(add_aligned(&at, sizeof *entry));
    entry->result.outputs = (struct tensor *)(void *)((char *)entry + at);
    CHECK(add_aligned(&at, output_count * sizeof(struct tensor)));
    char *into = (char *)entry + at;
    for (size_t i = 0; i < output_count; i++) {
        entry->result.outputs[i] = (struct tensor){.datatype = outputs[i].datatype};
        if (has_output(key, i))
            copy_output(&outputs[i], &entry->result.outputs[i], &into);
    }
    entry->key_bytes = into;
    CHECK(visit_key(cache, key, visit_copy, &into));
    atomic_init(&entry->result.references, 1);
    entry->result.destroy = destroy_entry;
    entry->result.output_count = output_count;
    return entry;
}

/* ---- parts ---- */

static struct part *part_of(struct response_cache *cache, const uint64_t hash[2]) {
    return &cache->parts[hash[1] % cache->part_count];
}

static struct entry **place_of(const struct response_cache *cache, const struct part *part,
                               const uint64_t hash[2]) {
    return &part->places[hash[0] & (cache->place_count - 1)];
}

/* Where the entry of this hash hangs; the end of the chain (NULL) when there is none. */
static struct entry **find_link(const struct response_cache *cache, const struct part *part,
                                const uint64_t hash[2]) {
    struct entry **link = place_of(cache, part, hash);
    while (*link && ((*link)->hash[0] != hash[0] || (*link)->hash[1] != hash[1]))
        link = &(*link)->next;
    return link;
}

/* Out of the table and into `gone`, to be let go without the lock. Under the lock. */
static void take_out(struct part *part, struct entry **link, struct list *gone) {
    struct entry *entry = *link;
    CHECK(entry);
    *link = entry->next;
    entry->next = NULL;
    list_remove(&entry->node);
    part->entries--;
    part->bytes -= entry->bytes;
    list_add_last(gone, &entry->node);
}

static uint32_t let_go(struct list *gone) {
    uint32_t count = 0;
    for (struct list_node *node; (node = list_take_first(gone)); count++) {
        struct engine_result *result = &CONTAINER_OF(node, struct entry, node)->result;
        engine_result_unref(&result);
    }
    return count;
}

bool response_cache_find(struct response_cache *cache, const struct response_key *key,
                         struct engine_result **ret) {
    struct part *part = part_of(cache, key->hash);
    CHECK(pthread_mutex_lock(&part->lock) == 0);
    struct entry *entry = *find_link(cache, part, key->hash);
    if (entry) {
        list_remove(&entry->node);
        list_add_last(&part->used, &entry->node);
        engine_result_ref(&entry->result);
    }
    CHECK(pthread_mutex_unlock(&part->lock) == 0);
    if (!entry)
        return false;
    struct engine_result *result = &entry->result;
    if (!is_same(cache, key, entry)) {
        engine_result_unref(&result);
        return false;
    }
    *ret = result;
    return true;
}

uint32_t response_cache_put(struct response_cache *cache, const struct response_key *key,
                            const struct tensor *outputs) {
    struct entry *entry = make_entry(cache, key, outputs);
    if (!entry)
        return 0;
    struct part *part = part_of(cache, key->hash);
    struct list gone, replaced;
    list_init(&gone);
    list_init(&replaced);
    CHECK(pthread_mutex_lock(&part->lock) == 0);
    struct entry **link = find_link(cache, part, key->hash);
    if (*link)
        take_out(part, link, &replaced);
    while (part->bytes + entry->bytes > cache->part_bytes_max) {
        struct list_node *first = list_first(&part->used);
        CHECK(first); /* an empty part has room for the largest entry */
        struct entry *oldest = CONTAINER_OF(first, struct entry, node);
        take_out(part, find_link(cache, part, oldest->hash), &gone);
    }
    link = place_of(cache, part, key->hash);
    entry->next = *link;
    *link = entry;
    list_add_last(&part->used, &entry->node);
    part->entries++;
    part->bytes += entry->bytes;
    CHECK(pthread_mutex_unlock(&part->lock) == 0);
    let_go(&replaced);
    return let_go(&gone);
}

void response_cache_load(struct response_cache *cache, uint64_t *ret_entries, uint64_t *ret_bytes) {
    *ret_entries = *ret_bytes = 0;
    for (size_t i = 0; i < cache->part_count; i++) {
        struct part *part = &cache->parts[i];
        CHECK(pthread_mutex_lock(&part->lock) == 0);
        *ret_entries += part->entries;
        *ret_bytes += part->bytes;
        CHECK(pthread_mutex_unlock(&part->lock) == 0);
    }
}

/* ---- the whole ---- */

struct response_cache *response_cache_new(uint64_t bytes_max, const struct signature *signature) {
    struct response_cache *cache = mem_new(sizeof *cache);
    uint64_t parts = bytes_max / RESPONSE_CACHE_ENTRY_BYTES_MAX;
    cache->signature = signature;
    cache->part_count = (size_t)MIN(MAX(parts, 1u), (uint64_t)RESPONSE_CACHE_PARTS_MAX);
    cache->part_bytes_max = bytes_max / cache->part_count;
    cache->place_count = PLACES_MIN;
    while (cache->place_count < cache->part_bytes_max / BYTES_A_PLACE)
        cache->place_count *= 2;
    size_t table_bytes = cache->place_count * sizeof(struct entry *);
    cache->part_bytes_max = MAX(cache->part_bytes_max, table_bytes);
    cache->entry_bytes_max =
        MIN(cache->part_bytes_max - table_bytes, (uint64_t)RESPONSE_CACHE_ENTRY_BYTES_MAX);
    if (getrandom(&cache->seed, sizeof cache->seed, GRND_NONBLOCK) != sizeof cache->seed)
        cache->seed = clock_now(&clock_real); /* very early after the machine's start */
    cache->parts = aligned_alloc(CACHE_LINE, cache->part_count * sizeof *cache->parts);
    CHECK(cache->parts);
    for (size_t i = 0; i < cache->part_count; i++) {
        struct part *part = &cache->parts[i];
        *part = (struct part){.bytes = table_bytes};
        CHECK(pthread_mutex_init(&part->lock, NULL) == 0);
        part->places = mem_new_array(cache->place_count, sizeof *part->places);
        list_init(&part->used);
    }
    return cache;
}

void response_cache_free(struct response_cache **pointer) {
    struct response_cache *cache = *pointer;
    *pointer = NULL;
    if (!cache)
        return;
    for (size_t i = 0; i < cache->part_count; i++) {
        struct part *part = &cache->parts[i];
        let_go(&part->used);
        mem_free(&part->places);
        CHECK(pthread_mutex_destroy(&part->lock) == 0);
    }
    free(cache->parts);
    mem_free(&cache);
}
