/* The servers of another domain may have different families of addresses: what is decided on the
 * media of a call, from one of them to the next. */
#include "relayed.h"
#include "zone.h"

#include "core/record.h"
#include "sip/body.h"

#include <stdio.h>

#define ALICE "<sip:alice@example.com>;tag=alice"
#define CAROL_THERE "<sip:carol@elsewhere.example>"
#define FOUR 2u  /* the server at 198.51.100.2, */
#define SIX 184u /* and the one at 2001:db8::7, by the fourth byte of its address */

static struct world w;
static struct relay_table table;

static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 0}, .bits = 24, .access = ACCESS_TRUSTED},
};

static const zone_lines four_first = {
    "elsewhere.example NAPTR 1 1 s SIP+D2U _sip._udp.elsewhere.example",
    "_sip._udp.elsewhere.example SRV 1 1 5060 a.elsewhere.example|2 1 5060 b.elsewhere.example",
    "a.elsewhere.example A 198.51.100.2",
    "b.elsewhere.example AAAA 2001:db8::7",
};
static const zone_lines six_first = {
    "elsewhere.example NAPTR 1 1 s SIP+D2U _sip._udp.elsewhere.example",
    "_sip._udp.elsewhere.example SRV 1 1 5060 b.elsewhere.example|2 1 5060 a.elsewhere.example",
    "a.elsewhere.example A 198.51.100.2",
    "b.elsewhere.example AAAA 2001:db8::7",
};

/* alice, whom phone 9 is proof enough of, and a relay of both families. */
static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    memset(&table, 0, sizeof table);
    w.settings.networks = trusted;
    w.settings.network_count = COUNT_OF(trusted);
    w.settings.media.mode = MEDIA_AUTO;
    w.settings.media.has[0] = w.settings.media.has[1] = true;
    w.settings.media.own[0] = (struct address_bytes){false, {192, 0, 2, 1}};
    w.settings.media.own[1] = (struct address_bytes){true, {0x20, 1, 0xd, 0xb8, [15] = 1}};
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    world_relay(&w, &table);
    return 0;
}

static int end(void **state)
{
    (void)state;
    relayed_end(&w, &table);
    return 0;
}

static const char *describe(const char *where, unsigned port)
{
    static char text[512];

    snprintf(text, sizeof text, "v=0\no=- 1 1 IN %s\ns=-\nc=IN %s\nt=0 0\nm=audio %u RTP/AVP 0\n",
             where, where, port);
    return text;
}

/* DNS answers all that it is asked. */
static void settle(const zone_lines zone)
{
    while (w.asked_count) {
        struct reply reply;
        zone_answer(zone, w.asked[0].question.type, slice_text(w.asked[0].name), &reply);
        world_tell(&w, 0, &reply.answer);
    }
}

static void call(const zone_lines zone)
{
    SAY(&w, .host = 9, .uri = "sip:carol@elsewhere.example", .from = ALICE, .to = CAROL_THERE,
        .body = describe("IP4 198.51.100.9", 4000));
    settle(zone);
}

struct place {
    struct address_bytes address;
    unsigned port;
};

/* Where media is to go by a message. */
static struct place place_in(struct slice bytes)
{
    static struct message m;
    struct slice text;
    struct sdp sdp;

    assert_false(message_parse(bytes, &m).status);
    assert_int_equal(body_find_sdp(&m, &text), BODY_SDP);
    assert_int_equal(sdp_parse(text, &sdp).fault, SDP_FINE);
    return (struct place){sdp_connection(&sdp, 0)->address, sdp.media[0].port};
}

/* By which the latest request went to a server. */
static struct flow way_to(unsigned server)
{
    for (unsigned i = w.request_count; i-- > 0;)
        if (w.requests[i].to.address[3] == server)
            return w.requests[i].to;
    fail_msg("nothing was sent to %u", server);
    return (struct flow){0};
}

/* How many INVITEs went to a server, and what the latest says. */
static unsigned invites_to(unsigned server, struct place *latest)
{
    unsigned count = 0;

    for (unsigned i = 0; i < w.request_count; i++) {
        if (w.requests[i].to.address[3] != server ||
            !slice_starts(w.requests[i].bytes, S("INVITE")))
            continue;
        *latest = place_in(w.requests[i].bytes);
        count++;
    }
    return count;
}

static struct place offered_to(unsigned server)
{
    struct place place;

    assert_true(invites_to(server, &place));
    return place;
}

/* What alice was told in the last step. */
static struct place told_to_alice(void)
{
    for (unsigned i = world_sent_count(&w); i-- > 0;)
        if (world_sent_to(&w, i).address[3] == 9)
            return place_in(world_sent(&w, i));
    fail_msg("alice was told nothing");
    return (struct place){.port = 0};
}

static void assert_alices(struct place place)
{
    const struct address_bytes hers = {false, {198, 51, 100, 9}};

    assert_true(address_equal(&place.address, &hers));
    assert_int_equal(place.port, 4000);
}

static void assert_relays(struct place place, bool is_v6)
{
    assert_true(address_equal(&place.address, &w.settings.media.own[is_v6]));
    assert_true(place.port >= w.settings.media.first_port);
}

static void answer(unsigned server, const char *method, unsigned status, const char *body)
{
    struct flow way = way_to(server);

    ANSWER(&w, .host = server, .by = &way, .method = method, .status = status, .body = body);
}

static void hang_up(unsigned server)
{
    char to[64];

    snprintf(to, sizeof to, CAROL_THERE ";tag=h%u", server);
    SAY(&w, .host = 9, .method = "BYE", .uri = "sip:carol@elsewhere.example", .from = ALICE,
        .to = to, .cseq = 50, .more = talk_route(&w, server));
    settle(four_first);
    answer(server, "BYE", 200, NULL);
}

static void a_call_that_went_directly_is_relayed_to_the_other_family(void **state)
{
    (void)state;
    call(four_first);
    assert_alices(offered_to(FOUR));
    assert_int_equal(core_census(w.core).anchors, 0);
    answer(FOUR, "INVITE", 503, NULL);
    settle(four_first);
    assert_relays(offered_to(SIX), true);
    answer(SIX, "INVITE", 200, describe("IP6 2001:db8::7", 6000));
    assert_relays(told_to_alice(), false);
    assert_int_equal(table.count, 4);
    hang_up(SIX);
    assert_int_equal(relayed_record(&w).media_path, MEDIA_RELAYED);
    assert_int_equal(relayed_record(&w).media, MEDIA_OTHER_FAMILY);
}

static void a_call_that_was_relayed_stays_so_and_says_it_by_the_other_family(void **state)
{
    (void)state;
    call(six_first);
    assert_relays(offered_to(SIX), true);
    answer(SIX, "INVITE", 503, NULL);
    settle(six_first);
    assert_relays(offered_to(FOUR), false);
    assert_int_equal(offered_to(FOUR).port, offered_to(SIX).port);
    answer(FOUR, "INVITE", 200, describe("IP4 198.51.100.2", 6000));
    assert_relays(told_to_alice(), false);
    hang_up(FOUR);
    assert_int_equal(relayed_record(&w).media, MEDIA_OTHER_FAMILY);
}

static void what_was_decided_anew_stands_in_the_journal(void **state)
{
    struct place before, after;
    unsigned count;

    (void)state;
    call(four_first);
    answer(FOUR, "INVITE", 503, NULL);
    settle(four_first);
    count = invites_to(SIX, &before);
    world_restart(&w);
    world_relay(&w, &table);
    world_wait(&w, SECONDS(1));
    settle(four_first);
    assert_true(invites_to(SIX, &after) > count);
    assert_relays(after, true);
    assert_int_equal(after.port, before.port);
    answer(SIX, "INVITE", 200, describe("IP6 2001:db8::7", 6000));
    assert_relays(told_to_alice(), false);
    hang_up(SIX);
    assert_int_equal(relayed_record(&w).media, MEDIA_OTHER_FAMILY);
}

/* The first server was silent for long, and was told another way of the media than the second. */
static void leave_the_first(void)
{
    call(four_first);
    world_wait(&w, SECONDS(3));
    settle(four_first);
    assert_alices(offered_to(FOUR));
    assert_relays(offered_to(SIX), true);
}

static void who_was_left_and_answers_after_all_is_reached_as_it_was_told(void **state)
{
    struct place told;

    (void)state;
    leave_the_first();
    answer(FOUR, "INVITE", 200, describe("IP4 198.51.100.2", 6000));
    told = told_to_alice();
    assert_int_equal(told.address.at[3], FOUR);
    assert_int_equal(told.port, 6000);
    answer(SIX, "INVITE", 487, NULL);
    assert_int_equal(table.count, 0);
    hang_up(FOUR);
}

static void who_was_left_is_not_taken_back_once_the_media_goes_another_way(void **state)
{
    (void)state;
    leave_the_first();
    answer(FOUR, "INVITE", 180, NULL);
    assert_non_null(strstr(talk_sent(&w), "CANCEL>2"));
    answer(FOUR, "CANCEL", 200, NULL);
    answer(FOUR, "INVITE", 487, NULL);
    answer(SIX, "INVITE", 200, describe("IP6 2001:db8::7", 6000));
    assert_relays(told_to_alice(), false);
    hang_up(SIX);
}

/* Nothing was offered to the first server, which is left; its own offer is the call's first. */
static void a_late_offer_of_a_server_that_was_left_is_relayed(void **state)
{
    (void)state;
    w.settings.media.mode = MEDIA_ALWAYS;
    SAY(&w, .host = 9, .uri = "sip:carol@elsewhere.example", .from = ALICE, .to = CAROL_THERE);
    settle(four_first);
    world_wait(&w, SECONDS(3));
    settle(four_first);
    answer(SIX, "INVITE", 180, NULL);
    answer(FOUR, "INVITE", 200, describe("IP4 198.51.100.2", 6000));
    assert_relays(told_to_alice(), false);
    assert_int_equal(core_census(w.core).anchors, 1);
    answer(SIX, "CANCEL", 200, NULL);
    answer(SIX, "INVITE", 487, NULL);
    hang_up(FOUR);
}

/* Who wrote it had no relay: the phone was told what the caller offers, and that stands. */
static void an_image_of_before_there_were_relays_stays_direct(void **state)
{
    struct place place;

    (void)state;
    w.settings.media.mode = MEDIA_NEVER;
    world_restart(&w);
    call(four_first);
    for (unsigned i = 0; i < w.record_count; i++)
        if (w.records[i].len && (uint8_t)w.records[i].at[0] == RECORD_INVITE)
            w.records[i].len -= 2; /* the media of its one target */
    w.settings.media.mode = MEDIA_ALWAYS;
    world_restart(&w);
    world_relay(&w, &table);
    world_wait(&w, SECONDS(1));
    assert_int_equal(invites_to(FOUR, &place), 2);
    assert_alices(place);
    assert_int_equal(core_census(w.core).anchors, 0);
    answer(FOUR, "INVITE", 200, describe("IP4 198.51.100.2", 6000));
    hang_up(FOUR);
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(WITH(a_call_that_went_directly_is_relayed_to_the_other_family),
        WITH(a_late_offer_of_a_server_that_was_left_is_relayed),
        WITH(an_image_of_before_there_were_relays_stays_direct),
        WITH(a_call_that_was_relayed_stays_so_and_says_it_by_the_other_family),
        WITH(what_was_decided_anew_stands_in_the_journal),
        WITH(who_was_left_and_answers_after_all_is_reached_as_it_was_told),
        WITH(who_was_left_is_not_taken_back_once_the_media_goes_another_way));
}
