/* Calls that went directly until one of the phones went into another network. */
#include "relayed.h"

#include "core/record.h"
#include "sip/body.h"

#include <stdio.h>
#include <stdlib.h>

#define ALICE "<sip:alice@example.com>;tag=alice"
#define BOB_IN "<sip:bob@example.com>;tag=h2"
#define BOB_AT "sip:h2@198.51.100.2:5060"
#define ALICE_AT "sip:h9@198.51.100.9:5060"
#define AWAY 77u /* where who has moved is, behind NAT */

static struct world w;
static struct relay_table table;

static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 0}, .bits = 24, .access = ACCESS_TRUSTED},
};

/* alice's phone is 9, and bob's 2. */
static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    memset(&table, 0, sizeof table);
    w.settings.networks = trusted;
    w.settings.network_count = COUNT_OF(trusted);
    w.settings.media.mode = MEDIA_AUTO;
    w.settings.media.has[0] = true;
    w.settings.media.own[0] = (struct address_bytes){false, {192, 0, 2, 1}};
    world_relay(&w, &table);
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    talk_phone(&w, 2, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    relayed_end(&w, &table);
    return 0;
}

static const char *describe(const char *address, unsigned version)
{
    static char texts[4][512];
    static unsigned next;
    char *text = texts[next++ % 4];

    snprintf(text, sizeof texts[0],
             "v=0\no=- 1 %u IN IP4 x\ns=-\nc=IN IP4 %s\nt=0 0\nm=audio 4000 RTP/AVP 0\n", version,
             address);
    return text;
}

#define HERS "198.51.100.9"
#define HIS "198.51.100.2"
#define HIDDEN "192.168.1.7"

/* The latest message to a host in this step that has a description. */
static struct slice description_to(unsigned host)
{
    for (unsigned i = world_sent_count(&w); i-- > 0;) {
        static struct message m;
        struct slice text;
        if (world_sent_to(&w, i).address[3] != host)
            continue;
        assert_false(message_parse(world_sent(&w, i), &m).status);
        if (body_find_sdp(&m, &text) == BODY_SDP)
            return text;
    }
    fail_msg("%u was told nothing", host);
    return NO_SLICE;
}

/* The port of the relay that a host was told; 0 if it was told another's. */
static unsigned told(unsigned host)
{
    struct sdp sdp;

    assert_int_equal(sdp_parse(description_to(host), &sdp).fault, SDP_FINE);
    return sdp_connection(&sdp, 0)->address.at[0] == 192 &&
                   sdp_connection(&sdp, 0)->address.at[1] == 0
               ? sdp.media[0].port
               : 0;
}

static void assert_version(unsigned host, unsigned version)
{
    char line[32];
    struct slice text = description_to(host);

    snprintf(line, sizeof line, "o=- 1 %u IN", version);
    assert_non_null(memmem(text.at, text.len, line, strlen(line)));
}

static struct leg_place place(unsigned a, unsigned b, unsigned c, unsigned d, unsigned port)
{
    return (struct leg_place){
        .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)a, (uint8_t)b, (uint8_t)c,
                    (uint8_t)d},
        .port = {(uint8_t)(port >> 8), (uint8_t)port},
    };
}

/* A packet from a phone to the relay arrives there. */
static void expect_packet(unsigned from, unsigned from_port, unsigned relay_port, unsigned to,
                          unsigned to_port)
{
    struct leg_place source = place(198, 51, 100, from, from_port);
    struct leg_place key = place(192, 0, 2, 1, relay_port);
    struct leg_place target = place(198, 51, 100, to, to_port);
    struct table_packet packet = table_receive(&table, &source, &key);

    assert_true(packet.has_left);
    assert_memory_equal(&packet.to, &target, sizeof target);
}

/* alice calls bob, and no relay is needed. */
static void call(void)
{
    SAY(&w, .host = 9, .from = ALICE, .body = describe(HERS, 1));
    assert_int_equal(told(2), 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(HIS, 1));
    assert_int_equal(told(9), 0);
    SAY(&w, .host = 9, .method = "ACK", .from = ALICE, .to = BOB_IN, .uri = BOB_AT, .branch = "ack",
        .more = talk_route(&w, 2));
    assert_int_equal(core_census(w.core).anchors, 0);
}

static void alice_asks(unsigned host, const char *method, unsigned cseq, const char *body)
{
    char branch[32];

    snprintf(branch, sizeof branch, "%s%u", method, cseq);
    SAY(&w, .host = host, .method = method, .uri = BOB_AT, .from = ALICE, .to = BOB_IN,
        .cseq = cseq, .branch = branch, .more = talk_route(&w, 2), .body = body);
}

/* The same Contact, from another address. */
static void alice_moves(void)
{
    world_register_with(&w, "alice", "wonder", AWAY, 5060,
                        "Contact: <sip:alice@198.51.100.9:5060>\n");
}

static void bye(void)
{
    alice_asks(AWAY, "BYE", 50, NULL);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_int_equal(table.count, 0);
}

/* bob's answer says what he said before: to alice it has changed, and bears another version. */
static void a_phone_that_moves_behind_nat_is_relayed_from_there_on(void **state)
{
    unsigned callee, caller;

    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "INVITE", 2, describe(HIDDEN, 2));
    callee = told(2);
    assert_true(callee);
    assert_version(2, 2);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(HIS, 1));
    caller = told(AWAY);
    assert_true(caller);
    assert_version(AWAY, 2);
    assert_int_equal(table.count, 4);
    expect_packet(AWAY, 31000, caller, 2, 4000); /* as its NAT maps it */
    expect_packet(2, 4000, callee, AWAY, 31000);
    alice_asks(AWAY, "UPDATE", 3, describe(HIDDEN, 3));
    assert_int_equal(told(2), callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 2));
    assert_int_equal(told(AWAY), caller);
    assert_version(AWAY, 3);
    bye();
    assert_int_equal(relayed_record(&w).media_path, MEDIA_RELAYED);
    assert_int_equal(relayed_record(&w).media, MEDIA_OFFERER_HIDDEN);
}

static void an_update_does_as_well(void **state)
{
    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "UPDATE", 2, describe(HIDDEN, 2));
    unsigned callee = told(2);
    assert_true(callee);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 1));
    unsigned caller = told(AWAY);
    assert_int_equal(table.count, 4);
    expect_packet(AWAY, 31000, caller, 2, 4000);
    expect_packet(2, 4000, callee, AWAY, 31000);
    bye();
}

static void who_is_called_may_move_too(void **state)
{
    (void)state;
    call();
    world_register_with(&w, "bob", "builder", AWAY, 5060, "Contact: <sip:bob@198.51.100.2:5060>\n");
    SAY(&w, .host = AWAY, .method = "INVITE", .uri = ALICE_AT, .from = BOB_IN, .to = ALICE,
        .cseq = 100, .branch = "bobs", .more = talk_route(&w, 2), .body = describe(HIDDEN, 2));
    unsigned caller = told(9);
    assert_true(caller);
    ANSWER(&w, .host = 9, .status = 200, .body = describe(HERS, 1));
    unsigned callee = told(AWAY);
    assert_version(AWAY, 2);
    expect_packet(AWAY, 31000, callee, 9, 4000);
    expect_packet(9, 4000, caller, AWAY, 31000);
    SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .from = ALICE, .to = BOB_IN, .cseq = 50,
        .more = talk_route(&w, 2));
    ANSWER(&w, .host = AWAY, .method = "BYE", .status = 200);
    assert_int_equal(relayed_record(&w).media, MEDIA_OFFERER_HIDDEN);
}

static void who_stays_is_asked_nothing(void **state)
{
    unsigned recorded;

    (void)state;
    call();
    recorded = w.record_count;
    alice_asks(9, "UPDATE", 2, describe(HIDDEN, 2));
    assert_int_equal(told(2), 0);
    assert_int_equal(w.record_count, recorded);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 1));
    assert_int_equal(told(9), 0);
    assert_version(9, 1);
    alice_asks(9, "BYE", 50, NULL);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_int_equal(relayed_record(&w).media, MEDIA_BOTH_PUBLIC);
}

static void who_moves_to_where_it_can_be_reached_goes_on_directly(void **state)
{
    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "INVITE", 2, describe("198.51.100.77", 2));
    assert_int_equal(told(2), 0);
    ANSWER(&w, .host = 2, .status = 200, .body = describe(HIS, 1));
    assert_int_equal(told(AWAY), 0);
    assert_int_equal(core_census(w.core).anchors, 0);
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_BOTH_PUBLIC);
}

/* Nothing has changed then; and the next offer is decided on once more. */
static void a_refused_offer_leaves_it_direct(void **state)
{
    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "INVITE", 2, describe(HIDDEN, 2));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .status = 488);
    assert_int_equal(core_census(w.core).anchors, 0);
    assert_int_equal(core_census(w.core).relay_ports, 0);
    SAY(&w, .host = AWAY, .method = "ACK", .uri = BOB_AT, .from = ALICE, .to = BOB_IN, .cseq = 2,
        .branch = "INVITE2", .more = talk_route(&w, 2));
    alice_asks(AWAY, "UPDATE", 3, describe(HIDDEN, 2));
    assert_true(told(2));
    world_wait(&w, SECONDS(33)); /* and nobody answers */
    assert_int_equal(core_census(w.core).anchors, 0);
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_BOTH_PUBLIC);
}

/* Two that meet (RFC 3261 14.1): the one that is refused first ends nothing of the other's. */
static void offers_that_meet_leave_what_one_of_them_began(void **state)
{
    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "UPDATE", 2, describe(HIDDEN, 2));
    unsigned callee = told(2);
    SAY(&w, .host = 2, .method = "UPDATE", .uri = ALICE_AT, .from = BOB_IN, .to = ALICE,
        .cseq = 100, .branch = "bobs", .more = talk_route(&w, 2), .body = describe(HIS, 2));
    ANSWER(&w, .host = AWAY, .method = "UPDATE", .status = 491);
    assert_int_equal(core_census(w.core).anchors, 1);
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 1));
    unsigned caller = told(AWAY);
    expect_packet(AWAY, 31000, caller, 2, 4000);
    expect_packet(2, 4000, callee, AWAY, 31000);
    bye();
}

static void a_full_relay_refuses_the_offer(void **state)
{
    char route[1024];

    (void)state;
    w.settings.media.calls = 1;
    call();
    alice_moves();
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    SAY(&w, .host = 66, .call_id = "other", .branch = "other", .body = describe(HIDDEN, 1));
    assert_true(told(2));
    SAY(&w, .host = AWAY, .uri = BOB_AT, .from = ALICE, .to = BOB_IN, .cseq = 2, .branch = "full",
        .more = route, .body = describe(HIDDEN, 2));
    assert_sent(&w, "100>77 503>77");
    SAY(&w, .host = AWAY, .method = "ACK", .uri = BOB_AT, .from = ALICE, .to = BOB_IN, .cseq = 2,
        .branch = "full", .more = route);
    ANSWER(&w, .host = 2, .status = 486);
    SAY(&w, .host = AWAY, .method = "BYE", .uri = BOB_AT, .from = ALICE, .to = BOB_IN, .cseq = 50,
        .more = route);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
}

/* ---- restarts */

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

static void restart(void)
{
    world_restart(&w);
    world_relay(&w, &table);
    world_wait(&w, MS(200));
}

static void expect_relayed_after(enum record_type last)
{
    unsigned recorded;

    call();
    alice_moves();
    recorded = w.record_count;
    alice_asks(AWAY, "INVITE", 2, describe(HIDDEN, 2));
    unsigned before = told(2);
    cut_journal(recorded, last);
    restart();
    ANSWER(&w, .host = 2, .status = 200, .body = describe(HIS, 1));
    unsigned caller = told(AWAY);
    assert_true(caller);
    assert_version(AWAY, 2);
    assert_int_equal(table.count, 4);
    expect_packet(AWAY, 31000, caller, 2, 4000);
    if (last == RECORD_MEDIA)
        expect_packet(2, 4000, before, AWAY, 31000);
    bye();
    assert_int_equal(relayed_record(&w).media, MEDIA_OFFERER_HIDDEN);
}

static void a_restart_offers_the_same_once_more(void **state)
{
    (void)state;
    expect_relayed_after(RECORD_MEDIA);
}

/* A crash between the image and the record of the legs: nothing was sent yet. */
static void a_restart_relays_what_was_about_to_be(void **state)
{
    (void)state;
    expect_relayed_after(RECORD_INVITE);
}

/* An UPDATE has no image: who sent it does so again, and is decided on again. */
static void a_restart_forgets_what_an_update_began(void **state)
{
    (void)state;
    call();
    alice_moves();
    alice_asks(AWAY, "UPDATE", 2, describe(HIDDEN, 2));
    assert_true(told(2));
    restart();
    assert_int_equal(core_census(w.core).anchors, 0);
    assert_int_equal(core_census(w.core).relay_ports, 0);
    alice_asks(AWAY, "UPDATE", 2, describe(HIDDEN, 2));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 1));
    assert_true(told(AWAY));
    restart();
    assert_int_equal(table.count, 4);
    alice_asks(AWAY, "UPDATE", 3, describe(HIDDEN, 3));
    assert_true(told(2));
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200, .body = describe(HIS, 1));
    assert_version(AWAY, 2);
    bye();
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(WITH(a_phone_that_moves_behind_nat_is_relayed_from_there_on), WITH(an_update_does_as_well),
        WITH(who_is_called_may_move_too), WITH(who_stays_is_asked_nothing),
        WITH(who_moves_to_where_it_can_be_reached_goes_on_directly),
        WITH(a_refused_offer_leaves_it_direct), WITH(offers_that_meet_leave_what_one_of_them_began),
        WITH(a_full_relay_refuses_the_offer), WITH(a_restart_offers_the_same_once_more),
        WITH(a_restart_relays_what_was_about_to_be), WITH(a_restart_forgets_what_an_update_began));
}
