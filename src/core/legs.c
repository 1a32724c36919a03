#include "core/legs.h"

#include "core/oddity.h"

enum input {
    INPUT_OFFER,
    INPUT_ANSWER,
    INPUT_REFUSAL,
    INPUT_COUNT,
};

enum effect {
    TAKE = 1 << 0,   /* the offer is pending now */
    AGREE = 1 << 1,  /* what was offered and what is answered counts */
    FORGET = 1 << 2, /* the offer was never made */
};

struct rule {
    uint8_t next; /* enum legs_state */
    uint8_t effects;
};

/* RFC 3261 13.2.1, RFC 3264 4: one offer at a time, which is answered or refused.  An absent rule
 * means: two have crossed, or there is nothing to answer. */
/* clang-format off */
static const struct rule rules[LEGS_STATE_COUNT][INPUT_COUNT] = {
    [LEGS_IDLE] = {
        [INPUT_OFFER]   = {LEGS_OFFERED,   TAKE},
    },
    [LEGS_OFFERED] = {
        [INPUT_ANSWER]  = {LEGS_AGREED,    AGREE},
        [INPUT_REFUSAL] = {LEGS_IDLE,      FORGET},
    },
    [LEGS_AGREED] = {
        [INPUT_OFFER]   = {LEGS_REOFFERED, TAKE},
        [INPUT_ANSWER]  = {LEGS_AGREED,    AGREE}, /* the same again, in 180, 183 and 200 */
    },
    [LEGS_REOFFERED] = {
        [INPUT_ANSWER]  = {LEGS_AGREED,    AGREE},
        [INPUT_REFUSAL] = {LEGS_AGREED,    FORGET},
    },
};
/* clang-format on */

static enum legs_side opposite(enum legs_side side)
{
    return side == LEGS_CALLER ? LEGS_CALLEE : LEGS_CALLER;
}

/* All legs that there are to be. */
struct table {
    struct leg_change at[4 * LEGS_PAIRS];
    unsigned count;
};

static struct leg_place place_of(const struct address_bytes *address, unsigned port)
{
    struct leg_place place = {.port = {(uint8_t)(port >> 8), (uint8_t)port}};

    if (address->is_v6) {
        memcpy(place.address, address->at, sizeof place.address);
    } else {
        place.address[10] = place.address[11] = 0xff;
        memcpy(place.address + 12, address->at, 4);
    }
    return place;
}

/* The relay's address for a side of an m-line: of the family that its phone named. */
static const struct address_bytes *relay_address(const struct legs *legs,
                                                 const struct legs_line *line, enum legs_side side)
{
    bool is_v6 = line->is_live && line->has_address ? line->address.is_v6 : legs->ends[side].is_v6;

    return &legs->relay.at[legs->relay.has[is_v6] ? is_v6 : !is_v6];
}

/* What the phone is told of that: one with a public address, as it is known outside. */
static struct address_bytes told_address(const struct legs *legs, const struct legs_line *line,
                                         enum legs_side side)
{
    const struct address_bytes *own = relay_address(legs, line, side);
    const struct address_bytes *outside = &legs->relay.outside[own - legs->relay.at];
    bool is_outside = address_seclusion(&legs->ends[side].source) == SECLUSION_NONE;

    return is_outside && !address_is_unspecified(outside) ? *outside : *own;
}

/* Packets come from where signalling comes from, for what the phone names is no address that they
 * could come from. */
static bool follows_source(const struct legs_end *end, const struct legs_line *line)
{
    return end->is_hidden || !line->has_address ||
           (!address_equal(&line->address, &end->source) &&
            address_seclusion(&line->address) != SECLUSION_NONE);
}

static bool may_send(const struct legs_line *line)
{
    return line->direction == SDP_SENDRECV || line->direction == SDP_SENDONLY;
}

static bool may_receive(const struct legs_line *line)
{
    return (line->direction == SDP_SENDRECV || line->direction == SDP_RECVONLY) && !line->is_held;
}

/* One of the ports of an m-line. */
struct strand {
    unsigned stream, pair, component; /* component: 0 or 1, for RTCP */
};

static unsigned offset_of(const struct legs_line *line, struct strand strand)
{
    return line->is_rtp ? 2 * strand.pair + strand.component : strand.pair;
}

static unsigned port_of(const struct legs_line *line, struct strand strand)
{
    if (!line->is_rtp)
        return line->port + strand.pair;
    return (strand.component ? line->rtcp_port : line->port) + 2 * strand.pair;
}

/* No packet of its phone need come before one may go there: it is no other's address, or the
 * administrator says so. */
static bool may_be_first(const struct legs_end *end, const struct address_bytes *address)
{
    return end->may_wait || address_equal(address, &end->heard) ||
           (address_equal(address, &end->source) && !end->is_unproven);
}

static void aim(const struct legs_end *end, const struct legs_line *line, struct strand strand,
                struct leg_rule *rule)
{
    const struct address_bytes none = {.is_v6 = true};

    if (follows_source(end, line)) {
        rule->allowed = place_of(&end->source, 0);
        rule->target = place_of(&none, 0);
        return;
    }
    rule->allowed = place_of(&line->address, 0);
    rule->target = place_of(&line->address, port_of(line, strand));
    if (may_be_first(end, &line->address))
        rule->flags |= LEG_FIRST;
}

/* The leg towards one side. */
static struct leg_change leg_of(const struct legs *legs, const struct legs_exchange *e,
                                enum legs_side side, struct strand strand)
{
    const struct legs_line *own = &e->agreed[side][strand.stream];
    const struct legs_line *other = &e->agreed[opposite(side)][strand.stream];
    unsigned offset = offset_of(own, strand);
    struct leg_change leg = {
        .kind = LEG_OPEN,
        .key = place_of(relay_address(legs, own, side), e->ports[side][strand.stream] + offset),
        .rule =
            {
                .version = LEG_VERSION,
                .epoch = (uint32_t)max_u64(own->epoch, legs->moved[side]),
                .rate = legs->relay.rate,
                .stream = (uint16_t)strand.stream,
                .component = (uint8_t)(strand.component + 1),
                .side = (uint8_t)side,
                .clocks = other->clocks, /* who sends means what its receiver has named */
                .other = place_of(relay_address(legs, other, opposite(side)),
                                  e->ports[opposite(side)][strand.stream] + offset),
            },
    };

    memcpy(leg.rule.call, legs->call, sizeof leg.rule.call);
    aim(&legs->ends[side], own, strand, &leg.rule);
    if (own->is_held)
        leg.rule.flags |= LEG_MUTE;
    if (!own->is_rtp)
        leg.rule.flags |= LEG_PLAIN;
    if (!own->is_rtp || strand.component || !may_send(own) || !may_receive(other))
        leg.rule.flags |= LEG_QUIET;
    return leg;
}

/* It was agreed on by both, and goes by ports of its own. */
static bool has_legs(const struct legs_exchange *e, unsigned i)
{
    const struct legs_line *caller = &e->agreed[LEGS_CALLER][i];
    const struct legs_line *callee = &e->agreed[LEGS_CALLEE][i];
    const struct legs_line *answer = e->answerer == LEGS_CALLER ? caller : callee;

    return i < e->agreed_count && caller->is_live && callee->is_live &&
           caller->is_rtp == callee->is_rtp && answer->leader == i;
}

static void list_stream(const struct legs *legs, const struct legs_exchange *e, unsigned i,
                        struct table *table)
{
    const struct legs_line *a = &e->agreed[LEGS_CALLER][i], *b = &e->agreed[LEGS_CALLEE][i];
    unsigned pairs = (unsigned)min_u64(a->port_count, b->port_count);
    unsigned components = a->is_rtp && !(a->is_muxed && b->is_muxed) ? 2 : 1;

    if (!has_legs(e, i))
        return;
    for (unsigned n = 0; n < pairs * components; n++) {
        struct strand strand = {i, n / components, n % components};
        table->at[table->count++] = leg_of(legs, e, LEGS_CALLER, strand);
        table->at[table->count++] = leg_of(legs, e, LEGS_CALLEE, strand);
        assert(table->count <= COUNT_OF(table->at));
    }
}

static void list_legs(const struct legs *legs, struct table *table)
{
    const struct legs_exchange *e = &legs->with[legs->current];

    table->count = 0;
    if (!e->is_used)
        return;
    for (unsigned i = 0; i < LEGS_LINES; i++)
        list_stream(legs, e, i, table);
}

static const struct leg_change *find_leg(const struct table *table, const struct leg_place *key)
{
    for (unsigned i = 0; i < table->count; i++)
        if (memcmp(&table->at[i].key, key, sizeof *key) == 0)
            return &table->at[i];
    return NULL;
}

static void push(struct legs_output *out, const struct leg_change *leg, enum leg_change_kind kind)
{
    assert(out->count < LEGS_CHANGES);
    out->changes[out->count] = *leg;
    out->changes[out->count++].kind = kind;
}

/* What turns one table into the other. */
static void compare(const struct table *before, const struct table *after, struct legs_output *out)
{
    out->count = 0;
    for (unsigned i = 0; i < before->count; i++)
        if (!find_leg(after, &before->at[i].key))
            push(out, &before->at[i], LEG_CLOSE);
    for (unsigned i = 0; i < after->count; i++) {
        const struct leg_change *old = find_leg(before, &after->at[i].key);
        if (!old)
            push(out, &after->at[i], LEG_OPEN);
        else if (memcmp(&old->rule, &after->at[i].rule, sizeof old->rule) != 0)
            push(out, &after->at[i], LEG_MOVE);
    }
}

static void conclude(const struct legs *legs, const struct table *before, struct legs_output *out)
{
    struct table after;

    list_legs(legs, &after);
    compare(before, &after, out);
}

static bool has_port(const struct legs_exchange *e, uint16_t port)
{
    for (unsigned i = 0; i < LEGS_LINES; i++)
        if (e->ports[LEGS_CALLER][i] == port || e->ports[LEGS_CALLEE][i] == port)
            return true;
    return false;
}

/* Gives a port back, unless another exchange has it too. */
static void release(struct legs *legs, struct ports *ports, struct legs_exchange *e,
                    enum legs_side side, unsigned i)
{
    uint16_t port = e->ports[side][i];
    bool is_used = false;

    if (!port)
        return;
    e->ports[side][i] = 0;
    for (unsigned n = 0; n < ANSWER_LIMIT; n++)
        is_used |= has_port(&legs->with[n], port);
    if (!is_used && !has_port(&legs->first, port) && ports_have(ports, port, e->pairs[i]))
        ports_give(ports, port, e->pairs[i]);
}

static bool is_pending(const struct legs_exchange *e)
{
    return e->state == LEGS_OFFERED || e->state == LEGS_REOFFERED;
}

static bool is_wanted(const struct legs_exchange *e, unsigned i)
{
    return has_legs(e, i) || (is_pending(e) && i < e->offered_count && e->offered[i].is_live &&
                              e->offered[i].leader == i);
}

/* Ports of m-lines that are no more. */
static void trim(struct legs *legs, struct ports *ports, struct legs_exchange *e)
{
    for (unsigned i = 0; i < LEGS_LINES; i++) {
        if (is_wanted(e, i))
            continue;
        release(legs, ports, e, LEGS_CALLER, i);
        release(legs, ports, e, LEGS_CALLEE, i);
        e->pairs[i] = 0;
    }
}

static void close_exchange(struct legs *legs, struct ports *ports, struct legs_exchange *e)
{
    e->state = LEGS_IDLE;
    e->agreed_count = e->offered_count = 0;
    trim(legs, ports, e);
    *e = (struct legs_exchange){0};
}

static struct legs_exchange *find(struct legs *legs, uint64_t tag)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used && legs->with[i].tag == tag)
            return &legs->with[i];
    return NULL;
}

/* A place for one more: one that is free, or else of one that was not answered and whose packets
 * nobody hears. */
static struct legs_exchange *find_place(struct legs *legs, struct ports *ports)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (!legs->with[i].is_used)
            return &legs->with[i];
    for (unsigned i = 0; i < ANSWER_LIMIT; i++) {
        if (legs->with[i].is_answered || i == legs->current)
            continue;
        close_exchange(legs, ports, &legs->with[i]);
        return &legs->with[i];
    }
    return NULL;
}

/* The caller is told other ports for each who answers.  Where there are none it is told the same:
 * then packets for one reach the other, which cannot decode them. */
static void part_ports(struct legs *legs, struct ports *ports, struct random *random,
                       struct legs_exchange *e)
{
    for (unsigned n = 0; n < ANSWER_LIMIT; n++) {
        const struct legs_exchange *other = &legs->with[n];
        if (other == e || !other->is_used)
            continue;
        for (unsigned i = 0; i < LEGS_LINES; i++) {
            uint16_t port = e->ports[LEGS_CALLER][i];
            uint16_t fresh =
                port && has_port(other, port) ? ports_take(ports, e->pairs[i], random) : 0;
            if (fresh)
                e->ports[LEGS_CALLER][i] = fresh;
        }
    }
}

/* The exchange with a To tag.  A new one answers the INVITE's offer, if it had one. */
static struct legs_exchange *find_or_open(struct legs *legs, struct ports *ports,
                                          struct random *random, uint64_t tag)
{
    struct legs_exchange *e = find(legs, tag);

    if (e)
        return e;
    e = find_place(legs, ports);
    if (!e)
        return NULL;
    *e = legs->is_offered ? legs->first : (struct legs_exchange){0};
    e->is_used = true;
    e->tag = tag;
    part_ports(legs, ports, random, e);
    return e;
}

static bool same_place(const struct legs_line *a, const struct legs_line *b)
{
    return b->is_live && a->has_address == b->has_address &&
           address_equal(&a->address, &b->address) && a->port == b->port &&
           a->rtcp_port == b->rtcp_port;
}

/* Those that fit: all of one rate, or the first, which are preferred (RFC 3264 6.1). */
static uint32_t clocks_of(const struct sdp_clocks *clocks)
{
    static const uint32_t classes[] = {0, 8000, 12000, 16000, 24000, 32000, 48000, 90000};
    bool is_one = clocks->count > LEG_CLOCKS && !clocks->are_different;
    uint32_t all = 0;

    for (unsigned i = 0; i < clocks->count && i < (is_one ? 1 : LEG_CLOCKS); i++) {
        const struct sdp_clock *clock = &clocks->at[i];
        uint32_t class = COUNT_OF(classes) - 1;
        while (class && classes[class] != clock->rate)
            class --;
        all |= (class << 7 | (is_one ? 0u : clock->payload)) << LEG_CLOCK_BITS * i;
    }
    return all;
}

static struct legs_line read_line(struct legs *legs, const struct sdp *sdp, unsigned i,
                                  const struct legs_line *before)
{
    const struct sdp_media *media = &sdp->media[i];
    const struct sdp_connection *c = sdp_connection(sdp, i);
    struct legs_line line = {
        .port = media->port,
        .rtcp_port = sdp_rtcp_port(media),
        .port_count = (uint8_t)media->port_count,
        .direction = media->direction,
        .leader = media->leader,
        .is_rtp = media->carrier == SDP_RTP,
        .is_live = sdp_is_relayable(sdp, i),
        .is_held = sdp_is_held(sdp, i),
        .is_muxed = media->has_rtcp_mux,
        .has_address = !c->is_name && !address_is_unspecified(&c->address),
        .clocks = clocks_of(&media->clocks),
    };

    if (line.has_address)
        line.address = c->address;
    if (line.is_live && line.is_held && before->is_live) {
        line.address = before->address;
        line.port = before->port;
        line.rtcp_port = before->rtcp_port;
        line.has_address = before->has_address;
    }
    line.epoch = same_place(&line, before) ? before->epoch : ++legs->epoch;
    return line;
}

static void read_lines(struct legs *legs, const struct sdp *sdp, const struct legs_line *before,
                       struct legs_line *lines)
{
    for (unsigned i = 0; i < sdp->media_count; i++)
        lines[i] = read_line(legs, sdp, i, &before[i]);
}

/* Pairs of ports for as many as an m-line has. */
static unsigned pairs_of(const struct legs_line *line)
{
    return line->is_rtp ? line->port_count : (line->port_count + 1u) / 2;
}

/* Ports on both sides for all that is offered; what has some keeps them. */
static bool reserve(struct legs_exchange *e, struct ports *ports, struct random *random)
{
    unsigned total = 0;

    for (unsigned i = 0; i < e->offered_count; i++) {
        unsigned pairs = pairs_of(&e->offered[i]);
        if (!e->offered[i].is_live || e->offered[i].leader != i)
            continue;
        total += pairs;
        if (total > LEGS_PAIRS || (e->pairs[i] && e->pairs[i] < pairs))
            return false;
        if (!e->pairs[i])
            e->pairs[i] = (uint8_t)pairs;
        for (unsigned side = LEGS_CALLER; side <= LEGS_CALLEE; side++) {
            if (!e->ports[side][i])
                e->ports[side][i] = ports_take(ports, e->pairs[i], random);
            if (!e->ports[side][i])
                return false;
        }
    }
    return true;
}

/* What the receiver of a description is told. */
static void tell(const struct legs *legs, const struct legs_exchange *e, const struct sdp *sdp,
                 const struct legs_line *receivers, enum legs_side receiver,
                 struct legs_output *out)
{
    for (unsigned i = 0; i < SDP_MEDIA; i++) {
        unsigned leader = i < sdp->media_count ? sdp->media[i].leader : LEGS_LINES;
        uint16_t port = leader < LEGS_LINES ? e->ports[receiver][leader] : 0;
        out->places[i] = (struct sdp_place){.is_other = port, .port = port};
        if (port)
            out->places[i].address = told_address(legs, &receivers[leader], receiver);
    }
}

void legs_begin(struct legs *legs, const uint8_t call[16], const struct legs_relay *relay,
                const struct legs_end ends[2])
{
    *legs = (struct legs){.relay = *relay, .ends = {ends[LEGS_CALLER], ends[LEGS_CALLEE]}};
    memcpy(legs->call, call, sizeof legs->call);
}

void legs_meet(struct legs *legs, enum legs_side side, const struct address_bytes *source,
               struct legs_output *out)
{
    struct table before;

    out->count = 0;
    if (address_equal(&legs->ends[side].source, source))
        return;
    list_legs(legs, &before);
    legs->ends[side].source = *source;
    legs->moved[side] = ++legs->epoch;
    conclude(legs, &before, out);
}

void legs_prove(struct legs *legs, enum legs_side side, struct legs_output *out)
{
    struct table before;

    list_legs(legs, &before);
    legs->ends[side].is_unproven = false;
    conclude(legs, &before, out);
}

void legs_find(struct legs *legs, enum legs_side side, unsigned line, struct legs_output *out)
{
    const struct legs_exchange *e = &legs->with[legs->current];
    struct table before;

    out->count = 0;
    if (line >= e->agreed_count)
        return;
    list_legs(legs, &before);
    legs->ends[side].heard = e->agreed[side][line].address;
    conclude(legs, &before, out);
}

static enum legs_verdict take_offer(struct legs *legs, struct legs_exchange *e, struct ports *ports,
                                    struct random *random, const struct legs_message *m,
                                    struct legs_output *out)
{
    const struct rule *rule = &rules[e->state][INPUT_OFFER];
    uint8_t old = e->state;

    if (!(rule->effects & TAKE))
        return LEGS_CROSSED;
    if (m->sdp->media_count > LEGS_LINES)
        return LEGS_FULL;
    read_lines(legs, m->sdp, e->agreed[m->from], e->offered);
    e->offered_count = m->sdp->media_count;
    e->state = rule->next;
    if (!reserve(e, ports, random)) {
        e->state = old;
        trim(legs, ports, e);
        return LEGS_FULL;
    }
    e->offerer = (uint8_t)m->from;
    e->number = m->number;
    e->is_late = m->carrier == LEGS_LATE;
    tell(legs, e, m->sdp, e->agreed[opposite(m->from)], opposite(m->from), out);
    return LEGS_REWRITE;
}

static void note_answered(struct legs *legs, struct legs_exchange *e, bool is_final)
{
    bool is_any_answered = false;

    e->is_answered |= is_final;
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        is_any_answered |= legs->with[i].is_used && legs->with[i].is_answered;
    if (e->is_answered || !is_any_answered)
        legs->current = (uint8_t)(e - legs->with);
}

enum legs_verdict legs_offer(struct legs *legs, struct ports *ports, struct random *random,
                             const struct legs_message *m, struct legs_output *out)
{
    struct legs_exchange *e;
    enum legs_verdict verdict;

    out->count = 0;
    if (!m->tag) {
        if (legs->is_offered)
            return LEGS_CROSSED;
        verdict = take_offer(legs, &legs->first, ports, random, m, out);
        legs->is_offered = verdict == LEGS_REWRITE;
        return verdict;
    }
    e = find_or_open(legs, ports, random, m->tag);
    if (!e)
        return LEGS_FULL;
    verdict = take_offer(legs, e, ports, random, m, out);
    if (verdict == LEGS_REWRITE && m->is_final)
        e->is_answered = true;
    return verdict;
}

/* The answer belongs to the offer that is pending, or was the last. */
static bool fits(const struct legs_exchange *e, const struct legs_message *m)
{
    return m->number == e->number && m->from == opposite((enum legs_side)e->offerer);
}

/* What was offered in a bundle and answered outside of it has no ports, and gets none later: legs
 * come and go with answers alone. */
static void drop_portless(struct legs_exchange *e)
{
    for (unsigned i = 0; i < e->agreed_count; i++)
        if (!e->ports[LEGS_CALLER][i] || !e->ports[LEGS_CALLEE][i])
            e->agreed[LEGS_CALLER][i].is_live = false;
}

static void agree(struct legs *legs, struct legs_exchange *e, struct ports *ports,
                  const struct legs_message *m)
{
    if (is_pending(e)) {
        memcpy(e->agreed[e->offerer], e->offered, sizeof e->offered);
        e->agreed_count = e->offered_count;
    }
    read_lines(legs, m->sdp, e->agreed[m->from], e->agreed[m->from]);
    e->agreed_count = (uint8_t)min_u64(e->agreed_count, m->sdp->media_count);
    e->answerer = (uint8_t)m->from;
    e->state = rules[e->state][INPUT_ANSWER].next;
    e->offered_count = 0;
    drop_portless(e);
    trim(legs, ports, e);
}

enum legs_verdict legs_answer(struct legs *legs, struct ports *ports, struct random *random,
                              const struct legs_message *m, struct legs_output *out)
{
    struct legs_exchange *e;
    struct table before;

    out->count = 0;
    if (m->sdp->media_count > LEGS_LINES)
        return LEGS_FULL;
    if (!legs->is_offered && !find(legs, m->tag))
        return LEGS_CROSSED;
    list_legs(legs, &before);
    e = find_or_open(legs, ports, random, m->tag);
    if (!e)
        return LEGS_FULL;
    if (!(rules[e->state][INPUT_ANSWER].effects & AGREE))
        return LEGS_CROSSED;
    if (fits(e, m))
        agree(legs, e, ports, m);
    note_answered(legs, e, m->is_final);
    tell(legs, e, m->sdp, e->agreed[opposite(m->from)], opposite(m->from), out);
    conclude(legs, &before, out);
    return LEGS_REWRITE;
}

/* The same description once more: its receiver is told the same. */
static enum legs_verdict repeat(struct legs *legs, struct legs_exchange *e,
                                const struct legs_message *m, struct legs_output *out)
{
    struct table before;

    out->count = 0;
    if (m->sdp->media_count > LEGS_LINES)
        return LEGS_FULL;
    list_legs(legs, &before);
    if (m->is_final && e != &legs->first) /* a 2xx without a tag answers for nobody (12.1) */
        note_answered(legs, e, true);
    tell(legs, e, m->sdp, e->agreed[opposite(m->from)], opposite(m->from), out);
    conclude(legs, &before, out);
    return LEGS_REWRITE;
}

/* What an exchange is waiting for, or had: RFC 3261 13.2.1, RFC 3262 5. */
static bool is_answer(const struct legs_exchange *e, const struct legs_message *m)
{
    bool is_others = e->state != LEGS_IDLE && e->offerer != m->from;

    switch (m->carrier) {
    case LEGS_REQUEST: return false;
    case LEGS_COMPLETION: return is_others;
    case LEGS_LATE: return is_others && is_pending(e) && e->number == m->number;
    case LEGS_RESPONSE: break;
    }
    return e->number != m->number || is_others;
}

bool legs_have_offer(struct legs *legs, const struct legs_message *m)
{
    const struct legs_exchange *e = find(legs, m->tag);

    return e && e->state != LEGS_IDLE && e->offerer == m->from && e->number == m->number;
}

enum legs_verdict legs_hear(struct legs *legs, struct ports *ports, struct random *random,
                            const struct legs_message *m, struct legs_output *out)
{
    struct legs_exchange *e = m->tag ? find(legs, m->tag) : &legs->first;
    struct legs_message known = *m;

    if (!m->tag)
        return legs->is_offered ? repeat(legs, e, m, out) : legs_offer(legs, ports, random, m, out);
    if (!e)
        return legs->is_offered && m->from == LEGS_CALLEE ? legs_answer(legs, ports, random, m, out)
                                                          : legs_offer(legs, ports, random, m, out);
    if (is_answer(e, m)) {
        if (m->carrier == LEGS_COMPLETION)
            known.number = e->number;
        return legs_answer(legs, ports, random, &known, out);
    }
    if (legs_have_offer(legs, m))
        return repeat(legs, e, m, out);
    return legs_offer(legs, ports, random, m, out);
}

void legs_refuse(struct legs *legs, struct ports *ports, const struct legs_message *m,
                 struct legs_output *out)
{
    struct legs_exchange *e = find(legs, m->tag);

    out->count = 0; /* its legs are those that were agreed on all the while */
    if (!e || m->number != e->number || m->from != e->offerer ||
        !(rules[e->state][INPUT_REFUSAL].effects & FORGET))
        return;
    e->state = rules[e->state][INPUT_REFUSAL].next;
    e->offered_count = 0;
    trim(legs, ports, e);
}

void legs_forget_offers(struct legs *legs, struct ports *ports)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++) {
        struct legs_exchange *e = &legs->with[i];
        if (!e->is_used || e->state != LEGS_REOFFERED || e->is_late)
            continue;
        e->state = rules[e->state][INPUT_REFUSAL].next;
        e->offered_count = 0;
        e->number = 0; /* if it comes again it is another */
        trim(legs, ports, e);
    }
}

void legs_accept(struct legs *legs, uint64_t tag, struct legs_output *out)
{
    struct legs_exchange *e = find(legs, tag);
    struct table before;

    out->count = 0;
    if (!e)
        return;
    list_legs(legs, &before);
    note_answered(legs, e, true);
    conclude(legs, &before, out);
}

/* The packets go to another that is left, if there is one: rather to who was answered. */
static void choose_current(struct legs *legs)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++) {
        const struct legs_exchange *e = &legs->with[i], *best = &legs->with[legs->current];
        if (e->is_used && (!best->is_used || (e->is_answered && !best->is_answered)))
            legs->current = (uint8_t)i;
    }
}

void legs_settle(struct legs *legs, struct ports *ports, struct legs_output *out)
{
    struct table before;

    list_legs(legs, &before);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used && !legs->with[i].is_answered)
            close_exchange(legs, ports, &legs->with[i]);
    close_exchange(legs, ports, &legs->first);
    legs->is_offered = false;
    choose_current(legs);
    conclude(legs, &before, out);
}

void legs_leave(struct legs *legs, struct ports *ports, uint64_t tag, struct legs_output *out)
{
    struct legs_exchange *e = find(legs, tag);
    struct table before;

    list_legs(legs, &before);
    if (e)
        close_exchange(legs, ports, e);
    choose_current(legs);
    conclude(legs, &before, out);
}

void legs_end(struct legs *legs, struct ports *ports, struct legs_output *out)
{
    struct table before;

    list_legs(legs, &before);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used)
            close_exchange(legs, ports, &legs->with[i]);
    close_exchange(legs, ports, &legs->first);
    legs->is_offered = false;
    conclude(legs, &before, out);
}

void legs_believe(struct legs *legs, enum legs_side side, struct legs_output *out)
{
    struct table before;

    list_legs(legs, &before);
    legs->ends[side].is_hidden = true;
    legs->moved[side] = ++legs->epoch;
    conclude(legs, &before, out);
}

void legs_list(const struct legs *legs, struct legs_output *out)
{
    static const struct table none;
    struct table all;

    list_legs(legs, &all);
    compare(&none, &all, out);
}

unsigned legs_place(const struct legs_output *list, const struct leg_place *key)
{
    unsigned i = 0;

    while (i < list->count && memcmp(&list->changes[i].key, key, sizeof *key) != 0)
        i++;
    return i;
}

bool legs_have(const struct legs *legs, uint64_t tag)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used && legs->with[i].tag == tag)
            return true;
    return false;
}

unsigned legs_count(const struct legs *legs)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        count += legs->with[i].is_used;
    return count;
}

unsigned legs_states(const struct legs *legs)
{
    unsigned states = 1u << legs->first.state;

    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        states |= 1u << legs->with[i].state;
    return states;
}

/* It stands in an exchange before this one, too. */
static bool is_shared(const struct legs *legs, unsigned before, uint16_t port)
{
    for (unsigned i = 0; i < before; i++)
        if (has_port(&legs->with[i], port))
            return true;
    return false;
}

static void forget_port(struct legs *legs, uint16_t port)
{
    for (unsigned n = 0; n <= ANSWER_LIMIT; n++) {
        struct legs_exchange *e = n < ANSWER_LIMIT ? &legs->with[n] : &legs->first;
        for (unsigned i = 0; i < 2 * LEGS_LINES; i++)
            if (e->ports[i / LEGS_LINES][i % LEGS_LINES] == port)
                e->ports[i / LEGS_LINES][i % LEGS_LINES] = 0;
        drop_portless(e);
    }
}

void legs_claim(struct legs *legs, struct ports *ports)
{
    for (unsigned n = 0; n <= ANSWER_LIMIT; n++) {
        const struct legs_exchange *e = n < ANSWER_LIMIT ? &legs->with[n] : &legs->first;
        for (unsigned i = 0; i < 2 * LEGS_LINES; i++) {
            uint16_t port = e->ports[i / LEGS_LINES][i % LEGS_LINES];
            unsigned pairs = e->pairs[i % LEGS_LINES];
            if (port && ports_have(ports, port, pairs) && !is_shared(legs, n, port) &&
                !ports_claim(ports, port, pairs))
                forget_port(legs, port);
        }
    }
}

bool legs_are_agreed(const struct legs *legs)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].state == LEGS_AGREED || legs->with[i].state == LEGS_REOFFERED)
            return true;
    return false;
}

bool legs_are_idle(const struct legs *legs)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].state != LEGS_IDLE)
            return false;
    return !legs->is_offered;
}

bool legs_are_closed(const struct legs *legs)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used)
            return false;
    return !legs->is_offered;
}
