/* Phones with several flows (RFC 5626 7), and URIs that reach one phone (RFC 5627). */
#include "talk.h"

#include <stdio.h>

#define ONE "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\""
#define TWO "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e129>\""
#define PUBLIC "sip:bob@example.com;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128"

static struct world w;

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* bob's phone at `host` registers; `what` is its Contact's parameters and further fields. */
static void bind(unsigned host, const struct flow *by, const char *user, const char *what)
{
    struct flow flow = by ? *by : world_flow(host, 5060);
    char contact[500];

    snprintf(contact, sizeof contact, "<sip:%s@198.51.100.%u>;%s", user, host, what);
    world_register_by(&w, &flow, user, strcmp(user, "bob") == 0 ? "builder" : "wonder", contact,
                      600);
    world_wait(&w, SECONDS(1)); /* which was last can be told */
}

static void bind_flow(unsigned host, const struct flow *by, unsigned reg_id)
{
    char what[200];

    snprintf(what, sizeof what, ONE ";reg-id=%u\nSupported: outbound", reg_id);
    bind(host, by, "bob", what);
}

#define WITH_GRUU(instance) instance "\nSupported: gruu"

/* The GRUU of that kind in the latest answer to a REGISTER, of its first Contact. */
static const char *told(const char *kind)
{
    static char text[2][300];
    static unsigned turn;
    char *to = text[turn++ % 2];
    const char *at = strstr(world_header(&w, 0, "Contact"), kind);

    if (!at)
        return NULL;
    at += strlen(kind) + 2;
    snprintf(to, sizeof text[0], "%.*s", (int)strcspn(at, "\""), at);
    return to;
}

/* ---- flows */

static void the_next_flow_is_used_where_the_stream_of_the_first_has_ended(void **state)
{
    struct flow first, second;

    (void)state;
    first = world_open(&w, 2, 40002);
    second = world_open(&w, 3, 40003);
    bind_flow(2, &first, 1);
    bind_flow(3, &second, 2);
    SAY(&w, .host = 9, .method = "MESSAGE");
    assert_sent(&w, "MESSAGE>3"); /* the one registered last */
    ANSWER(&w, .host = 3, .by = &second, .method = "MESSAGE", .status = 200);
    world_close(&w, &second);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    ANSWER(&w, .host = 2, .by = &first, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
}

/* One phone by two flows, and a call to it by the second. */
static void call_by_the_second(struct flow *first, struct flow *second)
{
    *first = world_open(&w, 2, 40002);
    *second = world_open(&w, 3, 40003);
    bind_flow(2, first, 1);
    bind_flow(3, second, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"});
}

static void a_request_that_nobody_heard_goes_by_the_next_flow(void **state)
{
    struct flow first, second;

    (void)state;
    call_by_the_second(&first, &second);
    world_close(&w, &second);
    PLAY(&w, {"wait 10", "INVITE>2"});
    ANSWER(&w, .host = 2, .by = &first, .status = 486);
    assert_sent(&w, "486>9 ACK>2");
}

static void a_flow_that_has_failed_is_passed_over(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"}, {"3 430", "INVITE>2 ACK>3"}, {"2 180", "180>9"},
         {"2 486", "486>9 ACK>2"}, {"9 ACK", ""});
    SAY(&w, .host = 9, .method = "MESSAGE");
    assert_sent(&w, "MESSAGE>3");
    ANSWER(&w, .host = 3, .method = "MESSAGE", .status = 430);
    assert_sent(&w, "MESSAGE>2");
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
    assert_sent(&w, "200>9");
}

static void a_phone_whose_flows_have_all_failed_is_away(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"}, {"3 430", "INVITE>2 ACK>3"}, {"2 430", "480>9 ACK>2"},
         {"9 ACK", ""});
}

static void an_answer_of_the_phone_is_one_whatever_the_flow(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"}, {"3 486", "486>9 ACK>3"}, {"9 ACK", ""});
}

static void a_flow_that_says_nothing_is_given_up_for_the_next(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"});
    world_wait(&w, SECONDS(33));
    assert_non_null(strstr(talk_sent(&w), "INVITE>2"));
    PLAY(&w, {"2 486", "486>9 ACK>2"}, {"9 ACK", ""});
}

static void nobody_waits_for_the_next_flow_once_the_caller_gave_up(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"}, {"3 180", "180>9"}, {"9 CANCEL", "CANCEL>3 200>9"},
         {"3 200 CANCEL", ""}, {"3 430", "487>9 ACK>3"}, {"9 ACK", ""});
}

static void after_a_kill_the_next_flow_is_still_known(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>3"}, {"restart", ""}, {"wait 10", "INVITE>3"},
         {"3 430", "INVITE>2 ACK>3"}, {"restart", ""}, {"wait 10", "INVITE>2"},
         {"2 486", "486>9 ACK>2"}, {"9 ACK", ""});
}

static void phones_ring_beside_each_other_each_by_one_flow(void **state)
{
    (void)state;
    bind_flow(2, NULL, 1);
    bind_flow(3, NULL, 2);
    bind(4, NULL, "bob", TWO ";reg-id=1\nSupported: outbound");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>4 INVITE>3"}, {"4 486", "ACK>4"},
         {"3 430", "INVITE>2 ACK>3"}, {"2 486", "486>9 ACK>2"}, {"9 ACK", ""});
}

static void a_dialog_goes_on_by_the_next_flow(void **state)
{
    struct flow first, second;

    (void)state;
    call_by_the_second(&first, &second);
    ANSWER(&w, .host = 3, .by = &second, .status = 200);
    assert_sent(&w, "200>9");
    world_close(&w, &second);
    SAY(&w, .host = 9, .method = "ACK", .branch = "ack", .uri = "sip:bob@198.51.100.3",
        .to = "<sip:bob@example.com>;tag=h3", .more = talk_route(&w, 3));
    assert_sent(&w, "ACK>2");
    SAY(&w, .host = 2, .by = &first, .method = "INFO", .uri = "sip:h9@198.51.100.9",
        .from = "<sip:bob@example.com>;tag=h3", .to = CAROL, .more = talk_route(&w, 3));
    assert_sent(&w, "INFO>9"); /* it needs no proof: the flow is of the same phone */
    ANSWER(&w, .host = 9, .method = "INFO", .status = 200);
    SAY(&w, .host = 9, .method = "BYE", .uri = "sip:bob@198.51.100.3",
        .to = "<sip:bob@example.com>;tag=h3", .more = talk_route(&w, 3));
    assert_sent(&w, "BYE>2");
    ANSWER(&w, .host = 2, .by = &first, .method = "BYE", .status = 200);
    assert_sent(&w, "200>9");
}

static void a_stream_that_is_kept_as_a_flow_is_expected_to_live(void **state)
{
    struct flow stream, other;

    (void)state;
    stream = world_open(&w, 2, 40002);
    bind_flow(2, &stream, 1);
    bind(2, &stream, "bob", ONE ";reg-id=1\nSupported: outbound");
    other = world_open(&w, 3, 40003);
    struct flow flow = stream;
    world_register_by(&w, &flow, "bob", "builder",
                      "<sip:bob@198.51.100.2>;" ONE ";reg-id=1\nSupported: outbound", 600);
    assert_string_equal(world_header(&w, 0, "Flow-Timer"), "120");
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_EXPECT);
    assert_true(flow_equal(&w.out.at[w.out.count - 1].flow, &stream));
    world_register_by(&w, &other, "bob", "builder", "<sip:bob@198.51.100.3>", 600);
    assert_string_equal(world_header(&w, 0, "Flow-Timer"), "");
    assert_int_not_equal(w.out.at[w.out.count - 1].kind, ACTION_EXPECT);
}

/* ---- GRUUs */

static void a_phone_that_knows_gruus_is_told_its_own(void **state)
{
    struct flow flow = world_flow(2, 5060);

    (void)state;
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>;" WITH_GRUU(ONE), 600);
    assert_string_equal(told("pub-gruu"), PUBLIC);
    assert_non_null(told("temp-gruu"));
    assert_non_null(strstr(told("temp-gruu"), "@example.com;gr"));
    assert_null(strstr(told("temp-gruu"), "bob"));
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>;" ONE, 600);
    assert_null(told("pub-gruu"));
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>\nSupported: gruu", 600);
    assert_null(told("pub-gruu"));
}

static void both_kinds_reach_that_phone_alone(void **state)
{
    char temporary[300];
    struct flow flow = world_flow(2, 5060);

    (void)state;
    bind(3, NULL, "bob", WITH_GRUU(TWO));
    bind(4, NULL, "bob", "q=0.5");
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>;" WITH_GRUU(ONE), 600);
    snprintf(temporary, sizeof temporary, "%s", told("temp-gruu"));
    SAY(&w, .host = 9, .uri = PUBLIC);
    assert_sent(&w, "100>9 INVITE>2");
    assert_true(slice_starts(world_sent(&w, 1), S("INVITE sip:bob@198.51.100.2 ")));
    PLAY(&w, {"2 486", "486>9 ACK>2"}, {"9 ACK", ""});
    SAY(&w, .host = 9, .uri = temporary, .call_id = "temporary", .branch = "temporary");
    assert_sent(&w, "100>9 INVITE>2");
    PLAY(&w, {"2 486", "486>9 ACK>2"});
    world_restart(&w);
    SAY(&w, .host = 9, .uri = temporary, .method = "MESSAGE");
    assert_sent(&w, "MESSAGE>2"); /* what makes them is in the key file */
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
}

static void a_temporary_one_is_void_with_the_registration(void **state)
{
    char first[300], second[300], forged[300];
    struct flow flow = world_flow(2, 5060);

    (void)state;
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>;" WITH_GRUU(ONE), 600);
    snprintf(first, sizeof first, "%s", told("temp-gruu"));
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.2>;" WITH_GRUU(ONE), 600);
    snprintf(second, sizeof second, "%s", told("temp-gruu"));
    assert_string_not_equal(first, second);
    SAY(&w, .host = 9, .uri = first, .method = "MESSAGE", .call_id = "first", .branch = "first");
    assert_sent(&w, "480>9"); /* it was of another Call-ID */
    SAY(&w, .host = 9, .uri = second, .method = "MESSAGE");
    assert_sent(&w, "MESSAGE>2");
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
    snprintf(forged, sizeof forged, "%s", second);
    forged[30] = forged[30] == '0' ? '1' : '0';
    SAY(&w, .host = 9, .uri = forged, .method = "MESSAGE", .call_id = "forged", .branch = "forged");
    assert_sent(&w, "480>9");
    world_register_with(&w, "bob", "builder", 2, 5060,
                        "Contact: <sip:bob@198.51.100.2>;expires=0\n");
    SAY(&w, .host = 9, .uri = second, .method = "MESSAGE", .call_id = "void", .branch = "void");
    assert_sent(&w, "480>9");
    SAY(&w, .host = 9, .uri = PUBLIC, .method = "MESSAGE", .call_id = "away", .branch = "away");
    assert_sent(&w, "480>9");
}

static void an_instance_that_no_uri_can_hold_stands_as_its_hash(void **state)
{
    struct flow flow = world_flow(2, 5060);
    char public[300];

    (void)state;
    world_register_by(&w, &flow, "bob", "builder",
                      "<sip:bob@198.51.100.2>;" WITH_GRUU("+sip.instance=\"<urn:x y;z>\""), 600);
    snprintf(public, sizeof public, "%s", told("pub-gruu"));
    assert_null(strchr(public, ' '));
    SAY(&w, .host = 9, .uri = public, .method = "MESSAGE");
    assert_sent(&w, "MESSAGE>2");
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
}

static void in_a_dialog_the_phone_is_asked_by_its_own_uri(void **state)
{
    (void)state;
    bind(2, NULL, "bob", WITH_GRUU(ONE));
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 200", "200>9"});
    SAY(&w, .host = 9, .method = "ACK", .branch = "ack", .uri = PUBLIC,
        .to = "<sip:bob@example.com>;tag=h2", .more = talk_route(&w, 2));
    assert_sent(&w, "ACK>2");
    assert_true(slice_starts(world_sent(&w, 0), S("ACK sip:bob@198.51.100.2 ")));
    SAY(&w, .host = 9, .method = "BYE", .uri = PUBLIC, .to = "<sip:bob@example.com>;tag=h2",
        .more = talk_route(&w, 2));
    assert_sent(&w, "BYE>2");
    assert_true(slice_starts(world_sent(&w, 0), S("BYE sip:bob@198.51.100.2 ")));
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
}

static void a_gruu_of_another_leads_out_of_no_dialog(void **state)
{
    (void)state;
    bind(3, NULL, "alice", WITH_GRUU(TWO));
    bind(2, NULL, "bob", WITH_GRUU(ONE));
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 200", "200>9"});
    SAY(&w, .host = 9, .method = "INFO",
        .uri = "sip:alice@example.com;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e129",
        .to = "<sip:bob@example.com>;tag=h2", .more = talk_route(&w, 2));
    assert_sent(&w, "INFO>2");
    ANSWER(&w, .host = 2, .method = "INFO", .status = 200);
    SAY(&w, .host = 9, .method = "BYE", .uri = PUBLIC, .to = "<sip:bob@example.com>;tag=h2",
        .more = talk_route(&w, 2));
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
}

#define CHECK(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(CHECK(the_next_flow_is_used_where_the_stream_of_the_first_has_ended),
        CHECK(a_request_that_nobody_heard_goes_by_the_next_flow),
        CHECK(a_flow_that_has_failed_is_passed_over),
        CHECK(a_phone_whose_flows_have_all_failed_is_away),
        CHECK(an_answer_of_the_phone_is_one_whatever_the_flow),
        CHECK(a_flow_that_says_nothing_is_given_up_for_the_next),
        CHECK(nobody_waits_for_the_next_flow_once_the_caller_gave_up),
        CHECK(after_a_kill_the_next_flow_is_still_known),
        CHECK(phones_ring_beside_each_other_each_by_one_flow),
        CHECK(a_dialog_goes_on_by_the_next_flow),
        CHECK(a_stream_that_is_kept_as_a_flow_is_expected_to_live),
        CHECK(a_phone_that_knows_gruus_is_told_its_own), CHECK(both_kinds_reach_that_phone_alone),
        CHECK(a_temporary_one_is_void_with_the_registration),
        CHECK(an_instance_that_no_uri_can_hold_stands_as_its_hash),
        CHECK(in_a_dialog_the_phone_is_asked_by_its_own_uri),
        CHECK(a_gruu_of_another_leads_out_of_no_dialog));
}
