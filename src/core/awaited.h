/*
 * What requests wait for: answers from outside, each kept for some time under a key, in a table of
 * fixed size, and the contexts that wait for one.
 *
 * A request that waits has promised nothing.  Its transaction absorbs copies and can be cancelled;
 * when the answer is there, or is not to be had, those that waited for it go on one after another,
 * each in a step of its own.
 */
#pragma once

#include "core/state.h"

/* Items of `size` bytes, each with a struct awaited at its beginning; `count` is a power of two. */
struct awaited_table {
    void *items;
    size_t size;
    uint32_t count;
};

/* The item with that key, or NULL. */
struct awaited *awaited_find(const struct awaited_table *table, const struct hash128 *key);

/* A place for one: of those where it may be the one that is good for the shortest time; NULL if all
 * of them are asked for, or waited for.  What was there goes; the caller writes over it. */
struct awaited *awaited_place(struct core *core, const struct awaited_table *table,
                              const struct hash128 *key);

/* One more may wait. */
bool awaited_has_room(const struct core *core);

/* The context waits for the item of that name, which is told again in context->held_by: 1 + its
 * place among the certificates, or CERTIFICATES_TABLE + 1 + that among the claims. */
void awaited_join(struct core *core, uint32_t name, struct context *context);

/* It waits no longer. */
void awaited_leave(struct core *core, struct context *context);

/* The first that waits, which no longer does, or NULL.  If there are more, the item's timer is due
 * now. */
struct context *awaited_next(struct core *core, struct awaited *awaited, instant now);
