/*
 * Pool: items of one size, named by index and generation.
 *
 * A handle to an item that was given back finds nothing, even when its place is in use again.
 * Every item starts with a struct pool_item.  Index 0 is never used, so a zero handle means none.
 * Memory of items never taken is never touched.
 *
 * Items taken one after another are neighbours, however long the pool has been in use: they are
 * taken from a group until that is used up, and from groups that are free by half rather than from
 * those with a place here and there, for which half as much memory again is spent.  What began
 * together ends together, mostly, and is then in few pages instead of in one each (doc/adr/0008).
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
    uint32_t is_taken;
};

#define POOL_GROUP 16u /* items of a group */

/* Groups with free items wait in two lists. */
enum pool_list {
    POOL_SCARCE, /* less than half of it is free */
    POOL_ROOMY,
    POOL_LISTS,
    POOL_UNLISTED = POOL_LISTS, /* nothing is free, or it is the one that is taken from */
};

struct pool_group {
    uint32_t next, previous; /* in its list, a ring; group numbers */
    uint16_t free;           /* a bit for each item, ... */
    uint8_t count;           /* ... and how many of them there are */
    uint8_t list;
};

struct pool {
    char *items;
    size_t size;    /* bytes of an item */
    uint32_t limit; /* items at most */
    uint32_t used;  /* no higher index was ever taken */
    uint32_t live;  /* items taken now */
    uint32_t first_generation;
    uint32_t current; /* the group that is taken from */
    struct pool_group *groups;
    struct pool_group *lists; /* their heads, behind the groups */
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
