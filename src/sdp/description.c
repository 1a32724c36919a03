#include "sdp/description.h"

#include "sdp/line.h"

static const struct slice fault_texts[SDP_FAULT_COUNT] = {
    [SDP_FINE] = S("Nothing Is Wrong"),
    [SDP_TOO_LONG] = S("Session Description Too Long"),
    [SDP_BAD_LINE] = S("Malformed Line"),
    [SDP_NO_VERSION] = S("No v=0"),
    [SDP_BAD_CONNECTION] = S("Malformed c= Line"),
    [SDP_TWO_CONNECTIONS] = S("Two c= Lines"),
    [SDP_NO_CONNECTION] = S("Media Without c= Line"),
    [SDP_BAD_MEDIA] = S("Malformed m= Line"),
    [SDP_BAD_PORT] = S("Malformed Port"),
    [SDP_TOO_MANY_PORTS] = S("Too Many Ports"),
    [SDP_TOO_MANY_MEDIA] = S("Too Many Media"),
    [SDP_BAD_RTCP] = S("Malformed a=rtcp"),
    [SDP_TOO_MANY_BUNDLES] = S("Too Many Bundles"),
};

struct slice sdp_fault_text(enum sdp_fault fault)
{
    assert(fault < SDP_FAULT_COUNT);
    return fault_texts[fault];
}

/* What the pass remembers beside the index. */
struct pass {
    struct sdp *sdp;
    struct sdp_media *media; /* the section it is in; NULL: the session's */
    struct line line;
    uint8_t direction;           /* the session's */
    unsigned has_ufrag, has_pwd; /* bit n: the n-th m-line has; bit SDP_MEDIA: the session has */
};

static struct span span_of(const struct pass *pass, struct slice s)
{
    return (struct span){(uint16_t)(s.at - pass->sdp->bytes.at), (uint16_t)s.len};
}

static unsigned section_bit(const struct pass *pass)
{
    return pass->media ? 1u << (pass->media - pass->sdp->media) : 1u << SDP_MEDIA;
}

/* Without TTL and number of addresses, which only IPv4 and IPv6 multicast have (RFC 8866 5.7). */
static struct slice cut_slash(struct slice s)
{
    return slice_until(s, slice_find(s, '/'));
}

static bool is_multicast(const struct address_bytes *a)
{
    return a->is_v6 ? a->at[0] == 0xff : a->at[0] >= 224 && a->at[0] < 240;
}

/* What a host name may hold, and never only digits and dots, which would be a bad address. */
static bool is_name(struct slice s)
{
    bool has_letter = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.at[i]);
        bool is_letter = c >= 'a' && c <= 'z';
        if (!is_letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_')
            return false;
        has_letter |= is_letter;
    }
    return has_letter;
}

/* IN SP family SP address */
static bool read_connection(const struct pass *pass, struct slice value, struct sdp_connection *c)
{
    struct slice net, family, address, host;

    if (!line_word(&value, &net) || !line_word(&value, &family) || !line_word(&value, &address) ||
        !slice_equal_nocase(net, S("IN")))
        return false;
    host = cut_slash(address);
    *c = (struct sdp_connection){
        .is_given = true,
        .text = span_of(pass, slice_of(family.at, (size_t)(address.at - family.at) + address.len)),
    };
    if (!slice_equal_nocase(family, S("IP4")) && !slice_equal_nocase(family, S("IP6")))
        return false;
    if (host.len && host.at[0] != '[' && host_numeric(host, &c->address)) {
        c->is_multicast = is_multicast(&c->address);
        return c->address.is_v6 == (family.at[2] == '6');
    }
    c->address = (struct address_bytes){.is_v6 = family.at[2] == '6'};
    c->is_name = true;
    return is_name(host);
}

static enum sdp_fault take_connection(struct pass *pass)
{
    struct sdp_connection *c = pass->media ? &pass->media->connection : &pass->sdp->connection;

    if (c->is_given)
        return SDP_TWO_CONNECTIONS;
    return read_connection(pass, pass->line.value, c) ? SDP_FINE : SDP_BAD_CONNECTION;
}

/* The protocols of media that are known (RFC 8866 8.2.2, its IANA registry), in lower case. */
static const struct {
    struct slice start;
    uint8_t carrier;
} carriers[] = {
    {S("rtp/"), SDP_RTP},      {S("udp/tls/rtp/"), SDP_RTP}, {S("udptl"), SDP_UDP},
    {S("udp"), SDP_UDP}, /* udp itself, UDP/BFCP, UDP/TLS/UDPTL, UDP/DTLS/SCTP */
    {S("dtls/sctp"), SDP_UDP},
};

static uint8_t carrier_of(struct slice protocol)
{
    for (unsigned i = 0; i < COUNT_OF(carriers); i++)
        if (protocol.len >= carriers[i].start.len &&
            slice_equal_nocase(slice_until(protocol, carriers[i].start.len), carriers[i].start))
            return carriers[i].carrier;
    return SDP_OTHER;
}

/* port [ "/" number ] */
static enum sdp_fault read_ports(struct pass *pass, struct slice word)
{
    struct sdp_media *media = pass->media;
    struct slice port = cut_slash(word);
    uint64_t n, count = 1;

    if (!slice_number(port, UINT16_MAX, &n))
        return SDP_BAD_PORT;
    if (port.len < word.len &&
        (!slice_number(slice_from(word, port.len + 1), UINT16_MAX, &count) || !count))
        return SDP_BAD_PORT;
    if (count > SDP_PORTS)
        return SDP_TOO_MANY_PORTS;
    media->port = (uint16_t)n;
    media->port_count = (uint16_t)count;
    media->port_text = span_of(pass, port);
    return SDP_FINE;
}

/* media SP port SP protocol SP formats */
static enum sdp_fault take_media(struct pass *pass)
{
    struct sdp *sdp = pass->sdp;
    struct slice rest = pass->line.value, type, ports, protocol;
    enum sdp_fault fault;

    if (sdp->media_count == SDP_MEDIA)
        return SDP_TOO_MANY_MEDIA;
    if (!line_word(&rest, &type) || !line_word(&rest, &ports) || !line_word(&rest, &protocol))
        return SDP_BAD_MEDIA;
    pass->media = &sdp->media[sdp->media_count];
    *pass->media = (struct sdp_media){
        .type = span_of(pass, type),
        .protocol = span_of(pass, protocol),
        .carrier = carrier_of(protocol),
        .direction = pass->direction,
        .leader = sdp->media_count++,
    };
    fault = read_ports(pass, ports);
    if (!fault && pass->media->port + (pass->media->carrier == SDP_RTP ? 2u : 1u) *
                                          (pass->media->port_count - 1u) >
                      UINT16_MAX)
        return SDP_BAD_PORT;
    return fault;
}

static enum sdp_fault take_rtcp(struct pass *pass, struct slice value)
{
    struct sdp_rtcp *rtcp;
    struct slice word, rest = value;
    uint64_t port;

    if (!pass->media)
        return SDP_FINE; /* it means nothing there */
    rtcp = &pass->media->rtcp;
    if (rtcp->is_given || !line_word(&rest, &word) || !slice_number(word, UINT16_MAX, &port))
        return SDP_BAD_RTCP;
    rtcp->is_given = true;
    rtcp->value = span_of(pass, value);
    rtcp->port = (uint16_t)port;
    value = rest;
    return line_word(&value, &word) && !read_connection(pass, rest, &rtcp->connection)
               ? SDP_BAD_RTCP
               : SDP_FINE;
}

/* foundation SP component SP transport SP priority SP address SP port ...  One that cannot be read
 * is one that its receiver passes over. */
static enum sdp_fault take_candidate(struct pass *pass, struct slice value)
{
    struct slice foundation, component, transport, priority;
    uint64_t number, rank;
    uint32_t *lowest;

    if (!pass->media || !line_word(&value, &foundation) || !line_word(&value, &component) ||
        !line_word(&value, &transport) || !line_word(&value, &priority) ||
        !slice_number(component, 256, &number) || !slice_number(priority, UINT32_MAX, &rank))
        return SDP_FINE;
    pass->media->candidates.count++;
    pass->media->candidates.end = (uint16_t)pass->line.next;
    if (number != 1 && number != 2)
        return SDP_FINE;
    lowest = &pass->media->candidates.lowest[number - 1];
    rank = max_u64(rank, 1);
    if (!*lowest || rank < *lowest)
        *lowest = (uint32_t)rank;
    return SDP_FINE;
}

static enum sdp_fault take_group(struct pass *pass, struct slice value)
{
    struct sdp *sdp = pass->sdp;
    struct slice semantics;

    if (pass->media || !line_word(&value, &semantics) ||
        !slice_equal_nocase(semantics, S("BUNDLE")))
        return SDP_FINE;
    if (sdp->bundle_count == SDP_BUNDLES)
        return SDP_TOO_MANY_BUNDLES;
    sdp->bundles[sdp->bundle_count++] = span_of(pass, value);
    return SDP_FINE;
}

/* payload SP encoding "/" clock [ "/" parameters ].  What cannot be read is unknown. */
static enum sdp_fault take_rtpmap(struct pass *pass, struct slice value)
{
    struct sdp_clocks *clocks;
    struct slice payload, encoding, rate;
    uint64_t number, ticks;

    if (!pass->media || !line_word(&value, &payload) || !line_word(&value, &encoding) ||
        !slice_number(payload, 127, &number) || number < SDP_DYNAMIC)
        return SDP_FINE;
    clocks = &pass->media->clocks;
    rate = slice_from(encoding, slice_find(encoding, '/'));
    rate = rate.len ? cut_slash(slice_from(rate, 1)) : rate;
    encoding = cut_slash(encoding);
    if (!slice_number(rate, UINT32_MAX, &ticks) ||
        slice_equal_nocase(encoding, S("telephone-event")) ||
        slice_equal_nocase(encoding, S("tone"))) {
        clocks->are_different = true;
        return SDP_FINE;
    }
    clocks->are_different |= clocks->count && clocks->at[0].rate != ticks;
    if (clocks->count < SDP_CLOCKS)
        clocks->at[clocks->count++] = (struct sdp_clock){(uint8_t)number, (uint32_t)ticks};
    return SDP_FINE;
}

static enum sdp_fault take_mid(struct pass *pass, struct slice value)
{
    if (pass->media)
        pass->media->mid = span_of(pass, slice_trim(value));
    return SDP_FINE;
}

static enum sdp_fault take_ufrag(struct pass *pass, struct slice value)
{
    (void)value;
    pass->has_ufrag |= section_bit(pass);
    return SDP_FINE;
}

static enum sdp_fault take_pwd(struct pass *pass, struct slice value)
{
    (void)value;
    pass->has_pwd |= section_bit(pass);
    return SDP_FINE;
}

static enum sdp_fault take_lite(struct pass *pass, struct slice value)
{
    (void)value;
    pass->sdp->is_lite = true;
    return SDP_FINE;
}

static enum sdp_fault take_mux(struct pass *pass, struct slice value)
{
    (void)value;
    if (pass->media)
        pass->media->has_rtcp_mux = true;
    return SDP_FINE;
}

static enum sdp_fault take_bundle_only(struct pass *pass, struct slice value)
{
    (void)value;
    if (pass->media)
        pass->media->is_bundle_only = true;
    return SDP_FINE;
}

static enum sdp_fault turn(struct pass *pass, enum sdp_direction direction)
{
    if (pass->media)
        pass->media->direction = (uint8_t)direction;
    else
        pass->direction = (uint8_t)direction;
    return SDP_FINE;
}

static enum sdp_fault take_sendrecv(struct pass *pass, struct slice value)
{
    (void)value;
    return turn(pass, SDP_SENDRECV);
}

static enum sdp_fault take_sendonly(struct pass *pass, struct slice value)
{
    (void)value;
    return turn(pass, SDP_SENDONLY);
}

static enum sdp_fault take_recvonly(struct pass *pass, struct slice value)
{
    (void)value;
    return turn(pass, SDP_RECVONLY);
}

static enum sdp_fault take_inactive(struct pass *pass, struct slice value)
{
    (void)value;
    return turn(pass, SDP_INACTIVE);
}

static const struct {
    struct slice name;
    enum sdp_fault (*take)(struct pass *pass, struct slice value);
} attributes[] = {
    {S("candidate"), take_candidate},
    {S("rtpmap"), take_rtpmap},
    {S("rtcp"), take_rtcp},
    {S("rtcp-mux"), take_mux},
    {S("mid"), take_mid},
    {S("group"), take_group},
    {S("bundle-only"), take_bundle_only},
    {S("ice-ufrag"), take_ufrag},
    {S("ice-pwd"), take_pwd},
    {S("ice-lite"), take_lite},
    {S("sendrecv"), take_sendrecv},
    {S("sendonly"), take_sendonly},
    {S("recvonly"), take_recvonly},
    {S("inactive"), take_inactive},
};

static enum sdp_fault take_attribute(struct pass *pass)
{
    struct slice name, value;

    line_attribute(&pass->line, &name, &value);
    for (unsigned i = 0; i < COUNT_OF(attributes); i++)
        if (slice_equal_nocase(name, attributes[i].name))
            return attributes[i].take(pass, value.at ? value : slice_from(name, name.len));
    return SDP_FINE;
}

static enum sdp_fault take_line(struct pass *pass)
{
    switch (pass->line.type) {
    case 'a': return take_attribute(pass);
    case 'c': return take_connection(pass);
    case 'm': return take_media(pass);
    default: return SDP_FINE;
    }
}

/* Which of the BUNDLE groups has a mid, from 1; 0 if none has. */
static uint8_t bundle_of(const struct sdp *sdp, struct slice mid)
{
    for (unsigned i = 0; mid.len && i < sdp->bundle_count; i++) {
        struct slice rest = sdp_span(sdp, sdp->bundles[i]), word;
        while (line_word(&rest, &word))
            if (slice_equal(word, mid))
                return (uint8_t)(i + 1);
    }
    return 0;
}

/* It has a port and an address of its own, or does not say that it has none. */
static bool has_place(const struct sdp *sdp, unsigned i)
{
    const struct sdp_connection *c = sdp_connection(sdp, i);

    return sdp->media[i].port && (c->is_name || !address_is_unspecified(&c->address));
}

/* It says nothing of where it goes: its bundle does.  RFC 8843 7.2 says so by port 0, and browsers
 * answer with port 9 of 0.0.0.0. */
static bool lacks_place(const struct sdp *sdp, unsigned i)
{
    const struct sdp_media *media = &sdp->media[i];

    return media->port ? media->has_ice && !has_place(sdp, i) : media->is_bundle_only;
}

/* The first of its bundle that has a place, if it has none itself; else the first that has the same
 * port (RFC 8843 7.3). */
static uint8_t leader_of(const struct sdp *sdp, unsigned i)
{
    const struct sdp_media *media = &sdp->media[i];

    for (unsigned j = 0; media->bundle && j < sdp->media_count; j++) {
        const struct sdp_media *other = &sdp->media[j];
        if (other->bundle == media->bundle && has_place(sdp, j) &&
            (lacks_place(sdp, i) || (other->port == media->port && j <= i)))
            return (uint8_t)j;
    }
    return (uint8_t)i;
}

/* What can only be said of media once all lines were seen. */
static enum sdp_fault finish(struct pass *pass)
{
    struct sdp *sdp = pass->sdp;
    const unsigned above = 1u << SDP_MEDIA;

    for (unsigned i = 0; i < sdp->media_count; i++) {
        struct sdp_media *media = &sdp->media[i];
        if (media->port && media->carrier != SDP_OTHER && !sdp_connection(sdp, i)->is_given)
            return SDP_NO_CONNECTION;
        media->has_ice = pass->has_ufrag & (above | 1u << i) && pass->has_pwd & (above | 1u << i);
        media->bundle = bundle_of(sdp, sdp_span(sdp, media->mid));
    }
    for (unsigned i = 0; i < sdp->media_count; i++)
        sdp->media[i].leader = leader_of(sdp, i);
    return SDP_FINE;
}

static enum sdp_fault parse_lines(struct pass *pass, uint32_t *number)
{
    struct sdp *sdp = pass->sdp;
    size_t at = 0;

    for (;;) {
        enum line_result result = line_next(sdp->bytes, &at, &pass->line);
        enum sdp_fault fault;
        ++*number;
        if (result == LINE_BAD)
            return SDP_BAD_LINE;
        if (*number == 1 && (result == LINE_NONE || pass->line.type != 'v' ||
                             !slice_equal(pass->line.value, S("0"))))
            return SDP_NO_VERSION;
        if (result == LINE_NONE)
            break;
        fault = take_line(pass);
        if (fault)
            return fault;
    }
    *number = 0;
    return finish(pass);
}

struct sdp_verdict sdp_parse(struct slice bytes, struct sdp *sdp)
{
    struct pass pass = {.sdp = sdp};
    struct sdp_verdict verdict = {0};

    sdp->bytes = bytes;
    sdp->connection = (struct sdp_connection){0};
    sdp->is_lite = false;
    sdp->media_count = sdp->bundle_count = 0;
    if (bytes.len > SDP_BYTES)
        return (struct sdp_verdict){SDP_TOO_LONG, 0};
    verdict.fault = parse_lines(&pass, &verdict.line);
    return verdict;
}

const struct sdp_connection *sdp_connection(const struct sdp *sdp, unsigned media)
{
    const struct sdp_connection *own = &sdp->media[media].connection;

    return own->is_given ? own : &sdp->connection;
}

bool sdp_is_held(const struct sdp *sdp, unsigned media)
{
    const struct sdp_connection *c = sdp_connection(sdp, media);

    return c->is_given && !c->is_name && address_is_unspecified(&c->address) &&
           !sdp->media[media].has_ice;
}

bool sdp_is_relayable(const struct sdp *sdp, unsigned media)
{
    return sdp->media[media].port && sdp->media[media].carrier != SDP_OTHER &&
           !sdp_connection(sdp, media)->is_multicast;
}

bool sdp_is_movable(const struct sdp *sdp, unsigned media)
{
    return sdp_is_relayable(sdp, media) && !sdp_is_held(sdp, media);
}

uint16_t sdp_rtcp_port(const struct sdp_media *media)
{
    if (media->carrier != SDP_RTP || !media->port)
        return 0;
    return media->rtcp.port ? media->rtcp.port : (uint16_t)(media->port + 1u);
}
