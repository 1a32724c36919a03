/*
 * Table: finds the items of a pool by hash.  Linear hashing (Litwin, 1980): it grows by one bucket
 * at a time, so no step pays for a rehash of the whole.
 *
 * A bucket is one cache line and holds the hashes of its items beside their indices, so that what
 * is not there, as most that is looked for, costs that line alone, and so does taking an item out.
 * What a bucket has no room for hangs on a chain through the items' links; with three items a
 * bucket on average that is one in a hundred.
 *
 * An item carries a struct table_link for each table it is in.  The table compares hashes; its
 * user compares the whole key of each candidate.
 */
#pragma once

#include "base/arena.h"

struct table_link {
    uint32_t hash;
    uint32_t next; /* of an item on a chain: the next one's index, 0 = none */
};

struct bucket;

struct table {
    struct bucket *buckets;
    char *links; /* the link of the item of index 0 */
    size_t stride;
    uint32_t limit; /* buckets at most; a power of two */
    uint32_t half;  /* buckets before the present doubling began; a power of two */
    uint32_t split; /* buckets of the lower half already split */
    uint32_t count; /* items in it */
};

size_t table_bytes(uint32_t item_limit);

/* `items` is the pool's memory, `stride` the size of an item, `offset` where its link lies.  The
 * arena's bytes must be zero. */
void table_init(struct table *t, struct arena *from, uint32_t item_limit, void *items,
                size_t stride, size_t offset);

void table_insert(struct table *t, uint32_t index, uint32_t hash);
void table_remove(struct table *t, uint32_t index); /* asserts that it is there */

/* Candidates: the index of the first item with this hash, then of the next; 0 when there are no
 * more. */
uint32_t table_first(const struct table *t, uint32_t hash);
uint32_t table_next(const struct table *t, uint32_t index);
