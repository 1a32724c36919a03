/* Whether media is relayed: who is where, and what follows. */
#include "core/media.h"

#include "unit.h"

#define SESSION "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
#define ICE "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"

/* An end: where its signalling comes from, and what else is known.  198.51.100.0/24 and the like
 * are public here; 10.0.0.0/8 is not. */
struct known {
    const char *source;
    bool is_hidden, is_outside, is_web;
    uint8_t ice;
    uint16_t site;
};

struct row {
    const char *at; /* the address in the offer; NULL: it cannot be read */
    struct known offerer, answerer;
    enum media_path path;
    enum media_reason reason;
    bool has_ice;
    uint8_t mode;
    bool is_suspect;
    bool lacks_v6;
    enum sdp_ice ice;
};

static struct media_end end_of(struct known known)
{
    struct media_end end = {.is_translated = known.is_hidden,
                            .is_outside = known.is_outside,
                            .is_web = known.is_web,
                            .ice = known.ice,
                            .site = known.site};

    assert_true(host_numeric(slice_text(known.source), &end.source));
    return end;
}

static void write_offer(struct writer *w, const struct row *row)
{
    struct address_bytes address;

    write_slice(w, S(SESSION));
    if (row->has_ice)
        write_slice(w, S(ICE));
    write_slice(w, S("m=audio 4000 RTP/AVP 0\r\nc=IN "));
    write_slice(w, host_numeric(slice_text(row->at), &address) && address.is_v6 ? S("IP6 ")
                                                                                : S("IP4 "));
    write_slice(w, slice_text(row->at));
    write_slice(w, S("\r\n"));
}

static struct media_decision decide(const struct row *row)
{
    static char text[1024];
    struct writer w = writer_over(text, sizeof text);
    struct sdp sdp;
    struct media_case c = {
        .offerer = end_of(row->offerer),
        .answerer = end_of(row->answerer),
        .mode = row->mode,
        .has_v4 = true,
        .has_v6 = !row->lacks_v6,
        .is_suspect = row->is_suspect,
    };

    if (row->at) {
        write_offer(&w, row);
        assert_int_equal(sdp_parse(writer_slice(&w), &sdp).fault, SDP_FINE);
        c.offer = &sdp;
    }
    return media_decide(&c);
}

static void check(const struct row *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct media_decision d = decide(&rows[i]);
        if (d.path != rows[i].path || d.reason != rows[i].reason ||
            (d.path != MEDIA_DIRECT && d.ice != rows[i].ice))
            fail_msg("row %u: %s, for %s", i, media_path_text(d.path).at,
                     media_reason_text(d.reason).at);
    }
}

#define A "198.51.100.1"
#define B "203.0.113.2"
#define SIX "2001:db8::1"
#define SEVEN "2001:db8::2"
#define INSIDE "10.0.0.5"
#define STRIPPED .ice = SDP_ICE_STRIPPED

static void who_can_be_reached_is_called_directly(void **state)
{
    static const struct row rows[] = {
        {A, {A}, {B}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC},
        {SIX, {SIX}, {SEVEN}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC},
        {INSIDE, {INSIDE}, {"10.1.0.7"}, MEDIA_DIRECT, MEDIA_BOTH_INSIDE},
        {"127.0.0.1", {"127.0.0.1"}, {"127.0.0.2"}, MEDIA_DIRECT, MEDIA_BOTH_INSIDE},
        /* media of a machine of its own, as providers have it */
        {"198.51.100.77", {A, .is_outside = true}, {B}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC},
        /* whatever another domain's server calls itself */
        {A, {A}, {B, .is_hidden = true, .is_outside = true}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC},
        /* signalling by the one family, media by the other */
        {SIX, {A}, {SEVEN}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void nat_on_either_side_needs_the_relay(void **state)
{
    static const struct row rows[] = {
        {INSIDE, {A}, {B}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
        {INSIDE, {A, .is_hidden = true}, {B}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
        /* it knows its public address by STUN: the port need not hold */
        {A, {A, .is_hidden = true}, {B}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
        {A, {A}, {B, .is_hidden = true}, MEDIA_RELAYED, MEDIA_ANSWERER_HIDDEN, STRIPPED},
        {INSIDE, {A}, {B, .is_hidden = true}, MEDIA_RELAYED, MEDIA_BOTH_HIDDEN, STRIPPED},
        /* behind one address there can be two networks with the same numbers */
        {INSIDE, {A}, {A, .is_hidden = true}, MEDIA_RELAYED, MEDIA_BOTH_HIDDEN, STRIPPED},
        /* by a tunnel: its media address is another network's */
        {"192.168.1.5", {"10.8.0.2"}, {"10.8.0.3"}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
        {A, {"10.8.0.2"}, {"10.8.0.3"}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void inside_and_outside_meet_in_the_relay(void **state)
{
    static const struct row rows[] = {
        {INSIDE, {INSIDE}, {B}, MEDIA_RELAYED, MEDIA_IN_AND_OUT, STRIPPED},
        {A, {A}, {INSIDE}, MEDIA_RELAYED, MEDIA_IN_AND_OUT, STRIPPED},
        {"127.0.0.1", {"127.0.0.1"}, {INSIDE}, MEDIA_RELAYED, MEDIA_IN_AND_OUT, STRIPPED},
        {"169.254.1.1", {"169.254.1.1"}, {INSIDE}, MEDIA_RELAYED, MEDIA_IN_AND_OUT, STRIPPED},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void families_meet_in_the_relay(void **state)
{
    static const struct row rows[] = {
        {SIX, {SIX}, {B}, MEDIA_RELAYED, MEDIA_OTHER_FAMILY, STRIPPED},
        {A, {A}, {SIX}, MEDIA_RELAYED, MEDIA_OTHER_FAMILY, STRIPPED},
        {A, {A}, {SIX}, MEDIA_DIRECT, MEDIA_NO_RELAY, .lacks_v6 = true},
        {INSIDE, {A}, {B}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, .lacks_v6 = true, STRIPPED},
    };
    struct media_decision d = decide(&rows[0]);

    (void)state;
    check(rows, COUNT_OF(rows));
    assert_true(d.offerer_v6);
    assert_false(d.answerer_v6);
}

static void who_speaks_ice_finds_the_way(void **state)
{
    static const struct row rows[] = {
        {INSIDE, {A}, {B, .ice = MEDIA_WITH_ICE}, MEDIA_DIRECT, MEDIA_BOTH_ICE, .has_ice = true},
        {A,
         {A},
         {B, .is_hidden = true, .ice = MEDIA_WITH_ICE},
         MEDIA_DIRECT,
         MEDIA_BOTH_ICE,
         .has_ice = true},
        {INSIDE,
         {INSIDE},
         {"10.1.0.7", .ice = MEDIA_WITH_ICE, .is_web = true},
         MEDIA_DIRECT,
         MEDIA_BOTH_ICE,
         .has_ice = true},
        /* between two NATs there may be none */
        {INSIDE,
         {A},
         {B, .is_hidden = true, .ice = MEDIA_WITH_ICE},
         MEDIA_OFFERED,
         MEDIA_BOTH_HIDDEN,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
        /* a browser has no address of its own in Contact: it may be behind one */
        {INSIDE,
         {A},
         {B, .ice = MEDIA_WITH_ICE, .is_web = true},
         MEDIA_OFFERED,
         MEDIA_OFFERER_HIDDEN,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
        {INSIDE,
         {INSIDE},
         {B, .is_hidden = true, .ice = MEDIA_WITH_ICE},
         MEDIA_OFFERED,
         MEDIA_ANSWERER_HIDDEN,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
        {SIX,
         {SIX},
         {B, .ice = MEDIA_WITH_ICE},
         MEDIA_OFFERED,
         MEDIA_OTHER_FAMILY,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
        {INSIDE,
         {A},
         {B, .is_hidden = true},
         MEDIA_OFFERED,
         MEDIA_BOTH_HIDDEN,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
        {INSIDE,
         {A},
         {B, .ice = MEDIA_WITHOUT_ICE},
         MEDIA_RELAYED,
         MEDIA_OFFERER_HIDDEN,
         .has_ice = true,
         STRIPPED},
        {INSIDE, {A}, {B, .ice = MEDIA_WITH_ICE}, MEDIA_RELAYED, MEDIA_OFFERER_HIDDEN, STRIPPED},
        {A, {A}, {B}, MEDIA_DIRECT, MEDIA_BOTH_PUBLIC, .has_ice = true},
        /* candidates come later (trickle) */
        {"0.0.0.0",
         {A},
         {B},
         MEDIA_OFFERED,
         MEDIA_NO_ADDRESS,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void a_site_is_one_network_by_the_administrators_word(void **state)
{
    static const struct row rows[] = {
        {INSIDE,
         {A, .is_hidden = true, .site = 3},
         {A, .is_hidden = true, .site = 3},
         MEDIA_DIRECT,
         MEDIA_SAME_SITE},
        {INSIDE,
         {A, .site = 3},
         {A, .is_hidden = true, .site = 4},
         MEDIA_RELAYED,
         MEDIA_BOTH_HIDDEN,
         STRIPPED},
        {INSIDE,
         {A},
         {A, .is_hidden = true, .site = 4},
         MEDIA_RELAYED,
         MEDIA_BOTH_HIDDEN,
         STRIPPED},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void settings_and_bad_memories_count_first(void **state)
{
    static const struct row rows[] = {
        {INSIDE, {A}, {B}, MEDIA_DIRECT, MEDIA_SWITCHED_OFF, .mode = MEDIA_NEVER},
        {NULL, {A}, {B}, MEDIA_DIRECT, MEDIA_SWITCHED_OFF, .mode = MEDIA_NEVER},
        {A, {A}, {B}, MEDIA_RELAYED, MEDIA_SWITCHED_ON, .mode = MEDIA_ALWAYS, STRIPPED},
        {A,
         {A},
         {B},
         MEDIA_RELAYED,
         MEDIA_SWITCHED_ON,
         .mode = MEDIA_ALWAYS,
         .has_ice = true,
         .ice = SDP_ICE_REPLACED},
        {A,
         {A},
         {B, .ice = MEDIA_WITHOUT_ICE},
         MEDIA_RELAYED,
         MEDIA_SWITCHED_ON,
         .mode = MEDIA_ALWAYS,
         .has_ice = true,
         STRIPPED},
        {A,
         {A, .site = 1},
         {B, .site = 1},
         MEDIA_RELAYED,
         MEDIA_FELL_SILENT,
         .is_suspect = true,
         STRIPPED},
        {A,
         {A},
         {B, .ice = MEDIA_WITH_ICE},
         MEDIA_OFFERED,
         MEDIA_FELL_SILENT,
         .is_suspect = true,
         .has_ice = true,
         .ice = SDP_ICE_KEPT},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void what_cannot_be_relayed_is_not(void **state)
{
    static const struct row rows[] = {
        {NULL, {A}, {B}, MEDIA_DIRECT, MEDIA_UNREADABLE},
        {"224.2.1.1/127", {A}, {B}, MEDIA_DIRECT, MEDIA_NOTHING_TO_RELAY},
        /* held from the start: where it will be nobody knows (RFC 3725) */
        {"0.0.0.0", {A}, {B}, MEDIA_RELAYED, MEDIA_NO_ADDRESS, STRIPPED},
        {"phone.example.com", {A}, {B}, MEDIA_RELAYED, MEDIA_NO_ADDRESS, STRIPPED},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void the_medium_that_is_hardest_to_reach_decides(void **state)
{
    struct sdp sdp;
    struct media_case c = {
        .offer = &sdp,
        .offerer = end_of((struct known){A}),
        .answerer = end_of((struct known){B}),
        .has_v4 = true,
    };

    (void)state;
    assert_int_equal(sdp_parse(S(SESSION "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 " A "\r\n"
                                         "m=video 4000 RTP/AVP 0\r\nc=IN IP4 10.0.0.5\r\n"),
                               &sdp)
                         .fault,
                     SDP_FINE);
    assert_int_equal(media_decide(&c).reason, MEDIA_OFFERER_HIDDEN);
    assert_int_equal(sdp_parse(S(SESSION "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 " A "\r\n"
                                         "m=message 4000 TCP/MSRP *\r\nc=IN IP4 10.0.0.5\r\n"),
                               &sdp)
                         .fault,
                     SDP_FINE);
    assert_int_equal(media_decide(&c).reason, MEDIA_BOTH_PUBLIC);
}

static void nat_shows_where_a_phone_calls_itself_something_else(void **state)
{
    struct address_bytes source;

    (void)state;
    assert_true(host_numeric(S(A), &source));
    assert_false(media_is_translated(&source, S(A)));
    assert_true(media_is_translated(&source, S(INSIDE)));
    assert_true(media_is_translated(&source, S("[2001:db8::1]")));
    assert_false(media_is_translated(&source, S("x7f3.invalid")));
    assert_false(media_is_translated(&source, S("")));
}

static void every_reason_has_its_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MEDIA_REASON_COUNT; i++)
        assert_true(media_reason_text((enum media_reason)i).len > 0);
    for (unsigned i = MEDIA_DIRECT; i <= MEDIA_RELAYED; i++)
        assert_true(media_path_text((enum media_path)i).len > 0);
}

int main(void)
{
    RUN(cmocka_unit_test(who_can_be_reached_is_called_directly),
        cmocka_unit_test(nat_on_either_side_needs_the_relay),
        cmocka_unit_test(inside_and_outside_meet_in_the_relay),
        cmocka_unit_test(families_meet_in_the_relay),
        cmocka_unit_test(who_speaks_ice_finds_the_way),
        cmocka_unit_test(a_site_is_one_network_by_the_administrators_word),
        cmocka_unit_test(settings_and_bad_memories_count_first),
        cmocka_unit_test(what_cannot_be_relayed_is_not),
        cmocka_unit_test(the_medium_that_is_hardest_to_reach_decides),
        cmocka_unit_test(nat_shows_where_a_phone_calls_itself_something_else),
        cmocka_unit_test(every_reason_has_its_words));
}
