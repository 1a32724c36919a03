#include "sim/wire.h"

#include "sim/sim.h"
#include "sim/trace.h"

bool wire_is_seed(uint64_t seed)
{
    return seed % 4 == 3;
}

bool wire_stands(const struct sim *sim, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);

    return place && place <= WIRES && flow_equal(&sim->wires.at[place], flow);
}

bool wire_open(struct sim *sim, struct flow *flow)
{
    struct wires *wires = &sim->wires;
    uint32_t place = 1;

    if (!sim->machine.is_up)
        return false;
    while (place <= WIRES && wires->at[place].connection)
        place++;
    assert(place <= WIRES);
    flow->connection = connection_name(place, ++wires->generation);
    wires->at[place] = *flow;
    sim->report.counts[COUNT_STREAMS]++;
    machine_stream(sim, EVENT_OPENED, flow, NO_SLICE);
    return true;
}

/* The phone's side of a wire. */
static struct phone *owner_of(struct sim *sim, const struct flow *flow)
{
    bool is_current;
    uint32_t node = network_owner(sim, flow, &is_current);

    return is_current && node < sim->phone_count ? &sim->phones[node] : NULL;
}

static void cut(struct sim *sim, const struct flow *flow)
{
    struct phone *phone = owner_of(sim, flow);

    sim->wires.at[connection_place(flow->connection)].connection = 0;
    sim->report.counts[COUNT_STREAMS_BROKEN]++;
    sim->judge.upheaval = sim->now; /* what was on it is lost, and no fault of the server's */
    if (phone)
        phone_cut_off(sim, phone);
}

static void end(struct sim *sim, const struct flow *flow)
{
    struct flow copy = *flow;

    if (!wire_stands(sim, &copy))
        return;
    cut(sim, &copy);
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
    if (connection_place(flow->connection) > WIRES)
        machine_stream(sim, EVENT_CLOSED, flow, NO_SLICE);
    else
        end(sim, flow);
}

void wire_server_died(struct sim *sim, bool are_kept)
{
    sim->judge.upheaval = sim->now; /* what it was about is lost: nobody sends it again */
    for (uint32_t place = 1; place <= WIRES && !are_kept; place++) {
        struct flow flow = sim->wires.at[place];
        if (flow.connection)
            cut(sim, &flow);
    }
}

void wire_weather(struct sim *sim)
{
    unsigned share = (unsigned)dice_between(&sim->dice, 50, 500);

    for (unsigned i = 0; i < sim->phone_count; i++)
        if (sim->phones[i].traits & TRAIT_STREAM && dice_chance(&sim->dice, share))
            wire_break(sim, &sim->phones[i]);
}
