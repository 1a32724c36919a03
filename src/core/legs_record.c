#include "core/legs_record.h"

static void write_place(struct writer *w, const struct address_bytes *address)
{
    write_u8(w, address->is_v6);
    write_bytes(w, address->at, sizeof address->at);
}

static struct address_bytes read_place(struct reader *r)
{
    struct address_bytes address = {.is_v6 = read_u8(r) != 0};
    struct slice bytes = read_bytes(r, sizeof address.at);

    if (bytes.len)
        memcpy(address.at, bytes.at, sizeof address.at);
    return address;
}

/* Bits, the first bool the lowest. */
static uint8_t bits_of(const bool *flags, unsigned count)
{
    uint8_t bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits |= (uint8_t)(flags[i] << i);
    return bits;
}

static void write_leg_line(struct writer *w, const struct legs_line *line)
{
    const bool flags[] = {line->is_live, line->is_rtp, line->is_held, line->is_muxed,
                          line->has_address};

    write_place(w, &line->address);
    write_u16(w, line->port);
    write_u16(w, line->rtcp_port);
    write_u8(w, line->port_count);
    write_u8(w, line->direction);
    write_u8(w, line->leader);
    write_u8(w, bits_of(flags, COUNT_OF(flags)));
    write_u32(w, line->epoch);
}

static bool read_leg_line(struct reader *r, struct legs_line *line)
{
    uint8_t flags;

    line->address = read_place(r);
    line->port = read_u16(r);
    line->rtcp_port = read_u16(r);
    line->port_count = read_u8(r);
    line->direction = read_u8(r);
    line->leader = read_u8(r);
    flags = read_u8(r);
    line->is_live = flags & 1;
    line->is_rtp = flags & 2;
    line->is_held = flags & 4;
    line->is_muxed = flags & 8;
    line->has_address = flags & 16;
    line->epoch = read_u32(r);
    return !r->failed && line->port_count <= SDP_PORTS && line->direction <= SDP_INACTIVE;
}

static void write_lines(struct writer *w, const struct legs_line *lines, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        write_leg_line(w, &lines[i]);
}

static bool read_lines(struct reader *r, struct legs_line *lines, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!read_leg_line(r, &lines[i]))
            return false;
    return true;
}

static void write_ports(struct writer *w, const struct legs_exchange *e)
{
    for (unsigned i = 0; i < LEGS_LINES; i++) {
        write_u16(w, e->ports[LEGS_CALLER][i]);
        write_u16(w, e->ports[LEGS_CALLEE][i]);
        write_u8(w, e->pairs[i]);
    }
}

static bool read_ports(struct reader *r, struct legs_exchange *e)
{
    unsigned total = 0;

    for (unsigned i = 0; i < LEGS_LINES; i++) {
        e->ports[LEGS_CALLER][i] = read_u16(r);
        e->ports[LEGS_CALLEE][i] = read_u16(r);
        e->pairs[i] = read_u8(r);
        total += e->pairs[i];
    }
    return total <= LEGS_PAIRS;
}

static void write_exchange(struct writer *w, const struct legs_exchange *e)
{
    write_u8(w, (uint8_t)(e->is_used | e->is_answered << 1 | e->is_late << 2));
    write_u64(w, e->tag);
    write_u8(w, e->state);
    write_u8(w, e->offerer);
    write_u8(w, e->answerer);
    write_u32(w, e->number);
    write_u8(w, e->offered_count);
    write_u8(w, e->agreed_count);
    write_lines(w, e->offered, e->offered_count);
    write_lines(w, e->agreed[LEGS_CALLER], e->agreed_count);
    write_lines(w, e->agreed[LEGS_CALLEE], e->agreed_count);
    write_ports(w, e);
}

/* Legs are made of pairs of ports that both sides agreed on: no more than there are.  An answer may
 * name more than were offered. */
static bool has_room(const struct legs_exchange *e)
{
    for (unsigned i = 0; i < e->agreed_count; i++) {
        const struct legs_line *a = &e->agreed[LEGS_CALLER][i], *b = &e->agreed[LEGS_CALLEE][i];
        const struct legs_line *answer = e->answerer == LEGS_CALLER ? a : b;
        unsigned count = (unsigned)min_u64(a->port_count, b->port_count);
        if (a->is_live && b->is_live && a->is_rtp == b->is_rtp && answer->leader == i &&
            (a->is_rtp ? count : (count + 1) / 2) > e->pairs[i])
            return false;
    }
    return true;
}

static bool read_exchange(struct reader *r, struct legs_exchange *e)
{
    uint8_t flags = read_u8(r);

    e->is_used = flags & 1;
    e->is_answered = flags & 2;
    e->is_late = flags & 4;
    e->tag = read_u64(r);
    e->state = read_u8(r);
    e->offerer = read_u8(r);
    e->answerer = read_u8(r);
    e->number = read_u32(r);
    e->offered_count = read_u8(r);
    e->agreed_count = read_u8(r);
    return !r->failed && e->state < LEGS_STATE_COUNT && e->offerer <= LEGS_CALLEE &&
           e->answerer <= LEGS_CALLEE && e->offered_count <= LEGS_LINES &&
           e->agreed_count <= LEGS_LINES && read_lines(r, e->offered, e->offered_count) &&
           read_lines(r, e->agreed[LEGS_CALLER], e->agreed_count) &&
           read_lines(r, e->agreed[LEGS_CALLEE], e->agreed_count) && read_ports(r, e) &&
           has_room(e);
}

void legs_write(struct writer *w, const struct legs *legs)
{
    uint8_t used = 0;

    write_bytes(w, legs->call, sizeof legs->call);
    write_u8(w, bits_of(legs->relay.has, 2));
    write_u32(w, legs->relay.rate);
    for (unsigned i = 0; i < 2; i++) {
        const struct legs_end *end = &legs->ends[i];
        const bool flags[] = {end->is_hidden, end->is_known,    end->is_v6,
                              end->may_wait,  end->is_unproven, true};
        write_place(w, &legs->relay.at[i]);
        write_place(w, &legs->relay.outside[i]);
        write_place(w, &end->source);
        write_u8(w, bits_of(flags, COUNT_OF(flags)));
        write_u32(w, legs->moved[i]);
    }
    write_u32(w, legs->epoch);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        used |= (uint8_t)(legs->with[i].is_used << i);
    write_u8(w, legs->is_offered);
    write_u8(w, legs->current);
    write_u8(w, used);
    if (legs->is_offered)
        write_exchange(w, &legs->first);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used)
            write_exchange(w, &legs->with[i]);
}

static void read_ends(struct reader *r, struct legs *legs)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t flags;
        legs->relay.at[i] = read_place(r);
        legs->relay.outside[i] = read_place(r);
        legs->ends[i].source = read_place(r);
        flags = read_u8(r);
        legs->ends[i].is_hidden = flags & 1;
        legs->ends[i].is_known = flags & 2;
        legs->ends[i].is_v6 = flags & 4;
        /* Who wrote older records sent to all that were known at once. */
        legs->ends[i].may_wait = flags & (flags & 32 ? 8 : 2);
        legs->ends[i].is_unproven = flags & 16;
        legs->moved[i] = read_u32(r);
    }
}

bool legs_read(struct reader *r, struct legs *legs)
{
    struct slice call;
    uint8_t has, used;

    *legs = (struct legs){0};
    call = read_bytes(r, sizeof legs->call);
    if (call.len)
        memcpy(legs->call, call.at, sizeof legs->call);
    has = read_u8(r);
    legs->relay.has[0] = has & 1;
    legs->relay.has[1] = has & 2;
    legs->relay.rate = read_u32(r);
    read_ends(r, legs);
    legs->epoch = read_u32(r);
    legs->is_offered = read_u8(r) != 0;
    legs->current = read_u8(r);
    used = read_u8(r);
    if (r->failed || legs->current >= ANSWER_LIMIT ||
        (legs->is_offered && !read_exchange(r, &legs->first)))
        return false;
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (used >> i & 1 && (!read_exchange(r, &legs->with[i]) || !legs->with[i].is_used))
            return false;
    return true;
}

static void write_clocks(struct writer *w, const struct legs_exchange *e)
{
    for (unsigned i = 0; i < e->offered_count; i++)
        write_u32(w, e->offered[i].clocks);
    for (unsigned i = 0; i < 2u * e->agreed_count; i++)
        write_u32(w, e->agreed[i % 2][i / 2].clocks);
}

static void read_clocks(struct reader *r, struct legs_exchange *e)
{
    for (unsigned i = 0; i < e->offered_count; i++)
        e->offered[i].clocks = read_u32(r);
    for (unsigned i = 0; i < 2u * e->agreed_count; i++)
        e->agreed[i % 2][i / 2].clocks = read_u32(r);
}

void legs_write_clocks(struct writer *w, const struct legs *legs)
{
    if (legs->is_offered)
        write_clocks(w, &legs->first);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used)
            write_clocks(w, &legs->with[i]);
}

void legs_read_clocks(struct reader *r, struct legs *legs)
{
    if (legs->is_offered)
        read_clocks(r, &legs->first);
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (legs->with[i].is_used)
            read_clocks(r, &legs->with[i]);
}
