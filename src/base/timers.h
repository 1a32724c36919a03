/*
 * Timers: a hierarchical timing wheel (Varghese and Lauck, 1987) of five wheels with 256 slots.
 *
 * A tick is 4.2 ms; a timer fires at its instant or up to one tick after it, never before.  A timer
 * is part of the thing it belongs to, which gives it a kind; the wheel owns no memory but itself.
 * Setting, clearing and firing cost the same however many timers there are.
 */
#pragma once

#include "base/base.h"

#define TIMER_TICK (UINT64_C(1) << 22)
#define TIMER_WHEELS 5u
#define TIMER_SLOTS 256u

struct timer {
    struct timer *next;
    struct timer **link; /* what points at this one; NULL while not set */
    uint64_t due;        /* tick */
    uint8_t kind;        /* for the user: which machine, which timer */
    uint8_t slot_wheel;
    uint8_t slot;
};

struct timers {
    struct timer *slots[TIMER_WHEELS][TIMER_SLOTS];
    uint64_t taken[TIMER_WHEELS][TIMER_SLOTS / 64]; /* slots that hold a timer */
    instant zero;                                   /* instant of tick 0 */
    uint64_t tick;                                  /* all timers due before it have fired */
    uint32_t count;                                 /* timers set */
};

void timers_init(struct timers *w, instant now);

/* Sets or moves a timer; beyond 70 years it is cut to that. */
void timer_set(struct timers *w, struct timer *t, instant due);
void timer_clear(struct timers *w, struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->link != NULL;
}

/* A timer that is due at `now`, no longer set; NULL when none is left.  Call until NULL. */
struct timer *timers_expire(struct timers *w, instant now);

/* No timer fires before this instant; NEVER when none is set.  It may be early by up to the width
 * of a slot: then timers_expire finds nothing and the next deadline is nearer the truth. */
instant timers_deadline(const struct timers *w);
