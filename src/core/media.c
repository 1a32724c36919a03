#include "core/media.h"

#include "core/oddity.h"

static const struct slice path_texts[] = {
    [MEDIA_DIRECT] = S("direct"),
    [MEDIA_OFFERED] = S("offered"),
    [MEDIA_RELAYED] = S("relayed"),
};

static const struct slice reason_texts[MEDIA_REASON_COUNT] = {
    [MEDIA_UNDECIDED] = S("nothing was offered yet"),
    [MEDIA_SWITCHED_OFF] = S("relaying is switched off"),
    [MEDIA_UNREADABLE] = S("the session description cannot be read"),
    [MEDIA_NOTHING_TO_RELAY] = S("there is nothing that can be relayed"),
    [MEDIA_NO_RELAY] = S("there is no relay that both could reach"),
    [MEDIA_SWITCHED_ON] = S("all media is relayed"),
    [MEDIA_FELL_SILENT] = S("the last calls of the two ended at once"),
    [MEDIA_SAME_SITE] = S("both are at the same site"),
    [MEDIA_BOTH_ICE] = S("both look for the way themselves"),
    [MEDIA_OTHER_FAMILY] = S("one has IPv4, the other IPv6"),
    [MEDIA_NO_ADDRESS] = S("who offers names no address"),
    [MEDIA_OFFERER_HIDDEN] = S("who offers is behind NAT"),
    [MEDIA_ANSWERER_HIDDEN] = S("who answers is behind NAT"),
    [MEDIA_BOTH_HIDDEN] = S("both are behind NAT"),
    [MEDIA_BOTH_PUBLIC] = S("both can be reached from everywhere"),
    [MEDIA_BOTH_INSIDE] = S("both are in the server's own networks"),
    [MEDIA_IN_AND_OUT] = S("one is in the server's own networks, the other is not"),
    [MEDIA_RELAY_FULL] = S("the relay is full"),
};

struct slice media_path_text(enum media_path path)
{
    assert(path < COUNT_OF(path_texts));
    return path_texts[path];
}

struct slice media_reason_text(enum media_reason reason)
{
    assert(reason < MEDIA_REASON_COUNT);
    return reason_texts[reason];
}

bool media_is_translated(const struct address_bytes *source, struct slice host)
{
    struct address_bytes named;

    return host_numeric(host, &named) && !address_equal(&named, source);
}

/* From where an end can be reached. */
enum reach {
    REACH_HIDDEN = -2,
    REACH_UNKNOWN = -1,
    REACH_PUBLIC = SECLUSION_NONE, /* and the others of enum seclusion: as far as that */
};

/* What a server of another domain calls itself says nothing of its phones. */
static bool is_translated(const struct media_end *end)
{
    return end->is_translated && !end->is_outside;
}

static int reach_of_address(const struct media_end *end, const struct sdp_connection *c)
{
    int seclusion = (int)address_seclusion(&c->address);

    if (c->is_name || address_is_unspecified(&c->address))
        return REACH_UNKNOWN;
    if (address_equal(&c->address, &end->source))
        return seclusion;
    /* Another address than its signalling has is believed where it is a public one beside another:
     * that of a server which has media on a machine of its own, or of a phone's other family. */
    if (seclusion != SECLUSION_NONE)
        return REACH_HIDDEN;
    return address_seclusion(&end->source) == SECLUSION_NONE ||
                   end->source.is_v6 != c->address.is_v6
               ? REACH_PUBLIC
               : REACH_HIDDEN;
}

/* The hardest to reach of all that it offers. */
static int reach_of_offerer(const struct media_case *c)
{
    int worst = REACH_PUBLIC;

    if (is_translated(&c->offerer))
        return REACH_HIDDEN;
    for (unsigned i = 0; i < c->offer->media_count; i++) {
        int reach;
        if (!sdp_is_relayable(c->offer, i))
            continue;
        reach = reach_of_address(&c->offerer, sdp_connection(c->offer, i));
        if (worst >= 0 && (reach < 0 || reach > worst))
            worst = reach;
    }
    return worst;
}

static int reach_of_answerer(const struct media_case *c)
{
    return is_translated(&c->answerer) ? REACH_HIDDEN : (int)address_seclusion(&c->answerer.source);
}

/* The first m-line that can be relayed; media_count if there is none. */
static unsigned first_relayable(const struct sdp *sdp)
{
    unsigned i = 0;

    while (i < sdp->media_count && !sdp_is_relayable(sdp, i))
        i++;
    return i;
}

static bool has_ice(const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++)
        if (sdp_is_relayable(sdp, i) && sdp->media[i].has_ice)
            return true;
    return false;
}

static bool is_v6_offered(const struct media_case *c)
{
    const struct sdp_connection *first = sdp_connection(c->offer, first_relayable(c->offer));
    bool is_known = !first->is_name && !address_is_unspecified(&first->address);

    return is_known ? first->address.is_v6 : c->offerer.source.is_v6;
}

static bool has_relay_for(const struct media_case *c, bool is_v6)
{
    return is_v6 ? c->has_v6 : c->has_v4;
}

static struct media_decision direct(enum media_reason reason)
{
    return (struct media_decision){.path = MEDIA_DIRECT, .reason = reason};
}

/* Where ICE is spoken, or may be, it goes on: by all ways and ours last, or, where ours is to be
 * the only one, by that.  An offer of ICE to who has none is better without. */
static struct media_decision relayed(const struct media_case *c, enum media_reason reason)
{
    struct media_decision d = {
        .path = MEDIA_RELAYED,
        .reason = reason,
        .ice = SDP_ICE_STRIPPED,
        .offerer_v6 = is_v6_offered(c),
        .answerer_v6 = c->answerer.source.is_v6,
    };

    if (!has_relay_for(c, d.offerer_v6) || !has_relay_for(c, d.answerer_v6))
        return direct(MEDIA_NO_RELAY);
    if (!has_ice(c->offer) || c->answerer.ice == MEDIA_WITHOUT_ICE)
        return d;
    d.ice = c->mode == MEDIA_ALWAYS ? SDP_ICE_REPLACED : SDP_ICE_KEPT;
    d.path = c->mode == MEDIA_ALWAYS ? MEDIA_RELAYED : MEDIA_OFFERED;
    return d;
}

/* Both speak ICE, and one can be reached by the other, which then finds the way (RFC 8445). Between
 * two NATs there may be none: there the relay is offered, and idle where it is not needed. */
static bool finds_the_way(const struct media_case *c)
{
    int offerer = reach_of_offerer(c), answerer = reach_of_answerer(c);

    if (!has_ice(c->offer) || c->answerer.ice != MEDIA_WITH_ICE ||
        is_v6_offered(c) != c->answerer.source.is_v6)
        return false;
    return offerer == REACH_PUBLIC || (answerer == REACH_PUBLIC && !c->answerer.is_web) ||
           (offerer == answerer && offerer > REACH_PUBLIC);
}

/* By where both can be reached from. */
static struct media_decision decide_by_reach(const struct media_case *c)
{
    int offerer = reach_of_offerer(c), answerer = reach_of_answerer(c);

    if (offerer == REACH_UNKNOWN)
        return relayed(c, MEDIA_NO_ADDRESS);
    if (offerer == REACH_HIDDEN)
        return relayed(c, answerer == REACH_HIDDEN ? MEDIA_BOTH_HIDDEN : MEDIA_OFFERER_HIDDEN);
    if (answerer == REACH_HIDDEN)
        return relayed(c, MEDIA_ANSWERER_HIDDEN);
    if (is_v6_offered(c) != c->answerer.source.is_v6)
        return relayed(c, MEDIA_OTHER_FAMILY);
    if (offerer != answerer)
        return relayed(c, MEDIA_IN_AND_OUT);
    return direct(offerer == REACH_PUBLIC ? MEDIA_BOTH_PUBLIC : MEDIA_BOTH_INSIDE);
}

struct media_decision media_decide(const struct media_case *c)
{
    if (c->mode == MEDIA_NEVER)
        return direct(MEDIA_SWITCHED_OFF);
    if (!c->offer)
        return direct(MEDIA_UNREADABLE);
    if (first_relayable(c->offer) == c->offer->media_count)
        return direct(MEDIA_NOTHING_TO_RELAY);
    if (c->mode == MEDIA_ALWAYS)
        return relayed(c, MEDIA_SWITCHED_ON);
    if (c->is_suspect)
        return relayed(c, MEDIA_FELL_SILENT);
    if (c->offerer.site && c->offerer.site == c->answerer.site)
        return direct(MEDIA_SAME_SITE);
    if (finds_the_way(c))
        return direct(MEDIA_BOTH_ICE);
    return decide_by_reach(c);
}
