#include "core/heard.h"

#include "core/anchor.h"
#include "core/leg_stream.h"

static bool has_jitter(const struct leg_heard *heard)
{
    return heard->expected && heard->jitter != LEG_UNKNOWN;
}

static struct leg_heard sum_of(const struct leg_heard *a, const struct leg_heard *b)
{
    bool is_second = !has_jitter(a) || (has_jitter(b) && b->jitter > a->jitter);
    const struct leg_heard *worse = is_second ? b : a;

    return (struct leg_heard){
        .expected = a->expected + b->expected,
        .lost = a->lost + b->lost,
        .jitter = has_jitter(worse) ? worse->jitter : LEG_UNKNOWN,
    };
}

/* ---- legs */

static uint16_t port_of(const struct leg_place *key)
{
    return (uint16_t)(key->port[0] << 8 | key->port[1]);
}

/* That of a port; or, with port 0, one that is free. */
static struct heard_leg *find(struct heard_call *heard, uint16_t port)
{
    for (unsigned i = 0; i < COUNT_OF(heard->legs); i++)
        if (heard->legs[i].port == port)
            return &heard->legs[i];
    return NULL;
}

static struct heard_leg *find_or_begin(struct heard_call *heard, const struct leg_found *found)
{
    uint16_t port = port_of(&found->key);
    struct heard_leg *leg = find(heard, port);

    if (leg)
        return leg;
    leg = find(heard, 0);
    assert(leg); /* RTP comes to no more legs than there are pairs of ports */
    leg->port = port;
    leg->side = found->leg.rule.side == LEGS_CALLEE;
    return leg;
}

/* What was heard there adds to what was before. */
static void conclude(struct heard_call *heard, struct heard_leg *leg)
{
    heard->before[leg->side] = sum_of(&heard->before[leg->side], &leg->heard);
    leg->heard = (struct leg_heard){0};
}

bool heard_close(struct heard_call *heard, const struct leg_place *key)
{
    struct heard_leg *leg = find(heard, port_of(key));

    if (!leg)
        return false;
    conclude(heard, leg);
    leg->port = 0;
    return true;
}

void heard_note(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                unsigned count)
{
    struct leg_sum *all = &core->tally.legs;
    struct legs_output open;

    legs_list(&anchor->legs, &open);
    for (unsigned i = 0; i < count; i++) {
        struct leg_heard now = leg_heard(&legs[i].stream);
        struct heard_leg *leg;
        if (!now.expected || legs_place(&open, &legs[i].key) == open.count)
            continue;
        leg = find_or_begin(&anchor->heard, &legs[i]);
        if (now.expected < leg->heard.expected) /* it was opened anew */
            conclude(&anchor->heard, leg);
        all->expected += now.expected - leg->heard.expected;
        all->lost += (uint64_t)now.lost - leg->heard.lost; /* less, where one was only late */
        leg->heard = now;
    }
}

void heard_sum(const struct heard_call *call, struct leg_heard heard[2])
{
    heard[0] = heard[1] = (struct leg_heard){.jitter = LEG_UNKNOWN};
    for (unsigned side = 0; side < 2; side++)
        heard[side] = sum_of(&heard[side], &call->before[side]);
    for (unsigned i = 0; i < COUNT_OF(call->legs); i++) {
        const struct heard_leg *leg = &call->legs[i];
        if (leg->port)
            heard[leg->side] = sum_of(&heard[leg->side], &leg->heard);
    }
}

void heard_of(const struct core *core, const struct dialog *dialog, struct leg_heard heard[2])
{
    static const struct heard_call none;
    const struct anchor *anchor = anchor_of(core, dialog);

    heard_sum(anchor ? &anchor->heard : &none, heard);
}

/* ---- the record */

void heard_write(struct writer *w, const struct leg_heard heard[2])
{
    write_u8(w, (uint8_t)((heard[0].expected != 0) | (heard[1].expected != 0) << 1));
    for (unsigned i = 0; i < 2; i++) {
        if (!heard[i].expected)
            continue;
        write_u32(w, heard[i].expected);
        write_u32(w, heard[i].lost);
        write_u32(w, heard[i].jitter);
    }
}

bool heard_read(struct reader *r, struct leg_heard heard[2])
{
    uint8_t sides = read_u8(r);

    for (unsigned i = 0; i < 2; i++) {
        if (!(sides >> i & 1))
            continue;
        heard[i].expected = read_u32(r);
        heard[i].lost = read_u32(r);
        heard[i].jitter = read_u32(r);
        if (!heard[i].expected)
            return false;
    }
    return sides < 4;
}
