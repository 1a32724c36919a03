/* The public address that the server learns while it runs: who is told of it, and what stays. */
#include "talk.h"

#include "core/outside.h"
#include "core/record.h"
#include "sip/body.h"

#include <stdio.h>

static struct world w;
static struct relay_table table;

/* Behind a router: its own addresses are private. */
static const struct socket_settings sockets[] = {
    {TRANSPORT_UDP, {"192.168.1.10", 12}, 5060},
    {TRANSPORT_UDP, {"[2001:db8::1]", 13}, 5060},
    {TRANSPORT_TCP, {"192.168.1.10", 12}, 5060},
};

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    memset(&table, 0, sizeof table);
    w.settings.sockets = sockets;
    w.settings.media.mode = MEDIA_ALWAYS;
    w.settings.media.has[0] = true;
    w.settings.media.own[0] = (struct address_bytes){false, {192, 168, 1, 10}};
    w.settings.media.outside[0] = w.settings.media.own[0];
    world_relay(&w, &table);
    talk_phone(&w, 2, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(100));
    assert_int_equal(core_census(w.core).relay_ports, 0);
    world_end(&w);
    return 0;
}

static void learn(unsigned last, uint16_t first_port, uint16_t last_port, const char *fault)
{
    const struct outside_news news = {
        .is_sought = true,
        .by = last ? OUTSIDE_PCP : OUTSIDE_NOBODY,
        .has_address = last > 0,
        .address = {false, {203, 0, 113, (uint8_t)last}},
        .first_port = first_port,
        .last_port = last_port,
        .fault = slice_text(fault),
    };

    world_event(&w, &(struct event){.kind = EVENT_OUTSIDE, .outside = &news});
}

static unsigned count(enum action_kind kind)
{
    unsigned found = 0;

    for (uint32_t i = 0; i < w.out.count; i++)
        found += w.out.at[i].kind == kind;
    return found;
}

static bool says(const char *text)
{
    for (uint32_t i = 0; i < w.out.count; i++)
        if (w.out.at[i].kind == ACTION_LOG &&
            memmem(w.out.at[i].bytes.at, w.out.at[i].bytes.len, text, strlen(text)))
            return true;
    return false;
}

#define SOUND                                                                                      \
    "v=0\no=- 1 1 IN IP4 198.51.100.9\ns=-\nc=IN IP4 198.51.100.9\nt=0 0\nm=audio 4000 RTP/AVP "   \
    "0\n"

/* What bob was sent. */
static const char *heard(void)
{
    static char text[8192];

    text[0] = '\0';
    for (unsigned i = 0; i < world_sent_count(&w); i++)
        if (world_sent_to(&w, i).address[3] == 2)
            snprintf(text, sizeof text, "%.*s", (int)world_sent(&w, i).len, world_sent(&w, i).at);
    return text;
}

/* carol calls him. */
static const char *invite(const char *name)
{
    SAY(&w, .host = 9, .call_id = name, .branch = name, .body = SOUND);
    return heard();
}

static void refuse(void)
{
    ANSWER(&w, .host = 2, .status = 486);
    assert_non_null(strstr(talk_sent(&w), "486>"));
}

static void those_outside_are_told_of_it_everywhere(void **state)
{
    const char *text;

    (void)state;
    text = invite("before");
    assert_non_null(strstr(text, "Via: SIP/2.0/UDP 192.168.1.10:5060"));
    assert_non_null(strstr(text, "c=IN IP4 192.168.1.10"));
    refuse();
    learn(7, 0, 0, "");
    assert_true(says("the public address is 203.0.113.7, says the router, by PCP"));
    text = invite("after");
    assert_non_null(strstr(text, "Via: SIP/2.0/UDP 203.0.113.7:5060"));
    assert_non_null(strstr(text, "@203.0.113.7:5060;lr>"));
    assert_non_null(strstr(text, "c=IN IP4 203.0.113.7"));
    assert_null(strstr(text, "192.168.1.10"));
    refuse();
}

static void the_same_news_is_no_news(void **state)
{
    (void)state;
    learn(7, 16384, 16511, "");
    assert_int_equal(count(ACTION_LOG), 1);
    assert_int_equal(count(ACTION_PERSIST), 1);
    learn(7, 16384, 16511, "");
    assert_int_equal(w.out.count, 0);
    learn(7, 16384, 16511, "the router is odd; mend it");
    assert_true(says("of the public address: the router is odd; mend it"));
    assert_int_equal(count(ACTION_PERSIST), 0);
    learn(0, 0, 0, "nobody answers; mend it");
    assert_true(says("no public address: nobody answers; mend it"));
}

/* An end that is told the server's own name, and one that is told the other: both are recorded. */
static void between_inside_and_outside_both_names_are_recorded(void **state)
{
    struct flow inside = {.transport = TRANSPORT_UDP, .port = 5060, .address = {192, 168, 1, 50}};
    const char *text;

    (void)state;
    learn(7, 0, 0, "");
    assert_int_equal(outside_name(w.core, &inside).len, 0);
    world_receive_by(&w, &inside,
                     "INVITE sip:bob@example.com SIP/2.0\n"
                     "Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bKin;rport\n"
                     "Max-Forwards: 70\n"
                     "From: <sip:carol@elsewhere.example>;tag=in\n"
                     "To: <sip:bob@example.com>\n"
                     "Contact: <sip:carol@192.168.1.50>\n"
                     "Call-ID: inside\nCSeq: 1 INVITE\nContent-Length: 0\n\n");
    text = heard();
    assert_non_null(strstr(text, "@203.0.113.7:5060;lr>\r\nRecord-Route"));
    assert_non_null(strstr(text, "@192.168.1.10:5060;lr>"));
    refuse();
}

static bool is_ours(const char *uri)
{
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = uri, .call_id = uri, .branch = uri + 4,
        .to = "<sip:x@example.com>");
    return world_status(&w, 0) != 403;
}

static void a_former_address_stays_a_name_of_ours(void **state)
{
    (void)state;
    assert_false(outside_has(w.core, S("203.0.113.7")));
    learn(7, 0, 0, "");
    assert_true(outside_has(w.core, S("203.0.113.7")));
    assert_true(is_ours("sip:203.0.113.7"));
    learn(8, 0, 0, "");
    assert_true(outside_has(w.core, S("203.0.113.7")) && outside_has(w.core, S("203.0.113.8")));
    for (unsigned i = 9; i < 20; i++)
        learn(i, 0, 0, "");
    assert_false(outside_has(w.core, S("203.0.113.7")));
    assert_true(outside_has(w.core, S("203.0.113.15")));
    assert_false(outside_has(w.core, S("example.com")));
}

static void ports_are_those_that_lead_here(void **state)
{
    struct sdp sdp;
    struct message m;
    struct slice text;

    (void)state;
    learn(7, 20000, 20003, ""); /* a pair for each of the two */
    invite("one");
    for (unsigned i = 0; i < world_sent_count(&w); i++) {
        if (world_sent_to(&w, i).address[3] != 2)
            continue;
        assert_false(message_parse(world_sent(&w, i), &m).status);
        assert_int_equal(body_find_sdp(&m, &text), BODY_SDP);
        assert_int_equal(sdp_parse(text, &sdp).fault, SDP_FINE);
        assert_true(sdp.media[0].port == 20000 || sdp.media[0].port == 20002);
    }
    SAY(&w, .host = 9, .call_id = "two", .branch = "two", .body = SOUND);
    assert_int_equal(world_status(&w, world_sent_count(&w) - 1), 503);
    refuse();
    learn(7, 0, 0, "");
    invite("three");
    refuse();
}

static void a_restart_keeps_it_until_more_is_known(void **state)
{
    (void)state;
    learn(7, 16384, 16511, "");
    learn(8, 16384, 16511, "");
    world_restart(&w);
    world_relay(&w, &table);
    assert_true(outside_has(w.core, S("203.0.113.7")));
    assert_non_null(strstr(invite("again"), "Via: SIP/2.0/UDP 203.0.113.8:5060"));
    refuse();
    world_forget(&w); /* only what a checkpoint writes is left */
    world_signal(&w, EVENT_CHECKPOINT);
    world_wait(&w, SECONDS(1));
    world_restart(&w);
    world_relay(&w, &table);
    assert_true(outside_has(w.core, S("203.0.113.8")));
    learn(0, 0, 0, "");
    assert_null(strstr(invite("none"), "203.0.113.8"));
    refuse();
}

static void an_address_of_the_settings_is_told_likewise(void **state)
{
    (void)state;
    w.settings.media.outside[0] = (struct address_bytes){false, {203, 0, 113, 5}};
    world_restart(&w);
    world_relay(&w, &table);
    talk_phone(&w, 2, "");
    assert_non_null(strstr(invite("written"), "Via: SIP/2.0/UDP 203.0.113.5:5060"));
    refuse();
    assert_true(outside_has(w.core, S("203.0.113.5")));
    learn(7, 0, 0, "");
    assert_non_null(strstr(invite("learnt"), "Via: SIP/2.0/UDP 203.0.113.7:5060"));
    refuse();
    learn(0, 0, 0, "");
    assert_non_null(strstr(invite("again"), "@203.0.113.5:5060;lr>"));
    refuse();
    w.settings.media.outside[0] = (struct address_bytes){false, {203, 0, 113, 6}};
    world_event(&w, &(struct event){.kind = EVENT_SETTINGS, .settings = &w.settings});
    assert_non_null(strstr(invite("other"), "Via: SIP/2.0/UDP 203.0.113.6:5060"));
    refuse();
    assert_true(outside_has(w.core, S("203.0.113.5")));
}

/* The router was given another address in mid-call: an old call is told of it, too, when it is
 * told anything; but not in what was said before. */
static void an_old_call_is_told_the_new_address(void **state)
{
    char route[512];

    (void)state;
    learn(7, 0, 0, "");
    assert_non_null(strstr(invite("call"), "c=IN IP4 203.0.113.7"));
    ANSWER(&w, .host = 2, .status = 200, .body = SOUND);
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    SAY(&w, .host = 9, .method = "ACK", .to = "<sip:bob@example.com>;tag=h2",
        .uri = "sip:h2@198.51.100.2:5060", .branch = "ack", .more = route);
    learn(8, 0, 0, "");
    SAY(&w, .host = 9, .to = "<sip:bob@example.com>;tag=h2", .uri = "sip:h2@198.51.100.2:5060",
        .cseq = 2, .branch = "again", .more = route, .body = SOUND);
    assert_non_null(strstr(heard(), "c=IN IP4 203.0.113.8"));
    learn(9, 0, 0, "");
    world_restart(&w);
    world_wait(&w, MS(10));
    assert_non_null(strstr(heard(), "c=IN IP4 203.0.113.8"));
    world_relay(&w, &table);
    ANSWER(&w, .host = 2, .status = 200, .body = SOUND);
    assert_non_null(
        memmem(world_sent(&w, 0).at, world_sent(&w, 0).len, "c=IN IP4 203.0.113.8", 20));
    SAY(&w, .host = 9, .method = "ACK", .to = "<sip:bob@example.com>;tag=h2", .cseq = 2,
        .uri = "sip:h2@198.51.100.2:5060", .branch = "ack2", .more = route);
    SAY(&w, .host = 9, .method = "BYE", .to = "<sip:bob@example.com>;tag=h2",
        .uri = "sip:h2@198.51.100.2:5060", .cseq = 3, .more = route);
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
}

static void a_damaged_record_is_passed_over(void **state)
{
    static const char record[] = {
        RECORD_OUTSIDE, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 9, 9, 9, 9, 0, 0, 0, 0, 77};

    (void)state;
    for (size_t len = 1; len <= sizeof record; len++)
        world_restore(&w, slice_of(record, len));
    assert_false(outside_has(w.core, S("9.9.9.9")));
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(WITH(those_outside_are_told_of_it_everywhere), WITH(the_same_news_is_no_news),
        WITH(between_inside_and_outside_both_names_are_recorded),
        WITH(a_former_address_stays_a_name_of_ours), WITH(ports_are_those_that_lead_here),
        WITH(a_restart_keeps_it_until_more_is_known),
        WITH(an_address_of_the_settings_is_told_likewise), WITH(a_damaged_record_is_passed_over),
        WITH(an_old_call_is_told_the_new_address));
}
