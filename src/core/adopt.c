#include "core/adopt.h"

#include "core/legs.h"

_Static_assert(4 * LEGS_PAIRS <= 64, "a bit for each leg of a call");

/* A pair of ports comes to two legs at most: what is beyond is refused, and not cut off. */
void adopt_begin(struct core *core, bool has_relay, unsigned leg_limit)
{
    core->has_relay = has_relay;
    ports_retry(&core->ports);
    if (has_relay)
        ports_bound(&core->ports, leg_limit / 2);
    core->adopted = 0;
    core->is_adopting = false;
    for (uint32_t i = 1; has_relay && i <= core->anchors.used; i++) {
        struct anchor *anchor = pool_live_at(&core->anchors, i);
        if (anchor)
            anchor->open_seen = 0;
    }
}

static void change(const struct leg_change *leg, enum leg_change_kind kind, struct actions *out)
{
    struct leg_change change = *leg;
    size_t start = out->bytes.len;

    change.kind = kind;
    write_bytes(&out->bytes, &change, sizeof change);
    actions_push(out, (struct action){
                          .kind = ACTION_LEG,
                          .bytes = slice_of(out->bytes.at + start, sizeof change),
                      });
}

static void adopt_leg(struct core *core, const struct leg_found *found, struct actions *out)
{
    const struct leg_change there = {.key = found->key, .rule = found->leg.rule};
    struct anchor *anchor = anchor_find(core, found->leg.rule.call);
    struct legs_output legs = {.count = 0};
    unsigned i;

    if (anchor)
        legs_list(&anchor->legs, &legs);
    i = legs_place(&legs, &found->key);
    if (i == legs.count) {
        change(&there, LEG_CLOSE, out);
        return;
    }
    anchor->open_seen |= UINT64_C(1) << i;
    if (memcmp(&legs.changes[i].rule, &found->leg.rule, sizeof found->leg.rule) != 0)
        change(&legs.changes[i], LEG_MOVE, out);
}

void adopt_legs(struct core *core, const struct event *event, struct actions *out)
{
    assert(event->leg_count <= LEGS_LISTED);
    for (unsigned i = 0; i < event->leg_count; i++)
        adopt_leg(core, &event->legs[i], out);
    if (event->is_end)
        core->is_adopting = true;
}

bool adopt_waits(const struct core *core)
{
    return core->is_adopting;
}

/* What was heard of them until they were lost is recorded first. */
static void open_missing(struct core *core, struct anchor *anchor, struct actions *out)
{
    struct legs_output legs;
    unsigned missing = 0;
    bool was_heard = false;

    legs_list(&anchor->legs, &legs);
    for (unsigned i = 0; i < legs.count; i++) {
        if (anchor->open_seen >> i & 1)
            continue;
        was_heard |= heard_close(&anchor->heard, &legs.changes[i].key);
        legs.changes[missing++] = legs.changes[i];
    }
    legs.count = missing;
    if (missing) /* the time without a relay is none of silence */
        anchor->agreed_at = core->now.boot;
    if (was_heard)
        anchor_persist(core, anchor, out);
    anchor_change(&legs, out);
}

void adopt_some(struct core *core, struct actions *out)
{
    for (unsigned n = 0; n < STEP_WORK && core->adopted < core->anchors.used; n++) {
        struct anchor *anchor = pool_live_at(&core->anchors, ++core->adopted);
        if (anchor && core->has_relay)
            open_missing(core, anchor, out);
    }
    core->is_adopting = core->adopted < core->anchors.used;
}
