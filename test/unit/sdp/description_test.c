#include "sdp/description.h"

#include "samples.h"
#include "unit.h"

#define SESSION "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
#define ABOVE "c=IN IP4 192.0.2.1\r\n"
#define HEAD SESSION ABOVE "t=0 0\r\n"

static struct sdp parsed(const char *text)
{
    struct sdp sdp;
    struct sdp_verdict verdict = sdp_parse(slice_text(text), &sdp);

    if (verdict.fault)
        fail_msg("%s in line %u of %s", sdp_fault_text(verdict.fault).at, verdict.line, text);
    return sdp;
}

static void check_address(const struct sdp_connection *c, const char *wanted)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    write_address(&w, &c->address);
    assert_slice(writer_slice(&w), wanted);
}

static void a_medium_falls_into_its_parts(void **state)
{
    struct sdp sdp = parsed(HEAD "m=audio 49170/2 RTP/AVP 0 8\r\nc=IN IP6 2001:db8::1\r\n"
                                 "a=rtcp:53020 IN IP4 192.0.2.9\r\na=rtcp-mux\r\na=mid:a1\r\n"
                                 "a=sendonly\r\n");
    const struct sdp_media *media = &sdp.media[0];

    (void)state;
    assert_int_equal(sdp.media_count, 1);
    assert_slice(sdp_span(&sdp, media->type), "audio");
    assert_slice(sdp_span(&sdp, media->port_text), "49170");
    assert_slice(sdp_span(&sdp, media->protocol), "RTP/AVP");
    assert_slice(sdp_span(&sdp, media->mid), "a1");
    assert_slice(sdp_span(&sdp, media->connection.text), "IP6 2001:db8::1");
    assert_slice(sdp_span(&sdp, media->rtcp.value), "53020 IN IP4 192.0.2.9");
    assert_int_equal(media->port, 49170);
    assert_int_equal(media->port_count, 2);
    assert_int_equal(media->carrier, SDP_RTP);
    assert_int_equal(media->direction, SDP_SENDONLY);
    assert_true(media->has_rtcp_mux);
    assert_int_equal(sdp_rtcp_port(media), 53020);
    check_address(&media->rtcp.connection, "192.0.2.9");
    check_address(sdp_connection(&sdp, 0), "2001:db8::1");
}

static void clocks_are_known_by_payload_type(void **state)
{
    struct sdp sdp = parsed(HEAD "a=rtpmap:99 X/1\r\n"
                                 "m=audio 4000 RTP/AVP 96 0 97 101 63\r\n"
                                 "a=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n"
                                 "a=rtpmap:97 speex/16000\r\na=rtpmap:63 red/48000/2\r\n"
                                 "a=rtpmap:102\r\na=rtpmap:x y/8000\r\na=rtpmap:300 y/8000\r\n"
                                 "a=rtpmap:101 Telephone-Event/8000\r\n"
                                 "m=video 4002 RTP/AVP 96 97 98 99 100\r\n"
                                 "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n"
                                 "a=rtpmap:98 VP9/90000\r\na=rtpmap:99 rtx/90000\r\n"
                                 "a=rtpmap:100 H264/90000\r\n"
                                 "m=audio 4004 RTP/AVP 96 97\r\n"
                                 "a=rtpmap:96 none\r\na=rtpmap:97 L16/x\r\n");
    const struct sdp_clocks *sound = &sdp.media[0].clocks, *picture = &sdp.media[1].clocks;

    (void)state;
    assert_int_equal(sound->count, 3);
    assert_true(sound->are_different);
    assert_int_equal(sound->at[0].payload, 96);
    assert_int_equal(sound->at[0].rate, 48000);
    assert_int_equal(sound->at[1].payload, 97);
    assert_int_equal(sound->at[1].rate, 16000);
    assert_int_equal(sound->at[2].payload, 63);
    assert_int_equal(picture->count, SDP_CLOCKS);
    assert_false(picture->are_different);
    assert_int_equal(picture->at[3].rate, 90000);
    assert_int_equal(sdp.media[2].clocks.count, 0);
    assert_true(sdp.media[2].clocks.are_different);
}

static void an_address_of_the_medium_counts_before_the_sessions(void **state)
{
    struct sdp sdp = parsed(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\n"
                                 "c=IN IP4 198.51.100.2\r\n");

    (void)state;
    check_address(sdp_connection(&sdp, 0), "192.0.2.1");
    check_address(sdp_connection(&sdp, 1), "198.51.100.2");
}

static void rtcp_goes_where_it_is_said_else_to_the_next_port(void **state)
{
    struct sdp sdp = parsed(HEAD "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\na=rtcp:9\r\n"
                                 "m=image 4004 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n");

    (void)state;
    assert_int_equal(sdp_rtcp_port(&sdp.media[0]), 4001);
    assert_int_equal(sdp_rtcp_port(&sdp.media[1]), 9);
    assert_int_equal(sdp_rtcp_port(&sdp.media[2]), 0);
    assert_int_equal(sdp_rtcp_port(&sdp.media[3]), 0);
}

static void the_carrier_follows_from_the_protocol(void **state)
{
    static const struct {
        const char *protocol;
        enum sdp_carrier carrier;
    } rows[] = {
        {"RTP/AVP", SDP_RTP},           {"rtp/avp", SDP_RTP},       {"RTP/SAVPF", SDP_RTP},
        {"UDP/TLS/RTP/SAVPF", SDP_RTP}, {"udptl", SDP_UDP},         {"UDPTL", SDP_UDP},
        {"UDP/TLS/UDPTL", SDP_UDP},     {"UDP/BFCP", SDP_UDP},      {"UDP/DTLS/SCTP", SDP_UDP},
        {"DTLS/SCTP", SDP_UDP},         {"udp", SDP_UDP},           {"TCP/MSRP", SDP_OTHER},
        {"TCP/TLS/BFCP", SDP_OTHER},    {"TCP/RTP/AVP", SDP_OTHER}, {"TCP/DTLS/SCTP", SDP_OTHER},
        {"carrier-pigeon", SDP_OTHER},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        struct writer w = writer_over(text, sizeof text - 1);
        write_slice(&w, S(HEAD "m=x 4000 "));
        write_slice(&w, slice_text(rows[i].protocol));
        write_slice(&w, S(" 0\r\n"));
        text[w.len] = 0;
        assert_int_equal(parsed(text).media[0].carrier, rows[i].carrier);
    }
}

static void directions_of_the_session_hold_where_a_medium_has_none(void **state)
{
    struct sdp sdp = parsed(HEAD "a=inactive\r\nm=audio 4000 RTP/AVP 0\r\n"
                                 "m=video 4002 RTP/AVP 31\r\na=recvonly\r\n");

    (void)state;
    assert_int_equal(sdp.media[0].direction, SDP_INACTIVE);
    assert_int_equal(sdp.media[1].direction, SDP_RECVONLY);
    sdp = parsed(HEAD "m=audio 4000 RTP/AVP 0\r\n");
    assert_int_equal(sdp.media[0].direction, SDP_SENDRECV);
}

static void nobodys_address_is_hold_unless_ice_will_find_one(void **state)
{
    struct sdp sdp = parsed(SESSION "c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
                                    "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\n"
                                    "m=audio 4000 RTP/AVP 0\r\nc=IN IP6 ::\r\n"
                                    "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n");

    (void)state;
    assert_true(sdp_is_held(&sdp, 0));
    assert_false(sdp_is_held(&sdp, 1));
    assert_true(sdp_is_held(&sdp, 2));
    assert_false(sdp_is_held(&sdp, 3));
    assert_false(sdp_is_movable(&sdp, 0));
    assert_true(sdp_is_relayable(&sdp, 0));
    assert_true(sdp_is_movable(&sdp, 1));
    assert_true(sdp_is_movable(&sdp, 3));
}

static void what_goes_to_many_by_tcp_or_nowhere_is_not_movable(void **state)
{
    struct sdp sdp =
        parsed(SESSION "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127/3\r\n"
                       "m=message 4000 TCP/MSRP *\r\nc=IN IP4 192.0.2.1\r\n"
                       "m=audio 0 RTP/AVP 0\r\n"
                       "m=audio 4000 RTP/AVP 0\r\nc=IN IP6 ff15::101/3\r\n"
                       "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 phone.example.com\r\n");

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(sdp_is_relayable(&sdp, i) || sdp_is_movable(&sdp, i));
    assert_true(sdp_is_movable(&sdp, 4));
    assert_true(sdp_connection(&sdp, 4)->is_name);
}

static void ice_needs_both_credentials_wherever_they_are(void **state)
{
    struct sdp sdp = parsed(HEAD "a=ice-pwd:0123456789012345678901\r\na=ice-lite\r\n"
                                 "m=audio 4000 RTP/AVP 0\r\na=ice-ufrag:abcd\r\n"
                                 "m=video 4002 RTP/AVP 31\r\n");

    (void)state;
    assert_true(sdp.media[0].has_ice);
    assert_false(sdp.media[1].has_ice);
    assert_true(sdp.is_lite);
}

static void the_lowest_candidate_of_each_component_is_known(void **state)
{
    const char *text = HEAD
        "m=audio 4000 RTP/AVP 0\r\n"
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\r\n"
        "a=candidate:2 1 UDP 1694498815 198.51.100.1 4000 typ srflx raddr 192.0.2.1 rport 4000\r\n"
        "a=candidate:1 2 UDP 2130706430 192.0.2.1 4001 typ host\r\n"
        "a=candidate:x 3 UDP 7 192.0.2.1 4001 typ host\r\n"
        "a=candidate:broken\r\na=end-of-candidates\r\n";
    struct sdp sdp = parsed(text);
    const struct sdp_candidates *known = &sdp.media[0].candidates;

    (void)state;
    assert_int_equal(known->count, 4);
    assert_int_equal(known->lowest[0], 1694498815);
    assert_int_equal(known->lowest[1], 2130706430);
    assert_true(slice_starts(slice_from(sdp.bytes, known->end), S("a=candidate:broken")));
}

static void members_of_a_bundle_follow_the_first_that_has_their_port(void **state)
{
    struct sdp sdp = parsed(HEAD "a=group:LS a b\r\na=group:BUNDLE a b c\r\na=group:BUNDLE d e\r\n"
                                 "m=audio 4000 RTP/AVP 0\r\na=mid:a\r\n"
                                 "m=video 4000 RTP/AVP 31\r\na=mid:b\r\n"
                                 "m=video 0 RTP/AVP 31\r\na=mid:c\r\na=bundle-only\r\n"
                                 "m=audio 4000 RTP/AVP 0\r\na=mid:d\r\n"
                                 "m=audio 4002 RTP/AVP 0\r\na=mid:e\r\n"
                                 "m=audio 4000 RTP/AVP 0\r\n"
                                 "m=audio 0 RTP/AVP 0\r\na=mid:b\r\n");
    static const unsigned leaders[] = {0, 0, 0, 3, 4, 5, 6}, bundles[] = {1, 1, 1, 2, 2, 0, 1};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(leaders); i++) {
        assert_int_equal(sdp.media[i].leader, leaders[i]);
        assert_int_equal(sdp.media[i].bundle, bundles[i]);
    }
    assert_true(sdp.media[2].is_bundle_only);
}

static void what_any_phone_reads_is_read(void **state)
{
    static const char *const texts[] = {
        "v=0",
        "v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1",
        HEAD "m=audio 4000 RTP/AVP 0\r\n\r\n",
        HEAD "m=audio 4000 RTP/AVP 0 \r\n",
        HEAD "m=audio  4000  RTP/AVP\r\n",
        HEAD "m=audio 0 RTP/AVP 0\r\nx=\r\nz=1\r\na=\r\na=rtcp-fb:* nack\r\n",
        "v=0\r\nm=audio 0 RTP/AVP 0\r\n",
        "v=0\r\nm=message 4000 TCP/MSRP *\r\n",
        HEAD "a=rtcp:nonsense\r\na=candidate:1 1 UDP 1 192.0.2.1 1 typ host\r\n",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(texts); i++)
        parsed(texts[i]);
}

static void what_is_malformed_gets_its_verdict(void **state)
{
    static const struct {
        struct slice text;
        enum sdp_fault fault;
        unsigned line;
    } rows[] = {
        {S(""), SDP_NO_VERSION, 1},
        {S("\r\n"), SDP_NO_VERSION, 1},
        {S("v=1\r\n"), SDP_NO_VERSION, 1},
        {S("o=- 1 1 IN IP4 192.0.2.1\r\n"), SDP_NO_VERSION, 1},
        {S("v=0\r\ngarbage\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\r\nm\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\r\nA=x\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\r\n s=x\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\r\n\r\ns=-\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\r\ns=a\rb\r\n"), SDP_BAD_LINE, 2},
        {S("v=0\rs=-\r"), SDP_BAD_LINE, 1},
        {S("v=0\r\ns=a\0b\r\n"), SDP_BAD_LINE, 2},
        {S(HEAD "c=IN IP4 192.0.2.2\r\n"), SDP_TWO_CONNECTIONS, 6},
        {S(HEAD "m=a 1 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\nc=IN IP4 192.0.2.3\r\n"),
         SDP_TWO_CONNECTIONS, 8},
        {S("v=0\r\nc=\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4 \r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4 192.0.2\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4 192.0.2.256\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4 2001:db8::1\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP6 192.0.2.1\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP6 [2001:db8::1]\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP5 192.0.2.1\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=TN RFC2543 +1\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nc=IN IP4 a\"b\r\n"), SDP_BAD_CONNECTION, 2},
        {S("v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), SDP_NO_CONNECTION, 0},
        {S(HEAD "m=audio\r\n"), SDP_BAD_MEDIA, 6},
        {S(HEAD "m=audio 4000\r\n"), SDP_BAD_MEDIA, 6},
        {S(HEAD "m=audio RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio 65536 RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio -1 RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio 4000/ RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio 4000/0 RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio 65535/2 RTP/AVP 0\r\n"), SDP_BAD_PORT, 6},
        {S(HEAD "m=audio 4000/5 RTP/AVP 0\r\n"), SDP_TOO_MANY_PORTS, 6},
        {S(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:\r\n"), SDP_BAD_RTCP, 7},
        {S(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp\r\n"), SDP_BAD_RTCP, 7},
        {S(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:70000\r\n"), SDP_BAD_RTCP, 7},
        {S(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:5 IN IP4\r\n"), SDP_BAD_RTCP, 7},
        {S(HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:5\r\na=rtcp:6\r\n"), SDP_BAD_RTCP, 8},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct sdp sdp;
        struct sdp_verdict verdict = sdp_parse(rows[i].text, &sdp);
        if (verdict.fault != rows[i].fault || verdict.line != rows[i].line)
            fail_msg("%s in line %u of: %s", sdp_fault_text(verdict.fault).at, verdict.line,
                     rows[i].text.at);
    }
}

/* `count` times a line behind HEAD. */
static struct sdp_verdict verdict_of_many(struct slice line, unsigned count)
{
    static char text[1 << 17];
    struct writer w = writer_over(text, sizeof text);
    struct sdp sdp;

    write_slice(&w, S(HEAD));
    for (unsigned i = 0; i < count; i++)
        write_slice(&w, line);
    return sdp_parse(writer_slice(&w), &sdp);
}

static void everything_has_a_limit(void **state)
{
    const struct slice media = S("m=audio 4000 RTP/AVP 0\r\n"), group = S("a=group:BUNDLE a b\r\n");

    (void)state;
    assert_int_equal(verdict_of_many(media, SDP_MEDIA).fault, SDP_FINE);
    assert_int_equal(verdict_of_many(media, SDP_MEDIA + 1).fault, SDP_TOO_MANY_MEDIA);
    assert_int_equal(verdict_of_many(group, SDP_BUNDLES).fault, SDP_FINE);
    assert_int_equal(verdict_of_many(group, SDP_BUNDLES + 1).fault, SDP_TOO_MANY_BUNDLES);
    assert_int_equal(verdict_of_many(S("a=0123456789abcd\r\n"), 3000).fault, SDP_FINE);
    assert_int_equal(verdict_of_many(S("a=0123456789abcd\r\n"), 4000).fault, SDP_TOO_LONG);
}

static void every_fault_has_its_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SDP_FAULT_COUNT; i++)
        assert_true(sdp_fault_text((enum sdp_fault)i).len > 0);
}

/* What each of the samples says, in short: type, port, carrier, whether there is ICE, leader. */
static void the_descriptions_of_real_phones_are_understood(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(samples); i++) {
        struct sdp sdp = parsed(samples[i].text);
        char at[512];
        struct writer w = writer_over(at, sizeof at);
        for (unsigned m = 0; m < sdp.media_count; m++) {
            const struct sdp_media *media = &sdp.media[m];
            write_slice(&w, m ? S(", ") : S(""));
            write_slice(&w, sdp_span(&sdp, media->type));
            write_char(&w, ' ');
            write_number(&w, media->port);
            write_slice(&w, media->carrier == SDP_RTP   ? S(" rtp")
                            : media->carrier == SDP_UDP ? S(" udp")
                                                        : S(" other"));
            write_slice(&w, media->has_ice ? S(" ice") : S(""));
            write_slice(&w, media->has_rtcp_mux ? S(" mux") : S(""));
            write_slice(&w, media->leader != m ? S(" led") : S(""));
        }
        assert_slice(writer_slice(&w), samples[i].says);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_medium_falls_into_its_parts),
        cmocka_unit_test(clocks_are_known_by_payload_type),
        cmocka_unit_test(an_address_of_the_medium_counts_before_the_sessions),
        cmocka_unit_test(rtcp_goes_where_it_is_said_else_to_the_next_port),
        cmocka_unit_test(the_carrier_follows_from_the_protocol),
        cmocka_unit_test(directions_of_the_session_hold_where_a_medium_has_none),
        cmocka_unit_test(nobodys_address_is_hold_unless_ice_will_find_one),
        cmocka_unit_test(what_goes_to_many_by_tcp_or_nowhere_is_not_movable),
        cmocka_unit_test(ice_needs_both_credentials_wherever_they_are),
        cmocka_unit_test(the_lowest_candidate_of_each_component_is_known),
        cmocka_unit_test(members_of_a_bundle_follow_the_first_that_has_their_port),
        cmocka_unit_test(what_any_phone_reads_is_read),
        cmocka_unit_test(what_is_malformed_gets_its_verdict),
        cmocka_unit_test(everything_has_a_limit), cmocka_unit_test(every_fault_has_its_words),
        cmocka_unit_test(the_descriptions_of_real_phones_are_understood));
}
