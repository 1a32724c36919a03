/*
 * Pool: items of one size, named by index and generation.
 *
 * A handle to an item that was given back finds nothing, even when its place is in use again.
 * Every item starts with a struct pool_item.  Index 0 is never used, so a zero handle means none.
 * Memory of items never taken is never touched.
 */
#pragma once

#include "base/arena.h"

struct handle {
    uint32_t index;
    uint32_t generation;
};

#define NO_HANDLE ((struct handle){0, 0})

struct pool_item {
    uint32_t generation;
    uint32_t link; /* free: the next free index; taken: POOL_TAKEN */
};

#define POOL_TAKEN UINT32_MAX

struct pool {
    char *items;
    size_t size;    /* bytes of an item */
    uint32_t limit; /* items at most */
    uint32_t used;  /* highest index ever taken */
    uint32_t live;  /* items taken now */
    uint32_t free;  /* first free index, 0 = none */
    uint32_t first_generation;
};

/* Bytes that pool_init takes from its arena. */
size_t pool_bytes(size_t size, uint32_t limit);

/* `first_generation` tells the handles of one run from those of another.  The arena's bytes must be
 * zero.  Asserts that they suffice. */
void pool_init(struct pool *p, struct arena *from, size_t size, uint32_t limit,
               uint32_t first_generation);

/* A cleared item, or NULL when `limit` are out. */
void *pool_take(struct pool *p);
void pool_give(struct pool *p, void *item);

static inline void *pool_at(const struct pool *p, uint32_t index)
{
    return p->items + (size_t)index * p->size;
}

/* The live item at an index, or NULL; for walks over a whole pool. */
void *pool_live_at(const struct pool *p, uint32_t index);

/* The item of a handle, or NULL if it is no longer that one. */
void *pool_get(const struct pool *p, struct handle h);

static inline uint32_t pool_index(const struct pool *p, const void *item)
{
    return (uint32_t)((size_t)((const char *)item - p->items) / p->size);
}

static inline struct handle pool_handle(const struct pool *p, const void *item)
{
    return (struct handle){pool_index(p, item), ((const struct pool_item *)item)->generation};
}
