/*
 * sdp_parse, sdp_rewrite and sdp_rewrite_raised.  Of an input the first byte says which m-lines go
 * elsewhere, the second what becomes of ICE and of which family the places are; the rest is the
 * description.
 *
 * What is rewritten reads the same but for the addresses and ports of what was moved; the lines
 * that speak of neither are there, in order, byte for byte; and where nothing moves, nothing does.
 */
#include "fuzz.h"

#include "sdp/line.h"
#include "sdp/rewrite.h"

static struct sdp_place places[SDP_MEDIA];

static void choose_places(unsigned moved, unsigned families)
{
    for (unsigned i = 0; i < SDP_MEDIA; i++) {
        places[i] =
            (struct sdp_place){.is_other = moved >> i % 8 & 1, .port = (uint16_t)(20000 + 10 * i)};
        host_numeric(families >> i % 4 & 1 ? S("2001:db8::53") : S("203.0.113.1"),
                     &places[i].address);
    }
}

static void check_spans(const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++) {
        const struct sdp_media *m = &sdp->media[i];
        const struct span spans[] = {m->type,       m->port_text, m->protocol, m->connection.text,
                                     m->rtcp.value, m->mid};
        for (unsigned s = 0; s < COUNT_OF(spans); s++)
            assert(spans[s].at + spans[s].len <= sdp->bytes.len);
        assert(m->candidates.end <= sdp->bytes.len);
        assert(m->port_count && m->port_count <= SDP_PORTS && m->leader < sdp->media_count);
        assert(m->leader == i || sdp->media[m->leader].bundle == m->bundle);
        assert(sdp->media[m->leader].leader == m->leader);
    }
}

/* A line that says where something goes, or belongs to ICE. */
static bool is_of_places(const struct line *line)
{
    struct slice name, value;

    line_attribute(line, &name, &value);
    return line->type == 'c' || (line->type == 'a' && (slice_equal_nocase(name, S("rtcp")) ||
                                                       line_ice(name) != ICE_NONE));
}

static bool next_other_line(struct slice text, size_t *at, struct line *line)
{
    while (line_next(text, at, line) == LINE_TAKEN)
        if (!is_of_places(line))
            return true;
    return false;
}

/* Of two m-lines all but the port. */
static void check_media_line(const struct sdp *a, const struct sdp *b, unsigned i,
                             const struct line *of_a, const struct line *of_b)
{
    struct span in_a = a->media[i].port_text, in_b = b->media[i].port_text;

    assert(in_a.at - of_a->at == in_b.at - of_b->at);
    assert(slice_equal(slice_of(a->bytes.at + of_a->at, in_a.at - of_a->at),
                       slice_of(b->bytes.at + of_b->at, in_b.at - of_b->at)));
    assert(slice_equal(slice_of(a->bytes.at + in_a.at + in_a.len, of_a->end - in_a.at - in_a.len),
                       slice_of(b->bytes.at + in_b.at + in_b.len, of_b->end - in_b.at - in_b.len)));
}

/* Of o= all but the address. */
static void check_origin_line(const struct line *of_a, const struct line *of_b)
{
    struct slice a = of_a->value, b = of_b->value, in_a, in_b;

    if (slice_equal(a, b))
        return;
    for (unsigned i = 0; i < 4; i++) {
        assert(line_word(&a, &in_a) && line_word(&b, &in_b));
        assert(slice_equal(in_a, in_b));
    }
}

static void check_other_lines(const struct sdp *a, const struct sdp *b)
{
    size_t at_a = 0, at_b = 0;
    struct line of_a, of_b;
    unsigned i = 0;

    while (next_other_line(a->bytes, &at_a, &of_a)) {
        assert(next_other_line(b->bytes, &at_b, &of_b));
        assert(of_a.type == of_b.type);
        if (of_a.type == 'm')
            check_media_line(a, b, i++, &of_a, &of_b);
        else if (of_a.type == 'o')
            check_origin_line(&of_a, &of_b);
        else
            assert(slice_equal(of_a.value, of_b.value));
    }
    assert(!next_other_line(b->bytes, &at_b, &of_b));
}

static void check_kept(const struct sdp *a, const struct sdp *b, unsigned i)
{
    const struct sdp_connection *of_a = sdp_connection(a, i), *of_b = sdp_connection(b, i);

    assert(a->media[i].port == b->media[i].port);
    if (!a->media[i].port || !of_a->is_given)
        return; /* it goes nowhere */
    assert(slice_equal(sdp_span(a, of_a->text), sdp_span(b, of_b->text)));
    assert(slice_equal(sdp_span(a, a->media[i].rtcp.value), sdp_span(b, b->media[i].rtcp.value)));
    assert(a->media[i].candidates.count == b->media[i].candidates.count);
}

static void check_moved(const struct sdp *a, const struct sdp *b, unsigned i, enum sdp_ice ice)
{
    const struct sdp_media *before = &a->media[i], *after = &b->media[i];
    unsigned added =
        (before->candidates.lowest[0] ? 1u : 0u) + (before->candidates.lowest[1] ? 1u : 0u);

    assert(after->port == places[i].port && after->port_count == before->port_count);
    assert(address_equal(&sdp_connection(b, i)->address, &places[i].address));
    assert(after->rtcp.is_given == before->rtcp.is_given);
    if (before->rtcp.port)
        assert(after->rtcp.port == places[i].port + (before->rtcp.port != before->port));
    if (before->rtcp.port && before->rtcp.connection.is_given)
        assert(address_equal(&after->rtcp.connection.address, &places[i].address));
    if (ice == SDP_ICE_STRIPPED)
        assert(!after->candidates.count);
    else
        assert(after->candidates.count ==
               added + (ice == SDP_ICE_KEPT ? before->candidates.count : 0));
    for (unsigned c = 0; c < 2 && ice != SDP_ICE_STRIPPED; c++)
        assert(after->candidates.lowest[c] <= max_u64(before->candidates.lowest[c], 1));
}

static void check_rewritten(const struct sdp *a, struct slice text, enum sdp_ice ice)
{
    static struct sdp b;
    bool is_any_moved = false;

    assert(sdp_parse(text, &b).fault == SDP_FINE);
    check_spans(&b);
    assert(a->media_count == b.media_count && a->bundle_count == b.bundle_count);
    for (unsigned i = 0; i < a->media_count; i++) {
        assert(a->media[i].direction == b.media[i].direction);
        assert(a->media[i].carrier == b.media[i].carrier);
        assert(a->media[i].bundle == b.media[i].bundle);
        if (places[i].is_other && sdp_is_movable(a, i)) {
            is_any_moved = true;
            check_moved(a, &b, i, ice);
        } else {
            check_kept(a, &b, i);
        }
    }
    check_other_lines(a, &b);
    assert(is_any_moved || slice_equal(a->bytes, text));
}

/* Of o= the version alone, by one. */
static void check_version(struct slice a, struct slice b)
{
    struct slice in_a, in_b;
    uint64_t before, after;

    for (unsigned i = 0; i < 3; i++) {
        assert(line_word(&a, &in_a) && line_word(&b, &in_b));
        assert(i == 2 || slice_equal(in_a, in_b));
    }
    assert(slice_number(in_a, UINT64_MAX - 1, &before) && slice_number(in_b, UINT64_MAX, &after));
    assert(after == before + 1 && slice_equal(a, b));
}

static void check_raised(struct slice a, struct slice b)
{
    size_t at_a = 0, at_b = 0;
    struct line of_a, of_b;

    while (line_next(a, &at_a, &of_a) == LINE_TAKEN) {
        assert(line_next(b, &at_b, &of_b) == LINE_TAKEN && of_a.type == of_b.type);
        if (!slice_equal(of_a.value, of_b.value)) {
            assert(of_a.type == 'o');
            check_version(of_a.value, of_b.value);
        }
    }
    assert(line_next(b, &at_b, &of_b) != LINE_TAKEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char at[SDP_BYTES + SDP_GROWTH], raised_at[SDP_BYTES + SDP_GROWTH];
    static struct sdp sdp;
    struct writer w = writer_over(at, sizeof at), raised = writer_over(raised_at, sizeof raised_at);
    enum sdp_ice ice;

    if (size < 2 || sdp_parse(fuzz_input(data + 2, size - 2), &sdp).fault)
        return 0;
    check_spans(&sdp);
    choose_places(data[0], data[1] >> 2);
    ice = (enum sdp_ice)(data[1] % 4 % 3);
    sdp_rewrite(&w, &sdp, places, ice);
    assert(!w.failed);
    if (w.len <= SDP_BYTES)
        check_rewritten(&sdp, writer_slice(&w), ice);
    sdp_rewrite_raised(&raised, &sdp, places, ice);
    assert(!raised.failed);
    check_raised(writer_slice(&w), writer_slice(&raised));
    return 0;
}
