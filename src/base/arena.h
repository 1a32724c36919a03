/*
 * Arena: memory handed out from one run of bytes, in order, and taken back all at once.  The
 * bytes are the caller's.
 */
#pragma once

#include "base/base.h"

struct arena {
    char *at;
    size_t used;
    size_t limit;
};

static inline struct arena arena_over(void *at, size_t limit)
{
    return (struct arena){at, 0, limit};
}

/* `size` bytes on a 64-byte line of their own, not cleared; NULL when there is no room. */
static inline void *arena_take(struct arena *a, size_t size)
{
    size_t start = (a->used + 63) & ~(size_t)63;

    if (start > a->limit || size > a->limit - start)
        return NULL;
    a->used = start + size;
    return a->at + start;
}
