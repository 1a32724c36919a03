#include "sim/network.h"

#include "base/cursor.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sim/trace.h"
#include "sip/uri.h"

#define ADDRESS_LIMIT 16384u
#define REPEATED 548u             /* bytes of a datagram that ICMP repeats */
#define LIFETIME_LONGEST MS(4500) /* below T4, with latency and all */

struct flow network_new_address(struct sim *sim, unsigned site, bool is_v6, bool is_public)
{
    static const uint8_t v6[4] = {0x20, 0x01, 0x0d, 0xb8};
    struct flow flow = {.transport = TRANSPORT_UDP, .is_v6 = is_v6};

    flow.socket = is_v6 ? SOCKET_V6 : SOCKET_V4;
    flow.port = (uint16_t)(10000 + sim->network.address_count);
    if (is_v6) {
        memcpy(flow.address, v6, sizeof v6);
        flow.address[7] = (uint8_t)(site + 1);
        flow.address[15] = 1;
    } else {
        flow.address[0] = is_public ? 93 : 10;
        flow.address[1] = is_public ? 184 : 20;
        flow.address[2] = (uint8_t)site;
        flow.address[3] = 7;
    }
    return flow;
}

/* The latest: a server that starts anew may give a stream the handle that another had before. */
static struct address_record *find_address(const struct network *net, const struct flow *flow)
{
    for (unsigned i = net->address_count; i-- > 0;)
        if (flow_equal(&net->addresses[i].flow, flow))
            return &net->addresses[i];
    return NULL;
}

void network_move(struct sim *sim, uint32_t node, const struct flow *old, const struct flow *new)
{
    struct network *net = &sim->network;

    assert(net->address_count < ADDRESS_LIMIT);
    if (!net->addresses)
        net->addresses = take(ADDRESS_LIMIT, sizeof *net->addresses);
    if (old)
        find_address(net, old)->is_current = false;
    net->addresses[net->address_count++] = (struct address_record){*new, node, true};
}

void network_leave(struct sim *sim, const struct flow *flow)
{
    struct address_record *record = find_address(&sim->network, flow);

    if (record)
        record->is_current = false;
}

uint32_t network_owner(const struct sim *sim, const struct flow *flow, bool *is_current)
{
    const struct address_record *record = find_address(&sim->network, flow);

    *is_current = record && record->is_current;
    return record ? record->node : NO_NODE;
}

static void send_one(struct sim *sim, const struct datagram *datagram, instant at)
{
    struct datagram *copy = take(1, sizeof *copy);

    *copy = *datagram;
    copy->bytes = copy_slice(datagram->bytes);
    agenda_note(&sim->agenda, at, DUE_ARRIVAL, 0, copy);
}

static void send_parts(struct sim *sim, const struct datagram *datagram, instant at)
{
    struct datagram part = *datagram;
    struct slice whole = pipe_wrap(sim, &datagram->flow, datagram->bytes);

    for (struct slice rest = whole; rest.len; rest = slice_from(rest, part.bytes.len)) {
        part.bytes = slice_until(rest, pipe_cut(sim, &datagram->flow, rest.len, &at));
        send_one(sim, &part, at);
    }
    copy_free(&whole);
}

/* On a stream: by its own time, and behind what was sent before. */
static void carry_in_order(struct sim *sim, uint32_t node, const struct datagram *datagram)
{
    instant at = max_u64(wire_ready(sim, &datagram->flow), sim->network.cut_until[node]) +
                 sim->network.latency[node];

    sim->report.counts[COUNT_DATAGRAMS]++;
    if (datagram->sender == NO_NODE)
        send_one(sim, datagram, at);
    else
        send_parts(sim, datagram, at);
}

/* Throws what becomes of a datagram between `node` and the server. */
static void carry(struct sim *sim, uint32_t node, const struct datagram *datagram)
{
    struct network *net = &sim->network;
    instant at = sim->now + net->latency[node];

    if (flow_is_reliable(&datagram->flow)) {
        carry_in_order(sim, node, datagram);
        return;
    }
    sim->report.counts[COUNT_DATAGRAMS]++;
    if (sim->now < net->cut_until[node] || dice_chance(&sim->dice, net->weather.loss)) {
        sim->report.counts[COUNT_LOST]++;
        return;
    }
    if (dice_chance(&sim->dice, net->weather.reordering)) {
        sim->report.counts[COUNT_REORDERED]++;
        at += random_below(&sim->dice, MS(1500));
    }
    send_one(sim, datagram, at);
    if (dice_chance(&sim->dice, net->weather.duplication)) {
        sim->report.counts[COUNT_DUPLICATED]++;
        send_one(sim, datagram,
                 sim->now + net->latency[node] +
                     random_below(&sim->dice, LIFETIME_LONGEST - net->latency[node]));
    }
}

void network_to_server(struct sim *sim, uint32_t sender, const struct flow *source,
                       struct slice bytes)
{
    struct datagram datagram = {*source, sender, bytes};
    bool is_current;

    if (flow_is_reliable(source) && network_owner(sim, source, &is_current) != sender)
        return; /* the source of a stream cannot be forged */
    carry(sim, sender, &datagram);
}

/* Nobody is there any more, or ever was; at times the network says so. */
static void lose(struct sim *sim, const struct datagram *datagram)
{
    struct datagram *copy;

    sim->report.counts[COUNT_LOST]++;
    if (!zone_is_seed(sim->report.seed) || !dice_chance(&sim->zones.dice, 200))
        return;
    copy = take(1, sizeof *copy);
    *copy = *datagram;
    copy->bytes = copy_slice(datagram->bytes);
    agenda_note(&sim->agenda, sim->now + MS(30), DUE_UNREACHED, sim->machine.starts, copy);
}

void network_to_node(struct sim *sim, const struct flow *flow, struct slice bytes)
{
    struct datagram datagram = {*flow, NO_NODE, bytes};
    bool is_current;
    uint32_t node = network_owner(sim, flow, &is_current);

    if (node != NO_NODE && is_current) {
        carry(sim, node, &datagram);
        return;
    }
    wire_lost(sim, flow);
    lose(sim, &datagram);
}

void network_refuse(struct sim *sim, uint32_t starts, struct datagram *datagram)
{
    if (starts == sim->machine.starts)
        machine_unreached(sim, &datagram->flow,
                          slice_until(datagram->bytes, min_u64(datagram->bytes.len, REPEATED)));
    copy_free(&datagram->bytes);
    free(datagram);
}

/* What it was sent by is gone. */
static bool is_stranded(const struct sim *sim, const struct datagram *datagram)
{
    return flow_is_reliable(&datagram->flow) && !wire_stands(sim, &datagram->flow);
}

static void hand_over(struct sim *sim, uint32_t sender, const struct flow *flow,
                      struct slice message)
{
    trace_message(sim, "->", flow, sender, message);
    /* Credentials that the server has not seen yet are anybody's: so strangers hear late. */
    if (sim->machine.is_up && sender < sim->phone_count)
        stranger_hear(sim, flow, message);
    machine_receive(sim, flow, sender, message);
}

void network_framed(struct sim *sim, uint32_t sender, const struct flow *flow, struct slice message,
                    struct fault broken)
{
    if (broken.status)
        machine_broken(sim, flow, sender, message, broken);
    else
        hand_over(sim, sender, flow, message);
}

void network_deliver(struct sim *sim, struct datagram *datagram)
{
    bool is_current;
    uint32_t node = network_owner(sim, &datagram->flow, &is_current);

    if (is_stranded(sim, datagram)) {
        sim->report.counts[COUNT_LOST]++;
    } else if (datagram->sender != NO_NODE && flow_is_reliable(&datagram->flow)) {
        pipe_feed(sim, datagram->sender, &datagram->flow, datagram->bytes);
    } else if (datagram->sender != NO_NODE) {
        hand_over(sim, datagram->sender, &datagram->flow, datagram->bytes);
    } else if (node != NO_NODE && is_current) {
        trace_message(sim, "<-", &datagram->flow, node, datagram->bytes);
        sim_node_receive(sim, node, &datagram->flow, datagram->bytes);
    }
    copy_free(&datagram->bytes);
    free(datagram);
}

void network_free(struct sim *sim)
{
    free(sim->network.addresses);
    sim->network.addresses = NULL;
}

struct slice network_text(const struct flow *flow, char *text, size_t limit)
{
    struct address_bytes address = {.is_v6 = flow->is_v6};
    struct writer w = writer_over(text, limit);

    memcpy(address.at, flow->address, sizeof address.at);
    write_host(&w, &address);
    write_char(&w, ':');
    write_number(&w, flow->port);
    return writer_slice(&w);
}
