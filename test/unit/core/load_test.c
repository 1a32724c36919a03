/* Overload: when it is, what is refused then, and what is not. */
#include "talk.h"

#include <stdio.h>

static struct world w;

#define BOB_IN "<sip:bob@example.com>;tag=h2"
#define BOB_AT "sip:h2@198.51.100.2:5060"

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

/* The queue is so full for a while; each look is 10 ms after the last. */
static void be(unsigned fill, unsigned ms)
{
    for (unsigned i = 0; i <= ms; i += 10) {
        world_event(&w, &(struct event){.kind = EVENT_LOAD, .fill = fill});
        w.now.boot += MS(10);
    }
}

/* An INVITE with a branch of its own. */
static bool is_let_in(const char *branch)
{
    SAY(&w, .host = 9, .branch = branch, .call_id = branch);
    if (!strcmp(talk_sent(&w), "503>9"))
        return false;
    assert_sent(&w, "100>9 INVITE>2");
    ANSWER(&w, .host = 2, .status = 486);
    return true;
}

static void a_burst_is_no_overload(void **state)
{
    (void)state;
    be(1000, 400);
    be(100, 100);
    be(1000, 400);
    assert_true(is_let_in("a"));
}

/* As of a server that gets a processor for some moments only. */
static void a_queue_that_is_high_again_and_again_is_high(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        be(1000, 0);
        be(0, 30);
    }
    assert_true(is_let_in("a"));
    be(1000, 0);
    assert_false(is_let_in("b"));
}

/* As of one that gets a moment now and then. */
static void a_queue_that_is_seldom_looked_at_and_always_full_is_full(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        be(1000, 0);
        w.now.boot += MS(200);
    }
    assert_true(is_let_in("a"));
    be(1000, 0);
    assert_false(is_let_in("b"));
}

static void bursts_with_calm_between_them_are_no_overload(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        be(1000, 300);
        be(0, 0);
        w.now.boot += SECONDS(1);
    }
    assert_true(is_let_in("a"));
}

static void a_queue_that_stays_full_makes_new_calls_be_refused(void **state)
{
    (void)state;
    be(800, 510);
    assert_false(is_let_in("a"));
    assert_string_equal(world_header(&w, 0, "Retry-After"), "5");
    assert_int_equal(core_census(w.core).server_transactions, 0); /* nothing was spent on it */
}

static void what_is_half_full_is_no_overload(void **state)
{
    (void)state;
    be(740, 5000);
    assert_true(is_let_in("a"));
}

static void it_recovers_at_once(void **state)
{
    (void)state;
    be(1000, 2000);
    assert_false(is_let_in("a"));
    be(300, 0);
    assert_true(is_let_in("b"));
}

static void while_it_is_strained_a_queue_that_fills_is_enough(void **state)
{
    (void)state;
    be(1000, 600);
    be(0, 100);
    be(500, 0);
    assert_false(is_let_in("a"));
    be(0, 2100);
    be(500, 0);
    assert_true(is_let_in("b"));
}

static void strain_ends_when_nothing_more_comes_at_all(void **state)
{
    (void)state;
    be(1000, 600);
    world_wait(&w, SECONDS(3));
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.at[0].kind, ACTION_LOG);
    assert_true(is_let_in("a"));
}

/* Its first was refused: its caller must not hear another word of it. */
static void a_copy_of_a_refused_invite_is_refused_later_too(void **state)
{
    (void)state;
    be(1000, 600);
    assert_false(is_let_in("a"));
    be(0, 0);
    assert_false(is_let_in("a"));
    assert_true(is_let_in("b"));
    world_wait(&w, SECONDS(33)); /* no copy is under way any more */
    assert_true(is_let_in("a"));
}

static void what_goes_on_goes_on(void **state)
{
    char route[1024];

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"});
    be(1000, 600);
    PLAY(&w, {"9 INVITE", "180>9"}, {"2 200", "200>9"}); /* a copy, and an answer */
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    SAY(&w, .host = 9, .method = "ACK", .uri = BOB_AT, .to = BOB_IN, .more = route);
    assert_sent(&w, "ACK>2");
    SAY(&w, .host = 9, .method = "INVITE", .branch = "re", .uri = BOB_AT, .to = BOB_IN, .cseq = 2,
        .more = route);
    assert_sent(&w, "100>9 INVITE>2");
    ANSWER(&w, .host = 2, .status = 200);
    SAY(&w, .host = 2, .method = "BYE", .uri = "sip:h9@198.51.100.9:5060", .from = BOB_IN,
        .to = CAROL, .cseq = 3, .more = route);
    assert_sent(&w, "BYE>9");
    ANSWER(&w, .host = 9, .method = "BYE", .status = 200);
    assert_sent(&w, "200>2");
}

static void a_ringing_call_can_be_given_up(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"});
    be(1000, 600);
    PLAY(&w, {"9 CANCEL", "CANCEL>2 200>9"}, {"2 200 CANCEL", ""}, {"2 487", "487>9 ACK>2"});
}

static void what_begins_something_is_refused(void **state)
{
    static const char *const methods[] = {"MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "OPTIONS"};

    (void)state;
    be(1000, 600);
    for (unsigned i = 0; i < COUNT_OF(methods); i++) {
        SAY(&w, .host = 9, .method = methods[i], .call_id = methods[i]);
        assert_sent(&w, "503>9");
    }
    SAY(&w, .host = 9, .method = "REGISTER", .uri = "sip:example.com", .from = BOB);
    assert_sent(&w, "503>9");
}

static void options_for_the_server_and_refreshes_are_answered(void **state)
{
    (void)state;
    be(1000, 600);
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = "sip:example.com", .to = "<sip:example.com>");
    assert_sent(&w, "200>9");
    SAY(&w, .host = 9, .method = "REGISTER", .uri = "sip:example.com", .from = BOB,
        .more = "Authorization: Digest username=\"bob\", realm=\"example.com\"\n");
    assert_sent(&w, "401>9"); /* it was looked at */
}

/* Who heard the credentials of a refused request cannot use them for another. */
static void the_credentials_of_a_refused_request_are_spent(void **state)
{
    char challenge[512], fields[1024];

    (void)state;
    SAY(&w, .host = 3, .method = "MESSAGE", .from = "<sip:alice@example.com>;tag=a");
    assert_sent(&w, "407>3");
    snprintf(challenge, sizeof challenge, "%s", world_header(&w, 0, "Proxy-Authenticate"));
    snprintf(fields, sizeof fields, "Proxy-Authorization: %s\n",
             world_credentials(challenge, "alice", "wonder", "MESSAGE", "sip:bob@example.com", 1));
    be(1000, 600);
    SAY(&w, .host = 3, .method = "MESSAGE", .from = "<sip:alice@example.com>;tag=a", .cseq = 2,
        .branch = "second", .more = fields);
    assert_sent(&w, "503>3");
    be(0, 0);
    SAY(&w, .host = 3, .method = "MESSAGE", .from = "<sip:alice@example.com>;tag=a", .cseq = 3,
        .branch = "third", .more = fields);
    assert_sent(&w, "407>3");
    assert_non_null(strstr(world_header(&w, 0, "Proxy-Authenticate"), "stale=true"));
    snprintf(fields, sizeof fields, "Proxy-Authorization: %s\n",
             world_credentials(challenge, "alice", "wonder", "MESSAGE", "sip:bob@example.com", 2));
    SAY(&w, .host = 3, .method = "MESSAGE", .from = "<sip:alice@example.com>;tag=a", .cseq = 4,
        .branch = "fourth", .more = fields);
    assert_sent(&w, "MESSAGE>2");
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
}

static void the_administrator_is_told_once(void **state)
{
    unsigned told = 0;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        world_event(&w, &(struct event){.kind = EVENT_LOAD, .fill = i % 3 ? 1000 : 760});
        w.now.boot += MS(10);
        for (uint32_t n = 0; n < w.out.count; n++)
            told += w.out.at[n].kind == ACTION_LOG;
    }
    assert_int_equal(told, 1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(WITH(a_burst_is_no_overload), WITH(a_queue_that_is_high_again_and_again_is_high),
        WITH(a_queue_that_is_seldom_looked_at_and_always_full_is_full),
        WITH(bursts_with_calm_between_them_are_no_overload),
        WITH(a_queue_that_stays_full_makes_new_calls_be_refused),
        WITH(what_is_half_full_is_no_overload), WITH(it_recovers_at_once),
        WITH(while_it_is_strained_a_queue_that_fills_is_enough),
        WITH(strain_ends_when_nothing_more_comes_at_all),
        WITH(a_copy_of_a_refused_invite_is_refused_later_too), WITH(what_goes_on_goes_on),
        WITH(a_ringing_call_can_be_given_up), WITH(what_begins_something_is_refused),
        WITH(options_for_the_server_and_refreshes_are_answered),
        WITH(the_credentials_of_a_refused_request_are_spent), WITH(the_administrator_is_told_once));
}
