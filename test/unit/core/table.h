/*
 * A relay made of a table: what core/leg.h says that one does, without a network.  Changes must fit
 * what is there.
 */
#pragma once

#include "base/cursor.h"
#include "core/leg_pass.h"
#include "core/legs.h"

#define TABLE_LEGS 256u

struct table_row {
    bool is_open;
    struct leg_place key;
    struct leg leg;
    struct leg_stream stream;
};

struct relay_table {
    struct table_row rows[TABLE_LEGS];
    unsigned count;
};

/* A packet that left the relay, or was dropped. */
struct table_packet {
    bool has_left;
    enum leg_drop drop;
    struct leg_place from, to;
};

static inline struct table_row *table_find(struct relay_table *table, const struct leg_place *key)
{
    for (unsigned i = 0; i < TABLE_LEGS; i++)
        if (table->rows[i].is_open && memcmp(&table->rows[i].key, key, sizeof *key) == 0)
            return &table->rows[i];
    return NULL;
}

static inline struct table_row *table_free_row(struct relay_table *table)
{
    for (unsigned i = 0; i < TABLE_LEGS; i++)
        if (!table->rows[i].is_open)
            return &table->rows[i];
    return NULL;
}

static inline void table_change(struct relay_table *table, const struct leg_change *change)
{
    struct table_row *row = table_find(table, &change->key);

    assert(change->rule.version == LEG_VERSION);
    if (change->kind == LEG_OPEN) {
        assert(!row);
        row = table_free_row(table);
        assert(row);
        *row = (struct table_row){true, change->key, {change->rule, {0}}};
        table->count++;
        return;
    }
    assert(row);
    row->leg.rule = change->rule;
    if (change->kind == LEG_CLOSE) {
        row->is_open = false;
        table->count--;
    }
}

static inline void table_apply(struct relay_table *table, const struct legs_output *out)
{
    for (unsigned i = 0; i < out->count; i++)
        table_change(table, &out->changes[i]);
}

static inline bool place_is_within(const struct leg_place *place, const struct leg_place *allowed)
{
    static const uint8_t any[2] = {0, 0};

    return memcmp(place->address, allowed->address, sizeof place->address) == 0 &&
           (memcmp(allowed->port, any, 2) == 0 || memcmp(place->port, allowed->port, 2) == 0);
}

static inline struct table_packet table_drop(struct leg *leg, enum leg_drop drop)
{
    leg->state.drops[drop]++;
    return (struct table_packet){.drop = drop};
}

/* A packet from there comes to that leg. */
static inline struct table_packet
table_receive(struct relay_table *table, const struct leg_place *from, const struct leg_place *key)
{
    struct table_row *row = table_find(table, key), *other;
    bool has_target;

    if (!row)
        return (struct table_packet){.drop = LEG_LOST};
    if (leg_is_locked(&row->leg) ? memcmp(from, &row->leg.state.source, sizeof *from) != 0
                                 : !place_is_within(from, &row->leg.rule.allowed))
        return table_drop(&row->leg, LEG_STRANGER);
    row->leg.state.locked = 1;
    row->leg.state.epoch = row->leg.rule.epoch;
    row->leg.state.source = *from;
    other = table_find(table, &row->leg.rule.other);
    if (!other)
        return table_drop(&row->leg, LEG_EARLY);
    has_target = other->leg.rule.target.port[0] || other->leg.rule.target.port[1];
    if (other->leg.rule.flags & LEG_MUTE ||
        !(leg_is_locked(&other->leg) || (has_target && other->leg.rule.flags & LEG_FIRST)))
        return table_drop(&row->leg, LEG_EARLY);
    row->leg.state.packets++;
    return (struct table_packet){
        .has_left = true,
        .from = other->key,
        .to = has_target ? other->leg.rule.target : other->leg.state.source,
    };
}

/* Every leg leads to one that leads back, of the same call, m-line and component. */
static inline void table_check(struct relay_table *table)
{
    for (unsigned i = 0; i < TABLE_LEGS; i++) {
        const struct table_row *row = &table->rows[i], *other;
        if (!row->is_open)
            continue;
        other = table_find(table, &row->leg.rule.other);
        assert(other && memcmp(&other->leg.rule.other, &row->key, sizeof row->key) == 0);
        assert(other->leg.rule.side != row->leg.rule.side);
        assert(other->leg.rule.stream == row->leg.rule.stream);
        assert(other->leg.rule.component == row->leg.rule.component);
        assert(memcmp(other->leg.rule.call, row->leg.rule.call, 16) == 0);
    }
}
