#include "base/table.h"

#define SMALLEST 16u
#define SLOTS 7u /* of a bucket: as many as leave room for the rest in 64 bytes */
#define LOAD 3u  /* items a bucket, on average, before one more is split */

/* The slots in use are the first ones. */
struct bucket {
    uint32_t hashes[SLOTS];
    uint32_t chain; /* index of the first item that found no slot, 0 = none */
    uint32_t indices[SLOTS];
    uint32_t used;
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

static struct table_link *link_of(const struct table *t, uint32_t index)
{
    return (struct table_link *)(void *)(t->links + (size_t)index * t->stride);
}

static struct bucket *bucket_of(const struct table *t, uint32_t hash)
{
    uint32_t at = hash & (t->half - 1);

    if (at < t->split)
        at = hash & (2 * t->half - 1);
    return &t->buckets[at];
}

static uint32_t bucket_limit(uint32_t item_limit)
{
    uint32_t limit = SMALLEST;

    while ((uint64_t)limit * LOAD < item_limit && limit < UINT32_C(1) << 31)
        limit *= 2;
    return limit;
}

size_t table_bytes(uint32_t item_limit)
{
    return sizeof(struct bucket) * bucket_limit(item_limit) + 64;
}

void table_init(struct table *t, struct arena *from, uint32_t item_limit, void *items,
                size_t stride, size_t offset)
{
    uint32_t limit = bucket_limit(item_limit);

    *t = (struct table){
        .buckets = arena_take(from, sizeof(struct bucket) * limit),
        .links = (char *)items + offset,
        .stride = stride,
        .limit = limit,
        .half = SMALLEST,
    };
    assert(t->buckets);
}

static void put(struct table *t, struct bucket *bucket, uint32_t index, uint32_t hash)
{
    if (bucket->used < SLOTS) {
        bucket->hashes[bucket->used] = hash;
        bucket->indices[bucket->used++] = index;
    } else {
        link_of(t, index)->next = bucket->chain;
        bucket->chain = index;
    }
}

/* One more bucket: the items of the next one to split are dealt out between it and its twin. */
static void grow(struct table *t)
{
    struct bucket *low = &t->buckets[t->split];
    struct bucket *high = &t->buckets[t->split + t->half];
    struct bucket old = *low;

    *low = *high = (struct bucket){0};
    for (uint32_t i = 0; i < old.used; i++)
        put(t, old.hashes[i] & t->half ? high : low, old.indices[i], old.hashes[i]);
    for (uint32_t index = old.chain, next; index; index = next) {
        const struct table_link *link = link_of(t, index);
        next = link->next;
        put(t, link->hash & t->half ? high : low, index, link->hash);
    }
    if (++t->split == t->half) {
        t->half *= 2;
        t->split = 0;
    }
}

void table_insert(struct table *t, uint32_t index, uint32_t hash)
{
    if (t->count >= (uint64_t)LOAD * (t->half + t->split) && t->half < t->limit)
        grow(t);
    link_of(t, index)->hash = hash;
    put(t, bucket_of(t, hash), index, hash);
    t->count++;
}

/* The last of the bucket's items comes to where one went. */
static void fill_slot(struct bucket *bucket, uint32_t slot)
{
    bucket->used--;
    bucket->hashes[slot] = bucket->hashes[bucket->used];
    bucket->indices[slot] = bucket->indices[bucket->used];
}

static void unchain(const struct table *t, struct bucket *bucket, uint32_t index)
{
    uint32_t *at = &bucket->chain;

    while (*at != index) {
        assert(*at);
        at = &link_of(t, *at)->next;
    }
    *at = link_of(t, index)->next;
}

/* A chained item moves into a slot that came free, so that chains are as short as can be. */
static void shorten(struct table *t, struct bucket *bucket)
{
    uint32_t index = bucket->chain;
    const struct table_link *link = link_of(t, index);

    bucket->chain = link->next;
    put(t, bucket, index, link->hash);
}

void table_remove(struct table *t, uint32_t index)
{
    struct bucket *bucket = bucket_of(t, link_of(t, index)->hash);
    uint32_t slot = 0;

    while (slot < bucket->used && bucket->indices[slot] != index)
        slot++;
    t->count--;
    if (slot == bucket->used) {
        unchain(t, bucket, index);
        return;
    }
    fill_slot(bucket, slot);
    if (bucket->chain)
        shorten(t, bucket);
}

/* From a slot on, then on the chain. */
static uint32_t same_hash(const struct table *t, const struct bucket *bucket, uint32_t slot,
                          uint32_t hash)
{
    for (; slot < bucket->used; slot++)
        if (bucket->hashes[slot] == hash)
            return bucket->indices[slot];
    for (uint32_t index = bucket->chain; index; index = link_of(t, index)->next)
        if (link_of(t, index)->hash == hash)
            return index;
    return 0;
}

uint32_t table_first(const struct table *t, uint32_t hash)
{
    return same_hash(t, bucket_of(t, hash), 0, hash);
}

uint32_t table_next(const struct table *t, uint32_t index)
{
    const struct table_link *link = link_of(t, index);
    const struct bucket *bucket = bucket_of(t, link->hash);

    for (uint32_t slot = 0; slot < bucket->used; slot++)
        if (bucket->indices[slot] == index)
            return same_hash(t, bucket, slot + 1, link->hash);
    for (index = link->next; index && link_of(t, index)->hash != link->hash;)
        index = link_of(t, index)->next;
    return index;
}
