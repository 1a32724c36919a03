#include "programs/router_forwards.h"

#include "programs/router_portmap.h"

/* For the first answer, then twice that, and so on: what is asked again makes a slow router slower.
 */
#define PATIENCE SECONDS(1)
#define TRIES 4u
#define AGAIN_SOON SECONDS(30)   /* where nothing came back */
#define AGAIN_LATER SECONDS(600) /* where it was refused */
#define LIFE_LEAST 60u           /* seconds: a router that grants less is not asked all the time */

void forwards_clear(struct forwards *f)
{
    *f = (struct forwards){.count = 0};
}

bool forwards_add(struct forwards *f, unsigned protocol, unsigned port)
{
    if (f->count == FORWARDS_LIMIT)
        return false;
    f->at[f->count++] = (struct forward){.protocol = (uint8_t)protocol, .port = (uint16_t)port};
    f->media = f->count;
    return true;
}

bool forwards_add_media(struct forwards *f, unsigned first, unsigned last)
{
    unsigned media = f->count;

    for (unsigned port = first; port <= last; port++)
        if (!forwards_add(f, PORTMAP_UDP, port))
            return false;
    f->media = media;
    return true;
}

static bool is_waiting(const struct forward *forward)
{
    return forward->state == FORWARD_ASKED;
}

static unsigned count_waiting(const struct forwards *f)
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->count; i++)
        count += is_waiting(&f->at[i]);
    return count;
}

/* The last time that it was asked for is over, too. */
static void give_up(struct forward *forward, instant now)
{
    forward->state = FORWARD_UNHEARD;
    forward->tries = 0;
    forward->due = now + AGAIN_SOON;
}

struct forward *forwards_next(struct forwards *f, instant now)
{
    bool has_room = count_waiting(f) < FORWARDS_AT_ONCE;

    for (unsigned i = 0; i < f->count; i++) {
        struct forward *forward = &f->at[i];
        if (forward->due > now || (!has_room && !is_waiting(forward)))
            continue;
        if (is_waiting(forward) && forward->tries == TRIES)
            give_up(forward, now);
        else
            return forward;
    }
    return NULL;
}

instant forwards_deadline(const struct forwards *f)
{
    bool has_room = count_waiting(f) < FORWARDS_AT_ONCE;
    instant due = NEVER;

    for (unsigned i = 0; i < f->count; i++)
        if (has_room || is_waiting(&f->at[i]))
            due = min_u64(due, f->at[i].due);
    return due;
}

void forward_asked(struct forward *forward, instant now)
{
    if (!is_waiting(forward))
        forward->tries = 0;
    forward->state = FORWARD_ASKED;
    forward->due = now + (PATIENCE << forward->tries++);
}

void forward_held(struct forward *forward, uint32_t seconds, instant now)
{
    forward->state = FORWARD_HELD;
    forward->tries = 0;
    forward->due = now + SECONDS(max_u64(seconds, LIFE_LEAST)) / 2; /* RFC 6886 3.3 */
}

void forward_refused(struct forwards *f, struct forward *forward, unsigned why, instant now)
{
    f->refusal = (uint16_t)why;
    forward->state = FORWARD_REFUSED;
    forward->tries = 0;
    forward->due = now + AGAIN_LATER;
}

struct forward *forwards_find(struct forwards *f, unsigned protocol, unsigned port)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->at[i].protocol == protocol && f->at[i].port == port)
            return &f->at[i];
    return NULL;
}

void forwards_lose(struct forwards *f, instant now)
{
    for (unsigned i = 0; i < f->count; i++) {
        f->at[i].state = FORWARD_WANTED;
        f->at[i].tries = 0;
        f->at[i].due = now;
    }
}

/* The longest run of media that leads here. */
static void find_run(const struct forwards *f, struct forwards_sum *sum)
{
    unsigned best = 0, run = 0;

    for (unsigned i = f->media; i < f->count; i++) {
        run = f->at[i].state == FORWARD_HELD ? run + 1 : 0;
        if (run <= best)
            continue;
        best = run;
        sum->first = f->at[i + 1 - run].port;
        sum->last = f->at[i].port;
    }
}

struct forwards_sum forwards_count(const struct forwards *f)
{
    struct forwards_sum sum = {.held = 0};

    for (unsigned i = 0; i < f->count; i++) {
        sum.held += f->at[i].state == FORWARD_HELD;
        sum.refused += f->at[i].state == FORWARD_REFUSED;
        sum.unheard += f->at[i].state == FORWARD_UNHEARD;
        sum.waiting += f->at[i].state == FORWARD_WANTED || is_waiting(&f->at[i]);
    }
    find_run(f, &sum);
    return sum;
}
