#include "base/pool.h"

#include <string.h>

size_t pool_bytes(size_t size, uint32_t limit)
{
    return size * ((size_t)limit + 1) + 64;
}

void pool_init(struct pool *p, struct arena *from, size_t size, uint32_t limit,
               uint32_t first_generation)
{
    assert(size % 8 == 0 && size >= sizeof(struct pool_item));

    *p = (struct pool){
        .items = arena_take(from, size * ((size_t)limit + 1)),
        .size = size,
        .limit = limit,
        .first_generation = first_generation ? first_generation : 1,
    };
    assert(p->items);
}

void *pool_take(struct pool *p)
{
    struct pool_item *item;
    uint32_t generation;

    if (p->live == p->limit)
        return NULL;
    if (p->free) {
        item = pool_at(p, p->free);
        p->free = item->link;
        generation = item->generation;
    } else {
        item = pool_at(p, ++p->used);
        generation = p->first_generation;
    }
    memset(item, 0, p->size);
    *item = (struct pool_item){generation, POOL_TAKEN};
    p->live++;
    return item;
}

void pool_give(struct pool *p, void *given)
{
    struct pool_item *item = given;

    assert(item->link == POOL_TAKEN);
    if (++item->generation == 0)
        item->generation = 1;
    item->link = p->free;
    p->free = pool_index(p, item);
    p->live--;
}

void *pool_live_at(const struct pool *p, uint32_t index)
{
    struct pool_item *item;

    if (index == 0 || index > p->used)
        return NULL;
    item = pool_at(p, index);
    return item->link == POOL_TAKEN ? item : NULL;
}

void *pool_get(const struct pool *p, struct handle h)
{
    struct pool_item *item = pool_live_at(p, h.index);

    return item && item->generation == h.generation ? item : NULL;
}
