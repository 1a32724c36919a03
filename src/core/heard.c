#include "core/heard.h"

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

/* Of one side, by the legs that are there. */
static struct leg_heard hear_side(const struct leg_found *legs, unsigned count, unsigned side)
{
    struct leg_heard sum = {0};

    for (unsigned i = 0; i < count; i++) {
        struct leg_heard one = leg_heard(&legs[i].stream);
        if (legs[i].leg.rule.side == side)
            sum = sum_of(&sum, &one);
    }
    return sum;
}

void heard_note(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                unsigned count)
{
    struct leg_sum *all = &core->tally.legs;

    for (unsigned side = 0; side < 2; side++) {
        struct leg_heard *latest = &anchor->heard[side], *before = &anchor->heard_before[side];
        struct leg_heard now = hear_side(legs, count, side);
        if (now.expected < latest->expected) { /* of legs that were opened anew */
            *before = sum_of(before, latest);
            *latest = (struct leg_heard){0};
        }
        all->expected += now.expected - latest->expected;
        all->lost += (uint64_t)now.lost - latest->lost; /* less, where a packet was only late */
        *latest = now;
    }
}

void heard_of(const struct core *core, const struct dialog *dialog, struct leg_heard heard[2])
{
    const struct anchor *anchor = anchor_of(core, dialog);

    for (unsigned side = 0; side < 2; side++)
        heard[side] = anchor ? sum_of(&anchor->heard_before[side], &anchor->heard[side])
                             : (struct leg_heard){.jitter = LEG_UNKNOWN};
}
