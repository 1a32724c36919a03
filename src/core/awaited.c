#include "core/awaited.h"

#define WAYS 4u

static struct awaited *item(const struct awaited_table *table, uint32_t at)
{
    return (struct awaited *)(void *)((char *)table->items + at * table->size);
}

/* The first of the WAYS places where a key may be. */
static uint32_t first_way(const struct awaited_table *table, const struct hash128 *key)
{
    return (uint32_t)key->low & (table->count - 1) & ~(WAYS - 1);
}

struct awaited *awaited_find(const struct awaited_table *table, const struct hash128 *key)
{
    uint32_t first = first_way(table, key);

    for (uint32_t at = first; at < first + WAYS; at++) {
        struct awaited *found = item(table, at);
        if (found->key.low == key->low && found->key.high == key->high)
            return found;
    }
    return NULL;
}

struct awaited *awaited_place(struct core *core, const struct awaited_table *table,
                              const struct hash128 *key)
{
    uint32_t first = first_way(table, key);
    struct awaited *chosen = NULL;

    for (uint32_t at = first; at < first + WAYS; at++) {
        struct awaited *found = item(table, at);
        if (!found->question && !found->first_held && (!chosen || found->until < chosen->until))
            chosen = found;
    }
    if (chosen)
        timer_clear(&core->timers, &chosen->timer);
    return chosen;
}

bool awaited_has_room(const struct core *core)
{
    return core->held < HELD_LIMIT;
}

static struct awaited *named(const struct core *core, uint32_t name)
{
    return name <= CERTIFICATES_TABLE ? &core->certificates[name - 1].awaited
                                      : &core->claims[name - 1 - CERTIFICATES_TABLE].awaited;
}

void awaited_join(struct core *core, uint32_t name, struct context *context)
{
    struct awaited *awaited = named(core, name);
    uint32_t index = pool_index(&core->contexts, context);

    context->held_by = name;
    context->next_held = 0;
    if (awaited->last_held)
        ((struct context *)pool_at(&core->contexts, awaited->last_held))->next_held = index;
    else
        awaited->first_held = index;
    awaited->last_held = index;
    core->held++;
}

void awaited_leave(struct core *core, struct context *context)
{
    struct awaited *awaited = named(core, context->held_by);
    uint32_t index = pool_index(&core->contexts, context), before = 0;

    for (uint32_t i = awaited->first_held; i != index;
         i = ((struct context *)pool_at(&core->contexts, i))->next_held)
        before = i;
    if (before)
        ((struct context *)pool_at(&core->contexts, before))->next_held = context->next_held;
    else
        awaited->first_held = context->next_held;
    if (awaited->last_held == index)
        awaited->last_held = before;
    context->held_by = context->next_held = 0;
    core->held--;
}

struct context *awaited_next(struct core *core, struct awaited *awaited, instant now)
{
    struct context *context;

    if (!awaited->first_held)
        return NULL;
    context = pool_at(&core->contexts, awaited->first_held);
    awaited_leave(core, context);
    if (awaited->first_held)
        timer_set(&core->timers, &awaited->timer, now);
    return context;
}
