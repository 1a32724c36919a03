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

static struct heard_leg *find_or_begin(struct heard_call *heard, const struct leg_change *open)
{
    uint16_t port = port_of(&open->key);
    struct heard_leg *leg = find(heard, port);

    if (leg)
        return leg;
    leg = find(heard, 0);
    assert(leg); /* RTP comes to no more legs than there are pairs of ports */
    leg->port = port;
    leg->side = open->rule.side;
    leg->line = (uint8_t)open->rule.stream;
    return leg;
}

static void add(struct heard_ends *ends, const struct heard_leg *leg)
{
    struct leg_heard *side = &ends->sides[leg->side], *line = &ends->lines[leg->side][leg->line];

    *side = sum_of(side, &leg->heard);
    *line = sum_of(line, &leg->heard);
}

/* What was heard there adds to what was before. */
static void conclude(struct heard_call *heard, struct heard_leg *leg)
{
    add(&heard->before, leg);
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
        unsigned place = legs_place(&open, &legs[i].key);
        struct heard_leg *leg;
        if (!now.expected || place == open.count)
            continue;
        leg = find_or_begin(&anchor->heard, &open.changes[place]);
        if (now.expected < leg->heard.expected) /* it was opened anew */
            conclude(&anchor->heard, leg);
        all->expected += now.expected - leg->heard.expected;
        all->lost += (uint64_t)now.lost - leg->heard.lost; /* less, where one was only late */
        leg->heard = now;
    }
}

void heard_sum(const struct heard_call *call, struct heard_ends *ends)
{
    *ends = call->before;
    for (unsigned i = 0; i < COUNT_OF(call->legs); i++)
        if (call->legs[i].port)
            add(ends, &call->legs[i]);
}

void heard_of(const struct core *core, const struct dialog *dialog, struct heard_ends *ends)
{
    const struct anchor *anchor = anchor_of(core, dialog);

    *ends = (struct heard_ends){0};
    if (anchor)
        heard_sum(&anchor->heard, ends);
}

/* ---- the record */

_Static_assert(LEGS_LINES <= 8, "a bit of an octet for each m-line");

/* In the first octet, beside a bit for each side: m-lines follow.  Older records have none. */
#define HAS_LINES 4u

/* Bit n: something was heard of the n-th. */
static uint8_t known_of(const struct leg_heard *heard, unsigned count)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits |= (unsigned)(heard[i].expected != 0) << i;
    return (uint8_t)bits;
}

static void write_known(struct writer *w, const struct leg_heard *heard, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!heard[i].expected)
            continue;
        write_u32(w, heard[i].expected);
        write_u32(w, heard[i].lost);
        write_u32(w, heard[i].jitter);
    }
}

void heard_write(struct writer *w, const struct heard_ends *ends)
{
    uint8_t lines[2], sides = known_of(ends->sides, 2);

    for (unsigned i = 0; i < 2; i++)
        lines[i] = known_of(ends->lines[i], LEGS_LINES);
    if (lines[0] || lines[1])
        sides |= HAS_LINES;
    write_u8(w, sides);
    write_known(w, ends->sides, 2);
    for (unsigned i = 0; i < 2 && sides & HAS_LINES; i++) {
        write_u8(w, lines[i]);
        write_known(w, ends->lines[i], LEGS_LINES);
    }
}

static bool read_known(struct reader *r, unsigned bits, struct leg_heard *heard, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!(bits >> i & 1))
            continue;
        heard[i].expected = read_u32(r);
        heard[i].lost = read_u32(r);
        heard[i].jitter = read_u32(r);
        if (!heard[i].expected)
            return false;
    }
    return !(bits >> count);
}

bool heard_read(struct reader *r, struct heard_ends *ends)
{
    uint8_t sides = read_u8(r), lines[2] = {0};

    if (!read_known(r, sides & ~HAS_LINES, ends->sides, 2))
        return false;
    for (unsigned i = 0; i < 2 && sides & HAS_LINES; i++) {
        lines[i] = read_u8(r);
        if (!read_known(r, lines[i], ends->lines[i], LEGS_LINES))
            return false;
    }
    return !(sides & HAS_LINES) == !(lines[0] | lines[1]);
}
