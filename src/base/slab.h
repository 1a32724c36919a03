/*
 * Slab: blocks of text that outlive a step, in size classes of 64 bytes and up, from one arena.
 *
 * A block belongs to whoever took it and is given back by the same.  When the arena is used up, a
 * larger free block serves.  Memory never taken is never touched.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

#define SLAB_CLASSES 21u
#define SLAB_LARGEST 65536u

struct block {
    char *at;
    uint32_t len; /* bytes in use */
    uint8_t size_class;
};

struct slab {
    struct arena arena;
    void *free[SLAB_CLASSES];
    size_t live; /* bytes in blocks that are out */
};

/* Takes `bytes` of zeroed memory from `from`; asserts that they are there. */
void slab_init(struct slab *s, struct arena *from, size_t bytes);

/* A block of at least `len` bytes with block->len = len; false, and an empty block, if there is no
 * room or len > SLAB_LARGEST. */
bool slab_take(struct slab *s, size_t len, struct block *block);

/* A block of that length could be had now. */
bool slab_has_room(const struct slab *s, size_t len);

/* A block that holds a copy of `bytes`; an empty block for none. */
bool slab_copy(struct slab *s, struct slice bytes, struct block *block);

/* Gives it back and empties it; an empty block is fine. */
void slab_give(struct slab *s, struct block *block);

static inline struct slice block_slice(const struct block *b)
{
    return slice_of(b->at, b->len);
}
