/* Calls that go through a relay: what is told to whom, which legs there are, and when they go. */
#include "relayed.h"

#include "core/record.h"
#include "sip/body.h"

#include <stdio.h>
#include <stdlib.h>

static struct world w;
static struct relay_table table;

#define BOB_IN "<sip:bob@example.com>;tag=h2"
#define BOB_AT "sip:h2@198.51.100.2:5060"

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    memset(&table, 0, sizeof table);
    w.settings.media.mode = MEDIA_ALWAYS;
    w.settings.media.has[0] = true;
    w.settings.media.own[0] = (struct address_bytes){false, {192, 0, 2, 1}};
    world_relay(&w, &table);
    talk_phone(&w, 2, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    relayed_end(&w, &table);
    return 0;
}

/* What a phone at 198.51.100.host says of its media. */
static const char *describe(unsigned host, unsigned port, const char *more)
{
    static char texts[4][1024];
    static unsigned next;
    char *text = texts[next++ % 4];

    snprintf(text, sizeof texts[0],
             "v=0\no=- 1 1 IN IP4 198.51.100.%u\ns=-\nc=IN IP4 198.51.100.%u\nt=0 0\n"
             "m=audio %u RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\n%s",
             host, host, port, more);
    return text;
}

/* The latest message to a host in this step that has a description. */
static bool description_to(unsigned host, struct sdp *sdp)
{
    for (unsigned i = world_sent_count(&w); i-- > 0;) {
        static struct message m;
        struct slice text;
        if (world_sent_to(&w, i).address[3] != host)
            continue;
        assert_false(message_parse(world_sent(&w, i), &m).status);
        assert_int_equal(m.bytes.len, world_sent(&w, i).len); /* Content-Length is right */
        if (body_find_sdp(&m, &text) != BODY_SDP)
            continue;
        assert_int_equal(sdp_parse(text, sdp).fault, SDP_FINE);
        return true;
    }
    return false;
}

/* The port of the relay that a host was told for an m-line; 0 if it was told another's. */
static unsigned told_of(unsigned host, unsigned line)
{
    struct sdp sdp;

    if (!description_to(host, &sdp))
        fail_msg("%u was told nothing", host);
    assert_true(line < sdp.media_count);
    return sdp_connection(&sdp, line)->address.at[0] == 192 ? sdp.media[line].port : 0;
}

static unsigned told(unsigned host)
{
    return told_of(host, 0);
}

static struct leg_place place(unsigned a, unsigned b, unsigned c, unsigned d, unsigned port)
{
    return (struct leg_place){
        .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)a, (uint8_t)b, (uint8_t)c,
                    (uint8_t)d},
        .port = {(uint8_t)(port >> 8), (uint8_t)port},
    };
}

/* A packet from a phone to the relay arrives there, or, with 0, nowhere. */
static void expect_packet(unsigned from, unsigned from_port, unsigned relay_port, unsigned to,
                          unsigned to_port)
{
    struct leg_place source = place(198, 51, 100, from, from_port);
    struct leg_place key = place(192, 0, 2, 1, relay_port);
    struct leg_place target = place(198, 51, 100, to, to_port);
    struct table_packet packet = table_receive(&table, &source, &key);

    assert_int_equal(packet.has_left, to != 0);
    if (to)
        assert_memory_equal(&packet.to, &target, sizeof target);
}

struct ports_told {
    unsigned caller, callee;
};

/* carol calls bob, who answers. */
static struct ports_told call(void)
{
    struct ports_told ports;

    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ports.callee = told(2);
    ANSWER(&w, .host = 2, .status = 180);
    assert_int_equal(table.count, 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    ports.caller = told(9);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    return ports;
}

static void carol_asks(const char *method, unsigned cseq, const char *body)
{
    SAY(&w, .host = 9, .method = method, .uri = BOB_AT, .to = BOB_IN, .cseq = cseq,
        .branch = cseq % 2 ? "odd" : "even", .more = talk_route(&w, 2), .body = body);
}

static void bye(void)
{
    carol_asks("BYE", 50, NULL);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
}

static void a_call_goes_through_the_relay_both_ways(void **state)
{
    struct ports_told ports;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ports.callee = told(2);
    assert_true(ports.callee >= 16384);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    ports.caller = told(9);
    assert_true(ports.caller >= 16384 && ports.caller != ports.callee);
    assert_int_equal(table.count, 4);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    expect_packet(2, 6000, ports.callee, 9, 4000); /* it is where her signalling comes from */
    bye();
    assert_int_equal(relayed_record(&w).media_path, MEDIA_RELAYED);
    assert_int_equal(relayed_record(&w).media, MEDIA_SWITCHED_ON);
}

/* A stranger's INVITE by UDP may bear anybody's address.  Who acknowledges the answer, by whatever
 * server of that domain, has read it. */
static void nothing_goes_to_a_caller_that_may_not_be_there(void **state)
{
    struct ports_told ports;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ports.callee = told(2);
    ANSWER(&w, .host = 2, .status = 183, .body = describe(2, 6000, ""));
    expect_packet(2, 6000, ports.callee, 0, 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    ports.caller = told(9);
    expect_packet(2, 6000, ports.callee, 0, 0);
    SAY(&w, .host = 66, .method = "ACK", .to = "<sip:bob@example.com>;tag=guess", .uri = BOB_AT,
        .branch = "far", .more = talk_route(&w, 2));
    expect_packet(2, 6000, ports.callee, 0, 0);
    world_restart(&w);
    world_relay(&w, &table);
    expect_packet(2, 6000, ports.callee, 0, 0);
    SAY(&w, .host = 8, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    expect_packet(2, 6000, ports.callee, 9, 4000);
    world_restart(&w);
    world_relay(&w, &table);
    expect_packet(2, 6000, ports.callee, 9, 4000);
    bye();
}

static void packets_reach_who_has_sent(void **state)
{
    struct ports_told ports = call();

    (void)state;
    expect_packet(9, 4000, ports.caller, 2, 6000);
    expect_packet(2, 6000, ports.callee, 9, 4000);
    expect_packet(9, 4001, ports.caller + 1, 2, 6001); /* RTCP */
    expect_packet(66, 4000, ports.caller, 0, 0);
    bye();
}

static void without_a_relay_all_passes_as_it_came(void **state)
{
    struct sdp sdp;

    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_RELAY});
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    assert_true(description_to(2, &sdp));
    assert_int_equal(sdp.media[0].port, 4000);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), 0);
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_NO_RELAY);
}

static void where_it_is_switched_off_nothing_is_read(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_NEVER;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    assert_int_equal(told(2), 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), 0);
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_SWITCHED_OFF);
}

static void who_can_reach_each_other_is_left_to_it(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_AUTO;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    assert_int_equal(told(2), 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(core_census(w.core).anchors, 0);
    bye();
    assert_int_equal(relayed_record(&w).media_path, MEDIA_DIRECT);
    assert_int_equal(relayed_record(&w).media, MEDIA_BOTH_PUBLIC);
}

static void a_phone_with_a_private_address_needs_it(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_AUTO;
    SAY(&w, .host = 9,
        .body = "v=0\no=- 1 1 IN IP4 x\ns=-\nc=IN IP4 10.0.0.7\nt=0 0\nm=audio 4000 RTP/AVP 0\n");
    assert_true(told(2));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    unsigned port = told(9);
    expect_packet(9, 31000, port, 2, 6000); /* as its NAT maps it */
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_OFFERER_HIDDEN);
}

#define ICE "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\n"

/* Both are behind NAT and speak ICE.  Once it has found a way, with us or without, there they stay;
 * what is not of that kind is led through the relay as before. */
static void where_ice_has_found_the_way_it_stays(void **state)
{
    static const char offer[] =
        "v=0\no=- 1 1 IN IP4 x\ns=-\nc=IN IP4 10.0.0.7\nt=0 0\n"
        "m=audio 4000 RTP/AVP 0\n" ICE "a=candidate:1 1 UDP 2113929471 10.0.0.7 4000 typ host\n";
    static const char found[] =
        "v=0\no=- 1 2 IN IP4 x\ns=-\nc=IN IP4 198.51.100.9\nt=0 0\n"
        "m=audio 4444 RTP/AVP 0\n" ICE "a=remote-candidates:1 198.51.100.2 6000\n";
    struct ports_told ports;
    struct sdp sdp;

    (void)state;
    w.settings.media.mode = MEDIA_AUTO;
    SAY(&w, .host = 9, .body = offer);
    ports.callee = told(2);
    assert_true(ports.callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ICE));
    ports.caller = told(9);
    assert_true(ports.caller);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    carol_asks("INVITE", 2, found);
    assert_true(description_to(2, &sdp));
    assert_int_equal(sdp.media[0].port, 4444);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6666, ICE));
    assert_true(description_to(9, &sdp));
    assert_int_equal(sdp.media[0].port, 6666);
    assert_int_equal(table.count, 4);
    carol_asks("UPDATE", 3, offer);
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(2, 6000, ICE));
    assert_int_equal(told(9), ports.caller);
    bye();
}

static void phones_that_fork_have_ports_of_their_own(void **state)
{
    unsigned first, second;

    (void)state;
    talk_phone(&w, 3, "");
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    first = told(2);
    second = told(3);
    assert_true(first && second && first != second);
    ANSWER(&w, .host = 2, .status = 183, .body = describe(2, 6000, ""));
    unsigned early = told(9);
    assert_int_equal(table.count, 4);
    expect_packet(9, 4000, early, 2, 6000);
    expect_packet(2, 6000, first, 9, 4000);
    ANSWER(&w, .host = 3, .status = 183, .body = describe(3, 7000, ""));
    unsigned other = told(9);
    assert_true(other != early);
    assert_int_equal(table.count, 8);
    ANSWER(&w, .host = 3, .status = 200, .body = describe(3, 7000, ""));
    assert_int_equal(told(9), other);
    ANSWER(&w, .host = 2, .status = 487);
    assert_int_equal(table.count, 4);
    expect_packet(9, 4000, other, 3, 7000);
    expect_packet(9, 4000, early, 0, 0);
    SAY(&w, .host = 9, .method = "BYE", .uri = "sip:h3@198.51.100.3:5060",
        .to = "<sip:bob@example.com>;tag=h3", .cseq = 50, .more = talk_route(&w, 3));
    ANSWER(&w, .host = 3, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
}

static void an_offer_may_come_in_the_answer(void **state)
{
    (void)state;
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    unsigned caller = told(9);
    assert_true(caller);
    assert_int_equal(table.count, 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, "")); /* the ACK was lost */
    assert_int_equal(told(9), caller);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2), .body = describe(9, 4000, ""));
    unsigned callee = told(2);
    assert_int_equal(table.count, 4);
    expect_packet(9, 4000, caller, 2, 6000);
    expect_packet(2, 6000, callee, 9, 4000);
    bye();
}

static void a_repeated_200_says_the_same(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    unsigned port = told(9);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), port);
    assert_int_equal(table.count, 4);
    bye();
}

static void hold_and_another_place_keep_the_ports(void **state)
{
    struct ports_told ports = call();

    (void)state;
    carol_asks("INVITE", 2, describe(9, 4000, "a=sendonly\n"));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, "a=recvonly\n"));
    assert_int_equal(told(9), ports.caller);
    carol_asks("UPDATE", 3, describe(9, 4500, ""));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), ports.caller);
    expect_packet(9, 4500, ports.caller, 2, 6000);
    expect_packet(2, 6000, ports.callee, 9, 4500);
    bye();
}

static void a_refused_offer_changes_nothing(void **state)
{
    struct ports_told ports = call();

    (void)state;
    expect_packet(9, 4000, ports.caller, 2, 6000);
    carol_asks("INVITE", 2, describe(9, 4700, "m=video 4800 RTP/AVP 96\n"));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .status = 488);
    assert_int_equal(core_census(w.core).relay_ports, 2);
    expect_packet(9, 4000, ports.caller, 2, 6000);
    carol_asks("INVITE", 3, describe(9, 4900, ""));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    expect_packet(9, 4900, ports.caller, 2, 6000);
    bye();
}

static void an_offer_that_nobody_answers_changes_nothing(void **state)
{
    struct ports_told ports = call();

    (void)state;
    carol_asks("UPDATE", 2, describe(9, 4700, ""));
    assert_int_equal(told(2), ports.callee);
    world_wait(&w, SECONDS(33)); /* and 408 goes to nobody (RFC 4320 4.2) */
    carol_asks("UPDATE", 3, describe(9, 4800, ""));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), ports.caller);
    expect_packet(9, 4800, ports.caller, 2, 6000);
    bye();
}

static void an_offer_in_a_reliable_response_is_answered_by_prack(void **state)
{
    (void)state;
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 183, .body = describe(2, 6000, ""),
           .more = "Require: 100rel\nRSeq: 1\n");
    unsigned caller = told(9);
    carol_asks("PRACK", 2, describe(9, 4000, ""));
    unsigned callee = told(2);
    assert_int_equal(table.count, 4);
    expect_packet(2, 6000, callee, 9, 4000);
    expect_packet(9, 4000, caller, 2, 6000);
    ANSWER(&w, .host = 2, .method = "PRACK", .status = 200);
    ANSWER(&w, .host = 2, .status = 200);
    assert_int_equal(table.count, 4);
    bye();
}

static void a_call_that_fails_leaves_nothing(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ANSWER(&w, .host = 2, .status = 183, .body = describe(2, 6000, ""));
    assert_int_equal(table.count, 4);
    ANSWER(&w, .host = 2, .status = 486);
    assert_int_equal(table.count, 0);
    assert_int_equal(core_census(w.core).anchors, 0);
    assert_int_equal(relayed_record(&w).media_path, MEDIA_RELAYED);
}

static void what_is_signed_or_coded_passes_as_it_is(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Content-Encoding: gzip\n", .body = describe(9, 4000, ""));
    assert_non_null(memmem(world_sent(&w, world_sent_count(&w) - 1).at,
                           world_sent(&w, world_sent_count(&w) - 1).len, "m=audio 4000", 12));
    ANSWER(&w, .host = 2, .status = 486);
    assert_int_equal(relayed_record(&w).media, MEDIA_UNREADABLE);
}

static void a_full_relay_refuses(void **state)
{
    (void)state;
    w.settings.media.user_calls = 1;
    call();
    SAY(&w, .host = 9, .call_id = "second", .branch = "second", .body = describe(9, 4100, ""));
    assert_sent(&w, "100>9 503>9");
    SAY(&w, .host = 9, .method = "ACK", .call_id = "second", .branch = "second");
    bye();
    SAY(&w, .host = 9, .call_id = "third", .branch = "third", .body = describe(9, 4100, ""));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .status = 486);
}

static void what_the_relay_cannot_hold_is_refused(void **state)
{
    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = 5});
    call();
    SAY(&w, .host = 9, .call_id = "second", .branch = "second", .body = describe(9, 4100, ""));
    assert_sent(&w, "100>9 503>9");
    SAY(&w, .host = 9, .method = "ACK", .call_id = "second", .branch = "second");
    bye();
    SAY(&w, .host = 9, .call_id = "third", .branch = "third", .body = describe(9, 4100, ""));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .status = 486);
}

static void a_restart_forgets_nobodys_limit(void **state)
{
    (void)state;
    w.settings.media.user_calls = 1;
    call();
    world_restart(&w);
    world_relay(&w, &table);
    SAY(&w, .host = 9, .call_id = "second", .branch = "second", .body = describe(9, 4100, ""));
    assert_sent(&w, "100>9 503>9");
    SAY(&w, .host = 9, .method = "ACK", .call_id = "second", .branch = "second");
    bye();
    SAY(&w, .host = 9, .call_id = "third", .branch = "third", .body = describe(9, 4100, ""));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .status = 486);
}

static void the_relay_is_told_after_the_journal(void **state)
{
    bool is_recorded = false;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    for (uint32_t i = 0; i < w.out.count; i++) {
        is_recorded |= w.out.at[i].kind == ACTION_PERSIST;
        if (w.out.at[i].kind == ACTION_LEG || w.out.at[i].kind == ACTION_SEND)
            assert_true(is_recorded);
    }
    bye();
}

/* ---- restarts */

static void a_restart_while_it_rings_offers_the_same(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    unsigned port = told(2);
    world_restart(&w);
    world_wait(&w, MS(10));
    assert_int_equal(told(2), port);
    world_relay(&w, &table);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    unsigned caller = told(9);
    expect_packet(9, 4000, caller, 2, 6000);
    bye();
}

static void a_restart_keeps_the_legs_of_a_call(void **state)
{
    struct ports_told ports = call();

    (void)state;
    expect_packet(9, 4000, ports.caller, 2, 6000);
    world_restart(&w);
    world_relay(&w, &table);
    assert_int_equal(table.count, 4);
    expect_packet(2, 6000, ports.callee, 9, 4000); /* locked as before */
    carol_asks("INVITE", 2, describe(9, 4000, "a=inactive\n"));
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, "a=inactive\n"));
    bye();
}

/* The journal ends behind the first record of this type after `count` of them. */
static void cut_journal(unsigned count, enum record_type type)
{
    while (count < w.record_count && (enum record_type)w.records[count].at[0] != type)
        count++;
    assert_true(count < w.record_count);
    for (unsigned i = count + 1; i < w.record_count; i++)
        free((void *)(uintptr_t)w.records[i].at);
    w.record_count = count + 1;
}

/* A crash between the request's record and that of its offer. */
static void a_restart_takes_an_offer_of_a_call_once_more(void **state)
{
    struct ports_told ports = call();
    unsigned recorded = w.record_count;

    (void)state;
    carol_asks("INVITE", 2, describe(9, 4100, ""));
    cut_journal(recorded, RECORD_INVITE);
    for (unsigned i = 0; i < 2; i++) { /* what it was told is in the journal now, too */
        world_restart(&w);
        world_relay(&w, &table);
        assert_int_equal(told(2), ports.callee);
    }
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), ports.caller);
    expect_packet(9, 4100, ports.caller, 2, 6000);
    expect_packet(2, 6000, ports.callee, 9, 4100);
    bye();
}

/* Its image is not kept, and its answer comes to nobody; who sent it sends it again, or gives up.
 */
static void a_restart_forgets_what_an_update_offered(void **state)
{
    struct ports_told ports = call();

    (void)state;
    carol_asks("UPDATE", 2, describe(9, 4100, ""));
    world_restart(&w);
    world_relay(&w, &table);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(2, 6000, ""));
    assert_sent(&w, "");
    carol_asks("UPDATE", 2, describe(9, 4100, ""));
    assert_int_equal(told(2), ports.callee);
    world_restart(&w);
    world_relay(&w, &table);
    carol_asks("UPDATE", 2, describe(9, 4100, "")); /* again, and this time to its end */
    assert_int_equal(told(2), ports.callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), ports.caller);
    expect_packet(9, 4100, ports.caller, 2, 6000);
    carol_asks("UPDATE", 3, describe(9, 4200, ""));
    world_restart(&w);
    world_relay(&w, &table);
    SAY(&w, .host = 2, .method = "INVITE", .uri = "sip:carol@198.51.100.9", .from = BOB_IN,
        .to = CAROL, .cseq = 100, .branch = "bobs", .more = talk_route(&w, 2),
        .body = describe(2, 6100, ""));
    assert_int_equal(told(9), ports.caller); /* the other end may offer */
    ANSWER(&w, .host = 9, .status = 200, .body = describe(9, 4200, ""));
    assert_int_equal(told(2), ports.callee);
    expect_packet(9, 4200, ports.caller, 2, 6100);
    bye();
}

/* bob's re-INVITE, whose image is kept, had crossed it. */
static void a_restart_forgets_what_crossed_another_offer(void **state)
{
    struct ports_told ports = call();

    (void)state;
    carol_asks("UPDATE", 2, describe(9, 4200, ""));
    for (unsigned i = 0; i < 2; i++) {
        SAY(&w, .host = 2, .method = "INVITE", .uri = "sip:carol@198.51.100.9", .from = BOB_IN,
            .to = CAROL, .cseq = 100 + i, .branch = i ? "again" : "bobs", .more = talk_route(&w, 2),
            .body = describe(2, 6100, ""));
        if (i)
            break;
        world_restart(&w);
        world_relay(&w, &table);
        world_wait(&w, MS(100));
        ANSWER(&w, .host = 9, .status = 491);
    }
    assert_int_equal(told(9), ports.caller);
    ANSWER(&w, .host = 9, .status = 200, .body = describe(9, 4000, ""));
    assert_int_equal(told(2), ports.callee);
    expect_packet(9, 4000, ports.caller, 2, 6100);
    bye();
}

/* The 2xx to an INVITE without one has the offer, and the ACK its answer: nothing is lost of it. */
static void a_restart_before_the_ack_keeps_what_was_offered_late(void **state)
{
    struct ports_told ports = call();

    (void)state;
    carol_asks("INVITE", 2, NULL);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6200, ""));
    assert_int_equal(told(9), ports.caller);
    world_restart(&w);
    world_relay(&w, &table);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .cseq = 2, .branch = "late",
        .more = talk_route(&w, 2), .body = describe(9, 4300, ""));
    assert_int_equal(told(2), ports.callee);
    expect_packet(9, 4300, ports.caller, 2, 6200);
    expect_packet(2, 6200, ports.callee, 9, 4300);
    bye();
}

/* A crash between the record of the INVITE and that of its legs: nothing was sent yet. */
static void a_restart_relays_what_was_about_to_be_relayed(void **state)
{
    unsigned recorded = w.record_count;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    cut_journal(recorded, RECORD_INVITE);
    world_restart(&w);
    world_relay(&w, &table);
    world_wait(&w, MS(200));
    unsigned callee = told(2);
    assert_true(callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    unsigned caller = told(9);
    assert_true(caller);
    expect_packet(9, 4000, caller, 2, 6000);
    expect_packet(2, 6000, callee, 9, 4000);
    bye();
}

/* What the phone was told stays, whatever would be decided now. */
static void a_restart_leaves_direct_what_went_directly(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_AUTO;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    assert_int_equal(told(2), 0);
    w.settings.media.mode = MEDIA_ALWAYS;
    world_restart(&w);
    world_relay(&w, &table);
    assert_int_equal(told(2), 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_int_equal(told(9), 0);
    bye();
}

/* A 200 once more after a restart, while another phone still rings: of the first it is only known
 * that it answered.  It is behind NAT: packets to it follow its signalling. */
static void answer_before_and_after_a_restart(unsigned host, unsigned other)
{
    static const char inside[] = "v=0\no=- 1 1 IN IP4 10.0.0.7\ns=-\nc=IN IP4 10.0.0.7\nt=0 0\n"
                                 "m=audio 7000 RTP/AVP 0\n";
    unsigned callee, caller;
    char uri[64], to[64];

    snprintf(uri, sizeof uri, "sip:h%u@198.51.100.%u:5060", host, host);
    snprintf(to, sizeof to, "<sip:bob@example.com>;tag=h%u", host);
    talk_phone(&w, 3, "");
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    callee = told(host);
    ANSWER(&w, .host = host, .status = 200, .body = inside);
    caller = told(9);
    world_restart(&w);
    world_relay(&w, &table);
    ANSWER(&w, .host = host, .status = 200, .body = inside);
    assert_int_equal(told(9), caller);
    assert_int_equal(table.count, 4);
    expect_packet(host, 7000, callee, 0, 0); /* she has acknowledged nothing, nor sent */
    expect_packet(9, 4000, caller, host, 7000);
    expect_packet(host, 7000, callee, 9, 4000);
    ANSWER(&w, .host = other, .status = 487);
    assert_int_equal(core_census(w.core).anchors, 1);
    SAY(&w, .host = 9, .method = "BYE", .uri = uri, .to = to, .cseq = 50,
        .more = talk_route(&w, host));
    ANSWER(&w, .host = host, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
}

static void the_first_phone_says_200_again_after_a_restart(void **state)
{
    (void)state;
    answer_before_and_after_a_restart(2, 3);
}

static void the_second_phone_says_200_again_after_a_restart(void **state)
{
    (void)state;
    answer_before_and_after_a_restart(3, 2);
}

/* A crash between the record of an offer in a 200 and that of the call: nobody knows of it, and it
 * has no legs that could fall silent. */
static void what_a_crash_left_of_a_late_offer_goes(void **state)
{
    unsigned recorded;

    (void)state;
    SAY(&w, .host = 9);
    recorded = w.record_count;
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    cut_journal(recorded, RECORD_MEDIA);
    world_restart(&w);
    world_relay(&w, &table);
    world_wait(&w, MS(10));
    ANSWER(&w, .host = 2, .status = 486);
    assert_int_equal(core_census(w.core).anchors, 1);
    world_wait(&w, SECONDS(70));
    assert_int_equal(core_census(w.core).anchors, 0);
}

static void legs_of_no_call_are_closed_and_missing_ones_opened(void **state)
{
    struct relay_table stray;

    (void)state;
    call();
    stray = table;
    bye();
    table = stray; /* as if the relay had not heard of it */
    world_restart(&w);
    world_relay(&w, &table);
    assert_int_equal(table.count, 0);
    world_wait(&w, SECONDS(40));
    struct ports_told ports = call();
    memset(&table, 0, sizeof table); /* the relay itself has started anew */
    world_relay(&w, &table);
    assert_int_equal(table.count, 4);
    expect_packet(9, 4000, ports.caller, 2, 6000);
    bye();
}

static void a_checkpoint_holds_the_legs(void **state)
{
    struct ports_told ports = call();

    (void)state;
    world_forget(&w);
    world_signal(&w, EVENT_CHECKPOINT);
    world_wait(&w, MS(10));
    world_restart(&w);
    world_relay(&w, &table);
    assert_int_equal(core_census(w.core).relay_ports, 2);
    expect_packet(9, 4000, ports.caller, 2, 6000);
    bye();
}

/* ---- silence */

/* For that long the relay is asked and answers. */
static void listen_for(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        world_wait(&w, SECONDS(1));
        if (w.looked_count)
            world_look(&w);
    }
}

static void hear(unsigned host, unsigned from, unsigned port)
{
    struct leg_place source = place(198, 51, 100, host, from);
    struct leg_place key = place(192, 0, 2, 1, port);
    struct table_row *row = table_find(&table, &key);

    table_receive(&table, &source, &key);
    row->leg.state.seen = w.now.boot;
}

static void a_call_that_is_silent_is_hung_up(void **state)
{
    struct ports_told ports = call();

    (void)state;
    hear(9, 4000, ports.caller);
    hear(2, 6000, ports.callee);
    listen_for(55);
    assert_int_equal(core_census(w.core).dialogs, 1);
    for (unsigned i = 0; i < 12 && !strstr(talk_sent(&w), "BYE"); i++)
        listen_for(1);
    assert_sent(&w, "BYE>2 BYE>9");
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
    assert_int_equal(relayed_record(&w).ender, CALL_ENDED_BY_SILENCE);
    assert_slice(call_reason(&(struct call_record){.status = 200, .ender = CALL_ENDED_BY_SILENCE}),
                 "silent");
}

/* ---- loss and jitter */

/* Of the RTP that came to a port of the relay. */
static struct leg_stream *stream_at(unsigned port)
{
    struct leg_place key = place(192, 0, 2, 1, port);

    return &table_find(&table, &key)->stream;
}

static void assert_heard(const struct leg_heard *heard, uint32_t expected, uint32_t lost,
                         uint32_t jitter)
{
    assert_int_equal(heard->expected, expected);
    assert_int_equal(heard->lost, lost);
    assert_int_equal(heard->jitter, jitter);
}

static void what_is_heard_until_the_bye_is_in_the_record(void **state)
{
    struct ports_told ports = call();
    struct call_record record;

    (void)state;
    *stream_at(ports.caller) = (struct leg_stream){
        .first = 10, .highest = 109, .received = 98, .is_begun = 1, .clock = 8000, .jitter = 1600};
    *stream_at(ports.callee) =
        (struct leg_stream){.first = 65530, .highest = 65549, .received = 21, .is_begun = 1};
    listen_for(1);
    stream_at(ports.caller)->highest += 10;
    carol_asks("BYE", 50, NULL);
    assert_true(w.looked_count);
    world_look(&w);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLER], 110, 12, 12500);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 20, 0, LEG_UNKNOWN);
}

static void legs_that_are_opened_anew_add_to_those_before(void **state)
{
    struct ports_told ports = call();
    struct call_record record;

    (void)state;
    *stream_at(ports.caller) = (struct leg_stream){
        .first = 1, .highest = 100, .received = 90, .is_begun = 1, .clock = 8000, .jitter = 160};
    listen_for(2);
    *stream_at(ports.caller) = (struct leg_stream){
        .first = 1, .highest = 50, .received = 49, .is_begun = 1, .clock = 8000, .jitter = 80};
    listen_for(5);
    bye();
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLER], 150, 11, 1250);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 0, 0, 0);
}

/* So many packets by their numbers, of which some are lost; the jitter is 1 ms. */
static struct leg_stream stream_of(uint32_t count, uint32_t lost, uint32_t clock)
{
    return (struct leg_stream){
        .first = 1,
        .highest = count,
        .received = count - lost,
        .is_begun = 1,
        .clock = clock,
        .jitter = clock * 16 / 1000,
    };
}

#define VIDEO(port) "m=video " port " RTP/AVP 96\na=rtpmap:96 H264/90000\n"

/* The video is left out again, which closes its legs.  Those of the audio go on, and count once. */
static void what_closed_legs_have_heard_outlives_a_restart(void **state)
{
    unsigned audio, video;
    struct call_record record;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, VIDEO("4002")));
    video = told_of(2, 1);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("6002")));
    audio = told(9);
    *stream_at(audio) = stream_of(100, 10, 8000);
    *stream_at(video) = stream_of(1000, 20, 90000);
    listen_for(1);
    *stream_at(video) = stream_of(1500, 30, 90000);
    carol_asks("INVITE", 2, describe(9, 4000, VIDEO("0")));
    world_look(&w); /* once more, as long as it is there */
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("0")));
    assert_int_equal(table.count, 4);
    listen_for(2);
    world_restart(&w);
    world_relay(&w, &table);
    *stream_at(audio) = stream_of(200, 11, 8000);
    carol_asks("BYE", 50, NULL);
    world_look(&w);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLER], 200, 11, 1000);
    assert_heard(&record.heard.lines[LEGS_CALLER][0], 200, 11, 1000);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 1500, 30, 1000);
    assert_heard(&record.heard.lines[LEGS_CALLEE][1], 1500, 30, 1000);
}

static void reoffer(unsigned cseq, bool has_video)
{
    carol_asks("INVITE", cseq, describe(9, 4000, has_video ? VIDEO("4002") : VIDEO("0")));
    world_look(&w);
    ANSWER(&w, .host = 2, .status = 200,
           .body = describe(2, 6000, has_video ? VIDEO("6002") : VIDEO("0")));
}

/* The video ends before the call, and is there again when it is offered anew. */
static void each_m_line_is_heard_apart(void **state)
{
    struct call_record record;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, VIDEO("4002")));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("6002")));
    *stream_at(told(9)) = stream_of(100, 1, 8000);
    *stream_at(told_of(9, 1)) = stream_of(1000, 20, 90000);
    listen_for(2);
    reoffer(2, false);
    reoffer(3, true);
    *stream_at(told_of(9, 1)) = stream_of(500, 2, 90000);
    listen_for(2);
    bye();
    record = relayed_record(&w);
    assert_heard(&record.heard.lines[LEGS_CALLER][0], 100, 1, 1000);
    assert_heard(&record.heard.lines[LEGS_CALLER][1], 1500, 22, 1000);
    assert_heard(&record.heard.sides[LEGS_CALLER], 1600, 23, 1000);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 0, 0, 0);
}

/* A restart brings a newer version, whose record would be longer by what is said of m-lines. */
static void what_an_older_version_has_recorded_counts(void **state)
{
    const size_t len = 1 + 12, more = 2 + 12;
    struct call_record record;
    struct slice *media;
    unsigned audio;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, VIDEO("4002")));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("6002")));
    audio = told(9);
    *stream_at(told_of(9, 1)) = stream_of(1000, 20, 90000);
    listen_for(2);
    reoffer(2, false);
    media = &w.records[w.record_count];
    while ((--media)->at[0] != RECORD_MEDIA)
        assert_true(media > w.records);
    media->len -= more;
    char *sides = (char *)(uintptr_t)media->at + media->len - len;
    assert_int_equal(*sides, 1 | 4);
    *sides = 1;
    world_restart(&w);
    world_relay(&w, &table);
    *stream_at(audio) = stream_of(100, 1, 8000);
    listen_for(2);
    bye();
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLER], 1100, 21, 1000);
    assert_heard(&record.heard.lines[LEGS_CALLER][0], 100, 1, 1000);
    assert_heard(&record.heard.lines[LEGS_CALLER][1], 0, 0, 0);
}

/* The relay has ended, and then the server, too. */
static void what_a_relay_that_ended_had_heard_outlives_a_restart(void **state)
{
    struct ports_told ports = call();
    struct call_record record;

    (void)state;
    *stream_at(ports.caller) = stream_of(100, 10, 8000);
    listen_for(2);
    memset(&table, 0, sizeof table);
    world_relay(&w, &table);
    *stream_at(ports.caller) = stream_of(300, 1, 8000);
    world_restart(&w);
    world_relay(&w, &table);
    listen_for(2);
    bye();
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLER], 400, 11, 1000);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 0, 0, 0);
}

/* It has ended, and comes back after longer than a call may be silent. */
static void a_time_without_a_relay_is_no_silence(void **state)
{
    struct ports_told ports = call();

    (void)state;
    hear(9, 4000, ports.caller);
    hear(2, 6000, ports.callee);
    listen_for(2);
    world_event(&w, &(struct event){.kind = EVENT_RELAY});
    listen_for(75);
    memset(&table, 0, sizeof table);
    world_relay(&w, &table);
    listen_for(10);
    assert_int_equal(core_census(w.core).dialogs, 1);
    hear(9, 4000, ports.caller);
    expect_packet(9, 4000, ports.caller, 2, 6000);
    bye();
    assert_int_equal(relayed_record(&w).media_path, MEDIA_RELAYED);
}

/* What the relay says of legs that are closed by now, but by the core alone, counts no more. */
static void a_late_word_of_a_closed_leg_counts_once(void **state)
{
    struct leg_found late;
    unsigned video;
    struct call_record record;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, VIDEO("4002")));
    video = told_of(2, 1);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("6002")));
    *stream_at(video) = stream_of(1000, 20, 90000);
    listen_for(2);
    struct leg_place key = place(192, 0, 2, 1, video);
    const struct table_row *row = table_find(&table, &key);
    late = (struct leg_found){row->key, row->leg, row->stream};
    carol_asks("INVITE", 2, describe(9, 4000, VIDEO("0")));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, VIDEO("0")));
    world_event(&w, &(struct event){.kind = EVENT_LEGS, .legs = &late, .leg_count = 1});
    bye();
    record = relayed_record(&w);
    assert_heard(&record.heard.sides[LEGS_CALLEE], 1000, 20, 1000);
}

/* The relay could not open the first of its legs. */
static void miss(void)
{
    struct leg_found found = {.key = table.rows[0].key, .leg = table.rows[0].leg};

    for (unsigned i = 0; i < TABLE_LEGS; i++)
        if (table.rows[i].is_open)
            found = (struct leg_found){.key = table.rows[i].key, .leg = table.rows[i].leg};
    world_event(&w, &(struct event){
                        .kind = EVENT_UNOPENED,
                        .legs = &found,
                        .leg_count = 1,
                        .is_taken = true,
                    });
}

static void a_call_without_a_port_is_hung_up(void **state)
{
    (void)state;
    call();
    miss();
    world_wait(&w, MS(1));
    assert_sent(&w, "BYE>2 BYE>9");
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_int_equal(relayed_record(&w).ender, CALL_ENDED_BY_RELAY);
    assert_slice(call_reason(&(struct call_record){.status = 200, .ender = CALL_ENDED_BY_RELAY}),
                 "unrelayed");
    miss(); /* of no call any more */
}

/* A second later both are told why. */
static void expect_end_unrelayed(enum media_path path, enum media_reason reason)
{
    struct call_record record;

    for (unsigned i = 0; i < 20 && !strstr(talk_sent(&w), "BYE"); i++)
        world_wait(&w, MS(100));
    assert_sent(&w, "BYE>2 BYE>9");
    assert_non_null(memmem(world_sent(&w, 0).at, world_sent(&w, 0).len, "No relay", 8));
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    record = relayed_record(&w);
    assert_int_equal(record.ender, CALL_ENDED_BY_RELAY);
    assert_int_equal(record.media_path, path);
    assert_int_equal(record.media, reason);
}

static void a_late_offer_that_finds_no_room_ends_the_call(void **state)
{
    char route[512];

    (void)state;
    w.settings.media.user_calls = 1;
    call();
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    SAY(&w, .host = 9, .call_id = "second", .branch = "second");
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6100, ""));
    assert_sent(&w, "200>9");
    assert_int_equal(told(9), 0);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .call_id = "second",
        .branch = "ack", .more = talk_route(&w, 2), .body = describe(9, 4100, ""));
    assert_sent(&w, "ACK>2");
    expect_end_unrelayed(MEDIA_DIRECT, MEDIA_RELAY_FULL);
    SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .to = BOB_IN, .cseq = 2, .more = route);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
}

static void a_late_offer_that_finds_no_port_ends_the_call(void **state)
{
    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = 2});
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 183, .more = "Require: 100rel\nRSeq: 1\n",
           .body = describe(2, 6000, ""));
    ANSWER(&w, .host = 2, .status = 200);
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2), .body = describe(9, 4000, ""));
    expect_end_unrelayed(MEDIA_RELAYED, MEDIA_SWITCHED_ON);
}

static void a_late_offer_of_more_than_the_relay_has_ends_the_call(void **state)
{
    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = 4});
    call();
    carol_asks("INVITE", 2, NULL);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, "m=video 7000 RTP/AVP 96\n"));
    assert_sent(&w, "200>9");
    expect_end_unrelayed(MEDIA_RELAYED, MEDIA_SWITCHED_ON);
}

static void an_ack_with_more_than_the_relay_takes_ends_the_call(void **state)
{
    char lines[LEGS_LINES * 32] = "";

    (void)state;
    for (unsigned i = 0; i < LEGS_LINES; i++)
        strcat(lines, "m=audio 4200 RTP/AVP 0\n");
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2), .body = describe(9, 4000, lines));
    assert_sent(&w, "ACK>2");
    expect_end_unrelayed(MEDIA_RELAYED, MEDIA_SWITCHED_ON);
}

/* The crash comes before the BYE. */
static void a_call_without_a_place_ends_after_a_restart(void **state)
{
    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = 2});
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    world_restart(&w);
    world_relay(&w, &table);
    expect_end_unrelayed(MEDIA_RELAYED, MEDIA_SWITCHED_ON);
}

static void early_media_without_a_port_ends_with_the_answer(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    ANSWER(&w, .host = 2, .status = 183, .body = describe(2, 6000, ""));
    miss();
    world_wait(&w, SECONDS(2));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    world_wait(&w, SECONDS(2));
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_int_equal(relayed_record(&w).ender, CALL_ENDED_BY_RELAY);
}

static void a_call_on_hold_may_be_silent(void **state)
{
    (void)state;
    call();
    carol_asks("INVITE", 2, describe(9, 4000, "a=inactive\n"));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, "a=inactive\n"));
    listen_for(120);
    assert_int_equal(core_census(w.core).dialogs, 1);
    bye();
}

/* Of who holds the other it may come music, or nothing. */
static void hold_silently(const char *holds, const char *is_held)
{
    call();
    carol_asks("INVITE", 2, holds);
    ANSWER(&w, .host = 2, .status = 200, .body = is_held);
    listen_for(590);
    assert_int_equal(core_census(w.core).dialogs, 1);
    for (unsigned i = 0; i < 20 && !strstr(talk_sent(&w), "BYE"); i++)
        listen_for(1);
    assert_sent(&w, "BYE>2 BYE>9");
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
}

static void who_is_held_without_music_is_held_for_longer(void **state)
{
    (void)state;
    hold_silently(describe(9, 4000, "a=sendonly\n"), describe(2, 6000, "a=recvonly\n"));
}

static void who_is_held_in_the_old_way_is_held_for_longer(void **state)
{
    static const char offer[] = "v=0\no=- 1 2 IN IP4 x\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\n"
                                "m=audio 4000 RTP/AVP 0 8\n";

    (void)state;
    hold_silently(offer, describe(2, 6000, ""));
}

/* bob's media is not where his signalling is, and he has no camera. */
static void where_one_port_is_heard_the_others_may_be_sent_to(void **state)
{
    unsigned sound, film, told_carol;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, "m=video 4002 RTP/AVP 96\n"));
    sound = told_of(2, 0);
    ANSWER(&w, .host = 2, .status = 200,
           .body = describe(77, 6000, "m=video 7000 RTP/AVP 96\na=recvonly\n"));
    told_carol = told_of(9, 0);
    film = told_of(9, 1);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    listen_for(2);
    expect_packet(9, 4002, film, 0, 0);
    expect_packet(77, 6000, sound, 9, 4000);
    expect_packet(9, 4002, film, 0, 0);
    listen_for(2);
    expect_packet(9, 4002, film, 77, 7000);
    expect_packet(9, 4000, told_carol, 77, 6000);
    world_restart(&w);
    world_relay(&w, &table);
    listen_for(2); /* it is not written down, but seen again */
    expect_packet(9, 4002, film, 77, 7000);
    carol_asks("INVITE", 2, describe(9, 4000, "m=video 4002 RTP/AVP 96\n"));
    ANSWER(&w, .host = 2, .status = 200,
           .body = describe(66, 6000, "m=video 7000 RTP/AVP 96\na=recvonly\n"));
    listen_for(2);
    expect_packet(9, 4002, film, 0, 0); /* what was seen was elsewhere */
    bye();
}

/* It has its media elsewhere, and waits for the first packet. */
static void a_gateway_is_sent_to_at_once(void **state)
{
    struct user_settings gateway = {
        .id = S("gateway"),
        .kind = USER_GATEWAY,
        .contacts = S("sip:gw@198.51.100.60:5060"),
    };
    unsigned caller;

    (void)state;
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &gateway});
    SAY(&w, .host = 9, .uri = "sip:gateway@example.com", .body = describe(9, 4000, ""));
    ANSWER(&w, .host = 60, .status = 200, .body = describe(77, 6000, ""));
    caller = told(9);
    expect_packet(9, 4000, caller, 77, 6000);
    world_restart(&w);
    world_relay(&w, &table);
    expect_packet(9, 4000, caller, 77, 6000);
    SAY(&w, .host = 9, .method = "BYE", .uri = "sip:gw@198.51.100.60:5060",
        .to = "<sip:bob@example.com>;tag=h60", .cseq = 50, .more = talk_route(&w, 60));
    ANSWER(&w, .host = 60, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
}

static void ports_of_a_call_rest_when_it_has_ended(void **state)
{
    struct ports_told before = {0};

    (void)state;
    ports_narrow(&w.core->ports, 20000, 20007); /* two pairs for each of two calls */
    for (unsigned i = 0; i < 10; i++) {
        char name[16], bye[16];
        struct ports_told now;
        snprintf(name, sizeof name, "call%u", i);
        snprintf(bye, sizeof bye, "bye%u", i);
        SAY(&w, .host = 9, .call_id = name, .branch = name, .body = describe(9, 4000, ""));
        now.callee = told(2);
        ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
        now.caller = told(9);
        for (unsigned n = 0; n < 2; n++) {
            unsigned port = n ? now.caller : now.callee;
            assert_true(port != before.caller && port != before.callee);
        }
        before = now;
        SAY(&w, .host = 9, .call_id = name, .method = "BYE", .uri = BOB_AT, .to = BOB_IN,
            .cseq = 50, .branch = bye, .more = talk_route(&w, 2));
        ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
        world_wait(&w, PORT_REST + SECONDS(1));
    }
}

static bool is_logged(const char *line)
{
    for (uint32_t i = 0; i < w.out.count; i++)
        if (w.out.at[i].kind == ACTION_LOG && slice_equal(w.out.at[i].bytes, slice_text(line)))
            return true;
    return false;
}

/* bob's description names another address than his packets come from. */
static void who_hears_nothing_is_told_of_and_mended(void **state)
{
    unsigned callee, caller, times = 0;

    (void)state;
    SAY(&w, .host = 9, .body = describe(9, 4000, ""));
    callee = told(2);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(77, 6000, ""));
    caller = told(9);
    for (unsigned i = 0; i < 8; i++) {
        hear(9, 4000, caller);
        expect_packet(2, 6000, callee, times ? 9 : 0, 4000);
        listen_for(1);
        times += is_logged("carol hears nothing: bob's packets do not arrive");
        assert_int_equal(times, i >= 3 || times);
    }
    assert_int_equal(times, 1);
    bye();
}

static bool is_logged_in_part(const char *part)
{
    for (uint32_t i = 0; i < w.out.count; i++)
        if (w.out.at[i].kind == ACTION_LOG &&
            memmem(w.out.at[i].bytes.at, w.out.at[i].bytes.len, part, strlen(part)))
            return true;
    return false;
}

/* So many packets from a host that the call knows nothing of. */
static void spray(unsigned port, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        expect_packet(66, 6666, port, 0, 0);
}

static void strangers_are_told_of_once_a_call(void **state)
{
    struct ports_told ports = call();
    unsigned times = 0;

    (void)state;
    hear(9, 4000, ports.caller);
    listen_for(1);
    spray(ports.callee, 40);
    listen_for(1);
    assert_false(is_logged_in_part("strangers"));
    for (unsigned i = 0; i < 8; i++) {
        spray(ports.callee, 50);
        listen_for(1);
        times += is_logged_in_part("packets of strangers come to the media of carol's call with "
                                   "bob: ");
    }
    assert_int_equal(times, 1);
    bye();
}

/* As many as a phone loses that has another port by now, until it is taken for the same. */
static void a_burst_of_strangers_alone_is_not_told_of(void **state)
{
    struct ports_told ports = call();

    (void)state;
    hear(9, 4000, ports.caller);
    listen_for(2);
    spray(ports.callee, 100);
    for (unsigned i = 0; i < 6; i++) {
        listen_for(1);
        assert_false(is_logged_in_part("strangers"));
    }
    bye();
}

static void a_flood_is_told_of(void **state)
{
    struct ports_told ports = call();
    struct leg_place key = place(192, 0, 2, 1, ports.caller);
    unsigned times = 0;

    (void)state;
    hear(9, 4000, ports.caller);
    listen_for(2);
    table_find(&table, &key)->leg.state.drops[LEG_FLOOD] += 1000;
    for (unsigned i = 0; i < 3; i++) {
        listen_for(1);
        times += is_logged("more packets than <rate> allows come to the media of carol's call with "
                           "bob: 1000 of them were dropped within a few seconds");
    }
    assert_int_equal(times, 1);
    bye();
}

/* What a crash has interrupted is not new. */
static void what_was_dropped_before_a_restart_is_not_told_of(void **state)
{
    struct ports_told ports = call();

    (void)state;
    hear(9, 4000, ports.caller);
    spray(ports.callee, 100);
    world_restart(&w);
    world_relay(&w, &table);
    for (unsigned i = 0; i < 5; i++) {
        listen_for(1);
        assert_false(is_logged_in_part("strangers"));
    }
    bye();
}

/* Two browsers, or the like: the relay is one way of several. */
static struct ports_told call_with_ice(void)
{
    struct ports_told ports;

    w.settings.media.mode = MEDIA_AUTO;
    SAY(&w, .host = 9,
        .body = "v=0\no=- 1 1 IN IP4 x\ns=-\nc=IN IP4 10.0.0.7\nt=0 0\n"
                "m=audio 4000 RTP/AVP 0\n" ICE);
    ports.callee = told(2);
    assert_true(ports.callee);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ICE));
    ports.caller = told(9);
    assert_true(ports.caller);
    SAY(&w, .host = 9, .method = "ACK", .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    return ports;
}

/* So many seconds with RTP of both. */
static void speak_for(struct ports_told ports, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        for (unsigned side = 0; side < 2; side++) {
            unsigned port = side ? ports.callee : ports.caller;
            struct leg_stream *stream = stream_at(port);
            struct leg_place key = place(192, 0, 2, 1, port);
            stream->highest += 50;
            stream->received += 50;
            stream->is_begun = 1;
            table_find(&table, &key)->leg.state.seen = w.now.boot;
        }
        listen_for(1);
    }
}

static void hear_the_end(void)
{
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    assert_int_equal(relayed_record(&w).ender, CALL_ENDED_BY_SILENCE);
}

static void where_ice_found_no_other_way_silence_ends_the_call(void **state)
{
    struct ports_told ports = call_with_ice();

    (void)state;
    speak_for(ports, 30);
    world_restart(&w);
    world_relay(&w, &table);
    listen_for(50);
    assert_int_equal(core_census(w.core).dialogs, 1);
    for (unsigned i = 0; i < 20 && !strstr(talk_sent(&w), "BYE"); i++)
        listen_for(1);
    assert_sent(&w, "BYE>2 BYE>9");
    hear_the_end();
}

static void where_ice_found_its_own_way_silence_means_nothing(void **state)
{
    struct ports_told ports = call_with_ice();

    (void)state;
    speak_for(ports, 10);
    listen_for(300);
    assert_int_equal(core_census(w.core).dialogs, 1);
    speak_for(ports, 30); /* and now by us, until it looks again */
    carol_asks("INVITE", 2, describe(9, 4000, ICE));
    ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ICE));
    listen_for(300);
    assert_int_equal(core_census(w.core).dialogs, 1);
    bye();
}

static void two_calls_that_end_at_once_make_the_third_relayed(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_AUTO;
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        bool is_anchored = i == 2;
        snprintf(name, sizeof name, "call%u", i);
        SAY(&w, .host = 9, .call_id = name, .branch = name, .body = describe(9, 4000, ""));
        assert_int_equal(told(2) != 0, is_anchored);
        ANSWER(&w, .host = 2, .status = 200, .body = describe(2, 6000, ""));
        world_wait(&w, SECONDS(5));
        snprintf(name + 8, sizeof name - 8, "bye%u", i);
        SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .to = BOB_IN, .cseq = 2, .call_id = name,
            .branch = name + 8, .more = talk_route(&w, 2));
        ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
        assert_int_equal(relayed_record(&w).media,
                         is_anchored ? MEDIA_FELL_SILENT : MEDIA_BOTH_PUBLIC);
    }
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(WITH(a_call_goes_through_the_relay_both_ways),
        WITH(nothing_goes_to_a_caller_that_may_not_be_there),
        WITH(where_one_port_is_heard_the_others_may_be_sent_to), WITH(a_gateway_is_sent_to_at_once),
        WITH(ports_of_a_call_rest_when_it_has_ended), WITH(packets_reach_who_has_sent),
        WITH(without_a_relay_all_passes_as_it_came), WITH(where_it_is_switched_off_nothing_is_read),
        WITH(who_can_reach_each_other_is_left_to_it), WITH(a_phone_with_a_private_address_needs_it),
        WITH(where_ice_has_found_the_way_it_stays), WITH(phones_that_fork_have_ports_of_their_own),
        WITH(an_offer_may_come_in_the_answer), WITH(a_repeated_200_says_the_same),
        WITH(hold_and_another_place_keep_the_ports), WITH(a_refused_offer_changes_nothing),
        WITH(an_offer_that_nobody_answers_changes_nothing),
        WITH(an_offer_in_a_reliable_response_is_answered_by_prack),
        WITH(a_call_that_fails_leaves_nothing), WITH(what_is_signed_or_coded_passes_as_it_is),
        WITH(a_full_relay_refuses), WITH(a_restart_forgets_nobodys_limit),
        WITH(the_relay_is_told_after_the_journal), WITH(a_restart_while_it_rings_offers_the_same),
        WITH(a_restart_keeps_the_legs_of_a_call),
        WITH(a_restart_takes_an_offer_of_a_call_once_more),
        WITH(a_restart_forgets_what_an_update_offered),
        WITH(a_restart_forgets_what_crossed_another_offer),
        WITH(a_restart_before_the_ack_keeps_what_was_offered_late),
        WITH(a_restart_relays_what_was_about_to_be_relayed),
        WITH(a_restart_leaves_direct_what_went_directly),
        WITH(the_first_phone_says_200_again_after_a_restart),
        WITH(the_second_phone_says_200_again_after_a_restart),
        WITH(what_a_crash_left_of_a_late_offer_goes),
        WITH(legs_of_no_call_are_closed_and_missing_ones_opened), WITH(a_checkpoint_holds_the_legs),
        WITH(what_is_heard_until_the_bye_is_in_the_record),
        WITH(legs_that_are_opened_anew_add_to_those_before),
        WITH(what_closed_legs_have_heard_outlives_a_restart), WITH(each_m_line_is_heard_apart),
        WITH(what_an_older_version_has_recorded_counts),
        WITH(what_a_relay_that_ended_had_heard_outlives_a_restart),
        WITH(a_time_without_a_relay_is_no_silence), WITH(a_late_word_of_a_closed_leg_counts_once),
        WITH(a_call_that_is_silent_is_hung_up), WITH(a_call_without_a_port_is_hung_up),
        WITH(early_media_without_a_port_ends_with_the_answer), WITH(a_call_on_hold_may_be_silent),
        WITH(who_hears_nothing_is_told_of_and_mended),
        WITH(two_calls_that_end_at_once_make_the_third_relayed),
        WITH(what_the_relay_cannot_hold_is_refused),
        WITH(who_is_held_without_music_is_held_for_longer),
        WITH(who_is_held_in_the_old_way_is_held_for_longer),
        WITH(a_late_offer_that_finds_no_room_ends_the_call),
        WITH(a_late_offer_that_finds_no_port_ends_the_call),
        WITH(a_late_offer_of_more_than_the_relay_has_ends_the_call),
        WITH(an_ack_with_more_than_the_relay_takes_ends_the_call),
        WITH(a_call_without_a_place_ends_after_a_restart), WITH(strangers_are_told_of_once_a_call),
        WITH(a_burst_of_strangers_alone_is_not_told_of), WITH(a_flood_is_told_of),
        WITH(what_was_dropped_before_a_restart_is_not_told_of),
        WITH(where_ice_found_no_other_way_silence_ends_the_call),
        WITH(where_ice_found_its_own_way_silence_means_nothing));
}
