#include "base/timers.h"

#define SLOT_BITS 8u
#define LONGEST ((UINT64_C(1) << (TIMER_WHEELS * SLOT_BITS - 1)) - 1)

void timers_init(struct timers *w, instant now)
{
    *w = (struct timers){.zero = now};
}

/* The slot is on the lowest wheel whose present turn reaches the tick. */
static void place(struct timers *w, struct timer *t)
{
    uint64_t differs = t->due ^ w->tick;
    unsigned wheel = differs ? (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS : 0;
    unsigned slot = t->due >> wheel * SLOT_BITS & (TIMER_SLOTS - 1);
    struct timer **head = &w->slots[wheel][slot];

    t->slot_wheel = (uint8_t)wheel;
    t->slot = (uint8_t)slot;
    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
    w->taken[wheel][slot / 64] |= UINT64_C(1) << slot % 64;
}

static void unlink_timer(struct timers *w, struct timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
    if (!w->slots[t->slot_wheel][t->slot])
        w->taken[t->slot_wheel][t->slot / 64] &= ~(UINT64_C(1) << t->slot % 64);
}

void timer_set(struct timers *w, struct timer *t, instant due)
{
    duration ahead = due > w->zero ? due - w->zero : 0;
    uint64_t ticks = ahead / TIMER_TICK + (ahead % TIMER_TICK != 0);

    timer_clear(w, t);
    ticks = max_u64(ticks, w->tick);
    t->due = min_u64(ticks, w->tick + LONGEST);
    place(w, t);
    w->count++;
}

void timer_clear(struct timers *w, struct timer *t)
{
    if (!timer_is_set(t))
        return;
    unlink_timer(w, t);
    w->count--;
}

/* First taken slot at or after `from`, or TIMER_SLOTS. */
static unsigned next_taken(const struct timers *w, unsigned wheel, unsigned from)
{
    for (unsigned word = from / 64; word < TIMER_SLOTS / 64; word++) {
        uint64_t bits = w->taken[wheel][word];
        if (word == from / 64)
            bits &= ~UINT64_C(0) << from % 64;
        if (bits)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return TIMER_SLOTS;
}

/* The first tick at which a slot must be opened: the time of a timer on the lowest wheel, the
 * beginning of a slot on the others.  False when nothing is set. */
static bool next_tick(const struct timers *w, uint64_t *tick)
{
    for (unsigned wheel = 0; wheel < TIMER_WHEELS; wheel++) {
        unsigned shift = wheel * SLOT_BITS;
        unsigned here = w->tick >> shift & (TIMER_SLOTS - 1);
        unsigned slot = next_taken(w, wheel, here);
        if (slot < TIMER_SLOTS) {
            uint64_t turn = w->tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
            *tick = max_u64(turn | (uint64_t)slot << shift, w->tick);
            return true;
        }
    }
    return false;
}

/* Deals the timers of the slots that begin at the present tick out to the wheels below. */
static void cascade(struct timers *w)
{
    for (unsigned wheel = TIMER_WHEELS; wheel-- > 1;) {
        unsigned slot = w->tick >> wheel * SLOT_BITS & (TIMER_SLOTS - 1);
        struct timer *t = w->slots[wheel][slot];
        w->slots[wheel][slot] = NULL;
        w->taken[wheel][slot / 64] &= ~(UINT64_C(1) << slot % 64);
        while (t) {
            struct timer *next = t->next;
            place(w, t);
            t = next;
        }
    }
}

struct timer *timers_expire(struct timers *w, instant now)
{
    uint64_t reached = now > w->zero ? (now - w->zero) / TIMER_TICK : 0;
    uint64_t tick;

    while (next_tick(w, &tick) && tick <= reached) {
        struct timer *t;
        if (tick != w->tick) {
            w->tick = tick;
            cascade(w);
        }
        t = w->slots[0][tick & (TIMER_SLOTS - 1)];
        if (t) {
            timer_clear(w, t);
            return t;
        }
    }
    w->tick = max_u64(w->tick, reached);
    return NULL;
}

instant timers_deadline(const struct timers *w)
{
    uint64_t tick;

    return next_tick(w, &tick) ? w->zero + tick * TIMER_TICK : NEVER;
}
