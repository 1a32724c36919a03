#include "sim/relay.h"

#include "core/inspect.h"
#include "core/leg_pass.h"
#include "core/limits.h"
#include "sdp/description.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sim/trace.h"

#define FIRST_PORT 20000u
#define PHONE_PORT 4000u  /* each call of a phone has its own above this, */
#define MAPPED_PORT 9000u /* which its NAT maps so much higher */

bool relay_is_seed(uint64_t seed)
{
    return seed % 3 == 2;
}

void relay_init(struct sim *sim)
{
    struct media_settings *media = &sim->machine.settings.media;

    sim->relay.is_there = relay_is_seed(sim->report.seed);
    media->silence = 0; /* nobody speaks but the judge */
    if (!sim->relay.is_there)
        return;
    media->mode = sim->report.seed % 2 ? MEDIA_ALWAYS : MEDIA_AUTO;
    media->first_port = FIRST_PORT;
    media->last_port = FIRST_PORT + 3999;
    media->user_calls = 0;
    media->has[0] = media->has[1] = true;
    assert(host_numeric(S(SERVER_HOST_V4), &media->own[0]) &&
           host_numeric(S(SERVER_HOST_V6), &media->own[1]));
}

void relay_free(struct sim *sim)
{
    free(sim->relay.legs);
}

/* -- the table -- */

static struct sim_leg *find_leg(struct relay *relay, const struct leg_place *key)
{
    for (unsigned i = 0; i < relay->room; i++)
        if (relay->legs[i].is_open && memcmp(&relay->legs[i].key, key, sizeof *key) == 0)
            return &relay->legs[i];
    return NULL;
}

static struct sim_leg *new_leg(struct relay *relay)
{
    unsigned i = 0;

    while (i < relay->room && relay->legs[i].is_open)
        i++;
    if (i == relay->room) {
        relay->room = 2 * relay->room + 64;
        relay->legs = realloc(relay->legs, relay->room * sizeof *relay->legs);
        if (!relay->legs)
            abort();
        memset(relay->legs + i, 0, (relay->room - i) * sizeof *relay->legs);
    }
    relay->count++;
    return &relay->legs[i];
}

static unsigned port_at(const struct leg_place *place)
{
    return (unsigned)(place->port[0] << 8 | place->port[1]);
}

static void change_leg(struct sim *sim, const struct leg_change *change)
{
    struct relay *relay = &sim->relay;
    static const uint8_t nobody[16] = {[10] = 0xff, [11] = 0xff};
    static const char *const changes[] = {
        [LEG_OPEN] = "opened", [LEG_MOVE] = "moved", [LEG_CLOSE] = "closed"};
    struct sim_leg *leg = find_leg(relay, &change->key);

    if (change->kind != LEG_CLOSE && memcmp(change->rule.allowed.address, nobody, 16) == 0)
        judge_fail(sim, "no leg is open to everyone", "side %u", change->rule.side);
    trace_note(sim, "the leg at %u of side %u is %s%s", port_at(&change->key), change->rule.side,
               changes[change->kind], leg ? "" : ", which was not there");
    if (change->kind == LEG_OPEN && !leg)
        leg = new_leg(relay);
    if (!leg)
        return; /* its opening is on its way, or it was closed when a core started */
    if (change->kind == LEG_OPEN)
        *leg = (struct sim_leg){true, change->key, {change->rule, {0}}};
    leg->leg.rule = change->rule;
    leg->is_open = change->kind != LEG_CLOSE;
    relay->count -= change->kind == LEG_CLOSE;
}

void relay_change(struct sim *sim, struct slice bytes)
{
    struct leg_change change;

    for (; bytes.len; bytes = slice_from(bytes, sizeof change)) {
        memcpy(&change, bytes.at, sizeof change);
        change_leg(sim, &change);
    }
}

struct look {
    unsigned count;
    struct leg_place keys[4 * LEGS_PAIRS];
};

void relay_look(struct sim *sim, struct slice keys)
{
    struct look *look = take(1, sizeof *look);

    assert(keys.len <= sizeof look->keys);
    look->count = (unsigned)(keys.len / sizeof look->keys[0]);
    memcpy(look->keys, keys.at, keys.len);
    agenda_note(&sim->agenda, sim->now, DUE_LEGS, sim->machine.starts, look);
}

void relay_answer(struct sim *sim, uint32_t start, struct look *look)
{
    struct leg_found found[4 * LEGS_PAIRS];
    struct event event = {.kind = EVENT_LEGS, .legs = found};

    for (unsigned i = 0; i < look->count; i++) {
        const struct sim_leg *leg = find_leg(&sim->relay, &look->keys[i]);
        if (leg)
            found[event.leg_count++] = (struct leg_found){.key = leg->key, .leg = leg->leg};
    }
    free(look);
    if (start == sim->machine.starts)
        machine_legs(sim, &event);
}

void relay_server_started(struct sim *sim, void (*step)(struct sim *sim, const struct event *event))
{
    const struct relay *relay = &sim->relay;
    struct leg_found found[LEGS_LISTED];
    struct event event = {.kind = EVENT_LEGS, .legs = found, .is_list = true};

    if (!relay->is_there)
        return;
    step(sim, &(struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = UINT32_MAX});
    for (unsigned i = 0; i < relay->room; i++) {
        if (!relay->legs[i].is_open)
            continue;
        found[event.leg_count++] =
            (struct leg_found){.key = relay->legs[i].key, .leg = relay->legs[i].leg};
        if (event.leg_count < LEGS_LISTED)
            continue;
        step(sim, &event);
        event.leg_count = 0;
    }
    event.is_end = true;
    step(sim, &event);
}

void relay_cut_power(struct sim *sim)
{
    for (unsigned i = 0; i < sim->relay.room; i++)
        sim->relay.legs[i].is_open = false;
    sim->relay.count = 0;
}

/* -- phones -- */

/* How an address translator is behind which a phone lives (RFC 4787 4, 5): from the first that is
 * one on, mappings are by the phone's port alone, and what comes to one is let in from everyone,
 * from hosts or from ports that were sent something; or there is a mapping for each destination. */
enum nat {
    NAT_NONE,
    NAT_FULL_CONE,
    NAT_BY_ADDRESS,
    NAT_BY_PORT,
    NAT_SYMMETRIC,
};

/* Its Contact says the same. */
static enum nat nat_of(const struct phone *phone)
{
    bool is_behind = slice_starts(slice_text(phone->host), S("192.168."));

    return is_behind ? (enum nat)(NAT_FULL_CONE + phone->node % 4) : NAT_NONE;
}

static unsigned port_of(const struct call *call)
{
    return PHONE_PORT + 2 * (call->serial % 1000);
}

static struct leg_place place_at(const struct flow *at, unsigned port)
{
    struct leg_place place = {.port = {(uint8_t)(port >> 8), (uint8_t)port}};

    if (at->is_v6) {
        memcpy(place.address, at->address, 16);
    } else {
        place.address[10] = place.address[11] = 0xff;
        memcpy(place.address + 12, at->address, 4);
    }
    return place;
}

void sound_say(struct sim *sim, const struct phone *phone, struct call *call, struct writer *w)
{
    struct address_bytes address = {.is_v6 = phone->address.is_v6};
    struct flow inside = {.address = {192, 168, 1, (uint8_t)(phone->node + 1)}};

    if (!sim->relay.is_there) {
        put(w, "media");
        return;
    }
    memcpy(address.at, nat_of(phone) ? inside.address : phone->address.address, 16);
    call->sound.at = phone->address;
    call->sound.has_said = true;
    put(w, "v=0\r\no=- 1 1 IN IP4 x\r\ns=-\r\nc=IN %s ", address.is_v6 ? "IP6" : "IP4");
    write_address(w, &address);
    put(w, "\r\nt=0 0\r\nm=audio %u RTP/AVP 0\r\n", port_of(call));
}

void sound_hear(struct call *call, struct slice description)
{
    static struct sdp sdp;
    struct flow at = {0};
    const struct sdp_connection *c;

    if (!slice_starts(description, S("v=0")) || sdp_parse(description, &sdp).fault ||
        !sdp.media_count)
        return;
    c = sdp_connection(&sdp, 0);
    at.is_v6 = c->address.is_v6;
    memcpy(at.address, c->address.at, 16);
    call->sound.has_heard = true;
    call->sound.is_by_relay = sdp.media[0].port >= FIRST_PORT;
    call->sound.to = place_at(&at, sdp.media[0].port);
}

/* -- the judge -- */

/* Where its packets come from. */
static struct leg_place source_of(const struct phone *phone, const struct call *call)
{
    unsigned port = port_of(call);
    enum nat nat = nat_of(phone);

    if (nat)
        port += MAPPED_PORT;
    if (nat == NAT_SYMMETRIC)
        port += 2 + 2 * (port_at(&call->sound.to) % 997);
    return place_at(&phone->address, port);
}

/* It has sent something to where it was told to: what comes from there, or another place, passes.
 */
static bool lets_in(const struct phone *phone, const struct call *call,
                    const struct leg_place *from)
{
    const struct leg_place *to = &call->sound.to;

    switch (nat_of(phone)) {
    case NAT_NONE:
    case NAT_FULL_CONE: return true;
    case NAT_BY_ADDRESS: return memcmp(from->address, to->address, sizeof to->address) == 0;
    case NAT_BY_PORT:
    case NAT_SYMMETRIC: break;
    }
    return memcmp(from, to, sizeof *to) == 0;
}

static bool is_within(const struct leg_place *place, const struct leg_place *allowed)
{
    static const uint8_t any[2] = {0, 0};

    return memcmp(place->address, allowed->address, 16) == 0 &&
           (memcmp(allowed->port, any, 2) == 0 || memcmp(place->port, allowed->port, 2) == 0);
}

/* A packet on its way from the relay. */
struct packet {
    const struct leg_place *from;
    const struct leg_place *to; /* NULL: it is dropped */
};

/* One from there comes to that leg (core/leg.h). */
static struct packet send_packet(struct relay *relay, const struct leg_place *from,
                                 const struct leg_place *key)
{
    struct sim_leg *leg = find_leg(relay, key), *other;
    bool has_target;

    if (!leg || (leg_is_locked(&leg->leg) ? memcmp(from, &leg->leg.state.source, sizeof *from) != 0
                                          : !is_within(from, &leg->leg.rule.allowed)))
        return (struct packet){NULL, NULL};
    leg->leg.state.locked = 1;
    leg->leg.state.epoch = leg->leg.rule.epoch;
    leg->leg.state.source = *from;
    other = find_leg(relay, &leg->leg.rule.other);
    has_target = other && (other->leg.rule.target.port[0] || other->leg.rule.target.port[1]);
    if (!other || other->leg.rule.flags & LEG_MUTE ||
        !(leg_is_locked(&other->leg) || (has_target && other->leg.rule.flags & LEG_FIRST)))
        return (struct packet){NULL, NULL};
    return (struct packet){&other->key,
                           has_target ? &other->leg.rule.target : &other->leg.state.source};
}

/* It has not moved since it said where it is.  One with two flows has its signalling elsewhere. */
static bool has_stayed(const struct phone *phone, const struct call *call)
{
    return call->sound.has_said && call->sound.has_heard && !(phone->traits & TRAIT_FLOWS) &&
           memcmp(phone->address.address, call->sound.at.address, 16) == 0;
}

static void judge_way(struct sim *sim, const struct phone *phone, const struct call *call,
                      const struct phone *peer, const struct call *other)
{
    struct leg_place from = source_of(phone, call), there = source_of(peer, other);
    struct packet packet = send_packet(&sim->relay, &from, &call->sound.to);
    bool is_there = packet.to && memcmp(packet.to, &there, sizeof there) == 0;

    if (!is_there || !lets_in(peer, other, packet.from))
        judge_fail(sim, "who is in a call is heard", "%s (%s): packets of node %u to %u %s",
                   call->call_id, call->local_tag, phone->node, port_at(&call->sound.to),
                   is_there    ? "are not let in"
                   : packet.to ? "go elsewhere"
                               : "are lost");
}

/* Nothing leads from one to the other but the relay: the address that one says is its own
 * network's, or of the other family. */
static bool is_out_of_reach(const struct phone *phone, const struct phone *peer)
{
    return nat_of(phone) || nat_of(peer) || phone->address.is_v6 != peer->address.is_v6;
}

void relay_judge_call(struct sim *sim, const struct phone *phone, const struct call *call,
                      const struct phone *peer, const struct call *other)
{
    if (!sim->relay.is_there || !call->is_strict || !other->is_strict || !has_stayed(phone, call) ||
        !has_stayed(peer, other))
        return;
    if (call->sound.is_by_relay != other->sound.is_by_relay) {
        judge_fail(sim, "both of a call go by the relay, or neither", "%s (%s)", call->call_id,
                   call->local_tag);
        return;
    }
    sim->report.counts[COUNT_HEARD] += call->sound.is_by_relay;
    if (!call->sound.is_by_relay) {
        if (sim->machine.settings.media.mode == MEDIA_ALWAYS || is_out_of_reach(phone, peer))
            judge_fail(sim, "who cannot be reached is heard by the relay", "%s (%s): node %u to %u",
                       call->call_id, call->local_tag, phone->node, peer->node);
        return;
    }
    struct leg_place first = source_of(phone, call), second = source_of(peer, other);
    send_packet(&sim->relay, &first, &call->sound.to);
    send_packet(&sim->relay, &second, &other->sound.to);
    judge_way(sim, phone, call, peer, other);
    judge_way(sim, peer, other, phone, call);
}

void relay_judge_rest(struct sim *sim)
{
    struct census census = core_census(sim->machine.core);

    if (sim->relay.count)
        judge_fail(sim, "no leg outlives its call", "%u are left", sim->relay.count);
    if (census.anchors || census.relay_ports)
        judge_fail(sim, "what ended is forgotten", "%u relayed calls and %u ports are left",
                   census.anchors, census.relay_ports);
}
