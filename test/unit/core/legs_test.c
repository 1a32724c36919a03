/* The legs of a call: offers and answers go in, and packets find their way through a table of legs
 * (table.h) as they would through a relay. */
#include "core/legs.h"

#include "core/legs_record.h"
#include "table.h"
#include "unit.h"

#include <stdio.h>

#define ALICE "198.51.100.10"
#define BOB "203.0.113.20"
#define CAROL "203.0.113.30"
#define ATTACKER "192.0.2.66"
#define RELAY "192.0.2.1"
#define RELAY6 "2001:db8::1"

/* A call through a relay, and what each side was told last. */
struct lab {
    struct legs legs;
    struct ports ports;
    struct random random;
    struct relay_table table;
    struct legs_output out;
    char text[8192];
    struct sdp told; /* the description as it went on */
};

static struct lab lab;

static struct address_bytes address(const char *text)
{
    struct address_bytes a;

    assert_true(host_numeric(slice_text(text), &a));
    return a;
}

static void begin_between(struct legs_end caller, struct legs_end callee)
{
    static const uint8_t call[16] = {1, 2, 3};
    const struct legs_relay relay = {{true, true}, {address(RELAY), address(RELAY6)}, 1000};
    const struct legs_end ends[2] = {caller, callee};

    memset(&lab, 0, sizeof lab);
    lab.random = random_seeded((struct hash_key){3, 4});
    ports_init(&lab.ports, 20000, 29999, UINT32_MAX);
    legs_begin(&lab.legs, call, &relay, ends);
}

static void begin(void)
{
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(BOB)});
}

static void apply(void)
{
    table_apply(&lab.table, &lab.out);
    table_check(&lab.table);
}

/* Some m-lines behind the head of a session at an address. */
static struct slice describe(const char *at, const char *media)
{
    static char text[4096];
    bool is_v6 = address(at).is_v6;
    int len =
        snprintf(text, sizeof text, "v=0\r\no=- 1 1 IN IP4 x\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n%s",
                 is_v6 ? 6 : 4, at, media);

    return slice_of(text, (size_t)len);
}

enum what {
    OFFER,
    ANSWER,
    FINAL, /* an answer in a 2xx */
};

static enum legs_verdict say(enum what what, enum legs_side from, uint64_t tag, uint32_t number,
                             const char *at, const char *media)
{
    struct sdp sdp;
    struct legs_message m = {from, tag, number, what == FINAL, &sdp};
    struct writer w = writer_over(lab.text, sizeof lab.text);
    enum legs_verdict verdict;

    assert_int_equal(sdp_parse(describe(at, media), &sdp).fault, SDP_FINE);
    verdict = what == OFFER ? legs_offer(&lab.legs, &lab.ports, &lab.random, &m, &lab.out)
                            : legs_answer(&lab.legs, &lab.ports, &lab.random, &m, &lab.out);
    apply();
    if (verdict != LEGS_REWRITE)
        return verdict;
    sdp_rewrite(&w, &sdp, lab.out.places, SDP_ICE_KEPT);
    assert_int_equal(sdp_parse(writer_slice(&w), &lab.told).fault, SDP_FINE);
    return verdict;
}

#define AUDIO(port) "m=audio " port " RTP/AVP 0\r\n"

/* The port that was told for an m-line. */
static unsigned told(unsigned i)
{
    return lab.told.media[i].port;
}

static struct leg_place place(const char *at, unsigned port)
{
    struct address_bytes a = address(at);
    struct leg_place place = {.port = {(uint8_t)(port >> 8), (uint8_t)port}};

    if (a.is_v6) {
        memcpy(place.address, a.at, 16);
    } else {
        place.address[10] = place.address[11] = 0xff;
        memcpy(place.address + 12, a.at, 4);
    }
    return place;
}

/* A packet from there to a port of the relay: the port it left by if it arrived where it should, 0
 * if it was dropped. */
static unsigned send_to(const char *relay, const char *from, unsigned from_port, unsigned to,
                        const char *at, unsigned port)
{
    struct leg_place source = place(from, from_port), key = place(relay, to);
    struct leg_place wanted = place(at, port);
    struct table_packet packet = table_receive(&lab.table, &source, &key);

    if (!packet.has_left)
        return 0;
    assert_memory_equal(&packet.to, &wanted, sizeof wanted);
    return (unsigned)packet.from.port[0] << 8 | packet.from.port[1];
}

#define SEND(from, from_port, to, at, port) send_to(RELAY, from, from_port, to, at, port)

/* INVITE with an offer from alice's port 4000, answered by bob's 5000; the ports that each was
 * told. */
struct pair {
    unsigned alices, bobs;
};

static struct pair connect(void)
{
    struct pair told_to;

    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000")), LEGS_REWRITE);
    told_to.bobs = told(0);
    assert_int_equal(lab.table.count, 0); /* nothing before an answer */
    assert_int_equal(say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000")), LEGS_REWRITE);
    told_to.alices = told(0);
    assert_int_equal(lab.table.count, 4); /* RTP and RTCP, to both */
    return told_to;
}

static void hang_up(void)
{
    legs_end(&lab.legs, &lab.ports, &lab.out);
    apply();
    assert_int_equal(lab.table.count, 0);
    assert_int_equal(lab.ports.taken, 0);
    assert_true(legs_are_closed(&lab.legs));
}

static void packets_go_both_ways_and_rtcp_beside_them(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4000), to.alices);
    assert_int_equal(SEND(ALICE, 4001, to.alices + 1, BOB, 5001), to.bobs + 1);
    assert_int_equal(SEND(BOB, 5001, to.bobs + 1, ALICE, 4001), to.alices + 1);
    hang_up();
}

static void strangers_are_dropped_before_and_after(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    assert_int_equal(SEND(ATTACKER, 4000, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(ATTACKER, 4000, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(ALICE, 4444, to.alices, BOB, 5000), 0); /* locked to address and port */
    hang_up();
}

static void who_is_behind_nat_is_found_by_where_its_signalling_comes_from(void **state)
{
    struct pair to;

    (void)state;
    begin_between((struct legs_end){.source = address(ALICE), .is_hidden = true},
                  (struct legs_end){.source = address(BOB)});
    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, "192.168.1.5", AUDIO("4000")), LEGS_REWRITE);
    to.bobs = told(0);
    assert_int_equal(say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000")), LEGS_REWRITE);
    to.alices = told(0);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 33333), 0); /* not known yet */
    assert_int_equal(SEND(ATTACKER, 33333, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(ALICE, 33333, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 33333), to.alices);
    hang_up();
}

static void an_address_that_is_not_signallings_is_not_sent_to_first(void **state)
{
    struct pair to;

    (void)state;
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(CAROL)});
    to = connect(); /* bob's media is not where his server is */
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4000), to.alices);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    hang_up();
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(CAROL), .is_known = true});
    to = connect(); /* a user's neither */
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), 0);
    hang_up();
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(CAROL), .may_wait = true});
    to = connect(); /* but a gateway's */
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    hang_up();
}

static void ipv6_and_ipv4_meet(void **state)
{
    unsigned alices, bobs;

    (void)state;
    begin_between((struct legs_end){.source = address("2001:db8::a"), .is_v6 = true},
                  (struct legs_end){.source = address(BOB)});
    say(OFFER, LEGS_CALLER, 0, 1, "2001:db8::a", AUDIO("4000"));
    bobs = told(0);
    assert_false(sdp_connection(&lab.told, 0)->address.is_v6);
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    alices = told(0);
    assert_true(sdp_connection(&lab.told, 0)->address.is_v6);
    assert_int_equal(send_to(RELAY6, "2001:db8::a", 4000, alices, BOB, 5000), bobs);
    assert_int_equal(SEND(BOB, 5000, bobs, "2001:db8::a", 4000), alices);
    hang_up();
}

static void a_repeated_answer_changes_nothing(void **state)
{
    unsigned alices;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    alices = told(0);
    for (unsigned i = 0; i < 2; i++) {
        say(i ? FINAL : ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
        assert_int_equal(lab.out.count, 0);
        assert_int_equal(told(0), alices);
    }
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    legs_accept(&lab.legs, 7, &lab.out);
    assert_int_equal(lab.out.count, 0);
    hang_up();
}

static void early_media_is_with_the_last_and_then_with_who_answers(void **state)
{
    unsigned bobs, from_bob, from_carol;

    (void)state;
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(BOB), .may_wait = true});
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    bobs = told(0);
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    from_bob = told(0);
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), from_bob);
    say(ANSWER, LEGS_CALLEE, 8, 1, CAROL, AUDIO("6000"));
    from_carol = told(0);
    assert_int_not_equal(from_bob, from_carol);
    assert_int_equal(SEND(CAROL, 6000, bobs, ALICE, 4000), from_carol);
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), 0);
    assert_int_equal(SEND(ALICE, 4000, from_bob, CAROL, 6000), 0);
    legs_accept(&lab.legs, 7, &lab.out); /* bob was called, in a 200 without a description */
    apply();
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), from_bob);
    assert_int_equal(SEND(CAROL, 6000, bobs, ALICE, 4000), 0);
    say(ANSWER, LEGS_CALLEE, 8, 1, CAROL, AUDIO("6000")); /* too late */
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), from_bob);
    legs_settle(&lab.legs, &lab.ports, &lab.out);
    apply();
    assert_int_equal(lab.ports.taken, 2);
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), from_bob);
    hang_up();
}

static void of_two_that_answered_the_one_that_stays_is_heard(void **state)
{
    unsigned bobs, from_bob;

    (void)state;
    begin_between((struct legs_end){.source = address(ALICE)},
                  (struct legs_end){.source = address(BOB), .may_wait = true});
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    bobs = told(0);
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    from_bob = told(0);
    say(FINAL, LEGS_CALLEE, 8, 1, CAROL, AUDIO("6000"));
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), 0);
    legs_leave(&lab.legs, &lab.ports, 8, &lab.out);
    apply();
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), from_bob);
    legs_leave(&lab.legs, &lab.ports, 7, &lab.out);
    apply();
    assert_int_equal(lab.table.count, 0);
    hang_up();
}

static void more_early_dialogs_than_there_is_room_for_replace_the_first(void **state)
{
    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    for (unsigned tag = 1; tag <= 3 * ANSWER_LIMIT; tag++)
        assert_int_equal(say(ANSWER, LEGS_CALLEE, tag, 1, BOB, AUDIO("5000")), LEGS_REWRITE);
    assert_true(lab.ports.taken <= 1 + ANSWER_LIMIT);
    for (unsigned tag = 91; tag <= 90 + ANSWER_LIMIT; tag++)
        assert_int_equal(say(FINAL, LEGS_CALLEE, tag, 1, BOB, AUDIO("5000")), LEGS_REWRITE);
    assert_int_equal(say(FINAL, LEGS_CALLEE, 99, 1, BOB, AUDIO("5000")), LEGS_FULL);
    hang_up();
}

static void a_late_offer_turns_the_roles(void **state)
{
    unsigned alices, bobs;

    (void)state;
    begin();
    assert_int_equal(say(OFFER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000")), LEGS_REWRITE);
    alices = told(0);
    assert_int_equal(lab.table.count, 0);
    assert_int_equal(say(ANSWER, LEGS_CALLER, 7, 1, ALICE, AUDIO("4000")), LEGS_REWRITE); /* ACK */
    bobs = told(0);
    assert_int_equal(SEND(ALICE, 4000, alices, BOB, 5000), bobs);
    assert_int_equal(SEND(BOB, 5000, bobs, ALICE, 4000), alices);
    hang_up();
}

static void an_m_line_keeps_its_ports_whoever_offers_anew(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    SEND(ALICE, 4000, to.alices, BOB, 5000);
    say(OFFER, LEGS_CALLEE, 7, 100, BOB, AUDIO("5000") "m=video 5002 RTP/AVP 31\r\n");
    assert_int_equal(told(0), to.alices);
    say(FINAL, LEGS_CALLER, 7, 100, ALICE, AUDIO("4000") "m=video 4002 RTP/AVP 31\r\n");
    assert_int_equal(told(0), to.bobs);
    assert_int_equal(lab.table.count, 8);
    assert_int_equal(SEND(ALICE, 4444, to.alices, BOB, 5000), 0); /* the lock stands */
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(BOB, 5002, told(1), ALICE, 4002) != 0, 1);
    hang_up();
}

static void a_new_address_opens_the_latch_again(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    SEND(ALICE, 4000, to.alices, BOB, 5000);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4100"));
    assert_int_equal(told(0), to.bobs);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs); /* until it is answered */
    say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000"));
    assert_int_equal(told(0), to.alices);
    assert_int_equal(SEND(ALICE, 4100, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4100), to.alices);
    hang_up();
}

static void a_refused_offer_leaves_all_as_it_was(void **state)
{
    struct pair to;
    struct legs_message refused = {.from = LEGS_CALLER, .tag = 7, .number = 2};

    (void)state;
    begin();
    to = connect();
    SEND(ALICE, 4000, to.alices, BOB, 5000);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("0") "m=video 4200 RTP/AVP 31\r\n");
    assert_int_equal(lab.ports.taken, 4);
    legs_refuse(&lab.legs, &lab.ports, &refused, &lab.out);
    apply();
    assert_int_equal(lab.ports.taken, 2);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    say(OFFER, LEGS_CALLER, 7, 3, ALICE, AUDIO("4000"));
    assert_int_equal(told(0), to.bobs);
    hang_up();
}

static void offers_that_cross_do_not_touch_each_other(void **state)
{
    struct pair to;
    struct legs_message crossed = {.from = LEGS_CALLEE, .tag = 7, .number = 55};

    (void)state;
    begin();
    to = connect();
    assert_int_equal(say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4100")), LEGS_REWRITE);
    assert_int_equal(say(OFFER, LEGS_CALLEE, 7, 55, BOB, AUDIO("5100")), LEGS_CROSSED);
    legs_refuse(&lab.legs, &lab.ports, &crossed, &lab.out); /* its 491 */
    assert_int_equal(say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000")), LEGS_REWRITE);
    assert_int_equal(SEND(ALICE, 4100, to.alices, BOB, 5000), to.bobs);
    hang_up();
}

static void an_answer_of_another_exchange_is_led_by_what_stands(void **state)
{
    struct pair to;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    to.bobs = told(0);
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    to.alices = told(0);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4100")); /* UPDATE */
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));   /* and the INVITE's 200 */
    assert_int_equal(told(0), to.alices);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    say(ANSWER, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000"));
    assert_int_equal(SEND(ALICE, 4100, to.alices, BOB, 5000), to.bobs);
    hang_up();
}

static void an_answer_to_nothing_passes(void **state)
{
    (void)state;
    begin();
    assert_int_equal(say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000")), LEGS_CROSSED);
    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000")), LEGS_REWRITE);
    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000")), LEGS_CROSSED);
    hang_up();
}

static unsigned flags_of(unsigned port)
{
    struct leg_place key = place(RELAY, port);
    const struct table_row *row = table_find(&lab.table, &key);

    assert_non_null(row);
    return row->leg.rule.flags;
}

static void hold_keeps_the_legs_and_says_that_silence_is_meant(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    assert_false(flags_of(to.alices) & LEG_QUIET);
    assert_true(flags_of(to.alices + 1) & LEG_QUIET);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4000") "a=sendonly\r\n");
    say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000") "a=recvonly\r\n");
    assert_false(flags_of(to.alices) & LEG_QUIET); /* she plays music */
    assert_true(flags_of(to.bobs) & LEG_QUIET);
    say(OFFER, LEGS_CALLER, 7, 3, ALICE, AUDIO("4000") "a=inactive\r\n");
    say(FINAL, LEGS_CALLEE, 7, 3, BOB, AUDIO("5000") "a=inactive\r\n");
    assert_true(flags_of(to.alices) & LEG_QUIET);
    say(OFFER, LEGS_CALLER, 7, 4, ALICE, AUDIO("4000"));
    say(FINAL, LEGS_CALLEE, 7, 4, BOB, AUDIO("5000"));
    assert_false(flags_of(to.alices) & LEG_QUIET);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    hang_up();
}

static void hold_by_nobodys_address_mutes_and_comes_back(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    SEND(ALICE, 4000, to.alices, BOB, 5000);
    say(OFFER, LEGS_CALLER, 7, 2, "0.0.0.0", AUDIO("4000"));
    assert_int_equal(told(0), 4000); /* what Bob gets is hold, as she said it */
    say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000"));
    assert_int_equal(told(0), to.alices);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4000), 0);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    say(OFFER, LEGS_CALLER, 7, 3, ALICE, AUDIO("4000"));
    assert_int_equal(told(0), to.bobs);
    say(FINAL, LEGS_CALLEE, 7, 3, BOB, AUDIO("5000"));
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4000), to.alices);
    hang_up();
}

static void a_call_that_begins_on_hold_gets_its_legs(void **state)
{
    struct pair to;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, "0.0.0.0", AUDIO("4000"));
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    to.alices = told(0);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4000"));
    to.bobs = told(0);
    say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("5000"));
    assert_int_equal(told(0), to.alices);
    assert_int_equal(SEND(BOB, 5000, to.bobs, ALICE, 4000), to.alices);
    hang_up();
}

static void an_m_line_that_is_refused_or_ended_has_no_legs(void **state)
{
    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000") "m=video 4002 RTP/AVP 31\r\n");
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000") "m=video 0 RTP/AVP 31\r\n");
    assert_int_equal(lab.table.count, 4);
    legs_settle(&lab.legs, &lab.ports, &lab.out);
    assert_int_equal(lab.ports.taken, 2);
    say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("0") "m=video 4002 RTP/AVP 31\r\n");
    say(FINAL, LEGS_CALLEE, 7, 2, BOB, AUDIO("0") "m=video 5002 RTP/AVP 31\r\n");
    assert_int_equal(lab.table.count, 4);
    assert_int_equal(lab.ports.taken, 2);
    hang_up();
}

static void a_call_goes_over_to_fax(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    say(OFFER, LEGS_CALLEE, 7, 9, BOB, AUDIO("0") "m=image 5010 udptl t38\r\n");
    to.alices = told(1);
    say(FINAL, LEGS_CALLER, 7, 9, ALICE, AUDIO("0") "m=image 4010 udptl t38\r\n");
    to.bobs = told(1);
    assert_int_equal(lab.table.count, 2);
    assert_true(flags_of(to.alices) & LEG_PLAIN);
    assert_int_equal(SEND(ALICE, 4010, to.alices, BOB, 5010), to.bobs);
    hang_up();
}

static void a_fax_in_the_place_of_sound_keeps_the_port(void **state)
{
    struct pair to;

    (void)state;
    begin();
    to = connect();
    say(OFFER, LEGS_CALLEE, 7, 9, BOB, "m=image 5000 udptl t38\r\n");
    assert_int_equal(told(0), to.alices);
    say(FINAL, LEGS_CALLER, 7, 9, ALICE, "m=image 4000 udptl t38\r\n");
    assert_int_equal(told(0), to.bobs);
    assert_int_equal(lab.table.count, 2);
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), to.bobs);
    hang_up();
}

#define BUNDLE "a=group:BUNDLE 0 1\r\n"
#define MUX(port, mid, ice)                                                                        \
    "m=audio " port " UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=mid:" mid "\r\n" ice
#define ICE "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"

static void a_bundle_goes_by_one_pair_of_legs_once_it_is_answered(void **state)
{
    unsigned alices, bobs;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, BUNDLE MUX("4000", "0", ICE) MUX("4002", "1", ICE));
    bobs = told(0);
    assert_int_not_equal(told(1), bobs);
    say(FINAL, LEGS_CALLEE, 7, 1, BOB,
        BUNDLE MUX("5000", "0", ICE) MUX("9", "1", "c=IN IP4 0.0.0.0\r\n" ICE));
    alices = told(0);
    assert_int_equal(told(1), alices);
    assert_int_equal(lab.table.count, 2);
    assert_int_equal(SEND(ALICE, 4000, alices, BOB, 5000), bobs);
    legs_settle(&lab.legs, &lab.ports, &lab.out);
    assert_int_equal(lab.ports.taken, 2);
    say(OFFER, LEGS_CALLEE, 7, 9, BOB, BUNDLE MUX("5000", "0", ICE) MUX("5000", "1", ICE));
    assert_int_equal(told(0), alices);
    assert_int_equal(told(1), alices);
    hang_up();
}

static void rtcp_has_legs_unless_both_mix_it_in(void **state)
{
    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000") "a=rtcp-mux\r\na=rtcp:4005\r\n");
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    assert_int_equal(lab.table.count, 4);
    assert_int_equal(
        SEND(BOB, 5001, told(0) ? lab.legs.with[0].ports[LEGS_CALLEE][0] + 1u : 0, ALICE, 4005),
        told(0) + 1);
    hang_up();
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000") "a=rtcp-mux\r\n");
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000") "a=rtcp-mux\r\n");
    assert_int_equal(lab.table.count, 2);
    hang_up();
}

static void layers_have_pairs_of_ports(void **state)
{
    struct pair to;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000/2"));
    to.bobs = told(0);
    say(FINAL, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000/2"));
    to.alices = told(0);
    assert_int_equal(lab.table.count, 8);
    assert_int_equal(SEND(ALICE, 4002, to.alices + 2, BOB, 5002), to.bobs + 2);
    assert_int_equal(SEND(BOB, 5003, to.bobs + 3, ALICE, 4003), to.alices + 3);
    hang_up();
}

static void who_moves_to_another_network_is_found_there(void **state)
{
    struct pair to;
    struct address_bytes elsewhere = address(CAROL);

    (void)state;
    begin_between((struct legs_end){.source = address(ALICE), .is_hidden = true},
                  (struct legs_end){.source = address(BOB)});
    to = connect();
    SEND(ALICE, 4000, to.alices, BOB, 5000);
    legs_meet(&lab.legs, LEGS_CALLER, &elsewhere, &lab.out);
    apply();
    assert_int_equal(SEND(ALICE, 4000, to.alices, BOB, 5000), 0);
    assert_int_equal(SEND(CAROL, 4777, to.alices, BOB, 5000), to.bobs);
    assert_int_equal(SEND(BOB, 5000, to.bobs, CAROL, 4777), to.alices);
    legs_meet(&lab.legs, LEGS_CALLER, &elsewhere, &lab.out);
    assert_int_equal(lab.out.count, 0);
    hang_up();
}

static void without_ports_an_offer_is_refused_and_nothing_is_kept(void **state)
{
    (void)state;
    begin();
    ports_init(&lab.ports, 20000, 29999, 3);
    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000") AUDIO("4002")), LEGS_FULL);
    assert_int_equal(lab.ports.taken, 0);
    connect();
    assert_int_equal(say(OFFER, LEGS_CALLER, 7, 2, ALICE, AUDIO("4000") AUDIO("4002")), LEGS_FULL);
    assert_int_equal(lab.ports.taken, 2);
    assert_int_equal(say(OFFER, LEGS_CALLER, 7, 3, ALICE, AUDIO("4000")), LEGS_REWRITE);
    hang_up();
}

static void without_ports_for_another_early_dialog_the_caller_is_told_the_same(void **state)
{
    unsigned first;

    (void)state;
    begin();
    ports_init(&lab.ports, 20000, 29999, 2);
    say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("4000"));
    say(ANSWER, LEGS_CALLEE, 7, 1, BOB, AUDIO("5000"));
    first = told(0);
    assert_int_equal(say(ANSWER, LEGS_CALLEE, 8, 1, BOB, AUDIO("6000")), LEGS_REWRITE);
    assert_int_equal(told(0), first);
    assert_int_equal(SEND(ALICE, 4000, first, BOB, 6000) != 0, 1);
    legs_leave(&lab.legs, &lab.ports, 8, &lab.out);
    apply();
    assert_int_equal(SEND(ALICE, 4000, first, BOB, 5000) != 0, 1);
    hang_up();
}

static void a_call_has_so_many_m_lines_and_no_more(void **state)
{
    char media[1024];
    struct writer w = writer_over(media, sizeof media - 1);

    (void)state;
    begin();
    for (unsigned i = 0; i < LEGS_LINES; i++)
        write_slice(&w, S(AUDIO("4000")));
    media[w.len] = 0;
    assert_int_equal(say(OFFER, LEGS_CALLER, 0, 1, ALICE, media), LEGS_REWRITE);
    assert_int_equal(say(ANSWER, LEGS_CALLEE, 7, 1, BOB, media), LEGS_REWRITE);
    assert_int_equal(lab.table.count, 4 * LEGS_LINES);
    write_slice(&w, S(AUDIO("4000")));
    media[w.len] = 0;
    assert_int_equal(say(OFFER, LEGS_CALLER, 7, 2, ALICE, media), LEGS_FULL);
    assert_int_equal(say(ANSWER, LEGS_CALLEE, 7, 1, BOB, media), LEGS_FULL);
    hang_up();
    assert_int_equal(
        say(OFFER, LEGS_CALLER, 0, 1, ALICE, AUDIO("1/4") AUDIO("1/4") AUDIO("1/4") AUDIO("1")),
        LEGS_FULL);
    assert_int_equal(lab.ports.taken, 0);
}

/* The kernel's program is compiled by another compiler, and outlives the daemon. */
static void the_layout_is_what_the_relay_knows(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct leg_rule, flags), 2);
    assert_int_equal(offsetof(struct leg_rule, epoch), 4);
    assert_int_equal(offsetof(struct leg_rule, allowed), 8);
    assert_int_equal(offsetof(struct leg_rule, rate), 28);
    assert_int_equal(offsetof(struct leg_rule, target), 32);
    assert_int_equal(offsetof(struct leg_rule, stream), 52);
    assert_int_equal(offsetof(struct leg_rule, component), 54);
    assert_int_equal(offsetof(struct leg_rule, side), 55);
    assert_int_equal(offsetof(struct leg_rule, call), 56);
    assert_int_equal(offsetof(struct leg_rule, other), 72);
    assert_int_equal(offsetof(struct leg_state, locked), 4);
    assert_int_equal(offsetof(struct leg_state, source), 8);
    assert_int_equal(offsetof(struct leg_state, ssrc), 28);
    assert_int_equal(offsetof(struct leg_state, seen), 32);
    assert_int_equal(offsetof(struct leg_state, packets), 48);
    assert_int_equal(offsetof(struct leg_state, drops), 64);
    assert_int_equal(offsetof(struct leg, state), 96);
}

/* The clocks of the leg towards a side. */
static uint32_t clocks_towards(enum legs_side side)
{
    struct legs_output all;

    legs_list(&lab.legs, &all);
    for (unsigned i = 0; i < all.count; i++)
        if (all.changes[i].rule.side == side && all.changes[i].rule.component == 1)
            return all.changes[i].rule.clocks;
    fail_msg("there is no leg");
    return 0;
}

static void who_sends_goes_by_the_clocks_that_its_peer_names(void **state)
{
    char record[LEGS_RECORD_LIMIT];
    struct writer w = writer_over(record, sizeof record);
    const uint32_t wanted = 96 | 6 << 7 | (97 | 3 << 7) << 10 | (98 | 1 << 7) << 20;
    struct reader r;

    (void)state;
    begin();
    say(OFFER, LEGS_CALLER, 0, 1, ALICE,
        AUDIO("4000") "a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 speex/16000\r\n"
                      "a=rtpmap:98 speex/8000\r\na=rtpmap:99 L16/44100\r\n");
    say(FINAL, LEGS_CALLEE, 7, 1, BOB,
        AUDIO("5000") "a=rtpmap:112 x/90000\r\na=rtpmap:113 y/90000\r\n"
                      "a=rtpmap:114 z/90000\r\na=rtpmap:115 z/90000\r\n");
    assert_int_equal(clocks_towards(LEGS_CALLEE), wanted);
    assert_int_equal(clocks_towards(LEGS_CALLER), 7 << 7); /* whatever is not fixed */
    legs_write(&w, &lab.legs);
    legs_write_clocks(&w, &lab.legs);
    assert_false(w.failed);
    r = reader_over(writer_slice(&w));
    assert_true(legs_read(&r, &lab.legs));
    assert_int_equal(clocks_towards(LEGS_CALLEE), 0); /* as older records are */
    legs_read_clocks(&r, &lab.legs);
    assert_int_equal(r.rest.len, 0);
    assert_false(r.failed);
    assert_int_equal(clocks_towards(LEGS_CALLEE), wanted);
    assert_int_equal(clocks_towards(LEGS_CALLER), 7 << 7);
}

int main(void)
{
    RUN(cmocka_unit_test(packets_go_both_ways_and_rtcp_beside_them),
        cmocka_unit_test(strangers_are_dropped_before_and_after),
        cmocka_unit_test(who_is_behind_nat_is_found_by_where_its_signalling_comes_from),
        cmocka_unit_test(an_address_that_is_not_signallings_is_not_sent_to_first),
        cmocka_unit_test(ipv6_and_ipv4_meet), cmocka_unit_test(a_repeated_answer_changes_nothing),
        cmocka_unit_test(early_media_is_with_the_last_and_then_with_who_answers),
        cmocka_unit_test(of_two_that_answered_the_one_that_stays_is_heard),
        cmocka_unit_test(more_early_dialogs_than_there_is_room_for_replace_the_first),
        cmocka_unit_test(a_late_offer_turns_the_roles),
        cmocka_unit_test(an_m_line_keeps_its_ports_whoever_offers_anew),
        cmocka_unit_test(a_new_address_opens_the_latch_again),
        cmocka_unit_test(a_refused_offer_leaves_all_as_it_was),
        cmocka_unit_test(offers_that_cross_do_not_touch_each_other),
        cmocka_unit_test(an_answer_of_another_exchange_is_led_by_what_stands),
        cmocka_unit_test(an_answer_to_nothing_passes),
        cmocka_unit_test(hold_keeps_the_legs_and_says_that_silence_is_meant),
        cmocka_unit_test(hold_by_nobodys_address_mutes_and_comes_back),
        cmocka_unit_test(a_call_that_begins_on_hold_gets_its_legs),
        cmocka_unit_test(an_m_line_that_is_refused_or_ended_has_no_legs),
        cmocka_unit_test(a_call_goes_over_to_fax),
        cmocka_unit_test(a_fax_in_the_place_of_sound_keeps_the_port),
        cmocka_unit_test(a_bundle_goes_by_one_pair_of_legs_once_it_is_answered),
        cmocka_unit_test(rtcp_has_legs_unless_both_mix_it_in),
        cmocka_unit_test(layers_have_pairs_of_ports),
        cmocka_unit_test(who_moves_to_another_network_is_found_there),
        cmocka_unit_test(without_ports_an_offer_is_refused_and_nothing_is_kept),
        cmocka_unit_test(without_ports_for_another_early_dialog_the_caller_is_told_the_same),
        cmocka_unit_test(a_call_has_so_many_m_lines_and_no_more),
        cmocka_unit_test(who_sends_goes_by_the_clocks_that_its_peer_names),
        cmocka_unit_test(the_layout_is_what_the_relay_knows));
}
