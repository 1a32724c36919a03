/* What an administrator is told of a call that is not made. */
#include "abroad.h"
#include "ask.h"

#include "core/rehearse.h"

#include <stdio.h>

#define ANOTHER "x@elsewhere.example"

static struct abroad a;

static const zone_lines servers = {
    "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example",
    "a.elsewhere.example a 198.51.100.2",
    "_5061._tcp.a.elsewhere.example tlsa 3 1 1 7x32",
};
static const zone_lines nothing = {NULL};

static int begin(void **state)
{
    (void)state;
    abroad_begin(&a);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&a.w);
    return 0;
}

/* Asks for the part of the answer that begins there; `ahead` is seconds from now. */
static void route_from(uint64_t cursor, const char *user, const char *text, unsigned ahead)
{
    struct admin_request request = {
        .command = ADMIN_ROUTE,
        .client = ASKING,
        .cursor = cursor,
        .user = slice_text(user),
        .text = slice_text(text),
        .at = ahead ? (uint64_t)a.w.now.wall + ahead : 0,
    };

    world_event(&a.w, &(struct event){.kind = EVENT_ADMIN, .request = &request});
}

static void route(const char *user, const char *text)
{
    route_from(0, user, text, 0);
}

static void assert_refused(unsigned status)
{
    char text[64];

    snprintf(text, sizeof text, "{\"result\":\"refused\",\"status\":%u,", status);
    assert_answer(&a.w, text);
    assert_answer(&a.w, "{\"done\":true}\n");
}

/* DNS answers all that is asked, step by step. */
static void settle(const zone_lines zone)
{
    while (a.w.asked_count) {
        struct reply reply;
        zone_answer(zone, a.w.asked[0].question.type, slice_text(a.w.asked[0].name), &reply);
        world_tell(&a.w, 0, &reply.answer);
    }
}

static void a_phone_is_said_to_be_where_it_is(void **state)
{
    static const char *const names[] = {"bob", "202", "sip:bob@example.com", "bob@example.com"};

    (void)state;
    talk_phone(&a.w, 2, "");
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        route("alice", names[i]);
        assert_answer(&a.w, "\"text\":\"alice calls, of level ");
        assert_answer(&a.w, "a phone of bob at 198.51.100.2:5060 by UDP, registered for another ");
        assert_answer(&a.w, "{\"result\":\"goes\"}\n{\"done\":true}\n");
    }
    assert_int_equal(world_sent_count(&a.w), 0);
}

static void phones_are_told_in_the_order_that_they_ring(void **state)
{
    (void)state;
    talk_phones(&a.w);
    route("alice", "bob");
    assert_answer(&a.w, "\"text\":\"if nobody answers there: a phone of bob at 198.51.100.4:5060");
}

static void at_another_time_it_may_have_gone(void **state)
{
    (void)state;
    talk_phone(&a.w, 2, "");
    route_from(0, "alice", "bob", 60);
    assert_answer(&a.w, "registered for another ");
    route_from(0, "alice", "bob", 1000000);
    assert_answer(&a.w, ", if it has registered again by then");
}

static void who_cannot_be_called_is_said_why(void **state)
{
    (void)state;
    route("alice", "bob");
    assert_refused(480);
    route("alice", "nobody");
    assert_refused(404);
    route("alice", "alice");
    assert_refused(486);
}

static void strangers_are_looked_at_as_such(void **state)
{
    (void)state;
    talk_phone(&a.w, 2, "");
    route(ANOTHER, "bob");
    assert_answer(&a.w, "the caller is of another domain: " ANOTHER);
    assert_answer(&a.w, "{\"result\":\"goes\"}\n");
    route("", "bob");
    assert_answer(&a.w, "the caller is of another domain\"");
    assert_answer(&a.w, "{\"result\":\"goes\"}\n");
    route(ANOTHER, OUTSIDE);
    assert_answer(&a.w, "{\"result\":\"refused\",");
}

static void words_that_are_wrong_are_told_of(void **state)
{
    char vast[NAME_LIMIT * 4 + 8];

    (void)state;
    memset(vast, 'x', sizeof vast - 1);
    vast[sizeof vast - 1] = '\0';
    route("nobody", "bob");
    assert_answer(&a.w, "there is no such user to call as");
    route("alice", "sip:");
    assert_answer(&a.w, "that is no URI, name or number that could be called");
    route("alice", vast);
    assert_answer(&a.w, "that is no URI, name or number that could be called");
}

static void servers_of_another_domain_are_told_when_dns_has_answered(void **state)
{
    const struct action *part;

    (void)state;
    route("alice", OUTSIDE);
    assert_answer(&a.w, "the servers of elsewhere.example need prove nothing");
    assert_answer_lacks(&a.w, "result");
    part = ask_answer(&a.w, ASKING, 0);
    assert_true(part->answer.is_part);
    route_from(part->answer.cursor, "alice", OUTSIDE, 0);
    assert_null(ask_answer(&a.w, ASKING, 0));
    settle(servers);
    assert_answer(&a.w, "a server of it, a.elsewhere.example, is at 198.51.100.2:5061 by TLS, and "
                        "must match its TLSA records");
    assert_answer(&a.w, "{\"result\":\"goes\"}\n{\"done\":true}\n");
    route("alice", "sips:carol@elsewhere.example");
    route_from(ask_answer(&a.w, ASKING, 0)->answer.cursor, "alice", OUTSIDE, 0);
    settle(nothing);
    assert_refused(404);
}

static void what_is_demanded_of_a_domain_is_told(void **state)
{
    static struct domain_settings domains[] = {{S("elsewhere.example"), POLICY_VERIFIED}};

    (void)state;
    a.w.settings.domains = domains;
    a.w.settings.domain_count = COUNT_OF(domains);
    route("alice", OUTSIDE);
    assert_answer(&a.w, "the servers of elsewhere.example must prove by TLS that they are its");
    domains[0].policy = POLICY_DANE;
    route("alice", OUTSIDE);
    assert_answer(&a.w, "the servers of elsewhere.example must prove by DANE that they are its");
}

static void only_so_many_wait_for_dns(void **state)
{
    uint64_t cursor;

    (void)state;
    route("alice", OUTSIDE);
    cursor = ask_answer(&a.w, ASKING, 0)->answer.cursor;
    for (unsigned i = 0; i < REHEARSALS_LIMIT; i++)
        route_from(cursor, "alice", OUTSIDE, 0);
    route_from(cursor, "alice", OUTSIDE, 0);
    assert_answer(&a.w, "too many wait for DNS already; try again");
    world_wait(&a.w, SECONDS(30)); /* nobody answers */
    a.w.asked_count = 0;
    route_from(cursor, "alice", OUTSIDE, 0);
    settle(servers);
    assert_answer(&a.w, "{\"result\":\"goes\"}\n");
}

static void what_has_changed_between_two_parts_is_asked_anew(void **state)
{
    (void)state;
    route_from(9, "alice", OUTSIDE, 0);
    assert_answer(&a.w, "the configuration or a registration has changed meanwhile; ask again");
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(WITH(a_phone_is_said_to_be_where_it_is), WITH(phones_are_told_in_the_order_that_they_ring),
        WITH(at_another_time_it_may_have_gone), WITH(who_cannot_be_called_is_said_why),
        WITH(strangers_are_looked_at_as_such), WITH(words_that_are_wrong_are_told_of),
        WITH(servers_of_another_domain_are_told_when_dns_has_answered),
        WITH(what_is_demanded_of_a_domain_is_told), WITH(only_so_many_wait_for_dns),
        WITH(what_has_changed_between_two_parts_is_asked_anew));
}
