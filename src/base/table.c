#include "base/table.h"

#define SMALLEST 16u

static struct table_link *link_of(const struct table *t, uint32_t index)
{
    return (struct table_link *)(void *)(t->links + (size_t)index * t->stride);
}

static uint32_t *bucket_of(const struct table *t, uint32_t hash)
{
    uint32_t at = hash & (t->half - 1);

    if (at < t->split)
        at = hash & (2 * t->half - 1);
    return &t->buckets[at];
}

static uint32_t bucket_limit(uint32_t item_limit)
{
    uint32_t limit = SMALLEST;

    while (limit / 2 < item_limit && limit < UINT32_C(1) << 31)
        limit *= 2;
    return limit;
}

size_t table_bytes(uint32_t item_limit)
{
    return sizeof(uint32_t) * bucket_limit(item_limit) + 64;
}

void table_init(struct table *t, struct arena *from, uint32_t item_limit, void *items,
                size_t stride, size_t offset)
{
    uint32_t limit = bucket_limit(item_limit);

    *t = (struct table){
        .buckets = arena_take(from, sizeof(uint32_t) * limit),
        .links = (char *)items + offset,
        .stride = stride,
        .limit = limit,
        .half = SMALLEST,
    };
    assert(t->buckets);
}

/* One more bucket: the items of the next one to split are dealt out between it and its twin. */
static void grow(struct table *t)
{
    uint32_t *low = &t->buckets[t->split];
    uint32_t *high = &t->buckets[t->split + t->half];
    uint32_t index = *low;

    while (index) {
        struct table_link *link = link_of(t, index);
        uint32_t **end = link->hash & t->half ? &high : &low;
        **end = index;
        *end = &link->next;
        index = link->next;
    }
    *low = 0;
    *high = 0;
    if (++t->split == t->half) {
        t->half *= 2;
        t->split = 0;
    }
}

void table_insert(struct table *t, uint32_t index, uint32_t hash)
{
    struct table_link *link = link_of(t, index);
    uint32_t *bucket;

    for (unsigned i = 0; i < 2 && t->half < t->limit; i++)
        if (2 * (uint64_t)t->count >= t->half + t->split)
            grow(t);
    bucket = bucket_of(t, hash);
    *link = (struct table_link){hash, *bucket};
    *bucket = index;
    t->count++;
}

void table_remove(struct table *t, uint32_t index)
{
    struct table_link *link = link_of(t, index);
    uint32_t *at = bucket_of(t, link->hash);

    while (*at != index) {
        assert(*at);
        at = &link_of(t, *at)->next;
    }
    *at = link->next;
    t->count--;
}

static uint32_t same_hash(const struct table *t, uint32_t index, uint32_t hash)
{
    while (index && link_of(t, index)->hash != hash)
        index = link_of(t, index)->next;
    return index;
}

uint32_t table_first(const struct table *t, uint32_t hash)
{
    return same_hash(t, *bucket_of(t, hash), hash);
}

uint32_t table_next(const struct table *t, uint32_t index)
{
    const struct table_link *link = link_of(t, index);

    return same_hash(t, link->next, link->hash);
}
