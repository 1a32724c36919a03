#include "base/slab.h"

/* 64, 96, 128, 192, 256 ... 65536: each at most half again as large as the one before. */
static size_t class_bytes(unsigned size_class)
{
    return (size_class & 1 ? (size_t)96 : 64) << size_class / 2;
}

static unsigned class_for(size_t len)
{
    unsigned size_class = 0;

    if (len > 64) {
        unsigned power =
            63u - (unsigned)__builtin_clzll(len - 1); /* 2^power < len <= 2^(power+1) */
        size_class = 2 * (power - 6) + 1;
        if (class_bytes(size_class) < len)
            size_class++;
    }
    return size_class;
}

void slab_init(struct slab *s, struct arena *from, size_t bytes)
{
    char *at = arena_take(from, bytes);

    assert(at && class_bytes(SLAB_CLASSES - 1) == SLAB_LARGEST);
    *s = (struct slab){.arena = arena_over(at, bytes)};
}

/* The next one was given back long ago, perhaps, and lies anywhere: until somebody wants it, it has
 * come from memory. */
static void *take_free(struct slab *s, unsigned size_class)
{
    char *at = s->free[size_class], *next;

    if (!at)
        return NULL;
    memcpy(&next, at, sizeof next);
    s->free[size_class] = next;
    if (next) {
        __builtin_prefetch(next, 1);
        __builtin_prefetch(next + 64, 1);
    }
    return at;
}

static void *take_larger(struct slab *s, unsigned *size_class)
{
    void *at = NULL;

    while (!at && ++*size_class < SLAB_CLASSES)
        at = take_free(s, *size_class);
    return at;
}

bool slab_take(struct slab *s, size_t len, struct block *block)
{
    unsigned size_class = class_for(len);
    void *at;

    *block = (struct block){0};
    if (len > SLAB_LARGEST)
        return false;
    at = take_free(s, size_class);
    if (!at) {
        size_t bytes = class_bytes(size_class);
        if (bytes <= s->arena.limit - s->arena.used) {
            at = s->arena.at + s->arena.used;
            s->arena.used += bytes;
        } else {
            at = take_larger(s, &size_class);
        }
    }
    if (!at)
        return false;
    s->live += class_bytes(size_class);
    *block = (struct block){at, (uint32_t)len, (uint8_t)size_class};
    return true;
}

bool slab_has_room(const struct slab *s, size_t len)
{
    unsigned size_class = class_for(len);

    if (len > SLAB_LARGEST)
        return false;
    if (class_bytes(size_class) <= s->arena.limit - s->arena.used)
        return true;
    while (size_class < SLAB_CLASSES && !s->free[size_class])
        size_class++;
    return size_class < SLAB_CLASSES;
}

bool slab_copy(struct slab *s, struct slice bytes, struct block *block)
{
    *block = (struct block){0};
    if (!bytes.len)
        return true;
    if (!slab_take(s, bytes.len, block))
        return false;
    memcpy(block->at, bytes.at, bytes.len);
    return true;
}

void slab_give(struct slab *s, struct block *block)
{
    if (!block->at)
        return;
    s->live -= class_bytes(block->size_class);
    memcpy(block->at, &s->free[block->size_class], sizeof(void *));
    s->free[block->size_class] = block->at;
    *block = (struct block){0};
}
