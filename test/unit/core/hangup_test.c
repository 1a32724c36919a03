/* BYE to both ends of a call that is ended by the server. */
#include "ask.h"
#include "traffic.h"

#include "core/calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LONGEST SECONDS(600)

/* A call that grew too old a moment ago. */
static void begin_dropped(struct world *w, const char *extra)
{
    world_begin(w, true);
    w->settings.call_longest = LONGEST;
    world_register(w, "bob", "builder", BOB, 5060, 3600);
    traffic_invite(w, "inv", extra);
    traffic_answer(w, 1, 200, "bob", "");
    world_wait(w, LONGEST + SECONDS(1));
}

static unsigned sent_to(const struct world *w, unsigned host)
{
    for (unsigned i = 0; i < world_sent_count(w); i++)
        if (world_sent_to(w, i).address[3] == host)
            return i;
    fail_msg("nothing was sent to %u", host);
    return 0;
}

static void test_both_ends_get_a_bye_of_their_dialog(void **state)
{
    struct world w;
    struct slice sent;
    unsigned n;

    (void)state;
    begin_dropped(&w, "");
    n = sent_to(&w, BOB);
    sent = world_sent(&w, n);
    assert_true(slice_starts(sent, S("BYE sip:bob@198.51.100.2:5060 SIP/2.0\r\n")));
    assert_string_equal(world_header(&w, n, "From"), "<sip:carol@elsewhere.example>;tag=carol");
    assert_string_equal(world_header(&w, n, "To"), "<sip:bob@example.com>;tag=bob");
    assert_string_equal(world_header(&w, n, "CSeq"), "1001 BYE");
    n = sent_to(&w, CAROL);
    sent = world_sent(&w, n);
    assert_true(slice_starts(sent, S("BYE sip:carol@198.51.100.9:5060 SIP/2.0\r\n")));
    assert_string_equal(world_header(&w, n, "From"), "<sip:bob@example.com>;tag=bob");
    assert_string_equal(world_header(&w, n, "To"), "<sip:carol@elsewhere.example>;tag=carol");
    assert_string_equal(world_header(&w, n, "CSeq"), "1000 BYE");
    assert_string_equal(world_header(&w, n, "Call-ID"), "call-1");
    assert_string_equal(world_header(&w, n, "Route"), "");
    world_end(&w);
}

static void test_the_record_ends_when_both_have_answered(void **state)
{
    struct world w;

    (void)state;
    begin_dropped(&w, "");
    traffic_answer(&w, sent_to(&w, BOB), 200, "", "");
    assert_int_equal(core_census(w.core).dialogs, 1);
    world_wait(&w, MS(600)); /* carol's is sent again */
    traffic_answer(&w, sent_to(&w, CAROL), 481, "", "");
    assert_int_equal(core_census(w.core).dialogs, 0);
    world_end(&w);
}

static void test_the_record_ends_when_an_end_is_silent(void **state)
{
    struct world w;

    (void)state;
    begin_dropped(&w, "");
    traffic_answer(&w, sent_to(&w, BOB), 200, "", "");
    world_wait(&w, SECONDS(40));
    assert_int_equal(core_census(w.core).dialogs, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    world_end(&w);
}

static void test_a_crash_before_the_answers_sends_them_again(void **state)
{
    struct world w;

    (void)state;
    begin_dropped(&w, "");
    world_restart(&w);
    world_wait(&w, MS(100));
    assert_string_equal(world_header(&w, sent_to(&w, BOB), "CSeq"), "1001 BYE");
    assert_string_equal(world_header(&w, sent_to(&w, CAROL), "CSeq"), "1000 BYE");
    world_end(&w);
}

/* Who ended the call whose record the last step gave the shell. */
static unsigned ender_given(const struct world *w)
{
    for (uint32_t i = 0; i < w->out.count; i++) {
        struct reader r = reader_over(w->out.at[i].bytes);
        struct call_record call;
        if (w->out.at[i].kind == ACTION_CALL && call_read(&r, &call))
            return call.ender;
    }
    fail_msg("no record was given");
    return 0;
}

static void test_a_crash_does_not_hide_who_ended_it(void **state)
{
    for (unsigned crashes = 0; crashes < 2; crashes++) {
        struct world w;
        char route[512];

        (void)state;
        world_begin(&w, true);
        traffic_call(&w, route, sizeof route);
        ask(&w, ADMIN_DROP, "", "call-1");
        if (crashes) {
            world_restart(&w);
            world_wait(&w, MS(100));
        }
        traffic_answer(&w, sent_to(&w, BOB), 200, "", "");
        world_wait(&w, MS(600)); /* carol's is sent again */
        traffic_answer(&w, sent_to(&w, CAROL), 200, "", "");
        assert_int_equal(ender_given(&w), CALL_ENDED_BY_ADMIN);
        world_end(&w);
    }
}

static void test_a_proxy_on_the_callers_side_is_routed_through(void **state)
{
    struct world w;
    unsigned n;

    (void)state;
    begin_dropped(&w, "Record-Route: <sip:near.example;lr>\n"
                      "Record-Route: <sip:far.example;lr>\n");
    n = sent_to(&w, CAROL);
    assert_non_null(strstr(world_sent(&w, n).at, "\r\nRoute: <sip:near.example;lr>\r\n"
                                                 "Route: <sip:far.example;lr>\r\n"));
    assert_string_equal(world_header(&w, sent_to(&w, BOB), "Route"), "");
    world_end(&w);
}

/* RFC 3261 12.2.1.1 */
static void test_a_strict_router_there_is_the_request_uri(void **state)
{
    struct world w;
    struct message m;
    char contact[256];
    unsigned n;

    (void)state;
    begin_dropped(&w, "Record-Route: <sip:near.example>\n"
                      "Record-Route: <sip:far.example;lr>\n");
    n = sent_to(&w, CAROL);
    assert_false(message_parse(world_sent(&w, n), &m).status);
    assert_slice(message_span(&m, m.uri), "sip:near.example");
    assert_string_equal(world_header(&w, n, "Route"), "<sip:far.example;lr>");
    snprintf(contact, sizeof contact, "Route: <sip:far.example;lr>\r\nRoute: <%s>\r\n",
             "sip:carol@198.51.100.9:5060");
    assert_non_null(strstr(world_sent(&w, n).at, contact));
    world_end(&w);
}

static void test_the_cseq_leaps_over_what_was_seen(void **state)
{
    struct world w;
    char route[512];

    (void)state;
    world_begin(&w, true);
    w.settings.call_longest = LONGEST;
    traffic_call(&w, route, sizeof route);
    traffic_request(&w, false, "INFO", 77, route, "");
    traffic_answer(&w, 0, 200, "", "");
    world_wait(&w, LONGEST + SECONDS(1));
    assert_string_equal(world_header(&w, sent_to(&w, CAROL), "CSeq"), "1077 BYE");
    world_end(&w);
}

/* A call may outlive a registration. */
static void test_an_end_that_unregistered_gets_one_where_it_was(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    w.settings.call_longest = LONGEST;
    world_register(&w, "bob", "builder", BOB, 5060, 60);
    traffic_invite(&w, "inv", "");
    traffic_answer(&w, 1, 200, "bob", "");
    world_wait(&w, LONGEST + SECONDS(1)); /* his binding expired */
    assert_int_equal(core_census(w.core).bindings, 0);
    sent_to(&w, CAROL);
    traffic_answer(&w, sent_to(&w, BOB), 200, "", "");
    world_wait(&w, SECONDS(40)); /* carol is silent */
    assert_int_equal(core_census(w.core).dialogs, 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends_get_a_bye_of_their_dialog),
        cmocka_unit_test(test_the_record_ends_when_both_have_answered),
        cmocka_unit_test(test_the_record_ends_when_an_end_is_silent),
        cmocka_unit_test(test_a_crash_before_the_answers_sends_them_again),
        cmocka_unit_test(test_a_crash_does_not_hide_who_ended_it),
        cmocka_unit_test(test_a_proxy_on_the_callers_side_is_routed_through),
        cmocka_unit_test(test_a_strict_router_there_is_the_request_uri),
        cmocka_unit_test(test_the_cseq_leaps_over_what_was_seen),
        cmocka_unit_test(test_an_end_that_unregistered_gets_one_where_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
