/* Session timers (RFC 4028) as the proxy asks for them, and calls that end for the lack of a
 * refresh. */
#include "talk.h"

#include <stdio.h>

static struct world w;

#define BOB_IN "<sip:bob@example.com>;tag=h2"
#define BOB_AT "sip:h2@198.51.100.2:5060"
#define KNOWS "Supported: timer\n"

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phone(&w, 2, "");
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(70));
    assert_int_equal(core_census(w.core).server_transactions, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    world_end(&w);
    return 0;
}

/* The message that went to that phone in the last step. */
static unsigned sent_to(unsigned host)
{
    for (unsigned i = world_sent_count(&w); i-- > 0;)
        if (world_sent_to(&w, i).address[3] == host)
            return i;
    fail_msg("nothing was sent to %u", host);
    return 0;
}

static const char *field(unsigned host, const char *name)
{
    return world_header(&w, sent_to(host), name);
}

static unsigned dialogs(void)
{
    return core_census(w.core).dialogs;
}

static void carol_asks(const char *method, unsigned cseq, const char *more)
{
    char fields[2048];

    snprintf(fields, sizeof fields, "%s%s", talk_route(&w, 2), more);
    SAY(&w, .host = 9, .method = method, .uri = BOB_AT, .to = BOB_IN, .cseq = cseq,
        .branch = "refresh", .more = fields);
}

/* A call whose INVITE and 200 have these fields. */
static void call(const char *asked, const char *answered)
{
    SAY(&w, .host = 9, .more = asked);
    ANSWER(&w, .host = 2, .status = 200, .more = answered);
    assert_int_equal(dialogs(), 1);
}

/* Both ends are hung up within these seconds, not before. */
static void expect_hung_up_after(uint64_t seconds)
{
    world_wait(&w, SECONDS(seconds) - MS(100));
    assert_sent(&w, "");
    assert_int_equal(dialogs(), 1);
    world_wait(&w, MS(200));
    assert_sent(&w, "BYE>2 BYE>9");
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    assert_int_equal(dialogs(), 0);
}

static void an_invite_is_given_a_session_timer(void **state)
{
    (void)state;
    SAY(&w, .host = 9);
    assert_string_equal(field(2, "Session-Expires"), "1800");
    ANSWER(&w, .host = 2, .status = 486);
}

static void none_is_asked_for_where_the_settings_say_so(void **state)
{
    (void)state;
    w.settings.session_expires = 0;
    SAY(&w, .host = 9, .more = KNOWS);
    assert_string_equal(field(2, "Session-Expires"), "");
    ANSWER(&w, .host = 2, .status = 200);
    assert_string_equal(field(9, "Session-Expires"), "");
    assert_int_equal(dialogs(), 1);
}

static void the_callers_own_passes(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = KNOWS "Session-Expires: 600;refresher=uas\nMin-SE: 120\n");
    assert_string_equal(field(2, "Session-Expires"), "600;refresher=uas");
    assert_string_equal(field(2, "Min-SE"), "120");
    ANSWER(&w, .host = 2, .status = 486);
}

static void ours_is_never_below_the_callers_minimum(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = KNOWS "Min-SE: 3600\n");
    assert_string_equal(field(2, "Session-Expires"), "3600");
    ANSWER(&w, .host = 2, .status = 486);
}

static void one_that_is_too_short_is_422(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = KNOWS "Session-Expires: 89\n");
    assert_sent(&w, "422>9");
    assert_string_equal(field(9, "Min-SE"), "90");
    SAY(&w, .host = 9, .branch = "again", .cseq = 2, .more = KNOWS "Session-Expires: 90\n");
    assert_string_equal(field(2, "Session-Expires"), "90");
    ANSWER(&w, .host = 2, .status = 486);
}

/* 8.1: who knows nothing of 422 is not told; a proxy before us asked. */
static void one_that_is_too_short_is_lengthened_for_who_knows_no_422(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Session-Expires: 30;refresher=uas\n");
    assert_string_equal(field(2, "Session-Expires"), "90;refresher=uas");
    assert_string_equal(field(2, "Min-SE"), "90");
    ANSWER(&w, .host = 2, .status = 486);
}

static void a_phones_422_passes_with_its_minimum(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = KNOWS);
    ANSWER(&w, .host = 2, .status = 422, .more = "Min-SE: 7200\n");
    assert_sent(&w, "422>9 ACK>2");
    assert_string_equal(world_header(&w, 0, "Min-SE"), "7200");
}

static void a_callee_that_knows_nothing_of_it_is_spoken_for(void **state)
{
    (void)state;
    call(KNOWS, "");
    assert_string_equal(field(9, "Session-Expires"), "1800;refresher=uac");
    assert_string_equal(field(9, "Require"), "timer");
    expect_hung_up_after(1800);
}

static void what_the_callee_says_counts(void **state)
{
    (void)state;
    call(KNOWS, "Session-Expires: 600;refresher=uas\nRequire: timer\n");
    assert_string_equal(field(9, "Session-Expires"), "600;refresher=uas");
    expect_hung_up_after(600);
}

static void a_callee_refreshes_for_a_caller_that_knows_nothing_of_it(void **state)
{
    (void)state;
    call("", "Session-Expires: 600;refresher=uas\n");
    assert_string_equal(field(9, "Session-Expires"), "600;refresher=uas");
    assert_string_equal(field(9, "Require"), "");
    expect_hung_up_after(600);
}

static void where_neither_knows_a_call_has_a_greatest_age(void **state)
{
    (void)state;
    w.settings.call_longest = SECONDS(3000);
    call("", "");
    assert_string_equal(field(9, "Session-Expires"), "");
    expect_hung_up_after(3000);
}

static void a_session_does_not_outlast_the_greatest_age(void **state)
{
    (void)state;
    w.settings.call_longest = SECONDS(700);
    call(KNOWS, "");
    expect_hung_up_after(700);
}

static void an_answer_that_is_absurdly_short_ends_no_call(void **state)
{
    (void)state;
    call(KNOWS, "Session-Expires: 1;refresher=uas\n");
    expect_hung_up_after(90);
}

static void a_reinvite_refreshes(void **state)
{
    (void)state;
    call(KNOWS, "");
    world_wait(&w, SECONDS(900));
    carol_asks("INVITE", 2, KNOWS "Session-Expires: 1800;refresher=uac\n");
    ANSWER(&w, .host = 2, .status = 200);
    assert_string_equal(field(9, "Session-Expires"), "1800;refresher=uac");
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(1740);
}

static void a_reinvite_that_is_refused_refreshes_nothing(void **state)
{
    (void)state;
    call(KNOWS, "");
    world_wait(&w, SECONDS(900));
    carol_asks("INVITE", 2, KNOWS "Session-Expires: 1800;refresher=uac\n");
    ANSWER(&w, .host = 2, .status = 491);
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(840);
}

static void an_update_refreshes(void **state)
{
    (void)state;
    call(KNOWS, "Session-Expires: 1800;refresher=uac\n");
    world_wait(&w, SECONDS(900));
    carol_asks("UPDATE", 2, KNOWS "Session-Expires: 1800;refresher=uac\n");
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200,
           .more = "Session-Expires: 1800;refresher=uac\n");
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(1740);
}

/* It was spoken for when the call began, and is again. */
static void an_update_refreshes_where_the_callee_knows_nothing_of_it(void **state)
{
    (void)state;
    call(KNOWS, "");
    world_wait(&w, SECONDS(900));
    carol_asks("UPDATE", 2, KNOWS "Session-Expires: 1800;refresher=uac\n");
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200);
    assert_string_equal(field(9, "Session-Expires"), "1800;refresher=uac");
    assert_string_equal(field(9, "Require"), "timer");
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(1740);
}

static void an_update_about_something_else_refreshes_nothing(void **state)
{
    (void)state;
    call(KNOWS, "");
    world_wait(&w, SECONDS(900));
    carol_asks("UPDATE", 2, KNOWS);
    assert_string_equal(field(2, "Session-Expires"), "");
    ANSWER(&w, .host = 2, .method = "UPDATE", .status = 200);
    assert_string_equal(field(9, "Session-Expires"), "");
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(840);
}

static void a_reinvite_can_end_the_timer(void **state)
{
    (void)state;
    w.settings.call_longest = SECONDS(3000);
    call(KNOWS, "Session-Expires: 600;refresher=uas\n");
    carol_asks("INVITE", 2, "");
    ANSWER(&w, .host = 2, .status = 200);
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(2940);
}

static void a_session_ends_across_a_restart(void **state)
{
    (void)state;
    call(KNOWS, "");
    world_wait(&w, SECONDS(1000));
    world_restart(&w);
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(739); /* a restart takes a second */
}

static void a_longer_greatest_age_after_a_restart_makes_no_call_younger(void **state)
{
    (void)state;
    w.settings.call_longest = SECONDS(7200);
    call("", "");
    world_wait(&w, SECONDS(1000));
    w.settings.call_longest = SECONDS(3600);
    world_restart(&w);
    carol_asks("INVITE", 2, "");
    ANSWER(&w, .host = 2, .status = 200);
    world_wait(&w, SECONDS(60));
    expect_hung_up_after(2539);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(WITH(an_invite_is_given_a_session_timer), WITH(none_is_asked_for_where_the_settings_say_so),
        WITH(the_callers_own_passes), WITH(ours_is_never_below_the_callers_minimum),
        WITH(one_that_is_too_short_is_422),
        WITH(one_that_is_too_short_is_lengthened_for_who_knows_no_422),
        WITH(a_phones_422_passes_with_its_minimum),
        WITH(a_callee_that_knows_nothing_of_it_is_spoken_for), WITH(what_the_callee_says_counts),
        WITH(a_callee_refreshes_for_a_caller_that_knows_nothing_of_it),
        WITH(where_neither_knows_a_call_has_a_greatest_age),
        WITH(a_session_does_not_outlast_the_greatest_age),
        WITH(an_answer_that_is_absurdly_short_ends_no_call), WITH(a_reinvite_refreshes),
        WITH(a_reinvite_that_is_refused_refreshes_nothing), WITH(an_update_refreshes),
        WITH(an_update_refreshes_where_the_callee_knows_nothing_of_it),
        WITH(an_update_about_something_else_refreshes_nothing), WITH(a_reinvite_can_end_the_timer),
        WITH(a_session_ends_across_a_restart),
        WITH(a_longer_greatest_age_after_a_restart_makes_no_call_younger));
}
