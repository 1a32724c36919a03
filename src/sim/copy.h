/* Bytes on the heap: a simulation, unlike the core, may allocate. */
#pragma once

#include "base/slice.h"

#include <stdlib.h>

/* `count` cleared items; the process ends if there is no memory. */
static inline void *take(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        abort();
    return memory;
}

static inline struct slice copy_slice(struct slice s)
{
    char *at = take(s.len + 1, 1);

    if (s.len)
        memcpy(at, s.at, s.len);
    return slice_of(at, s.len);
}

static inline void copy_free(struct slice *s)
{
    free((void *)(uintptr_t)s->at);
    *s = NO_SLICE;
}

/* The old copy gives way to a new one. */
static inline void copy_replace(struct slice *s, struct slice by)
{
    struct slice old = *s;

    *s = copy_slice(by);
    copy_free(&old);
}

/* Text with its zero at the end, cut to what fits. */
static inline void copy_text(char *to, size_t limit, struct slice from)
{
    size_t len = from.len < limit ? from.len : limit - 1;

    if (len)
        memcpy(to, from.at, len);
    to[len] = '\0';
}
