/* Calls through the core, by hand: who is sent what, in which order, and what survives a crash. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void invite(struct world *w, unsigned host, const char *branch)
{
    world_receive(w, host, 5060,
                  "INVITE sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bK%s;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: call-1\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.%u:5060>\n"
                  "Content-Length: 0\n\n",
                  host, branch, host);
}

/* The callee's answer to the n-th message sent. */
static void answer(struct world *w, unsigned n, unsigned host, unsigned status, const char *tag)
{
    char vias[2048] = "";
    char record_route[512] = "";
    struct message m;
    struct flow to = world_sent_to(w, n);

    assert_false(message_parse(world_sent(w, n), &m).status);
    assert_int_equal(to.address[3], host);
    for (unsigned i = m.first[HEADER_VIA]; i; i = m.fields[i].next) {
        struct slice v = message_value(&m, i);
        snprintf(vias + strlen(vias), sizeof vias - strlen(vias), "Via: %.*s\n", (int)v.len, v.at);
    }
    if (m.first[HEADER_RECORD_ROUTE])
        snprintf(record_route, sizeof record_route, "Record-Route: %s\n",
                 world_header(w, n, "Record-Route"));
    world_receive(w, host, to.port,
                  "SIP/2.0 %u Answer\n"
                  "%s%s"
                  "From: %s\n"
                  "To: <sip:bob@example.com>;tag=%s\n"
                  "Call-ID: %s\n"
                  "CSeq: %s\n"
                  "Contact: <sip:bob@198.51.100.%u:%u>\n"
                  "Content-Length: 0\n\n",
                  status, vias, record_route, world_header(w, n, "From"), tag,
                  world_header(w, n, "Call-ID"), world_header(w, n, "CSeq"), host, to.port);
}

static void in_dialog(struct world *w, unsigned host, const char *method, unsigned cseq,
                      const char *route, bool is_caller)
{
    const char *carol = "<sip:carol@elsewhere.example>;tag=carol";
    const char *bob = "<sip:bob@example.com>;tag=bob";

    world_receive(w, host, 5060,
                  "%s sip:%s SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bK%s%u;rport\n"
                  "Max-Forwards: 70\n"
                  "Route: %s\n"
                  "From: %s\n"
                  "To: %s\n"
                  "Call-ID: call-1\n"
                  "CSeq: %u %s\n"
                  "Content-Length: 0\n\n",
                  method, is_caller ? "bob@198.51.100.2:5060" : "carol@198.51.100.9:5060", host,
                  method, cseq, route, is_caller ? carol : bob, is_caller ? bob : carol, cseq,
                  method);
}

static void test_a_call_is_made_and_ended_by_the_caller(void **state)
{
    struct world w;
    char route[512];

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    assert_int_equal(world_sent_count(&w), 2);
    assert_int_equal(world_status(&w, 0), 100);
    assert_int_equal(world_sent_to(&w, 1).address[3], 2);
    snprintf(route, sizeof route, "%s", world_header(&w, 1, "Record-Route"));
    answer(&w, 1, 2, 180, "bob");
    assert_int_equal(world_status(&w, 0), 180);
    assert_int_equal(world_sent_to(&w, 0).address[3], 9);
    world_end(&w);

    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    answer(&w, 1, 2, 200, "bob");
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(core_census(w.core).dialogs, 1);
    assert_string_equal(world_header(&w, 0, "Record-Route"), route);
    in_dialog(&w, 9, "ACK", 1, route, true);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_sent_to(&w, 0).address[3], 2);
    in_dialog(&w, 9, "BYE", 2, route, true);
    assert_int_equal(world_sent_count(&w), 1);
    answer(&w, 0, 2, 200, "bob");
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(core_census(w.core).dialogs, 0);
    world_wait(&w, SECONDS(40));
    assert_int_equal(core_census(w.core).server_transactions, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).contexts, 0);
    world_end(&w);
}

static void test_a_ringing_call_survives_a_crash(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    answer(&w, 1, 2, 180, "bob");
    world_restart(&w);
    world_wait(&w, SECONDS(1));
    assert_int_equal(world_sent_count(&w), 1);
    answer(&w, 0, 2, 200, "bob");
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(world_sent_to(&w, 0).address[3], 9);
    world_end(&w);
}

static void test_an_answered_call_is_hung_up_after_a_crash(void **state)
{
    struct world w;
    char route[512];

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    snprintf(route, sizeof route, "%s", world_header(&w, 1, "Record-Route"));
    answer(&w, 1, 2, 200, "bob");
    world_restart(&w);
    assert_int_equal(core_census(w.core).dialogs, 1);
    in_dialog(&w, 2, "BYE", 1, route, false);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_sent_to(&w, 0).address[3], 9);
    answer(&w, 0, 9, 200, "x");
    assert_int_equal(core_census(w.core).dialogs, 0);
    world_end(&w);
}

static void assert_the_call_is_carols_to_bob(const struct world *w)
{
    struct dialog_view call;
    uint32_t cursor = 0;

    assert_true(core_next_dialog(w->core, &cursor, &call));
    assert_true(slice_equal(call.from, S("<sip:carol@elsewhere.example>;tag=carol")));
    assert_true(slice_equal(call.to, S("<sip:bob@example.com>;tag=bob")));
    assert_false(core_next_dialog(w->core, &cursor, &call));
}

static void test_the_observer_knows_who_calls_whom_also_after_a_crash(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    answer(&w, 1, 2, 200, "bob");
    assert_the_call_is_carols_to_bob(&w);
    world_restart(&w);
    assert_the_call_is_carols_to_bob(&w);
    world_end(&w);
}

static void test_a_forged_cookie_is_refused(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    in_dialog(&w, 9, "BYE", 2,
              "<sip:0100000000000000000100000000000000010000000000000000@192.0.2.1:5060;lr>", true);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_status(&w, 0), 481);
    world_end(&w);
}

static void test_cancel_stops_a_ringing_phone(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    invite(&w, 9, "inv");
    char invite_via[512];
    snprintf(invite_via, sizeof invite_via, "%s", world_header(&w, 1, "Via"));
    struct world copy = w;
    answer(&w, 1, 2, 180, "bob");
    (void)copy;
    world_receive(&w, 9, 5060,
                  "CANCEL sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKinv;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: call-1\n"
                  "CSeq: 1 CANCEL\n"
                  "Content-Length: 0\n\n");
    assert_int_equal(world_sent_count(&w), 2);
    assert_string_equal(world_header(&w, 0, "CSeq"), "1 CANCEL");
    assert_string_equal(world_header(&w, 0, "Via"), invite_via);
    assert_int_equal(world_status(&w, 1), 200);
    world_receive(&w, 2, 5060,
                  "SIP/2.0 487 Request Terminated\n"
                  "Via: %s\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKinv;rport=5060;"
                  "received=198.51.100.9\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>;tag=bob\n"
                  "Call-ID: call-1\n"
                  "CSeq: 1 INVITE\n"
                  "Content-Length: 0\n\n",
                  invite_via);
    assert_int_equal(world_sent_count(&w), 2);
    assert_int_equal(world_status(&w, 0), 487);
    assert_string_equal(world_header(&w, 1, "CSeq"), "1 ACK");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_is_made_and_ended_by_the_caller),
        cmocka_unit_test(test_a_ringing_call_survives_a_crash),
        cmocka_unit_test(test_an_answered_call_is_hung_up_after_a_crash),
        cmocka_unit_test(test_the_observer_knows_who_calls_whom_also_after_a_crash),
        cmocka_unit_test(test_a_forged_cookie_is_refused),
        cmocka_unit_test(test_cancel_stops_a_ringing_phone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
