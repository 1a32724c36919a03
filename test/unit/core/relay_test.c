/* No open relay, and no identity that a phone asserts of itself. */
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void ask(struct world *w, const char *uri, const char *extra)
{
    static unsigned serial;

    serial++;
    world_receive(w, CAROL, 5060,
                  "MESSAGE %s SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKrelay%u;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=t\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: relay-%u\n"
                  "CSeq: 1 MESSAGE\n"
                  "%s"
                  "Content-Length: 0\n\n",
                  uri, serial, serial, extra);
}

static void test_a_stranger_reaches_our_users_only(void **state)
{
    static const struct {
        const char *uri, *extra;
        unsigned status; /* 0: it is forwarded to bob's phone */
    } cases[] = {
        {"sip:bob@example.com", "", 0},
        {"sip:bob@example.com;maddr=192.0.2.1", "", 0},
        {"sip:bob@example.com;maddr=203.0.113.9", "", 403},
        {"sip:eve@203.0.113.9", "", 403},
        {"sip:example.com;maddr=203.0.113.9", "", 403},
        {"sip:bob@example.com", "Route: <sip:203.0.113.9;lr>\n", 403},
        {"sip:bob@example.com", "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.9;lr>\n", 403},
        {"sip:eve@203.0.113.9", "Route: <sip:192.0.2.1;lr>\n", 403},
        {"sip:bob@example.com", "Route: <sip:192.0.2.1;maddr=203.0.113.9;lr>\n", 0},
    };
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        ask(&w, cases[i].uri, cases[i].extra);
        assert_int_equal(world_sent_count(&w), 1);
        assert_int_equal(world_status(&w, 0), cases[i].status);
        assert_int_equal(world_sent_to(&w, 0).address[3], cases[i].status ? CAROL : BOB);
    }
    world_end(&w);
}

/* Fields to be removed, each apart from the next, as many as one message may have of a kind. */
static void test_many_fields_to_be_removed_are_no_harm(void **state)
{
    struct world w;
    char extra[16384];
    size_t len = 0;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    for (unsigned i = 0; i < 60; i++)
        len += (size_t)snprintf(extra + len, sizeof extra - len,
                                "Proxy-Authorization: Digest username=\"carol\", "
                                "realm=\"example.com\", nonce=\"n\", uri=\"sip:a\", "
                                "response=\"00000000000000000000000000000000\"\n"
                                "%s\n",
                                i < ASSERTION_LIMIT ? "Remote-Party-ID: <sip:chief@example.com>"
                                                    : "Subject: kept");
    ask(&w, "sip:bob@example.com", extra);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_sent_to(&w, 0).address[3], BOB);
    assert_string_equal(world_header(&w, 0, "Remote-Party-ID"), "");
    world_end(&w);
}

static void test_asserted_identities_are_removed(void **state)
{
    struct world w;
    struct slice sent;
    char copy[4096];

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    ask(&w, "sip:bob@example.com",
        "P-Asserted-Identity: <sip:chief@example.com>\n"
        "p-asserted-identity : <sip:chief@example.com>\n"
        "P-ASSERTED-IDENTITY\t:\n <sip:chief@example.com>\n"
        "Subject: kept\n"
        "P-Preferred-Identity: <sip:chief@example.com>\n"
        "Remote-Party-ID: <sip:chief@example.com>;privacy=off\n"
        "P-Asserted-Service: urn:chief\n"
        "P-SIPWITCH-NODE: chief\n"
        "p-sipwitch-feat  : chief\n");
    sent = world_sent(&w, 0);
    assert_true(slice_starts(sent, S("MESSAGE sip:bob@198.51.100.2:5060 ")));
    snprintf(copy, sizeof copy, "%.*s", (int)sent.len, sent.at);
    assert_null(strstr(copy, "chief"));
    assert_non_null(strstr(copy, "\r\nSubject: kept\r\n"));
    traffic_answer(&w, 0, 200, "b", "P-Asserted-Identity: <sip:chief@example.com>\n");
    sent = world_sent(&w, 0);
    snprintf(copy, sizeof copy, "%.*s", (int)sent.len, sent.at);
    assert_int_equal(world_status(&w, 0), 200);
    assert_null(strstr(copy, "chief"));
    world_end(&w);
}

static void test_a_flood_of_asserted_identities_is_refused(void **state)
{
    struct world w;
    char many[1024] = "";

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    for (unsigned i = 0; i <= ASSERTION_LIMIT; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many),
                 "P-Asserted-Identity: <sip:chief@example.com>\nX-%u: y\n", i);
    ask(&w, "sip:bob@example.com", many);
    assert_int_equal(world_status(&w, 0), 400);
    ask(&w, "sip:bob@example.com", "");
    traffic_answer(&w, 0, 200, "b", many);
    assert_int_equal(world_sent_count(&w), 0);
    world_end(&w);
}

static void test_a_cookie_is_worth_nothing_in_another_dialog(void **state)
{
    struct world w;
    char route[512];

    (void)state;
    world_begin(&w, true);
    traffic_call(&w, route, sizeof route);
    world_receive(&w, CAROL, 5060,
                  "MESSAGE sip:bob@198.51.100.2 SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKother;rport\n"
                  "Max-Forwards: 70\n"
                  "Route: %s\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>;tag=bob\n"
                  "Call-ID: another\n"
                  "CSeq: 9 MESSAGE\n"
                  "Content-Length: 0\n\n",
                  route);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_status(&w, 0), 481);
    world_end(&w);
}

static void test_a_cancel_from_elsewhere_is_refused(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    traffic_invite(&w, "inv", "");
    traffic_answer(&w, 1, 180, "bob", "");
    world_receive(&w, 66, 5060,
                  "CANCEL sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKinv;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: call-1\n"
                  "CSeq: 1 CANCEL\n"
                  "Content-Length: 0\n\n");
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_status(&w, 0), 481);
    assert_int_equal(world_sent_to(&w, 0).address[3], 66);
    world_end(&w);
}

/* The sent-by of the topmost Via is of a socket of ours (18.1.2). */
static void test_a_response_to_another_host_is_dropped(void **state)
{
    static const struct {
        const char *sent_by;
        unsigned passed;
    } cases[] = {
        {"192.0.2.99:5060", 0},
        {"192.0.2.1:5061", 0},
        {"example.com:5060", 0},
        {"192.0.2.1", 1},
    };
    struct world w;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        const char *branch;
        world_begin(&w, true);
        world_register(&w, "bob", "builder", BOB, 5060, 3600);
        ask(&w, "sip:bob@example.com", "");
        branch = strstr(world_header(&w, 0, "Via"), ";branch=");
        assert_non_null(branch);
        world_receive(&w, BOB, 5060,
                      "SIP/2.0 200 OK\n"
                      "Via: SIP/2.0/UDP %s%s\n"
                      "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKx;rport\n"
                      "From: <sip:carol@elsewhere.example>;tag=t\n"
                      "To: <sip:bob@example.com>;tag=bob\n"
                      "Call-ID: relay\n"
                      "CSeq: 1 MESSAGE\n"
                      "Content-Length: 0\n\n",
                      cases[i].sent_by, branch);
        assert_int_equal(world_sent_count(&w), cases[i].passed);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stranger_reaches_our_users_only),
        cmocka_unit_test(test_many_fields_to_be_removed_are_no_harm),
        cmocka_unit_test(test_asserted_identities_are_removed),
        cmocka_unit_test(test_a_flood_of_asserted_identities_is_refused),
        cmocka_unit_test(test_a_cookie_is_worth_nothing_in_another_dialog),
        cmocka_unit_test(test_a_cancel_from_elsewhere_is_refused),
        cmocka_unit_test(test_a_response_to_another_host_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
