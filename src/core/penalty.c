#include "core/penalty.h"

#define WAYS 4u

size_t penalty_bytes(void)
{
    return sizeof(struct penalty) * PENALTY_TABLE + 64;
}

void penalty_init(struct core *core, struct arena *from)
{
    core->penalties = arena_take(from, sizeof(struct penalty) * PENALTY_TABLE);
    assert(core->penalties);
}

/* Never 0. */
static uint64_t place_of(const struct core *core, const struct flow *flow)
{
    uint64_t words[3] = {(uint64_t)flow->transport << 32 | (uint64_t)flow->is_v6 << 16 |
                         flow->port};

    memcpy(&words[1], flow->address, sizeof flow->address);
    return hash_bytes(&core->key_table, slice_of((const char *)words, sizeof words)) | 1;
}

static struct penalty *first_of(const struct core *core, uint64_t place)
{
    return &core->penalties[(place >> 8) & (PENALTY_TABLE - 1) & ~(uint64_t)(WAYS - 1)];
}

static struct penalty *find(const struct core *core, uint64_t place)
{
    struct penalty *at = first_of(core, place);

    for (unsigned i = 0; i < WAYS; i++)
        if (at[i].place == place)
            return &at[i];
    return NULL;
}

void penalty_put(struct core *core, const struct flow *flow, duration length, instant now)
{
    uint64_t place = place_of(core, flow);
    struct penalty *at = first_of(core, place), *chosen = find(core, place);

    if (!chosen) {
        chosen = at;
        for (unsigned i = 1; i < WAYS; i++)
            if (at[i].until < chosen->until)
                chosen = &at[i];
    }
    *chosen = (struct penalty){place, now + length};
    core->penalties_until = max_u64(core->penalties_until, now + length);
}

void penalty_lift(struct core *core, const struct flow *flow, instant now)
{
    struct penalty *penalty = now < core->penalties_until ? find(core, place_of(core, flow)) : NULL;

    if (penalty)
        penalty->until = 0;
}

bool penalty_has(const struct core *core, const struct flow *flow, instant now)
{
    const struct penalty *penalty =
        now < core->penalties_until ? find(core, place_of(core, flow)) : NULL;

    return penalty && now < penalty->until;
}
