#include "sim/wire.h"

#include "sim/copy.h"
#include "sim/sim.h"
#include "sim/trace.h"

bool wire_is_seed(uint64_t seed)
{
    return seed % 4 == 3;
}

static struct wire *find(const struct sim *sim, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);
    const struct wire *wire = &sim->wires.at[place];

    if (!place || place > WIRES + DIALLED || !flow_equal(&wire->flow, flow))
        return NULL;
    return (struct wire *)(uintptr_t)wire;
}

bool wire_stands(const struct sim *sim, const struct flow *flow)
{
    return find(sim, flow) != NULL;
}

instant wire_ready(const struct sim *sim, const struct flow *flow)
{
    const struct wire *wire = find(sim, flow);

    return wire ? max_u64(sim->now, wire->stands_at) : sim->now;
}

bool wire_open(struct sim *sim, struct flow *flow)
{
    struct wires *wires = &sim->wires;
    uint32_t place = 1;

    if (!sim->machine.is_up)
        return false;
    while (place <= WIRES && wires->at[place].flow.connection)
        place++;
    assert(place <= WIRES);
    flow->connection = connection_name(place, ++wires->generation);
    wires->at[place] = (struct wire){.flow = *flow, .is_standing = true};
    sim->report.counts[COUNT_STREAMS]++;
    machine_stream(sim, EVENT_OPENED, flow, NO_SLICE);
    return true;
}

/* -- that the server opens -- */

/* The phone that listens there; NULL if nobody does. */
static struct phone *find_door(struct sim *sim, const struct flow *flow)
{
    for (unsigned i = 0; i < sim->phone_count; i++) {
        struct phone *phone = &sim->phones[i];
        const struct flow *door = &phone->door;
        if (door->transport && door->transport == flow->transport && door->port == flow->port &&
            door->is_v6 == flow->is_v6 &&
            memcmp(door->address, flow->address, sizeof flow->address) == 0)
            return phone;
    }
    return NULL;
}

static void note(struct sim *sim, enum due_kind kind, const struct flow *flow, instant at)
{
    struct flow *copy = take(1, sizeof *copy);

    *copy = *flow;
    agenda_note(&sim->agenda, at, kind, sim->machine.starts, copy);
}

void wire_dial(struct sim *sim, const struct flow *flow)
{
    struct wire *wire = &sim->wires.at[connection_place(flow->connection)];
    const struct phone *phone = find_door(sim, flow);
    instant at;

    assert(connection_place(flow->connection) > WIRES && !wire->flow.connection);
    if (!phone || sim->now < sim->network.cut_until[phone->node]) {
        note(sim, DUE_WIRE, flow, sim->now + MS(20));
        return;
    }
    at = sim->now + 2 * sim->network.latency[phone->node];
    *wire = (struct wire){.flow = *flow, .stands_at = at};
    network_move(sim, phone->node, NULL, flow);
    note(sim, DUE_DIAL, flow, at);
}

void wire_dialled(struct sim *sim, const struct flow *flow, uint32_t starts)
{
    struct wire *wire = find(sim, flow);

    if (starts != sim->machine.starts || !wire)
        return;
    wire->is_standing = true;
    sim->report.counts[COUNT_DIALLED]++;
    trace_note(sim, "connected to port %u", flow->port);
    machine_stream(sim, EVENT_OPENED, flow, NO_SLICE);
}

/* -- ends -- */

/* The phone's side of a wire that it opened itself. */
static struct phone *owner_of(struct sim *sim, const struct flow *flow)
{
    bool is_current;
    uint32_t node = network_owner(sim, flow, &is_current);

    if (!is_current || node >= sim->phone_count)
        return NULL;
    return flow_equal(&sim->phones[node].address, flow) ? &sim->phones[node] : NULL;
}

static void cut(struct sim *sim, struct wire *wire)
{
    struct flow flow = wire->flow;
    struct phone *phone = owner_of(sim, &flow);

    wire->flow.connection = 0;
    sim->report.counts[COUNT_STREAMS_BROKEN]++;
    sim->judge.upheaval = sim->now; /* what was on it is lost, and no fault of the server's */
    network_leave(sim, &flow);
    if (phone)
        phone_cut_off(sim, phone);
}

static void end(struct sim *sim, const struct flow *flow)
{
    struct flow copy = *flow;
    struct wire *wire = find(sim, &copy);

    if (!wire)
        return;
    cut(sim, wire);
    machine_stream(sim, EVENT_CLOSED, &copy, NO_SLICE);
}

void wire_break(struct sim *sim, struct phone *phone)
{
    end(sim, &phone->address);
}

void wire_end(struct sim *sim, const struct flow *flow, uint32_t starts)
{
    if (starts != sim->machine.starts)
        return;
    if (find(sim, flow))
        end(sim, flow);
    else if (connection_place(flow->connection) > WIRES)
        machine_stream(sim, EVENT_CLOSED, flow, NO_SLICE);
}

void wire_server_died(struct sim *sim, bool are_kept)
{
    sim->judge.upheaval = sim->now; /* what it was about is lost: nobody sends it again */
    for (uint32_t place = 1; place <= WIRES + DIALLED; place++) {
        struct wire *wire = &sim->wires.at[place];
        if (wire->flow.connection && (!are_kept || place > WIRES))
            cut(sim, wire);
    }
}

void wire_server_started(struct sim *sim, void (*tell)(struct sim *sim, const struct event *event))
{
    for (uint32_t place = 1; place <= WIRES; place++)
        if (sim->wires.at[place].flow.connection)
            tell(sim, &(struct event){.kind = EVENT_OPENED, .flow = sim->wires.at[place].flow});
}

void wire_weather(struct sim *sim)
{
    unsigned share = (unsigned)dice_between(&sim->dice, 50, 500);

    for (unsigned i = 0; i < sim->phone_count; i++)
        if (sim->phones[i].traits & TRAIT_STREAM && dice_chance(&sim->dice, share))
            wire_break(sim, &sim->phones[i]);
    for (uint32_t place = WIRES + 1; place <= WIRES + DIALLED; place++)
        if (sim->wires.at[place].is_standing && dice_chance(&sim->dice, share))
            end(sim, &sim->wires.at[place].flow);
}
