#include "base/pool.h"

#include <string.h>

#define SLACK 1024u /* items that may be free in scarce groups before those are taken from */

static uint32_t group_count(uint32_t limit)
{
    return limit / POOL_GROUP + 1;
}

static size_t groups_bytes(uint32_t limit)
{
    return ((size_t)group_count(limit) + POOL_LISTS) * sizeof(struct pool_group);
}

size_t pool_bytes(size_t size, uint32_t limit)
{
    return size * ((size_t)limit + 1) + groups_bytes(limit) + 2 * 64;
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
        .current = UINT32_MAX,
        .groups = arena_take(from, groups_bytes(limit)),
    };
    assert(p->items && p->groups);
    p->lists = p->groups + group_count(limit);
    for (uint32_t i = 0; i < POOL_LISTS; i++)
        p->lists[i].next = p->lists[i].previous = group_count(limit) + i;
}

static void unlist(struct pool *p, struct pool_group *group)
{
    if (group->list == POOL_UNLISTED)
        return;
    p->groups[group->previous].next = group->next;
    p->groups[group->next].previous = group->previous;
    group->list = POOL_UNLISTED;
}

/* At the end: what waits longest may meanwhile have become free as a whole. */
static void enlist(struct pool *p, struct pool_group *group, enum pool_list list)
{
    struct pool_group *head = &p->lists[list];
    uint32_t number = (uint32_t)(group - p->groups);

    unlist(p, group);
    group->list = (uint8_t)list;
    group->next = (uint32_t)(head - p->groups);
    group->previous = head->previous;
    p->groups[head->previous].next = number;
    head->previous = number;
}

/* A group that was never used. */
static bool open_fresh(struct pool *p)
{
    uint32_t number = p->current == UINT32_MAX ? 0 : p->used / POOL_GROUP + 1;
    uint32_t first = number * POOL_GROUP,
             last = (uint32_t)min_u64(first + POOL_GROUP - 1, p->limit);
    struct pool_group *group = &p->groups[number];

    if (first > p->limit)
        return false;
    *group = (struct pool_group){.list = POOL_UNLISTED};
    for (uint32_t index = first ? first : 1; index <= last; index++, group->count++)
        group->free |= (uint16_t)(1u << index % POOL_GROUP);
    p->used = last;
    p->current = number;
    return true;
}

static bool open_listed(struct pool *p, enum pool_list list)
{
    uint32_t number = p->lists[list].next;

    if (number >= group_count(p->limit))
        return false;
    p->current = number;
    unlist(p, &p->groups[number]);
    return true;
}

static void open_group(struct pool *p)
{
    bool is_loose = p->used - p->live > p->live / 2 + SLACK;
    bool ok = open_listed(p, POOL_ROOMY) || (is_loose && open_listed(p, POOL_SCARCE)) ||
              open_fresh(p) || open_listed(p, POOL_SCARCE);

    assert(ok);
}

void *pool_take(struct pool *p)
{
    struct pool_item *item;
    struct pool_group *group;
    uint32_t generation;
    unsigned place;

    if (p->live == p->limit)
        return NULL;
    if (p->current == UINT32_MAX || !p->groups[p->current].free)
        open_group(p);
    group = &p->groups[p->current];
    place = (unsigned)__builtin_ctz(group->free);
    group->free &= (uint16_t) ~(1u << place);
    item = pool_at(p, p->current * POOL_GROUP + place);
    generation = item->generation ? item->generation : p->first_generation;
    memset(item, 0, p->size);
    *item = (struct pool_item){generation, true};
    p->live++;
    return item;
}

void pool_give(struct pool *p, void *given)
{
    struct pool_item *item = given;
    uint32_t index = pool_index(p, item), number = index / POOL_GROUP;
    struct pool_group *group = &p->groups[number];

    assert(item->is_taken);
    if (++item->generation == 0)
        item->generation = 1;
    item->is_taken = false;
    p->live--;
    group->free |= (uint16_t)(1u << index % POOL_GROUP);
    group->count++;
    if (number == p->current)
        return;
    if (group->count == POOL_GROUP / 2)
        enlist(p, group, POOL_ROOMY);
    else if (group->list == POOL_UNLISTED)
        enlist(p, group, POOL_SCARCE);
}

void *pool_live_at(const struct pool *p, uint32_t index)
{
    struct pool_item *item;

    if (index == 0 || index > p->used)
        return NULL;
    item = pool_at(p, index);
    return item->is_taken ? item : NULL;
}

void *pool_get(const struct pool *p, struct handle h)
{
    struct pool_item *item = pool_live_at(p, h.index);

    return item && item->generation == h.generation ? item : NULL;
}
