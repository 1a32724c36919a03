#include "sim/wire.h"

#include "core/limits.h"
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

unsigned wire_count(const struct sim *sim)
{
    unsigned count = 0;

    for (uint32_t place = 1; place <= WIRES + DIALLED; place++)
        count += sim->wires.at[place].flow.connection != 0;
    return count;
}

bool wire_is_proven(const struct sim *sim, const struct flow *flow, struct slice domain)
{
    const struct wire *wire = flow_is_secure(flow) ? find(sim, flow) : NULL;

    return wire && (slice_equal(slice_text(wire->proven), domain) ||
                    (!wire->is_standing && (wire->policy >= POLICY_VERIFIED || wire->records[0]) &&
                     slice_equal(slice_text(wire->domain), domain)));
}

bool wire_is_dialled(const struct sim *sim, const struct flow *flow, struct slice *domain)
{
    const struct wire *wire = flow_is_secure(flow) ? find(sim, flow) : NULL;

    if (!wire || connection_place(flow->connection) <= WIRES)
        return false;
    *domain = slice_text(wire->domain[0] ? wire->domain : wire->proven);
    return true;
}

bool wire_open(struct sim *sim, struct flow *flow, struct slice proven)
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
    copy_text(wires->at[place].proven, sizeof wires->at[place].proven, proven);
    sim->report.counts[COUNT_STREAMS]++;
    machine_stream(sim, EVENT_OPENED, flow, proven);
    return wire_stands(sim, flow); /* the server may have been killed meanwhile */
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

#define UNANSWERED SECONDS(4) /* as the shell waits */

/* Where nobody is, one in two is told so. */
static instant refused_at(const struct sim *sim, const struct flow *flow)
{
    return sim->now + (connection_place(flow->connection) % 2 ? UNANSWERED : MS(20));
}

/* What goes by it first, in the same step, is a response. */
static bool is_for_answer(const struct held *dial)
{
    const struct held *held = dial->next;

    while (held && held->step == dial->step &&
           !(held->kind == ACTION_SEND && flow_equal(&held->flow, &dial->flow)))
        held = held->next;
    return held && held->step == dial->step && slice_starts(held->bytes, S("SIP/2.0 "));
}

void wire_dial(struct sim *sim, const struct held *held)
{
    const struct flow *flow = &held->flow;
    struct wire *wire = &sim->wires.at[connection_place(flow->connection)];
    const struct phone *phone = find_door(sim, flow);
    struct peer_plan plan = {.policy = POLICY_OPPORTUNISTIC};
    instant at;

    if (held->bytes.len && !peer_read(held->bytes, &plan))
        judge_fail(sim, "a plan can be read", "%zu bytes", held->bytes.len);
    zone_planned(sim, flow, &plan, is_for_answer(held), held->step);
    trace_note(sim, "dials %u.%u.%u.%u port %u%s", flow->address[0], flow->address[1],
               flow->address[2], flow->address[3], flow->port, phone ? "" : ", where nobody is");
    assert(connection_place(flow->connection) > WIRES && !wire->flow.connection);
    if (!phone || sim->now < sim->network.cut_until[phone->node]) {
        note(sim, DUE_WIRE, flow, refused_at(sim, flow));
        return;
    }
    at = sim->now + 2 * sim->network.latency[phone->node];
    *wire = (struct wire){.flow = *flow, .stands_at = at, .policy = plan.policy};
    copy_text(wire->domain, sizeof wire->domain, plan.domain);
    for (unsigned i = 0; i < plan.tlsa_count; i++)
        wire->records[i] = plan.tlsa[i].data.at[0];
    network_move(sim, phone->node, NULL, flow);
    note(sim, DUE_DIAL, flow, at);
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

    *wire = (struct wire){.stands_at = 0};
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

void wire_dialled(struct sim *sim, const struct flow *flow, uint32_t starts)
{
    struct wire *wire = find(sim, flow);

    if (starts != sim->machine.starts || !wire)
        return;
    if (flow_is_secure(flow))
        copy_text(wire->proven, sizeof wire->proven,
                  zone_prove(sim, flow, slice_text(wire->domain), slice_text(wire->records)));
    if ((wire->policy != POLICY_OPPORTUNISTIC || wire->records[0]) &&
        strcmp(wire->proven, wire->domain) != 0) {
        sim->report.counts[COUNT_UNPROVEN]++;
        trace_note(sim, "%s is not proven by '%s'", wire->domain, wire->proven);
        network_leave(sim, flow);
        *wire = (struct wire){.stands_at = 0};
        machine_stream(sim, EVENT_CLOSED, flow, NO_SLICE);
        return;
    }
    wire->is_standing = true;
    sim->report.counts[COUNT_DIALLED]++;
    trace_note(sim, "connected to port %u, proven '%s'", flow->port, wire->proven);
    machine_stream(sim, EVENT_OPENED, flow, slice_text(wire->proven));
    if (wire->domain[0] && strcmp(wire->proven, wire->domain) == 0)
        zone_proven(sim, slice_text(wire->domain));
}

#define FORGOTTEN_AFTER SECONDS(400) /* by whatever stands between, and says so */

void wire_abandon(struct sim *sim, struct phone *phone)
{
    struct wire *wire = find(sim, &phone->address);

    if (!wire)
        return;
    wire->is_abandoned = true;
    sim->judge.upheaval = sim->now;
    note(sim, DUE_WIRE, &wire->flow, sim->now + FORGOTTEN_AFTER);
    phone_cut_off(sim, phone);
}

void wire_lost(struct sim *sim, const struct flow *flow)
{
    const struct wire *wire = find(sim, flow);

    if (wire && wire->is_abandoned && !wire->is_expected)
        note(sim, DUE_WIRE, flow, sim->now + MS(50));
}

static void listen_again(struct sim *sim, const struct flow *flow)
{
    note(sim, DUE_SILENCE, flow, sim->now + FLOW_SILENCE);
}

void wire_expect(struct sim *sim, const struct flow *flow)
{
    struct wire *wire = find(sim, flow);

    if (!wire || wire->is_expected)
        return;
    wire->is_expected = true;
    listen_again(sim, flow);
}

/* Who is still there has sent keep-alives. */
void wire_listen(struct sim *sim, const struct flow *flow, uint32_t starts)
{
    const struct wire *wire = find(sim, flow);

    if (starts != sim->machine.starts || !wire)
        return;
    if (!wire->is_abandoned) {
        listen_again(sim, flow);
        return;
    }
    sim->report.counts[COUNT_SILENT]++;
    trace_note(sim, "nobody keeps the stream of port %u alive", flow->port);
    end(sim, flow);
}

void wire_close(struct sim *sim, const struct flow *flow)
{
    note(sim, DUE_WIRE, flow, sim->now + MS(1));
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
        bool is_kept = are_kept && place <= WIRES && wire->flow.transport == TRANSPORT_TCP &&
                       !wire->is_abandoned;
        if (wire->flow.connection && !is_kept)
            cut(sim, wire);
        wire->is_expected = false; /* until its phone registers again */
    }
}

void wire_server_started(struct sim *sim, void (*tell)(struct sim *sim, const struct event *event))
{
    for (uint32_t place = 1; place <= WIRES; place++)
        if (sim->wires.at[place].flow.connection)
            tell(sim, &(struct event){.kind = EVENT_OPENED, .flow = sim->wires.at[place].flow});
}

void wire_rest(struct sim *sim)
{
    for (uint32_t place = 1; place <= WIRES + DIALLED; place++) {
        const struct flow *flow = &sim->wires.at[place].flow;
        if (flow_is_secure(flow) && !owner_of(sim, flow)) /* else it is a phone's of ours */
            end(sim, flow);
    }
}

void wire_weather(struct sim *sim)
{
    unsigned share = (unsigned)dice_between(&sim->dice, 50, 500);

    for (uint32_t place = 1; place <= WIRES + DIALLED; place++)
        if (sim->wires.at[place].is_standing && dice_chance(&sim->dice, share))
            end(sim, &sim->wires.at[place].flow);
}
