#include "core/outside.h"

#include "core/oddity.h"
#include "core/record.h"

static const struct slice source_texts[OUTSIDE_SOURCE_COUNT] = {
    [OUTSIDE_NOBODY] = S("nobody"),
    [OUTSIDE_PCP] = S("the router, by PCP"),
    [OUTSIDE_PMP] = S("the router, by NAT-PMP"),
    [OUTSIDE_UPNP] = S("the router, by UPnP"),
    [OUTSIDE_STUN] = S("a STUN server"),
};

struct slice outside_source_text(enum outside_source source)
{
    assert(source < OUTSIDE_SOURCE_COUNT);
    return source_texts[source];
}

/* ---- learning */

/* The settings have one: not only that of the relay, which is the server's own. */
static bool is_written(const struct core *core)
{
    const struct address_bytes *written = &core->settings->media.outside[0];

    return !address_is_unspecified(written) && address_seclusion(written) == SECLUSION_NONE;
}

/* What was an address stays a name: routes of calls that stand have it. */
static void remember(struct outside *outside, const struct address_bytes *address)
{
    unsigned keep = (unsigned)min_u64(outside->former_count, OUTSIDE_FORMER - 1);

    memmove(outside->former + 1, outside->former, keep * sizeof *outside->former);
    outside->former[0] = *address;
    outside->former_count = (uint8_t)(keep + 1);
}

void outside_obey(struct core *core)
{
    struct outside *outside = &core->outside;
    struct writer w = writer_over(outside->host, sizeof outside->host);
    bool has_one = outside->has_address || is_written(core);
    struct address_bytes now =
        outside->has_address ? outside->address : core->settings->media.outside[0];

    if (outside->host_len && !(has_one && address_equal(&now, &outside->known)))
        remember(outside, &outside->known);
    if (has_one) {
        outside->known = now;
        write_host(&w, &now);
    }
    outside->host_len = (uint8_t)w.len;
}

/* False if nothing has changed. */
static bool take_address(struct outside *outside, const struct outside_news *news)
{
    bool has_address = news->has_address && !news->address.is_v6;

    if (has_address == outside->has_address && news->by == outside->by &&
        (!has_address || address_equal(&news->address, &outside->address)))
        return false;
    outside->has_address = has_address;
    outside->address = has_address ? news->address : (struct address_bytes){.is_v6 = false};
    outside->by = news->by;
    return true;
}

static bool take_fault(struct outside *outside, struct slice fault)
{
    fault = slice_until(fault, min_u64(fault.len, OUTSIDE_FAULT));
    if (slice_equal(fault, slice_of(outside->fault, outside->fault_len)))
        return false;
    if (fault.len)
        memcpy(outside->fault, fault.at, fault.len);
    outside->fault_len = (uint16_t)fault.len;
    return fault.len > 0;
}

static void tell(struct actions *out, struct slice before, struct slice text, struct slice after)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;

    write_slice(w, before);
    write_slice(w, text);
    write_slice(w, after);
    actions_push(
        out, (struct action){.kind = ACTION_LOG, .bytes = slice_of(w->at + start, w->len - start)});
}

static void tell_address(const struct outside *outside, struct actions *out)
{
    char text[80];
    struct writer w = writer_over(text, sizeof text);

    if (!outside->has_address)
        return;
    write_bytes(&w, outside->host, outside->host_len);
    write_slice(&w, S(", says "));
    write_slice(&w, outside_source_text((enum outside_source)outside->by));
    tell(out, S("the public address is "), writer_slice(&w), NO_SLICE);
}

void outside_learn(struct core *core, const struct outside_news *news, struct actions *out)
{
    struct outside *outside = &core->outside;
    bool has_ports =
        outside->first_port != news->first_port || outside->last_port != news->last_port;
    bool has_changed = take_address(outside, news);

    outside_obey(core);
    assert(news->by < OUTSIDE_SOURCE_COUNT);
    outside->is_sought = news->is_sought;
    outside->first_port = news->first_port;
    outside->last_port = news->last_port;
    if (has_ports)
        ports_narrow(&core->ports, news->first_port, news->last_port);
    if (has_changed)
        tell_address(outside, out);
    if (take_fault(outside, news->fault))
        tell(out, outside->has_address ? S("of the public address: ") : S("no public address: "),
             news->fault, NO_SLICE);
    if (has_changed || has_ports)
        outside_persist(core, out);
}

/* ---- use */

struct address_bytes outside_media(const struct core *core, bool is_v6)
{
    const struct outside *outside = &core->outside;

    return outside->has_address && !is_v6 ? outside->address : core->settings->media.outside[is_v6];
}

struct slice outside_name(const struct core *core, const struct flow *flow)
{
    const struct outside *outside = &core->outside;
    struct address_bytes peer, own;

    if (!outside->host_len || flow->is_v6)
        return NO_SLICE;
    peer = flow_address(flow);
    if (address_seclusion(&peer) != SECLUSION_NONE ||
        !host_numeric(core->settings->sockets[flow->socket].host, &own) ||
        address_seclusion(&own) == SECLUSION_NONE)
        return NO_SLICE;
    return slice_of(outside->host, outside->host_len);
}

bool outside_has(const struct core *core, struct slice host)
{
    const struct outside *outside = &core->outside;
    struct address_bytes address;

    if ((!outside->host_len && !outside->former_count) || !host_numeric(host, &address))
        return false;
    if (outside->host_len && address_equal(&address, &outside->known))
        return true;
    for (unsigned i = 0; i < outside->former_count; i++)
        if (address_equal(&address, &outside->former[i]))
            return true;
    return false;
}

/* ---- the record */

static void write_v4(struct writer *w, const struct address_bytes *address)
{
    write_bytes(w, address->at, 4);
}

static struct address_bytes read_v4(struct reader *r)
{
    struct address_bytes address = {.is_v6 = false};
    struct slice bytes = read_bytes(r, 4);

    if (bytes.len)
        memcpy(address.at, bytes.at, bytes.len);
    return address;
}

void outside_persist(const struct core *core, struct actions *out)
{
    const struct outside *outside = &core->outside;
    struct writer *w;

    if (!record_wanted(core))
        return;
    w = record_begin(out, RECORD_OUTSIDE, 0);
    write_u8(w, outside->by);
    write_u8(w, outside->has_address);
    write_v4(w, &outside->address);
    write_u16(w, outside->first_port);
    write_u16(w, outside->last_port);
    write_u8(w, outside->former_count);
    for (unsigned i = 0; i < outside->former_count; i++)
        write_v4(w, &outside->former[i]);
    record_end(out);
}

void outside_restore(struct core *core, struct reader *r)
{
    struct outside outside = {.is_sought = true};

    read_u64(r); /* there is only one */
    outside.by = read_u8(r);
    outside.has_address = read_u8(r);
    outside.address = read_v4(r);
    outside.first_port = read_u16(r);
    outside.last_port = read_u16(r);
    outside.former_count = read_u8(r);
    if (outside.former_count > OUTSIDE_FORMER || outside.by >= OUTSIDE_SOURCE_COUNT)
        return;
    for (unsigned i = 0; i < outside.former_count; i++)
        outside.former[i] = read_v4(r);
    if (r->failed)
        return;
    core->outside = outside;
    outside_obey(core);
    ports_narrow(&core->ports, outside.first_port, outside.last_port);
}
