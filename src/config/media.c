/* The relay of media: <media>, and what GNU SIP Witch's keys of it mean. */
#include "config/loading.h"

#define ROUTER_PORTS 128u      /* of the relay, where the router is asked for each: 32 calls */
#define ROUTER_PORTS_MOST 512u /* small routers hold some hundreds of mappings */
#define STUN_NAME 255u         /* bytes of stun: and the server */

static bool fault(struct loading *l, const char *what, struct slice text, const char *remedy)
{
    l->report->file = l->origin->parts[l->origin->main].name;
    return report_fault(l->report, (struct place){0}, "%s \"%.*s\"; %s", what, (int)text.len,
                        text.at, remedy);
}

static bool read_mode(struct loading *l, uint8_t *mode)
{
    struct slice said = l->values.media;

    if (slice_equal_nocase(said, S("never")))
        *mode = MEDIA_NEVER;
    else if (slice_equal_nocase(said, S("always")))
        *mode = MEDIA_ALWAYS;
    else if (said.len && !slice_equal_nocase(said, S("auto")))
        return fault(l, "mode in <media> is", said, "write auto, never or always");
    return true;
}

/* At most one of each family. */
static bool read_addresses(struct loading *l, const char *key, struct slice text, bool has[2],
                           struct address_bytes at[2])
{
    struct slice rest = text, word;
    struct address_bytes address;

    while (loading_word_of(&rest, " ,;\t\r\n", &word)) {
        if (!host_numeric(word, &address) || address_is_unspecified(&address) || has[address.is_v6])
            return fault(l, key, text,
                         "write one address of IPv4, like 192.0.2.1, or one of IPv6, or both");
        has[address.is_v6] = true;
        at[address.is_v6] = address;
    }
    return true;
}

/* One of the ways by which the public address is found out; false if the word is none. */
static bool take_way(struct loading *l, struct slice word, struct media_settings *media)
{
    if (slice_equal_nocase(word, S("router")))
        return media->asks_router = true;
    if (slice_starts(word, S("router:"))) {
        media->asks_router = true;
        return host_numeric(slice_from(word, 7), &media->router) && !media->router.is_v6;
    }
    if (!slice_starts(word, S("stun:")) || word.len == 5 || word.len > STUN_NAME)
        return false;
    media->stun = loading_keep(l, slice_from(word, 5));
    return true;
}

/* Addresses, or how to find out. */
static bool read_public(struct loading *l, struct slice text, struct media_settings *media)
{
    bool has[2] = {false, false};
    struct slice rest = text, word;

    if (!loading_word_of(&rest, " ,;\t\r\n", &word) || slice_equal_nocase(word, S("none")))
        return true;
    if (!slice_starts(word, S("router")) && !slice_starts(word, S("stun:")))
        return read_addresses(l, "public in <media> is", text, has, media->outside);
    for (rest = text; loading_word_of(&rest, " ,;\t\r\n", &word);)
        if (!take_way(l, word, media))
            return fault(l, "public in <media> is", text,
                         "write addresses, or router, or stun: and a server, or both of these");
    return true;
}

static bool parse_ports(struct slice text, uint64_t *first, uint64_t *last)
{
    size_t dash = slice_find(text, '-');

    return dash < text.len && slice_number(slice_until(text, dash), 65535, first) &&
           slice_number(slice_from(text, dash + 1), 65535, last) && *first >= 1024 &&
           *last > *first;
}

/* GNU SIP Witch had a first port and a count, and no relay where that was 0. */
static void take_old_ports(const struct values *v, struct media_settings *media)
{
    uint64_t count = v->relay_count == NOT_GIVEN ? 38 : v->relay_count;

    if (!v->relay_port && v->relay_count == NOT_GIVEN)
        return;
    if (!count) {
        media->mode = MEDIA_NEVER;
        return;
    }
    media->first_port = (uint16_t)(v->relay_port ? v->relay_port : (v->port + 3) / 2 * 2);
    media->last_port = (uint16_t)min_u64(media->first_port + count - 1, 65535);
}

static bool read_ports(struct loading *l, struct media_settings *media)
{
    struct slice said = l->values.relay_ports;
    uint64_t first, last;

    if (!said.len) {
        if (media->asks_router)
            media->last_port = (uint16_t)(media->first_port + ROUTER_PORTS - 1);
        take_old_ports(&l->values, media);
        return true;
    }
    if (!parse_ports(said, &first, &last))
        return fault(l, "ports in <media> is", said,
                     "write the first and the last port, like 16384-32767, from 1024 on");
    if (media->asks_router && last - first >= ROUTER_PORTS_MOST)
        return fault(l, "ports in <media> is", said,
                     "a router is asked for each of them: write 512 at most, like 16384-16511, or "
                     "forward them by hand and write the address into public");
    media->first_port = (uint16_t)first;
    media->last_port = (uint16_t)last;
    return true;
}

/* What GNU SIP Witch had of the kind, which might be a name, too. */
static struct slice peering_address(struct loading *l)
{
    struct slice said = l->values.peering;
    struct address_bytes address;

    if (!said.len || slice_equal_nocase(said, S("none")) || host_numeric(said, &address))
        return slice_equal_nocase(said, S("none")) ? NO_SLICE : said;
    l->report->file = l->origin->parts[l->origin->main].name;
    report_warning(l->report, (struct place){0},
                   "peering in <stack> is %.*s, which is no address; it is ignored: names are not "
                   "looked up for it, so write the address that it has",
                   (int)said.len, said.at);
    return NO_SLICE;
}

bool media_read(struct loading *l)
{
    const struct values *v = &l->values;
    struct media_settings *media = &l->whole->config.settings.media;
    struct slice outside = v->relay_public.len ? v->relay_public : peering_address(l);

    l->whole->config.wants_relay = v->media.len > 0;
    media->calls = (uint32_t)v->relay_calls;
    media->user_calls = (uint32_t)v->relay_user_calls;
    media->rate = (uint32_t)v->relay_rate;
    media->silence = SECONDS(v->silence);
    return read_mode(l, &media->mode) && read_public(l, outside, media) && read_ports(l, media) &&
           read_addresses(l, "address in <media> is", v->relay_address, media->has, media->own);
}
