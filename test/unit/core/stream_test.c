/* Streams that end, are not there yet, or cannot be opened: where requests and answers go then. */
#include "talk.h"

#include <stdio.h>

static struct world w;
static struct flow phone; /* bob's stream, from 2 */

/* bob has phone 2, by a stream; it listens at port 5060 too. */
static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    phone = world_open(&w, 2, 40002);
    world_register_by(&w, &phone, "bob", "builder", "<sip:bob@198.51.100.2;transport=tcp>", 600);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* The stream that the server opened last. */
static struct flow dialled(void)
{
    for (uint32_t i = w.out.count; i-- > 0;)
        if (w.out.at[i].kind == ACTION_CONNECT)
            return w.out.at[i].flow;
    fail();
    return phone;
}

static void a_call_goes_both_ways_by_the_stream(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 180);
    assert_sent(&w, "180>9");
    ANSWER(&w, .host = 2, .by = &phone, .status = 200);
    assert_sent(&w, "200>9");
    PLAY(&w, {"wait 10000", ""});
}

static void a_phone_is_called_where_it_listens_when_its_stream_has_ended(void **state)
{
    struct flow to;

    (void)state;
    world_close(&w, &phone);
    PLAY(&w, {"9 INVITE", "100>9 connect>2 INVITE>2"});
    to = dialled();
    assert_int_equal(to.port, 5060);
    assert_int_equal(to.transport, TRANSPORT_TCP);
    ANSWER(&w, .host = 2, .by = &to, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
}

static void a_stream_that_cannot_be_opened_ends_the_call(void **state)
{
    struct flow to;

    (void)state;
    world_close(&w, &phone);
    PLAY(&w, {"9 INVITE", "100>9 connect>2 INVITE>2"});
    to = dialled();
    world_close(&w, &to);
    PLAY(&w, {"wait 10", "480>9"}, {"9 ACK", ""});
}

static void what_was_not_heard_of_is_sent_again_by_another_stream(void **state)
{
    struct flow to;

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    world_close(&w, &phone);
    PLAY(&w, {"wait 10", "connect>2 INVITE>2"});
    to = dialled();
    ANSWER(&w, .host = 2, .by = &to, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
}

static void bindings_that_listen_at_one_place_share_a_stream(void **state)
{
    (void)state;
    world_register_by(&w, &phone, "bob", "builder", "<sip:two@198.51.100.2;transport=tcp>", 600);
    world_close(&w, &phone);
    PLAY(&w, {"9 INVITE", "100>9 connect>2 INVITE>2 INVITE>2"});
}

static void without_room_for_another_stream_that_phone_is_left_out(void **state)
{
    struct limits limits = world_limits;
    struct flow to;

    (void)state;
    limits.connected = 1;
    world_begin_within(&w, true, &limits);
    for (unsigned host = 2; host <= 3; host++) {
        char contact[64];
        struct flow flow = world_open(&w, host, 40000);
        snprintf(contact, sizeof contact, "<sip:bob@198.51.100.%u;transport=tcp>", host);
        world_register_by(&w, &flow, "bob", "builder", contact, 600);
        world_close(&w, &flow);
    }
    PLAY(&w, {"9 INVITE", "100>9 connect>3 INVITE>3"});
    to = dialled();
    PLAY(&w, {"wait 10", ""});
    ANSWER(&w, .host = 3, .by = &to, .status = 486);
    assert_sent(&w, "486>9 ACK>3");
    world_close(&w, &to);
    SAY(&w, .host = 9, .call_id = "again", .branch = "again"); /* its place is free */
    assert_sent(&w, "100>9 connect>3 INVITE>3");
    end(NULL);
}

static void a_call_that_waits_for_a_phone_can_be_cancelled(void **state)
{
    (void)state;
    world_register_by(&w, &phone, "bob", "builder", "<sip:bob@10.0.0.7;transport=tcp>", 600);
    world_register_with(&w, "bob", "builder", 2, 5060,
                        "Contact: <sip:bob@198.51.100.2;transport=tcp>;expires=0\n");
    world_restart(&w);
    PLAY(&w, {"9 INVITE", "100>9"}, {"wait 1000", ""}, {"9 CANCEL", "200>9"}, {"wait 10", "487>9"},
         {"9 ACK", ""});
}

static void a_call_waits_for_a_phone_that_comes_back(void **state)
{
    (void)state;
    world_register_by(&w, &phone, "bob", "builder", "<sip:bob@10.0.0.7;transport=tcp>", 600);
    world_register_with(&w, "bob", "builder", 2, 5060,
                        "Contact: <sip:bob@198.51.100.2;transport=tcp>;expires=0\n");
    world_restart(&w);
    PLAY(&w, {"9 INVITE", "100>9"}, {"wait 2000", ""});
    phone = world_open(&w, 2, 40009);
    world_register_by(&w, &phone, "bob", "builder", "<sip:bob@10.0.0.7;transport=tcp>", 600);
    PLAY(&w, {"wait 110", "INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
}

/* 18.2.2 */
static void an_answer_follows_its_caller_to_where_he_listens(void **state)
{
    struct flow caller = world_open(&w, 9, 50009), to;

    (void)state;
    SAY(&w, .host = 9, .by = &caller);
    assert_sent(&w, "100>9 INVITE>2");
    world_close(&w, &caller);
    ANSWER(&w, .host = 2, .by = &phone, .status = 180);
    assert_sent(&w, "connect>9 180>9");
    to = dialled();
    assert_int_equal(to.port, 5060); /* of the Via */
    ANSWER(&w, .host = 2, .by = &phone, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
    PLAY(&w, {"wait 10000", ""}); /* nothing is repeated on a stream */
    SAY(&w, .host = 9, .by = &to, .method = "ACK");
}

static void a_dialog_with_a_stranger_finds_another_stream(void **state)
{
    static const struct {
        const char *uri;
        unsigned port;
    } rows[] = {
        {"sip:h9@198.51.100.9:5099;transport=tcp", 5099},
        {"sip:h9@198.51.100.9;transport=tcp", 5060},
        {"sip:h9@203.0.113.66:5099;transport=tcp", 5060}, /* not there */
        {"sip:h9@carol.example:5099", 5060},              /* nowhere, as DNS says */
    };
    const struct dns_answer nothing = {.status = DNS_NOTHING};

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct flow caller;
        begin(state);
        caller = world_open(&w, 9, 50009);
        SAY(&w, .host = 9, .by = &caller);
        ANSWER(&w, .host = 2, .by = &phone, .status = 200);
        assert_sent(&w, "200>9");
        world_close(&w, &caller);
        SAY(&w, .host = 2, .by = &phone, .method = "BYE", .uri = rows[i].uri,
            .from = "<sip:bob@example.com>;tag=h2", .to = CAROL, .more = talk_route(&w, 2));
        while (w.asked_count)
            world_tell(&w, 0, &nothing);
        assert_sent(&w, "connect>9 BYE>9");
        assert_int_equal(dialled().port, rows[i].port);
        end(state);
    }
}

static void an_ack_without_a_way_waits_for_the_next_2xx(void **state)
{
    (void)state;
    world_register_by(&w, &phone, "bob", "builder", "<sip:bob@10.0.0.7;transport=tcp>", 600);
    world_register_with(&w, "bob", "builder", 2, 5060,
                        "Contact: <sip:bob@198.51.100.2;transport=tcp>;expires=0\n");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 200);
    world_close(&w, &phone);
    SAY(&w, .host = 9, .method = "ACK", .branch = "ack", .uri = "sip:bob@10.0.0.7;transport=tcp",
        .to = "<sip:bob@example.com>;tag=h2", .more = talk_route(&w, 2));
    assert_sent(&w, "");
}

static void a_phone_that_is_back_by_another_stream_needs_no_proof(void **state)
{
    struct flow back;

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 200);
    world_close(&w, &phone);
    back = world_open(&w, 2, 40077);
    SAY(&w, .host = 2, .by = &back, .method = "BYE", .uri = "sip:h9@198.51.100.9",
        .from = "<sip:bob@example.com>;tag=h2", .to = CAROL, .more = talk_route(&w, 2));
    assert_sent(&w, "BYE>9");
    end(state);
    begin(state);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 200);
    back = world_open(&w, 2, 40078); /* while the first one stands it may be somebody else */
    SAY(&w, .host = 2, .by = &back, .method = "BYE", .uri = "sip:h9@198.51.100.9",
        .from = "<sip:bob@example.com>;tag=h2", .to = CAROL, .more = talk_route(&w, 2));
    assert_sent(&w, "407>2");
}

static void the_cancel_of_a_ringing_phone_takes_the_stream_it_answered_by(void **state)
{
    struct flow back;

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &phone, .status = 180);
    world_close(&w, &phone);
    back = world_open(&w, 2, 40077);
    ANSWER(&w, .host = 2, .by = &back, .status = 180);
    assert_sent(&w, "180>9");
    PLAY(&w, {"9 CANCEL", "CANCEL>2 200>9"});
    assert_true(flow_equal(&w.out.at[1].flow, &back) || flow_equal(&w.out.at[0].flow, &back));
    ANSWER(&w, .host = 2, .by = &back, .status = 487);
    assert_sent(&w, "487>9 ACK>2");
}

/* A gateway at 60, without a registration; and a field that makes a request too long for a datagram
 * (18.1.1). */
static const char *begin_outside(void)
{
    static char filler[1400];
    struct user_settings gateway = {
        .id = S("gateway"),
        .kind = USER_GATEWAY,
        .contacts = S("sip:gw@198.51.100.60:5080"),
    };

    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &gateway});
    memset(filler, 'x', sizeof filler - 1);
    memcpy(filler, "Subject: ", 9);
    filler[sizeof filler - 2] = '\n';
    return filler;
}

#define GATEWAY "sip:gateway@example.com"

static void a_request_too_long_for_a_datagram_goes_outside_by_a_stream(void **state)
{
    const char *filler = begin_outside();
    struct flow to;

    (void)state;
    SAY(&w, .host = 9, .uri = GATEWAY, .more = filler);
    assert_sent(&w, "100>9 connect>60 INVITE>60");
    to = dialled();
    assert_int_equal(to.port, 5080);
    assert_true(slice_starts(slice_text(world_header(&w, 1, "Via")), S("SIP/2.0/TCP ")));
    assert_non_null(strstr(world_header(&w, 1, "Record-Route"), ";transport=tcp"));
    ANSWER(&w, .host = 60, .by = &to, .status = 486);
    assert_sent(&w, "486>9 ACK>60");
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler);
    assert_sent(&w, "MESSAGE>60"); /* by the same */
    ANSWER(&w, .host = 60, .by = &to, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .branch = "short");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
}

static void where_nobody_takes_the_stream_it_goes_by_datagram(void **state)
{
    const char *filler = begin_outside();
    struct flow to;

    (void)state;
    SAY(&w, .host = 9, .uri = GATEWAY, .more = filler);
    to = dialled();
    world_close(&w, &to);
    world_wait(&w, 0);
    assert_sent(&w, "INVITE>60");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    assert_true(slice_starts(slice_text(world_header(&w, 0, "Via")), S("SIP/2.0/UDP ")));
    ANSWER(&w, .host = 60, .status = 486);
    assert_sent(&w, "486>9 ACK>60");
}

static void a_message_falls_back_on_datagrams_too(void **state)
{
    const char *filler = begin_outside();
    struct flow to;

    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler);
    assert_sent(&w, "connect>60 MESSAGE>60");
    to = dialled();
    world_close(&w, &to);
    world_wait(&w, 0);
    assert_sent(&w, "MESSAGE>60");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
}

/* 18.1.1: something on the way lets no stream through, and says nothing. */
static void a_stream_that_does_not_stand_soon_is_done_without(void **state)
{
    const char *filler = begin_outside();

    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler);
    assert_sent(&w, "connect>60 MESSAGE>60");
    world_wait(&w, MS(1950));
    assert_sent(&w, "");
    world_wait(&w, MS(100));
    assert_sent(&w, "MESSAGE>60 close>60");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler, .branch = "soon");
    assert_sent(&w, "MESSAGE>60"); /* nobody else waits for it */
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
}

/* Each for as long as it has waited itself; the last one closes it. */
static void two_may_wait_for_one_stream(void **state)
{
    const char *filler = begin_outside();

    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler, .call_id = "one",
        .branch = "one");
    assert_sent(&w, "connect>60 MESSAGE>60");
    world_wait(&w, MS(1000));
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler, .call_id = "two",
        .branch = "two");
    assert_sent(&w, "MESSAGE>60");
    for (unsigned i = 0; i < 2; i++) {
        world_wait(&w, MS(1010));
        assert_sent(&w, i ? "MESSAGE>60 close>60" : "MESSAGE>60");
        assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
        ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
        assert_sent(&w, "200>9");
    }
}

static void who_takes_the_stream_in_time_is_not_sent_datagrams(void **state)
{
    const char *filler = begin_outside();
    struct flow to;

    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler);
    to = dialled();
    world_wait(&w, MS(1900));
    world_event(&w, &(struct event){.kind = EVENT_OPENED, .flow = to});
    world_wait(&w, MS(1500));
    assert_sent(&w, "");
    ANSWER(&w, .host = 60, .by = &to, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
}

/* For a minute nobody else waits for it. */
static void a_stream_that_cannot_be_opened_is_not_tried_again_soon(void **state)
{
    const char *filler = begin_outside();
    struct flow to;

    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler);
    to = dialled();
    world_close(&w, &to);
    world_wait(&w, 0);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler, .branch = "soon");
    assert_sent(&w, "MESSAGE>60");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 60, .method = "MESSAGE", .status = 200);
    world_wait(&w, SECONDS(61));
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = GATEWAY, .more = filler, .branch = "later");
    assert_sent(&w, "connect>60 MESSAGE>60");
    to = dialled();
    ANSWER(&w, .host = 60, .by = &to, .method = "MESSAGE", .status = 200);
}

/* What it registered by is its way, however long a request is. */
static void a_phone_gets_long_requests_by_its_own_flow(void **state)
{
    const char *filler = begin_outside();

    (void)state;
    talk_phone(&w, 3, "");
    world_close(&w, &phone);
    SAY(&w, .host = 9, .method = "MESSAGE", .more = filler);
    assert_non_null(strstr(talk_sent(&w), "MESSAGE>3"));
    ANSWER(&w, .host = 3, .method = "MESSAGE", .status = 200);
}

/* In a dialog that carol began by datagrams. */
static void bob_asks_carol(const char *method, const char *branch, const char *filler)
{
    char more[2048];

    snprintf(more, sizeof more, "%s%s", talk_route(&w, 2), filler);
    SAY(&w, .host = 2, .by = &phone, .method = method, .uri = "sip:carol@198.51.100.9",
        .from = "<sip:bob@example.com>;tag=h2", .to = CAROL, .branch = branch, .more = more);
}

/* carol's call that bob takes, and the field. */
static const char *begin_dialog(void)
{
    const char *filler = begin_outside();

    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .by = &phone, .status = 200);
    SAY(&w, .host = 9, .method = "ACK", .to = "<sip:bob@example.com>;tag=h2", .branch = "ack",
        .uri = "sip:bob@198.51.100.2", .more = talk_route(&w, 2));
    assert_sent(&w, "ACK>2");
    return filler;
}

static void a_long_request_in_a_dialog_goes_outside_by_a_stream(void **state)
{
    const char *filler = begin_dialog();
    struct flow to;

    (void)state;
    bob_asks_carol("INFO", "short", "");
    assert_sent(&w, "INFO>9");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 9, .method = "INFO", .status = 200);
    bob_asks_carol("INFO", "long", filler);
    assert_sent(&w, "connect>9 INFO>9");
    to = dialled();
    assert_int_equal(to.transport, TRANSPORT_TCP);
    assert_true(slice_starts(slice_text(world_header(&w, 0, "Via")), S("SIP/2.0/TCP ")));
    ANSWER(&w, .host = 9, .by = &to, .method = "INFO", .status = 200);
    assert_sent(&w, "200>2");
}

static void where_there_is_no_stream_a_dialog_goes_on_by_datagrams(void **state)
{
    const char *filler = begin_dialog();
    struct flow to;

    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* said, or found out */
        bob_asks_carol("INFO", i ? "later" : "long", filler);
        assert_sent(&w, "connect>9 INFO>9");
        to = dialled();
        if (!i)
            world_close(&w, &to);
        world_wait(&w, i ? MS(2050) : 0);
        assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
        ANSWER(&w, .host = 9, .method = "INFO", .status = 200);
        assert_sent(&w, "200>2");
        world_wait(&w, SECONDS(61));
    }
}

/* As behind NAT: nobody says that connections are taken where datagrams come from. */
static void who_listens_elsewhere_is_asked_by_datagrams(void **state)
{
    const char *filler = begin_dialog();
    char more[2048];

    (void)state;
    snprintf(more, sizeof more, "%s%s", talk_route(&w, 2), filler);
    SAY(&w, .host = 2, .by = &phone, .method = "INFO", .uri = "sip:carol@198.51.100.9:5062",
        .from = "<sip:bob@example.com>;tag=h2", .to = CAROL, .branch = "elsewhere", .more = more);
    assert_sent(&w, "INFO>9");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 9, .method = "INFO", .status = 200);
}

/* It was reached by datagrams, and nothing says that it listens for more. */
static void a_phone_that_has_unregistered_is_asked_by_its_own_flow(void **state)
{
    const char *filler = begin_outside();

    (void)state;
    talk_phone(&w, 3, "");
    world_close(&w, &phone);
    world_register(&w, "bob", "builder", 3, 5060, 600);
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 3, .status = 200);
    world_register(&w, "bob", "builder", 3, 5060, 0);
    char more[2048];
    snprintf(more, sizeof more, "%s%s", talk_route(&w, 3), filler);
    SAY(&w, .host = 9, .method = "INFO", .to = "<sip:bob@example.com>;tag=h3",
        .uri = "sip:bob@198.51.100.3", .more = more);
    assert_sent(&w, "INFO>3");
    assert_int_equal(world_sent_to(&w, 0).transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 3, .method = "INFO", .status = 200);
}

/* RFC 4320 4.1: within one hop, and only what says nothing. */
static void a_request_that_takes_long_is_told_100_and_never_180(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE");
    ANSWER(&w, .host = 2, .by = &phone, .method = "MESSAGE", .status = 180);
    assert_sent(&w, "");
    world_wait(&w, MS(3400));
    assert_sent(&w, "");
    world_wait(&w, MS(200));
    assert_sent(&w, "100>9");
    assert_string_equal(world_header(&w, 0, "CSeq"), "1 MESSAGE");
    assert_string_equal(world_header(&w, 0, "To"), BOB);
    assert_non_null(strstr(world_header(&w, 0, "Via"), "branch=z9hG4bKMESSAGE;rport=5060"));
    SAY(&w, .host = 9, .method = "MESSAGE");
    assert_sent(&w, "100>9");
    ANSWER(&w, .host = 2, .by = &phone, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(WITH(a_call_goes_both_ways_by_the_stream),
        WITH(a_phone_is_called_where_it_listens_when_its_stream_has_ended),
        WITH(a_stream_that_cannot_be_opened_ends_the_call),
        WITH(what_was_not_heard_of_is_sent_again_by_another_stream),
        WITH(bindings_that_listen_at_one_place_share_a_stream),
        cmocka_unit_test(without_room_for_another_stream_that_phone_is_left_out),
        WITH(a_call_that_waits_for_a_phone_can_be_cancelled),
        WITH(a_call_waits_for_a_phone_that_comes_back),
        WITH(an_answer_follows_its_caller_to_where_he_listens),
        cmocka_unit_test(a_dialog_with_a_stranger_finds_another_stream),
        WITH(an_ack_without_a_way_waits_for_the_next_2xx),
        WITH(a_phone_that_is_back_by_another_stream_needs_no_proof),
        WITH(the_cancel_of_a_ringing_phone_takes_the_stream_it_answered_by),
        WITH(a_request_too_long_for_a_datagram_goes_outside_by_a_stream),
        WITH(where_nobody_takes_the_stream_it_goes_by_datagram),
        WITH(a_message_falls_back_on_datagrams_too),
        WITH(a_stream_that_does_not_stand_soon_is_done_without), WITH(two_may_wait_for_one_stream),
        WITH(who_takes_the_stream_in_time_is_not_sent_datagrams),
        WITH(a_stream_that_cannot_be_opened_is_not_tried_again_soon),
        WITH(a_phone_gets_long_requests_by_its_own_flow),
        WITH(a_long_request_in_a_dialog_goes_outside_by_a_stream),
        WITH(where_there_is_no_stream_a_dialog_goes_on_by_datagrams),
        WITH(who_listens_elsewhere_is_asked_by_datagrams),
        WITH(a_phone_that_has_unregistered_is_asked_by_its_own_flow),
        WITH(a_request_that_takes_long_is_told_100_and_never_180));
}
