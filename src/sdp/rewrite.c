#include "sdp/rewrite.h"

#include "sdp/line.h"

/* A walk over the lines: what was not replaced is copied up to `from`. */
struct walk {
    struct writer *w;
    const struct sdp *sdp;
    const struct sdp_place *places;
    enum sdp_ice ice;
    bool is_raised;
    size_t from;
    struct line line;
    unsigned next;          /* m-lines so far: the section is that of the one before */
    bool owes_connection;   /* a c= line is to be put in before the next line that is not i= */
    bool has_moved_session; /* the session's c= is replaced, and all that use it go there */
    bool is_all_moved;
    const struct sdp_place *session_place;
    const struct sdp_place *first_place;
};

static bool is_moved(const struct walk *walk, unsigned media)
{
    return walk->places[media].is_other && sdp_is_movable(walk->sdp, media);
}

static bool same_address(const struct sdp_place *a, const struct sdp_place *b)
{
    return address_equal(&a->address, &b->address);
}

/* The session's c= is replaced if all media that use it go to one address; else they get c= lines
 * of their own. */
static void look_ahead(struct walk *walk)
{
    bool is_one = true, is_any_moved = false;

    walk->is_all_moved = true;
    for (unsigned i = 0; i < walk->sdp->media_count; i++) {
        const struct sdp_place *place = &walk->places[i];
        if (!walk->sdp->media[i].port)
            continue;
        is_any_moved |= is_moved(walk, i);
        walk->is_all_moved &= is_moved(walk, i);
        if (!walk->first_place && is_moved(walk, i))
            walk->first_place = place;
        if (walk->sdp->media[i].connection.is_given)
            continue;
        if (!is_moved(walk, i) ||
            (walk->session_place && !same_address(place, walk->session_place)))
            is_one = false;
        walk->session_place = place;
    }
    walk->has_moved_session = is_one && walk->session_place;
    walk->is_all_moved &= is_any_moved;
}

static void copy_until(struct walk *walk, size_t end)
{
    write_bytes(walk->w, walk->sdp->bytes.at + walk->from, end - walk->from);
    walk->from = end;
}

/* The next that is written stands for these bytes. */
static void replace(struct walk *walk, struct span span)
{
    copy_until(walk, span.at);
    walk->from = (size_t)span.at + span.len;
}

static void drop_line(struct walk *walk)
{
    copy_until(walk, walk->line.at);
    walk->from = walk->line.next;
}

/* IP4 192.0.2.1 */
static void write_connection(struct walk *walk, const struct address_bytes *address)
{
    write_slice(walk->w, address->is_v6 ? S("IP6 ") : S("IP4 "));
    write_address(walk->w, address);
}

/* Behind a line that has no end one begins with what it lacks. */
static void begin_line(struct walk *walk)
{
    if (walk->w->len && walk->w->at[walk->w->len - 1] != '\n')
        write_slice(walk->w, S("\r\n"));
}

/* As the line at hand ends. */
static void end_line(struct walk *walk)
{
    write_bytes(walk->w, walk->sdp->bytes.at + walk->line.end, walk->line.next - walk->line.end);
}

/* RFC 8445 5.1.2.1 with a type preference of 0 and a local preference of 0, and below all others.
 * Foundations are told apart by type, base and server (5.1.1.3): ours is the only one of its kind.
 * Where a relay's client is, nobody else need know (RFC 8839 5.1). */
static void write_candidate(struct walk *walk, const struct sdp_place *place, unsigned component,
                            uint32_t lowest)
{
    uint64_t priority = min_u64(256 - component, lowest > 1 ? lowest - 1 : 1);

    begin_line(walk);
    write_slice(walk->w, S("a=candidate:sipw "));
    write_number(walk->w, component);
    write_slice(walk->w, S(" UDP "));
    write_number(walk->w, priority);
    write_char(walk->w, ' ');
    write_address(walk->w, &place->address);
    write_char(walk->w, ' ');
    write_number(walk->w, place->port + component - 1);
    write_slice(walk->w, S(" typ relay raddr "));
    write_slice(walk->w, place->address.is_v6 ? S("::") : S("0.0.0.0"));
    write_slice(walk->w, S(" rport 9"));
    end_line(walk);
}

static void add_candidates(struct walk *walk, unsigned media)
{
    const struct sdp_candidates *known = &walk->sdp->media[media].candidates;

    copy_until(walk, max_u64(walk->from, walk->line.next));
    for (unsigned i = 0; i < 2; i++)
        if (known->lowest[i])
            write_candidate(walk, &walk->places[media], i + 1, known->lowest[i]);
}

/* a=rtcp with the port that RTCP goes to now; where it was that of RTP, it stays so (RFC 5761
 * 5.1.3). */
static void rewrite_rtcp(struct walk *walk, unsigned media)
{
    const struct sdp_media *m = &walk->sdp->media[media];
    const struct sdp_place *place = &walk->places[media];

    if (!m->rtcp.port)
        return;
    replace(walk, m->rtcp.value);
    write_number(walk->w, place->port + (m->rtcp.port == m->port ? 0u : 1u));
    if (!m->rtcp.connection.is_given)
        return;
    write_slice(walk->w, S(" IN "));
    write_connection(walk, &place->address);
}

static void walk_ice(struct walk *walk, unsigned media, enum ice_attribute is)
{
    bool is_last = is == ICE_CANDIDATE && walk->line.next == walk->sdp->media[media].candidates.end;

    if (is == ICE_REMOTE || walk->ice == SDP_ICE_STRIPPED ||
        (walk->ice == SDP_ICE_REPLACED && is == ICE_CANDIDATE))
        drop_line(walk);
    if (is_last && walk->ice != SDP_ICE_STRIPPED)
        add_candidates(walk, media);
}

static void walk_attribute(struct walk *walk)
{
    struct slice name, value;
    enum ice_attribute is;

    line_attribute(&walk->line, &name, &value);
    is = line_ice(name);
    if (!walk->next) {
        if (is && walk->ice == SDP_ICE_STRIPPED && walk->is_all_moved)
            drop_line(walk);
        return;
    }
    if (!is_moved(walk, walk->next - 1))
        return;
    if (is)
        walk_ice(walk, walk->next - 1, is);
    else if (slice_equal_nocase(name, S("rtcp")))
        rewrite_rtcp(walk, walk->next - 1);
}

static void walk_connection(struct walk *walk)
{
    if (!walk->next) {
        if (!walk->has_moved_session)
            return;
        replace(walk, walk->sdp->connection.text);
        write_connection(walk, &walk->session_place->address);
    } else if (is_moved(walk, walk->next - 1)) {
        replace(walk, walk->sdp->media[walk->next - 1].connection.text);
        write_connection(walk, &walk->places[walk->next - 1].address);
    }
}

static void walk_media(struct walk *walk)
{
    unsigned i = walk->next++;
    const struct sdp_media *media = &walk->sdp->media[i];

    if (!is_moved(walk, i))
        return;
    replace(walk, media->port_text);
    write_number(walk->w, walk->places[i].port);
    walk->owes_connection = !media->connection.is_given && !walk->has_moved_session;
}

/* c= stands behind m= and i=, before all others (RFC 8866 5). */
static void pay_connection(struct walk *walk)
{
    copy_until(walk, walk->line.next);
    begin_line(walk);
    write_slice(walk->w, S("c=IN "));
    write_connection(walk, &walk->places[walk->next - 1].address);
    end_line(walk);
    walk->owes_connection = false;
}

/* From the begin of one word to the end of another. */
static struct span span_of(const struct walk *walk, struct slice first, struct slice last)
{
    return (struct span){(uint16_t)(first.at - walk->sdp->bytes.at),
                         (uint16_t)(last.at + last.len - first.at)};
}

static void raise_version(struct walk *walk, struct slice text)
{
    uint64_t version;

    if (!slice_number(text, UINT64_MAX - 1, &version))
        return;
    replace(walk, span_of(walk, text, text));
    write_number(walk->w, version + 1);
}

/* o=carol 28908764872 28908764872 IN IP6 2001:db8::1: baresip takes the first family that a
 * description names for that of its media, and refuses one that it has not. */
static void walk_origin(struct walk *walk)
{
    struct slice rest = walk->line.value, words[6];

    for (unsigned i = 0; i < COUNT_OF(words); i++)
        if (!line_word(&rest, &words[i]))
            return;
    if (walk->next)
        return;
    if (walk->is_raised)
        raise_version(walk, words[2]);
    if (!walk->first_place ||
        !slice_equal_nocase(words[4], walk->first_place->address.is_v6 ? S("IP4") : S("IP6")))
        return;
    replace(walk, span_of(walk, words[4], words[5]));
    write_connection(walk, &walk->first_place->address);
}

static bool is_before_title(const struct walk *walk)
{
    return slice_starts(slice_from(walk->sdp->bytes, walk->line.next), S("i="));
}

static void walk_line(struct walk *walk)
{
    switch (walk->line.type) {
    case 'a': walk_attribute(walk); break;
    case 'c': walk_connection(walk); break;
    case 'm': walk_media(walk); break;
    case 'o': walk_origin(walk); break;
    default: break;
    }
    if (walk->owes_connection && !is_before_title(walk))
        pay_connection(walk);
}

static void walk_all(struct walk *walk)
{
    size_t at = 0;

    look_ahead(walk);
    while (line_next(walk->sdp->bytes, &at, &walk->line) == LINE_TAKEN)
        walk_line(walk);
    copy_until(walk, walk->sdp->bytes.len);
}

void sdp_rewrite(struct writer *w, const struct sdp *sdp, const struct sdp_place *places,
                 enum sdp_ice ice)
{
    struct walk walk = {.w = w, .sdp = sdp, .places = places, .ice = ice};

    walk_all(&walk);
}

void sdp_rewrite_raised(struct writer *w, const struct sdp *sdp, const struct sdp_place *places,
                        enum sdp_ice ice)
{
    struct walk walk = {.w = w, .sdp = sdp, .places = places, .ice = ice, .is_raised = true};

    walk_all(&walk);
}
