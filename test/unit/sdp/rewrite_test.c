#include "sdp/rewrite.h"

#include "samples.h"
#include "unit.h"

#include <stdio.h>

#define SESSION "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
#define HEAD SESSION "c=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define SESSION_V6 "v=0\r\no=- 1 1 IN IP6 2001:db8::53\r\ns=-\r\n"

/* Where the n-th m-line goes: 203.0.113.1, or [2001:db8::53] where is_v6, at 20000 + 10 n. */
struct wish {
    unsigned moved; /* bit n */
    unsigned is_v6;
    enum sdp_ice ice;
};

#define ALL 0xffffu

static struct slice rewritten(const struct sdp *sdp, struct wish wish)
{
    static char at[SDP_BYTES + SDP_GROWTH];
    struct writer w = writer_over(at, sizeof at);
    struct sdp_place places[SDP_MEDIA] = {0};

    for (unsigned i = 0; i < sdp->media_count; i++) {
        places[i].is_other = wish.moved >> i & 1;
        places[i].port = (uint16_t)(20000 + 10 * i);
        host_numeric(wish.is_v6 >> i & 1 ? S("2001:db8::53") : S("203.0.113.1"),
                     &places[i].address);
    }
    sdp_rewrite(&w, sdp, places, wish.ice);
    assert_false(w.failed);
    return writer_slice(&w);
}

static void check(const char *text, struct wish wish, const char *wanted)
{
    struct sdp sdp;

    assert_int_equal(sdp_parse(slice_text(text), &sdp).fault, SDP_FINE);
    assert_slice(rewritten(&sdp, wish), wanted);
}

static void an_address_and_a_port_are_replaced(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n", (struct wish){ALL},
          SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0 8\r\n"
                  "a=rtpmap:0 PCMU/8000\r\n");
}

static void without_places_not_a_byte_changes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(samples); i++)
        for (unsigned ice = SDP_ICE_KEPT; ice <= SDP_ICE_STRIPPED; ice++)
            check(samples[i].text, (struct wish){.ice = (enum sdp_ice)ice}, samples[i].text);
}

static void each_medium_has_a_place_of_its_own(void **state)
{
    (void)state;
    check(SESSION "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n"
                  "m=video 4002/2 RTP/AVP 31\r\nc=IN IP4 192.0.2.2\r\n",
          (struct wish){ALL},
          SESSION "t=0 0\r\nm=audio 20000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\n"
                  "m=video 20010/2 RTP/AVP 31\r\nc=IN IP4 203.0.113.1\r\n");
}

static void families_change(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:4001 IN IP4 192.0.2.1\r\n",
          (struct wish){ALL, .is_v6 = ALL},
          SESSION_V6 "c=IN IP6 2001:db8::53\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"
                     "a=rtcp:20001 IN IP6 2001:db8::53\r\n");
    check(SESSION "c=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", (struct wish){ALL},
          SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n");
}

static void who_began_it_is_of_the_family_that_is_left(void **state)
{
    static const char media[] =
        "s=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    static const char moved[] = "s=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n"
                                "m=audio 20000 RTP/AVP 0\r\n";
    static const char *const rows[][2] = {
        {"carol 28 29 IN IP6 2001:db8::1", "carol 28 29 IN IP4 203.0.113.1"},
        {"carol 28 29  IN ip6 phone.example ", "carol 28 29  IN IP4 203.0.113.1 "},
        {"carol 28 29 IN IP4 192.0.2.1", "carol 28 29 IN IP4 192.0.2.1"},
        {"carol 28 29 IN IP6", "carol 28 29 IN IP6"},
        {"carol 28 29 IN IP7 x", "carol 28 29 IN IP7 x"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char text[512], wanted[512];
        snprintf(text, sizeof text, "v=0\r\no=%s\r\n%s", rows[i][0], media);
        snprintf(wanted, sizeof wanted, "v=0\r\no=%s\r\n%s", rows[i][1], moved);
        check(text, (struct wish){ALL}, wanted);
        check(text, (struct wish){0}, text);
    }
}

static void an_address_above_stays_where_a_medium_still_uses_it(void **state)
{
    (void)state;
    check(HEAD "m=message 2855 TCP/MSRP *\r\na=path:msrp://192.0.2.1:2855/a;tcp\r\n"
               "m=audio 4000 RTP/AVP 0\r\ni=voice\r\nb=AS:64\r\n",
          (struct wish){ALL},
          HEAD "m=message 2855 TCP/MSRP *\r\na=path:msrp://192.0.2.1:2855/a;tcp\r\n"
               "m=audio 20010 RTP/AVP 0\r\ni=voice\r\nc=IN IP4 203.0.113.1\r\nb=AS:64\r\n");
    check(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\n",
          (struct wish){ALL, .is_v6 = 2},
          HEAD "m=audio 20000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\n"
               "m=video 20010 RTP/AVP 31\r\nc=IN IP6 2001:db8::53\r\n");
    check(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\n", (struct wish){.moved = 2},
          HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 20010 RTP/AVP 31\r\nc=IN IP4 203.0.113.1\r\n");
}

static void a_refused_medium_stays_refused(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n", (struct wish){ALL},
          SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"
                  "m=video 0 RTP/AVP 31\r\n");
}

static void hold_by_nobodys_address_stays_hold(void **state)
{
    const char *held = SESSION "c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

    (void)state;
    check(held, (struct wish){ALL}, held);
    check(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\nc=IN IP4 0.0.0.0\r\n",
          (struct wish){ALL},
          SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"
                  "m=video 4002 RTP/AVP 31\r\nc=IN IP4 0.0.0.0\r\n");
}

static void rtcp_moves_with_its_medium(void **state)
{
    static const char *const pairs[][2] = {
        {"a=rtcp:4001\r\n", "a=rtcp:20001\r\n"},
        {"a=rtcp:9 IN IP4 0.0.0.0\r\n", "a=rtcp:20001 IN IP4 203.0.113.1\r\n"},
        {"a=rtcp:4000\r\na=rtcp-mux\r\n", "a=rtcp:20000\r\na=rtcp-mux\r\n"},
        {"a=rtcp:0\r\n", "a=rtcp:0\r\n"},
        {"a=RTCP: 4001 \r\n", "a=RTCP:20001\r\n"},
        {"a=rtcp-fb:* nack\r\na=rtcp-xr:stat-summary\r\n",
         "a=rtcp-fb:* nack\r\na=rtcp-xr:stat-summary\r\n"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        char before[256], after[256];
        struct writer w = writer_over(before, sizeof before - 1);
        struct writer v = writer_over(after, sizeof after - 1);
        write_slice(&w, S(HEAD "m=audio 4000 RTP/AVP 0\r\n"));
        write_slice(&w, slice_text(pairs[i][0]));
        write_slice(&v, S(SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"));
        write_slice(&v, slice_text(pairs[i][1]));
        before[w.len] = after[v.len] = 0;
        check(before, (struct wish){ALL}, after);
    }
}

#define ICE "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
#define HOST "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\r\n"
#define HOST_RTCP "a=candidate:1 2 UDP 2130706430 192.0.2.1 4001 typ host\r\n"
#define LOW "a=candidate:2 1 UDP 3 198.51.100.1 4000 typ relay raddr 192.0.2.1 rport 4000\r\n"
#define OURS(priority, component, port)                                                            \
    "a=candidate:sipw " component " UDP " priority " 203.0.113.1 " port                            \
    " typ relay raddr 0.0.0.0 rport 9\r\n"
#define MOVED SESSION "c=IN IP4 203.0.113.1\r\nt=0 0\r\n"

static void candidates_stay_and_the_place_is_tried_last(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\r\n" ICE HOST HOST_RTCP "a=end-of-candidates\r\n",
          (struct wish){ALL},
          MOVED "m=audio 20000 RTP/AVP 0\r\n" ICE HOST HOST_RTCP OURS("255", "1", "20000")
              OURS("254", "2", "20001") "a=end-of-candidates\r\n");
    check(HEAD "m=audio 4000 RTP/AVP 0\r\n" ICE HOST LOW "a=sendrecv\r\n", (struct wish){ALL},
          MOVED
          "m=audio 20000 RTP/AVP 0\r\n" ICE HOST LOW OURS("2", "1", "20000") "a=sendrecv\r\n");
    check(HEAD "m=audio 4000 RTP/AVP 0\r\n" ICE
               "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host",
          (struct wish){ALL},
          MOVED "m=audio 20000 RTP/AVP 0\r\n" ICE HOST
                "a=candidate:sipw 1 UDP 255 203.0.113.1 20000 typ relay raddr 0.0.0.0 rport 9");
}

static void an_ipv6_place_is_a_candidate_of_its_family(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\n" HOST, (struct wish){ALL, .is_v6 = ALL},
          SESSION_V6
          "c=IN IP6 2001:db8::53\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\n" HOST
          "a=candidate:sipw 1 UDP 255 2001:db8::53 20000 typ relay raddr :: rport 9\r\n");
}

static void the_place_can_be_the_only_candidate(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\r\n" HOST ICE LOW "a=remote-candidates:1 192.0.2.9 5000\r\n"
               "a=sendrecv\r\n",
          (struct wish){ALL, .ice = SDP_ICE_REPLACED},
          MOVED "m=audio 20000 RTP/AVP 0\r\n" ICE OURS("2", "1", "20000") "a=sendrecv\r\n");
    check(HEAD "m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\na=candidate:1 1 UDP 9 192.0.2.1 1 typ host",
          (struct wish){ALL, .ice = SDP_ICE_REPLACED},
          MOVED "m=audio 20000 RTP/AVP 0\r\na=sendrecv\r\n"
                "a=candidate:sipw 1 UDP 8 203.0.113.1 20000 typ relay raddr 0.0.0.0 rport 9");
}

static void what_the_other_is_said_to_be_reached_by_goes(void **state)
{
    (void)state;
    check(HEAD "m=audio 4000 RTP/AVP 0\r\na=remote-candidates:1 192.0.2.9 5000\r\n" HOST,
          (struct wish){ALL}, MOVED "m=audio 20000 RTP/AVP 0\r\n" HOST OURS("255", "1", "20000"));
}

static void ice_goes_without_a_trace(void **state)
{
    (void)state;
    check(SESSION "c=IN IP4 192.0.2.1\r\nt=0 0\r\n" ICE "a=ice-lite\r\na=ice-options:trickle\r\n"
                  "m=audio 4000 RTP/AVP 0\r\n" ICE HOST "a=ice-mismatch\r\na=ice-pacing:50\r\n"
                  "a=end-of-candidates\r\na=sendrecv\r\n",
          (struct wish){ALL, .ice = SDP_ICE_STRIPPED},
          MOVED "m=audio 20000 RTP/AVP 0\r\na=sendrecv\r\n");
    check(HEAD ICE "m=audio 4000 RTP/AVP 0\r\n" HOST "m=audio 4002 RTP/AVP 0\r\n" HOST,
          (struct wish){.moved = 1, .ice = SDP_ICE_STRIPPED},
          HEAD ICE "m=audio 20000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\n"
                   "m=audio 4002 RTP/AVP 0\r\n" HOST);
    check(HEAD ICE "m=audio 0 RTP/AVP 0\r\n", (struct wish){ALL, .ice = SDP_ICE_STRIPPED},
          HEAD ICE "m=audio 0 RTP/AVP 0\r\n");
}

static void bare_line_feeds_stay_bare(void **state)
{
    (void)state;
    check("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\nm=x 1 TCP/MSRP *\n",
          (struct wish){.moved = 1},
          "v=0\nc=IN IP4 192.0.2.1\nm=audio 20000 RTP/AVP 0\nc=IN IP4 203.0.113.1\n"
          "m=x 1 TCP/MSRP *\n");
    check("v=0\nc=IN IP4 192.0.2.1\nm=x 1 TCP/MSRP *\nm=audio 4000 RTP/AVP 0",
          (struct wish){.moved = 2},
          "v=0\nc=IN IP4 192.0.2.1\nm=x 1 TCP/MSRP *\nm=audio 20010 RTP/AVP 0\r\n"
          "c=IN IP4 203.0.113.1");
}

static void a_bundle_that_shares_a_port_shares_the_place(void **state)
{
    (void)state;
    check(HEAD "a=group:BUNDLE 0 1\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
               "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=bundle-only\r\n",
          (struct wish){ALL},
          MOVED "a=group:BUNDLE 0 1\r\nm=audio 20000 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
                "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=bundle-only\r\n");
}

/* The lines of a description but for those that speak of places and ICE. */
static struct slice other_lines(struct slice text, char *at, size_t size)
{
    static const char *const of_places[] = {"m=", "c=", "a=rtcp:", "a=candidate",
                                            "a=remote-candidates"};
    struct writer w = writer_over(at, size);

    while (text.len) {
        size_t end = slice_find(text, '\n');
        struct slice line = slice_until(text, end + (end < text.len));
        bool is_other = true;
        for (unsigned i = 0; i < COUNT_OF(of_places); i++)
            is_other &= !slice_starts(line, slice_text(of_places[i]));
        if (is_other)
            write_slice(&w, line);
        text = slice_from(text, line.len);
    }
    return writer_slice(&w);
}

/* By what family who began it is named. */
static bool began_by_v6(const char *text)
{
    return strncmp(strstr(strstr(text, "\no="), " IN IP"), " IN IP6", 7) == 0;
}

static void the_descriptions_of_real_phones_keep_all_else(void **state)
{
    static char before[SDP_BYTES], after[SDP_BYTES];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(samples); i++) {
        bool is_v6 = began_by_v6(samples[i].text);
        struct sdp sdp, again;
        struct slice text;
        assert_int_equal(sdp_parse(slice_text(samples[i].text), &sdp).fault, SDP_FINE);
        text = rewritten(&sdp, (struct wish){ALL, .is_v6 = is_v6 ? ALL : 0});
        assert_int_equal(sdp_parse(text, &again).fault, SDP_FINE);
        assert_true(slice_equal(other_lines(sdp.bytes, before, sizeof before),
                                other_lines(text, after, sizeof after)));
        for (unsigned m = 0; m < sdp.media_count; m++) {
            bool is_moved = sdp_is_movable(&sdp, m);
            struct address_bytes place;
            host_numeric(is_v6 ? S("2001:db8::53") : S("203.0.113.1"), &place);
            assert_int_equal(again.media[m].port, is_moved ? 20000 + 10 * m : sdp.media[m].port);
            if (is_moved)
                assert_true(address_equal(&sdp_connection(&again, m)->address, &place));
        }
    }
}

static void check_raised(const char *text, const char *wanted)
{
    char at[SDP_BYTES + SDP_GROWTH];
    struct writer w = writer_over(at, sizeof at);
    struct sdp_place places[SDP_MEDIA] = {{.is_other = true, .port = 20000}};
    struct sdp sdp;

    assert_int_equal(sdp_parse(slice_text(text), &sdp).fault, SDP_FINE);
    host_numeric(S("203.0.113.1"), &places[0].address);
    sdp_rewrite_raised(&w, &sdp, places, SDP_ICE_KEPT);
    assert_slice(writer_slice(&w), wanted);
}

#define REST_BEFORE "s=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define REST_THEN "s=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"

static void the_version_may_be_one_higher(void **state)
{
    static const char *const origins[][2] = {
        {"o=- 7 1 IN IP4 192.0.2.1", "o=- 7 2 IN IP4 192.0.2.1"},
        {"o=- 7 1999 IN IP4 name", "o=- 7 2000 IN IP4 name"},
        {"o=- 7 1 IN IP6 2001:db8::1", "o=- 7 2 IN IP4 203.0.113.1"},
        {"o=- 7 18446744073709551614 IN IP4 x", "o=- 7 18446744073709551615 IN IP4 x"},
        {"o=- 7 18446744073709551615 IN IP4 x", "o=- 7 18446744073709551615 IN IP4 x"},
        {"o=- 7 1.5 IN IP4 x", "o=- 7 1.5 IN IP4 x"},
    };
    char text[512], wanted[512];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(origins); i++) {
        snprintf(text, sizeof text, "v=0\r\n%s\r\n" REST_BEFORE, origins[i][0]);
        snprintf(wanted, sizeof wanted, "v=0\r\n%s\r\n" REST_THEN, origins[i][1]);
        check_raised(text, wanted);
    }
}

static void what_does_not_fit_is_told(void **state)
{
    char at[40];
    struct writer w = writer_over(at, sizeof at);
    struct sdp_place places[SDP_MEDIA] = {{.is_other = true, .port = 20000}};
    struct sdp sdp;

    (void)state;
    assert_int_equal(sdp_parse(S(HEAD "m=audio 4000 RTP/AVP 0\r\n"), &sdp).fault, SDP_FINE);
    sdp_rewrite(&w, &sdp, places, SDP_ICE_KEPT);
    assert_true(w.failed);
}

int main(void)
{
    RUN(cmocka_unit_test(an_address_and_a_port_are_replaced),
        cmocka_unit_test(without_places_not_a_byte_changes),
        cmocka_unit_test(each_medium_has_a_place_of_its_own), cmocka_unit_test(families_change),
        cmocka_unit_test(who_began_it_is_of_the_family_that_is_left),
        cmocka_unit_test(an_address_above_stays_where_a_medium_still_uses_it),
        cmocka_unit_test(a_refused_medium_stays_refused),
        cmocka_unit_test(hold_by_nobodys_address_stays_hold),
        cmocka_unit_test(rtcp_moves_with_its_medium),
        cmocka_unit_test(candidates_stay_and_the_place_is_tried_last),
        cmocka_unit_test(an_ipv6_place_is_a_candidate_of_its_family),
        cmocka_unit_test(the_place_can_be_the_only_candidate),
        cmocka_unit_test(what_the_other_is_said_to_be_reached_by_goes),
        cmocka_unit_test(ice_goes_without_a_trace), cmocka_unit_test(bare_line_feeds_stay_bare),
        cmocka_unit_test(a_bundle_that_shares_a_port_shares_the_place),
        cmocka_unit_test(the_descriptions_of_real_phones_keep_all_else),
        cmocka_unit_test(the_version_may_be_one_higher),
        cmocka_unit_test(what_does_not_fit_is_told));
}
