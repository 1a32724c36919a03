/* Response contexts (RFC 3261 16.6 to 16.10): who rings, in which order, and which answer wins. */
#include "talk.h"

#include <stdio.h>

static struct world w;

static int three_phones(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phones(&w);
    return 0;
}

/* bob has phone 2. */
static int one_phone(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phone(&w, 2, "");
    return 0;
}

/* Nothing is left behind, however it went. */
static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

static void phones_ring_in_order_of_q_and_together_where_it_is_equal(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 180", "180>9"}, {"3 180", "180>9"},
         {"2 486", "ACK>2"}, {"3 486", "INVITE>4 ACK>3"}, {"4 180", "180>9"}, {"4 200", "200>9"});
}

static void the_next_phone_rings_where_one_does_not_answer_at_all(void **state)
{
    (void)state;
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 486);
    world_wait(&w, MS(31900));
    assert_null(strstr(talk_sent(&w), ">4"));
    PLAY(&w, {"wait 200", "INVITE>4"}, {"4 200", "200>9"});
}

/* 16.4: a phone that sends all to its server says so by a Route; whoever rings later hears as
 * little of it as who rings first. */
static void the_next_phone_gets_no_route_of_ours(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Route: <sip:192.0.2.1:5060;lr>\n");
    assert_sent(&w, "100>9 INVITE>2 INVITE>3");
    assert_string_equal(world_header(&w, 1, "Route"), "");
    ANSWER(&w, .host = 2, .status = 486);
    ANSWER(&w, .host = 3, .status = 486);
    assert_sent(&w, "INVITE>4 ACK>3");
    assert_string_equal(world_header(&w, 0, "Route"), "");
}

static void a_call_that_nobody_takes_ends_with_the_best_answer(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 480", "ACK>2"},
         {"3 404", "INVITE>4 ACK>3"}, {"4 500", "404>9 ACK>4"}, {"9 ACK", ""});
}

static void the_better_of_two_failures_reaches_the_caller(void **state)
{
    /* 16.7 step 6: 6xx, then the lowest class; in it what the caller can act upon. */
    static const struct {
        unsigned one, other, best;
    } rows[] = {
        {486, 603, 603}, {500, 404, 404}, {302, 404, 302}, {404, 401, 401}, {486, 407, 407},
        {404, 415, 415}, {404, 420, 420}, {404, 484, 484}, {408, 480, 480}, {504, 408, 408},
        {503, 504, 504}, {503, 503, 500}, {603, 604, 603}, {599, 302, 302},
    };

    for (unsigned i = 0; i < 2 * COUNT_OF(rows); i++) {
        unsigned one = i % 2 ? rows[i / 2].one : rows[i / 2].other;
        unsigned other = i % 2 ? rows[i / 2].other : rows[i / 2].one;
        char branch[16];
        (void)state;
        world_begin(&w, true);
        talk_phone(&w, 3, "");
        talk_phone(&w, 2, "");
        snprintf(branch, sizeof branch, "b%u", i);
        SAY(&w, .host = 9, .branch = branch);
        ANSWER(&w, .host = 2, .status = one);
        if (one >= 600) /* the first 6xx decides */
            assert_int_equal(world_sent_count(&w), 1);
        ANSWER(&w, .host = 3, .status = other);
        if (rows[i / 2].best !=
            (one >= 600 && other >= 600 ? min_u64(one, other) : world_status(&w, 0)))
            fail_msg("%u and %u make %u", one, other, world_status(&w, 0));
        end(NULL);
    }
}

static void all_challenges_reach_the_caller_at_once(void **state)
{
    struct message m;
    unsigned proxies = 0;

    (void)state;
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 407,
           .more = "Proxy-Authenticate: Digest realm=\"two\", nonce=\"2\"\n");
    ANSWER(&w, .host = 3, .status = 401,
           .more = "WWW-Authenticate: Digest realm=\"three\", nonce=\"3\"\n"
                   "Proxy-Authenticate: Digest realm=\"also\", nonce=\"4\"\n");
    assert_sent(&w, "INVITE>4 ACK>3");
    ANSWER(&w, .host = 4, .status = 404);
    assert_sent(&w, "407>9 ACK>4");
    assert_string_equal(world_header(&w, 0, "WWW-Authenticate"),
                        "Digest realm=\"three\", nonce=\"3\"");
    assert_false(message_parse(world_sent(&w, 0), &m).status);
    for (unsigned i = m.first[HEADER_PROXY_AUTHENTICATE]; i; i = m.fields[i].next)
        proxies++;
    assert_int_equal(proxies, 2);
}

static void a_6xx_cancels_the_others_and_ends_the_hunt(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"3 180", "180>9"},
         {"2 603", "CANCEL>3 ACK>2"}, {"3 200 CANCEL", ""}, {"3 487", "603>9 ACK>3"});
}

static void a_6xx_gives_way_to_a_2xx_that_crossed_the_cancel(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"3 180", "180>9"},
         {"2 603", "CANCEL>3 ACK>2"}, {"3 200", "200>9"});
}

static void the_phones_that_were_slower_are_told_that_the_call_was_answered(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 180", "180>9"}, {"3 180", "180>9"},
         {"2 200", "200>9 CANCEL>3"});
    assert_string_equal(world_header(&w, 1, "Reason"),
                        "SIP;cause=200;text=\"Call completed elsewhere\"");
    PLAY(&w, {"3 200 CANCEL", ""}, {"3 487", "ACK>3"});
}

static void a_phone_that_has_not_rung_yet_is_cancelled_when_it_does(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 200", "200>9"}, {"3 180", "CANCEL>3"});
    assert_string_equal(world_header(&w, 0, "Reason"),
                        "SIP;cause=200;text=\"Call completed elsewhere\"");
    PLAY(&w, {"3 487", "ACK>3"});
}

static void every_2xx_of_a_fork_reaches_the_caller(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 200", "200>9"}, {"3 200", "200>9"},
         {"2 200", "200>9"}, {"3 200", "200>9"});
    assert_int_equal(core_census(w.core).dialogs, 2);
    PLAY(&w, {"wait 32010", ""}, {"2 200", ""}, {"3 200", ""});
}

static void the_answers_of_a_fork_beyond_us_are_told_apart(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"});
    ANSWER(&w, .host = 2, .status = 200, .tag = "a");
    ANSWER(&w, .host = 2, .status = 200, .tag = "b");
    ANSWER(&w, .host = 2, .status = 200, .tag = "a");
    assert_sent(&w, "200>9");
    assert_int_equal(core_census(w.core).dialogs, 2);
}

static void an_invite_that_comes_again_is_answered_by_its_transaction(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"9 INVITE", "100>9"}, {"2 180", "180>9"},
         {"9 INVITE", "180>9"}, {"2 486", "486>9 ACK>2"}, {"2 486", "ACK>2"}, {"wait 510", "486>9"},
         {"9 INVITE", "486>9"}, {"9 ACK", ""}, {"9 INVITE", ""}, {"wait 5000", ""});
}

static void a_503_becomes_a_500(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 503", "500>9 ACK>2"});
    assert_true(slice_starts(world_sent(&w, 0), S("SIP/2.0 500 Server Internal Error\r\n")));
}

static void a_call_that_reaches_nobody_ends_with_408(void **state)
{
    (void)state;
    SAY(&w, .host = 9);
    world_wait(&w, SECONDS(33));
    assert_sent(&w, "INVITE>2 INVITE>2 INVITE>2 INVITE>2 INVITE>2 INVITE>2 408>9 408>9");
}

/* 16.8 */
static void timer_c_cancels_a_phone_that_rings_too_long(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"wait 100000", ""},
         {"2 180", "180>9"}, {"wait 184000", ""}, {"wait 1010", "CANCEL>2"}, {"2 200 CANCEL", ""},
         {"2 487", "408>9 ACK>2"});
}

/* Its caller gave up behind it. */
static void timer_c_and_the_callers_cancel_end_with_487(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"wait 185010", "CANCEL>2"},
         {"2 200 CANCEL", ""}, {"9 CANCEL", "200>9"}, {"2 487", "487>9 ACK>2"});
}

/* It answered in the moment in which it was told to stop. */
static void a_phone_that_answers_after_timer_c_is_heard(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"wait 185010", "CANCEL>2"},
         {"2 200", "200>9"}, {"2 200 CANCEL", ""});
}

static void timer_c_gives_up_a_phone_that_does_not_hear_its_cancel(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"wait 185010", "CANCEL>2"},
         {"2 200 CANCEL", ""}, {"wait 31900", ""}, {"wait 200", "408>9"});
}

static void a_cancel_before_the_phone_rings_waits_until_it_does(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"9 CANCEL", "200>9"}, {"2 180", "CANCEL>2 180>9"},
         {"2 200 CANCEL", ""}, {"2 487", "487>9 ACK>2"}, {"9 ACK", ""});
}

static void a_cancel_after_a_100_is_sent_at_once(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 100", ""}, {"9 CANCEL", "CANCEL>2 200>9"},
         {"2 487", "487>9 ACK>2"});
}

static void a_cancel_stops_all_phones_and_the_hunt_and_gives_its_reason(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 180", "180>9"}, {"3 180", "180>9"});
    SAY(&w, .host = 9, .method = "CANCEL", .more = "Reason: Q.850;cause=16\n");
    assert_sent(&w, "CANCEL>2 CANCEL>3 200>9");
    assert_string_equal(world_header(&w, 0, "Reason"), "Q.850;cause=16");
    assert_string_equal(world_header(&w, 0, "CSeq"), "1 CANCEL");
    PLAY(&w, {"2 487", "ACK>2"}, {"3 487", "487>9 ACK>3"});
}

static void a_2xx_that_crosses_a_cancel_wins(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"9 CANCEL", "CANCEL>2 200>9"},
         {"2 200", "200>9"}, {"2 481 CANCEL", ""});
    assert_string_equal(world_header(&w, 0, "CSeq"), "");
    assert_int_equal(core_census(w.core).dialogs, 1);
}

static void a_cancel_after_the_answer_changes_nothing(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 200", "200>9"}, {"9 CANCEL", "200>9"});
}

static void a_cancel_after_the_first_answer_leaves_it_and_the_others_be(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 200", "200>9"}, {"9 CANCEL", "200>9"},
         {"3 200", "200>9"});
}

static void a_cancel_that_comes_again_is_answered_again_and_no_more(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"9 CANCEL", "CANCEL>2 200>9"},
         {"9 CANCEL", "200>9"}, {"2 180", "180>9"}, {"wait 510", "CANCEL>2"}, {"2 200 CANCEL", ""},
         {"wait 4000", ""}, {"2 487", "487>9 ACK>2"});
}

static void a_cancel_from_elsewhere_is_refused(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"});
    world_receive(&w, 8, 5060,
                  "CANCEL sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKinvite;rport\n"
                  "Max-Forwards: 70\nFrom: " CAROL "\nTo: " BOB "\nCall-ID: call\n"
                  "CSeq: 1 CANCEL\nContent-Length: 0\n\n");
    assert_sent(&w, "481>8");
    PLAY(&w, {"2 200", "200>9"});
}

static void a_cancel_of_what_is_not_there_is_answered_481(void **state)
{
    (void)state;
    PLAY(&w, {"9 CANCEL", "481>9"}, {"9 MESSAGE", "MESSAGE>2"});
    SAY(&w, .host = 9, .method = "CANCEL", .branch = "MESSAGE");
    assert_sent(&w, "481>9");
    PLAY(&w, {"2 200 MESSAGE", "200>9"});
}

static void a_cancelled_call_that_no_phone_ever_answered_ends_with_487(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"9 CANCEL", "200>9"});
    world_wait(&w, MS(31900));
    assert_null(strstr(talk_sent(&w), "9"));
    PLAY(&w, {"wait 200", "487>9"});
}

static void a_cancelled_phone_that_falls_silent_ends_with_487(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"}, {"9 CANCEL", "CANCEL>2 200>9"},
         {"2 200 CANCEL", ""}, {"wait 31900", ""}, {"wait 200", "487>9"});
}

/* RFC 5393 5.3.3 */
static void max_breadth_is_shared_by_the_phones_that_ring_together(void **state)
{
    static const struct {
        const char *given, *sent, *of_each;
    } rows[] = {
        {"", "100>9 INVITE>2 INVITE>3", "30"},
        {"Max-Breadth: 60\n", "100>9 INVITE>2 INVITE>3", "30"},
        {"Max-Breadth: 5\n", "100>9 INVITE>2 INVITE>3", "2"},
        {"Max-Breadth: 2\n", "100>9 INVITE>2 INVITE>3", "1"},
        {"Max-Breadth: 1\n", "100>9 INVITE>2", "1"},
        {"Max-Breadth: 0\n", "440>9", ""},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        three_phones(NULL);
        SAY(&w, .host = 9, .more = rows[i].given);
        assert_sent(&w, rows[i].sent);
        for (unsigned n = 1; n < world_sent_count(&w); n++)
            assert_string_equal(world_header(&w, n, "Max-Breadth"), rows[i].of_each);
        end(NULL);
    }
}

static void breadth_of_one_means_one_after_the_other(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 486", "INVITE>3 ACK>2"}, {"3 486", "INVITE>4 ACK>3"}, {"4 486", "486>9 ACK>4"});
}

static void a_message_goes_to_every_phone_and_the_first_2xx_counts(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2 MESSAGE>3"}, {"2 404 MESSAGE", ""},
         {"3 200 MESSAGE", "200>9"}, {"9 MESSAGE", "200>9"});
}

/* 9.1: only an INVITE takes long enough to be worth it. */
static void what_is_no_invite_is_not_cancelled_at_the_other_phones(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2 MESSAGE>3"}, {"2 200 MESSAGE", "200>9"},
         {"3 603 MESSAGE", ""});
}

static void a_message_that_every_phone_refuses_is_refused_with_the_best_answer(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2 MESSAGE>3"}, {"2 500 MESSAGE", ""},
         {"3 404 MESSAGE", "MESSAGE>4"}, {"4 603 MESSAGE", "603>9"});
}

/* RFC 4320 4.2; that it is under way is said after 3.5 seconds (4.1). */
static void a_message_that_reaches_nobody_is_not_answered(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2"}, {"wait 510", "MESSAGE>2"}, {"9 MESSAGE", ""},
         {"wait 3000", "MESSAGE>2 100>9 MESSAGE>2"}, {"9 MESSAGE", "100>9"});
    world_wait(&w, SECONDS(40));
    assert_null(strstr(talk_sent(&w), "9"));
}

static void a_408_to_a_message_is_kept_to_ourselves(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2"}, {"2 408 MESSAGE", ""}, {"9 MESSAGE", ""});
}

static void a_failure_of_one_phone_is_passed_where_the_other_is_silent(void **state)
{
    (void)state;
    PLAY(&w, {"9 MESSAGE", "MESSAGE>2 MESSAGE>3"}, {"2 404 MESSAGE", ""});
    world_wait(&w, SECONDS(33));
    ANSWER(&w, .host = 4, .method = "MESSAGE", .status = 408);
    assert_sent(&w, "404>9");
}

static void responses_that_fit_no_branch_are_dropped(void **state)
{
    static const char *const vias[] = {
        "Via: SIP/2.0/UDP h;branch=z9hG4bK0123456789abcdef0123456789abcdef0123456789\n",
        "Via: SIP/2.0/UDP 192.0.2.1:5060\n",
        "Via: nonsense\n",
        "",
    };

    (void)state;
    SAY(&w, .host = 9);
    for (unsigned i = 0; i < COUNT_OF(vias); i++) {
        world_receive(&w, 2, 5060,
                      "SIP/2.0 200 OK\n%sFrom: " CAROL "\nTo: " BOB ";tag=x\nCall-ID: call\n"
                      "CSeq: 1 INVITE\nContent-Length: 0\n\n",
                      vias[i]);
        assert_sent(&w, "");
    }
    PLAY(&w, {"2 200", "200>9"});
}

#define WITH(test, phones) cmocka_unit_test_setup_teardown(test, phones, end)

int main(void)
{
    RUN(WITH(phones_ring_in_order_of_q_and_together_where_it_is_equal, three_phones),
        WITH(the_next_phone_rings_where_one_does_not_answer_at_all, three_phones),
        WITH(the_next_phone_gets_no_route_of_ours, three_phones),
        WITH(a_call_that_nobody_takes_ends_with_the_best_answer, three_phones),
        cmocka_unit_test(the_better_of_two_failures_reaches_the_caller),
        WITH(all_challenges_reach_the_caller_at_once, three_phones),
        WITH(a_6xx_cancels_the_others_and_ends_the_hunt, three_phones),
        WITH(a_6xx_gives_way_to_a_2xx_that_crossed_the_cancel, three_phones),
        WITH(the_phones_that_were_slower_are_told_that_the_call_was_answered, three_phones),
        WITH(a_phone_that_has_not_rung_yet_is_cancelled_when_it_does, three_phones),
        WITH(every_2xx_of_a_fork_reaches_the_caller, three_phones),
        WITH(the_answers_of_a_fork_beyond_us_are_told_apart, three_phones),
        WITH(an_invite_that_comes_again_is_answered_by_its_transaction, one_phone),
        WITH(a_503_becomes_a_500, one_phone),
        WITH(a_call_that_reaches_nobody_ends_with_408, one_phone),
        WITH(timer_c_cancels_a_phone_that_rings_too_long, one_phone),
        WITH(timer_c_and_the_callers_cancel_end_with_487, one_phone),
        WITH(a_phone_that_answers_after_timer_c_is_heard, one_phone),
        WITH(timer_c_gives_up_a_phone_that_does_not_hear_its_cancel, one_phone),
        WITH(a_cancel_before_the_phone_rings_waits_until_it_does, one_phone),
        WITH(a_cancel_after_a_100_is_sent_at_once, one_phone),
        WITH(a_cancel_stops_all_phones_and_the_hunt_and_gives_its_reason, three_phones),
        WITH(a_2xx_that_crosses_a_cancel_wins, one_phone),
        WITH(a_cancel_after_the_answer_changes_nothing, one_phone),
        WITH(a_cancel_after_the_first_answer_leaves_it_and_the_others_be, three_phones),
        WITH(a_cancel_that_comes_again_is_answered_again_and_no_more, one_phone),
        WITH(a_cancel_from_elsewhere_is_refused, one_phone),
        WITH(a_cancel_of_what_is_not_there_is_answered_481, one_phone),
        WITH(a_cancelled_call_that_no_phone_ever_answered_ends_with_487, one_phone),
        WITH(a_cancelled_phone_that_falls_silent_ends_with_487, one_phone),
        cmocka_unit_test(max_breadth_is_shared_by_the_phones_that_ring_together),
        WITH(breadth_of_one_means_one_after_the_other, three_phones),
        WITH(a_message_goes_to_every_phone_and_the_first_2xx_counts, three_phones),
        WITH(what_is_no_invite_is_not_cancelled_at_the_other_phones, three_phones),
        WITH(a_message_that_every_phone_refuses_is_refused_with_the_best_answer, three_phones),
        WITH(a_message_that_reaches_nobody_is_not_answered, one_phone),
        WITH(a_408_to_a_message_is_kept_to_ourselves, one_phone),
        WITH(a_failure_of_one_phone_is_passed_where_the_other_is_silent, three_phones),
        WITH(responses_that_fit_no_branch_are_dropped, one_phone));
}
