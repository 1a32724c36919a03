/* Servers of other domains, found by DNS: where requests, CANCEL and ACK go, and when one fails. */
#include "talk.h"
#include "zone.h"

#include "core/branch.h"
#include "core/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define ALICE "<sip:alice@example.com>;tag=alice"
#define OUTSIDE "sip:carol@elsewhere.example"

static struct world w;
static char sent[8192];          /* since the last look, through all answers of DNS */
static struct flow streams[256]; /* by the peer's host: the latest that was opened to it */

static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 0}, .bits = 24, .access = ACCESS_TRUSTED},
};

/* Its servers are, in this order, 2, 3 and 4. */
static const zone_lines three = {
    "elsewhere.example NAPTR 1 1 s SIP+D2U _sip._udp.elsewhere.example",
    ("_sip._udp.elsewhere.example SRV 1 1 5060 a.elsewhere.example|2 1 5060 b.elsewhere.example|"
     "3 1 5060 c.elsewhere.example"),
    "a.elsewhere.example A 198.51.100.2",
    "b.elsewhere.example A 198.51.100.3",
    "c.elsewhere.example A 198.51.100.4",
};

/* alice, whom phone 9 is proof enough of, and bob at phone 8. */
static int begin(void **state)
{
    (void)state;
    *sent = 0;
    world_begin(&w, true);
    w.settings.networks = trusted;
    w.settings.network_count = COUNT_OF(trusted);
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    world_register(&w, "bob", "builder", 8, 5060, 3600);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

static void note(void)
{
    const char *more = talk_sent(&w);
    size_t len = strlen(sent);

    for (unsigned i = 0; i < w.out.count; i++)
        if (w.out.at[i].kind == ACTION_CONNECT)
            streams[w.out.at[i].flow.address[3]] = w.out.at[i].flow;
    snprintf(sent + len, sizeof sent - len, "%s%s", len && *more ? " " : "", more);
    w.out.count = 0;
}

static void assert_said(const char *wanted)
{
    assert_sent(&w, wanted);
    w.out.count = 0;
}

static void tell(unsigned n, const zone_lines zone)
{
    struct reply reply;

    zone_answer(zone, w.asked[n].question.type, slice_text(w.asked[n].name), &reply);
    world_tell(&w, n, &reply.answer);
}

/* DNS answers all that it is asked, until it is asked no more; what is sent is noted, without the
 * questions. */
static void settle(const zone_lines zone)
{
    note();
    while (w.asked_count) {
        tell(0, zone);
        note();
    }
}

static void assert_noted(const char *wanted)
{
    char seen[sizeof sent] = "", *rest = NULL;

    for (char *word = strtok_r(sent, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!strchr(word, '?'))
            snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s%s", *seen ? " " : "",
                     word);
    assert_string_equal(seen, wanted);
    *sent = 0;
}

/* alice calls carol there, or sends something else. */
static void call(const char *uri)
{
    SAY(&w, .host = 9, .uri = uri, .from = ALICE, .to = "<sip:carol@elsewhere.example>");
}

static void call_again(const char *uri, const char *name)
{
    SAY(&w, .host = 9, .uri = uri, .from = ALICE, .to = "<sip:carol@elsewhere.example>",
        .call_id = name, .branch = name);
}

static void cancel(void)
{
    SAY(&w, .host = 9, .method = "CANCEL", .uri = OUTSIDE, .from = ALICE,
        .to = "<sip:carol@elsewhere.example>");
}

static void acknowledge(void)
{
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE,
        .to = "<sip:carol@elsewhere.example>;tag=h2");
}

static void answer(unsigned host, unsigned status)
{
    ANSWER(&w, .host = host, .status = status);
}

/* The branch of the latest INVITE that was sent to a host. */
static const char *branch_at(unsigned host, char *text)
{
    struct message m;
    struct via via;

    for (unsigned i = w.request_count; i-- > 0;) {
        if (w.requests[i].to.address[3] != host || !slice_starts(w.requests[i].bytes, S("INVITE")))
            continue;
        message_parse(w.requests[i].bytes, &m);
        struct slice rest = message_first(&m, HEADER_VIA);
        via_next(&rest, &via);
        snprintf(text, BRANCH_TEXT + 1, "%.*s", (int)via.branch.len, via.branch.at);
        return text;
    }
    fail();
    return text;
}

static void a_name_is_asked_for_step_by_step(void **state)
{
    (void)state;
    call(OUTSIDE);
    assert_said("100>9 NAPTR?elsewhere.example");
    tell(0, three);
    assert_said("SRV?_sip._udp.elsewhere.example");
    tell(0, three);
    assert_said("AAAA?a.elsewhere.example A?a.elsewhere.example AAAA?b.elsewhere.example "
                "A?b.elsewhere.example");
    tell(1, three);
    assert_said("");
    tell(0, three);
    assert_said("INVITE>2");
    settle(three);
    *sent = 0;
    answer(2, 180);
    assert_said("180>9");
    assert_int_equal(core_census(w.core).lookups, 0);
    answer(2, 200);
    assert_said("200>9");
}

/* 16.6 step 3, whoever it goes to, and however late. */
static void max_forwards_counts_down_for_every_server(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .uri = OUTSIDE, .from = ALICE, .more = "Max-Forwards: 5\n");
    settle(three);
    assert_noted("100>9 INVITE>2");
    answer(2, 503);
    settle(three);
    assert_noted("INVITE>3 ACK>2");
    for (unsigned i = 0, seen = 0; i < w.request_count || seen != 2; i++) {
        struct message m;
        assert_true(i < w.request_count);
        assert_false(message_parse(w.requests[i].bytes, &m).status);
        if (m.method != METHOD_INVITE)
            continue;
        assert_slice(message_first(&m, HEADER_MAX_FORWARDS), "4");
        seen++;
    }
    answer(3, 200);
}

static void the_chosen_server_gets_cancel_and_ack(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    assert_noted("100>9 INVITE>2");
    answer(2, 180);
    cancel();
    assert_said("CANCEL>2 200>9");
    assert_int_equal(w.asked_count, 0);
    ANSWER(&w, .host = 2, .status = 200, .method = "CANCEL");
    answer(2, 487);
    assert_said("487>9 ACK>2");
    acknowledge();
}

static void a_server_that_says_503_is_left_for_the_next_by_a_branch_of_its_own(void **state)
{
    char first[BRANCH_TEXT + 1], second[BRANCH_TEXT + 1];

    (void)state;
    call(OUTSIDE);
    settle(three);
    answer(2, 100);
    answer(2, 503);
    note();
    assert_noted("100>9 INVITE>2 INVITE>3 ACK>2");
    assert_string_not_equal(branch_at(2, first), branch_at(3, second));
    answer(2, 503);
    assert_said("ACK>2");
    answer(3, 200);
    assert_said("200>9");
}

static void what_no_server_takes_is_refused_as_the_last_of_them_did(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    answer(2, 503);
    settle(three);
    answer(3, 503);
    settle(three);
    answer(4, 503);
    settle(three);
    assert_noted("100>9 INVITE>2 INVITE>3 ACK>2 INVITE>4 ACK>3 500>9 ACK>4");
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

/* By TLS first, and then by UDP, for who has no proof. */
static const zone_lines two_ways = {
    "_sips._tcp.elsewhere.example SRV 1 1 5061 a.elsewhere.example",
    "_sip._udp.elsewhere.example SRV 1 1 5060 b.elsewhere.example",
    "a.elsewhere.example A 198.51.100.2",
    "b.elsewhere.example A 198.51.100.3",
};

static void a_domain_that_proves_itself_meanwhile_is_asked_in_clear_no_more(void **state)
{
    static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                     {TRANSPORT_TLS, S("192.0.2.1"), 5061}};
    static const char *const proven[] = {"other.example", "elsewhere.example"};
    static const char *const said[] = {"INVITE>3 ACK>2", "500>9 ACK>2"};

    (void)state;
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    for (unsigned i = 0; i < COUNT_OF(proven); i++) {
        struct flow flow;
        call(OUTSIDE);
        settle(two_ways);
        assert_noted("100>9 connect>2 INVITE>2");
        flow = w.requests[w.request_count - 1].to;
        assert_int_equal(flow.transport, TRANSPORT_TLS);
        world_event(&w, &(struct event){
                            .kind = EVENT_OPENED, .flow = flow, .bytes = slice_text(proven[i])});
        w.out.count = 0;
        answer(2, 503);
        note();
        settle(two_ways);
        assert_noted(said[i]);
        end(NULL);
        begin(NULL);
        w.settings.sockets = sockets;
        w.settings.socket_count = COUNT_OF(sockets);
    }
}

/* And whatever is said of it there does not count. */
static void a_phone_is_told_whether_the_domain_that_answers_has_proven_itself(void **state)
{
    static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                     {TRANSPORT_TLS, S("192.0.2.1"), 5061}};
    static const char *const proven[] = {"other.example", "elsewhere.example"};
    static const char *const told[] = {"unverified", "verified;domain=elsewhere.example;by=tls"};
    static const char *const forged =
        "P-SIPWITCH-Callee: verified;domain=elsewhere.example;by=signature\n";

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(proven); i++) {
        struct flow flow;
        w.settings.sockets = sockets;
        w.settings.socket_count = COUNT_OF(sockets);
        call(OUTSIDE);
        settle(two_ways);
        flow = w.requests[w.request_count - 1].to;
        world_event(&w, &(struct event){
                            .kind = EVENT_OPENED, .flow = flow, .bytes = slice_text(proven[i])});
        ANSWER(&w, .host = 2, .by = &flow, .status = 180, .more = forged);
        assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Callee"), told[i]);
        ANSWER(&w, .host = 2, .by = &flow, .status = 486);
        end(NULL);
        begin(NULL);
    }
    call(OUTSIDE);
    settle(three);
    ANSWER(&w, .host = 2, .status = 180, .more = forged);
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Callee"), "");
    ANSWER(&w, .host = 2, .status = 486);
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

static unsigned logged(void)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < w.out.count; i++)
        count += w.out.at[i].kind == ACTION_LOG;
    return count;
}

/* For thirty days; and caller and administrator hear why. */
static void a_domain_that_has_proven_itself_is_not_asked_in_clear(void **state)
{
    static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                     {TRANSPORT_TLS, S("192.0.2.1"), 5061}};
    static const char *const names[] = {"first", "second"};
    struct message m;

    (void)state;
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    policy_note(w.core, policy_hash(w.core, S("elsewhere.example")), true, w.now, &w.out);
    w.out.count = 0;
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        call_again(OUTSIDE, names[i]);
        while (w.asked_count)
            tell(0, three);
        assert_int_equal(world_status(&w, 0), 502);
        message_parse(world_sent(&w, 0), &m);
        assert_slice(message_span(&m, m.reason),
                     "That Domain Has Proven Itself By TLS, And Has None Now");
        assert_int_equal(logged(), i ? 0 : 1); /* once an hour */
        SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE, .call_id = names[i],
            .branch = names[i]);
    }
    world_wait(&w, SECONDS(31 * 24 * 3600));
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    w.out.count = 0;
    *sent = 0;
    call_again(OUTSIDE, "later");
    settle(three);
    assert_noted("100>9 INVITE>2");
    answer(2, 486);
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE, .call_id = "later",
        .branch = "later");
}

static void another_refusal_is_final(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    answer(2, 486);
    note();
    assert_noted("100>9 INVITE>2 486>9 ACK>2");
    acknowledge();
}

/* Timer A has sent it again at 0.5, 1.5 and 3.5 s. */
static void a_server_that_does_not_say_a_word_is_left_soon(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    *sent = 0;
    world_wait(&w, MS(1900));
    assert_said("INVITE>2 INVITE>2");
    world_wait(&w, MS(200));
    settle(three);
    assert_noted("INVITE>3");
    answer(3, 180);
    assert_said("180>9");
    world_wait(&w, SECONDS(10));
    assert_said("");
    answer(3, 200);
    assert_said("200>9");
}

static void what_was_left_is_cancelled_when_it_wakes_up(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    world_wait(&w, MS(2100));
    settle(three);
    answer(3, 180);
    answer(2, 180);
    assert_said("CANCEL>2");
    ANSWER(&w, .host = 2, .status = 200, .method = "CANCEL");
    answer(2, 487);
    assert_said("ACK>2");
    answer(3, 200);
    assert_said("200>9");
}

/* It was only slow, and who took over has not said a word: that one is left in its turn. */
static void what_was_left_is_taken_back_while_nobody_else_speaks(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    world_wait(&w, MS(2100));
    settle(three);
    answer(2, 180);
    assert_said("180>9");
    world_wait(&w, SECONDS(3));
    assert_said("");
    answer(3, 180);
    assert_said("CANCEL>3");
    ANSWER(&w, .host = 3, .status = 200, .method = "CANCEL");
    answer(3, 487);
    assert_said("ACK>3");
    world_restart(&w);
    w.out.count = 0;
    answer(2, 200);
    assert_said("200>9");
}

static void what_was_left_may_refuse_while_nobody_else_speaks(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    world_wait(&w, MS(2100));
    settle(three);
    answer(2, 486);
    assert_said("486>9 ACK>2");
    acknowledge();
}

static void what_was_left_may_answer_all_the_same(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    world_wait(&w, MS(2100));
    settle(three);
    answer(3, 180);
    answer(2, 200);
    assert_said("200>9 CANCEL>3");
    ANSWER(&w, .host = 3, .status = 200, .method = "CANCEL");
    answer(3, 487);
    assert_said("ACK>3");
    answer(2, 200);
    assert_said("200>9");
}

/* ICMP repeats the beginning of what was sent; anybody could send it, but not with our branch. */
static void a_server_where_nobody_is_is_left_at_once(void **state)
{
    struct event event = {.kind = EVENT_UNREACHED, .flow = world_flow(2, 5060)};
    char copy[1024];

    (void)state;
    call(OUTSIDE);
    settle(three);
    *sent = 0;
    struct slice invite = w.requests[w.request_count - 1].bytes;
    size_t len = min_u64(invite.len, 400);
    memcpy(copy, invite.at, len);
    event.bytes = slice_of(copy, 60); /* it does not reach to the branch */
    world_event(&w, &event);
    assert_said("");
    event.bytes = slice_of(copy, len);
    event.flow.port++;
    world_event(&w, &event);
    assert_said("");
    event.flow.port--;
    *strstr(copy, "z9hG4bK0") = 'y';
    world_event(&w, &event);
    assert_said("");
    memcpy(copy, invite.at, len);
    world_event(&w, &event);
    settle(three);
    assert_noted("INVITE>3");
    world_event(&w, &event);
    assert_said("");
    answer(3, 180);
    event.flow = world_flow(3, 5060);
    invite = w.requests[w.request_count - 1].bytes;
    event.bytes = slice_of(invite.at, min_u64(invite.len, 400));
    world_event(&w, &event);
    assert_sent(&w, ""); /* it was there */
    answer(3, 200);
}

/* Whose URI has an address; a phone of ours, which restarts perhaps, is waited for. */
static void so_is_a_host_outside(void **state)
{
    struct event event = {.kind = EVENT_UNREACHED};

    (void)state;
    call("sip:carol@198.51.100.2");
    assert_said("100>9 INVITE>2");
    event.flow = w.requests[w.request_count - 1].to;
    event.bytes = w.requests[w.request_count - 1].bytes;
    world_event(&w, &event);
    assert_said("500>9");
    SAY(&w, .host = 9, .method = "ACK", .uri = "sip:carol@198.51.100.2", .from = ALICE);
    call_again("sip:bob@example.com", "phone");
    assert_said("100>9 INVITE>8");
    event.flow = w.requests[w.request_count - 1].to;
    event.bytes = w.requests[w.request_count - 1].bytes;
    world_event(&w, &event);
    assert_said("");
    answer(8, 486);
    assert_said("486>9 ACK>8");
    SAY(&w, .host = 9, .method = "ACK", .uri = "sip:bob@example.com", .from = ALICE,
        .call_id = "phone", .branch = "phone");
}

static void a_server_without_a_neighbour_has_all_the_time(void **state)
{
    static const zone_lines zone = {"elsewhere.example A 198.51.100.2"};

    (void)state;
    call(OUTSIDE ":5060");
    settle(zone);
    world_wait(&w, SECONDS(31));
    answer(2, 200);
    assert_said("200>9");
}

static void servers_that_never_answer_time_out(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    world_wait(&w, SECONDS(9));
    settle(three);
    world_wait(&w, SECONDS(40));
    assert_int_equal(world_status(&w, world_sent_count(&w) - 1), 408);
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

static void a_stream_that_cannot_be_opened_leads_to_the_next_server(void **state)
{
    static const zone_lines zone = {
        "_sip._tcp.elsewhere.example SRV 1 1 5060 a.elsewhere.example|2 1 5060 b.elsewhere.example",
        "a.elsewhere.example A 198.51.100.2",
        "b.elsewhere.example A 198.51.100.3",
    };
    struct flow stream = {0};

    (void)state;
    call(OUTSIDE ";transport=tcp");
    note();
    while (w.asked_count) {
        tell(0, zone);
        for (unsigned i = 0; i < w.out.count; i++)
            if (w.out.at[i].kind == ACTION_CONNECT)
                stream = w.out.at[i].flow;
        note();
    }
    assert_noted("100>9 connect>2 INVITE>2");
    assert_int_equal(stream.transport, TRANSPORT_TCP);
    world_close(&w, &stream);
    world_wait(&w, MS(10));
    note();
    assert_noted("connect>3 INVITE>3");
    cancel();
    assert_said("200>9"); /* it has said nothing yet */
}

/* ---- several addresses of one server (RFC 8305) */

static const zone_lines doubled = {
    "_sip._tcp.elsewhere.example SRV 1 1 5060 a.elsewhere.example|2 1 5060 b.elsewhere.example",
    "a.elsewhere.example A 198.51.100.2|198.51.100.3",
    "b.elsewhere.example A 198.51.100.4",
};

/* A request that waits for its stream to host 2. */
static void race(const char *method)
{
    SAY(&w, .host = 9, .method = method, .uri = OUTSIDE ";transport=tcp", .from = ALICE,
        .to = "<sip:carol@elsewhere.example>");
    settle(doubled);
    assert_noted(strcmp(method, "INVITE") ? "connect>2" : "100>9 connect>2");
}

static void wait_ms(unsigned ms)
{
    world_wait(&w, MS(ms));
    note();
}

static void stand(unsigned host)
{
    world_event(&w, &(struct event){.kind = EVENT_OPENED, .flow = streams[host]});
    note();
    wait_ms(10);
}

static void refuse(unsigned host)
{
    world_close(&w, &streams[host]);
    note();
    wait_ms(10);
}

static void say_busy(unsigned host, const char *method)
{
    ANSWER(&w, .host = host, .by = &streams[host], .method = method, .status = 486);
    note();
}

static void where_one_address_is_silent_the_request_goes_to_the_other_soon(void **state)
{
    static const char *const methods[] = {"INVITE", "MESSAGE"};
    static const char *const said[] = {"close>2 INVITE>3", "close>2 MESSAGE>3"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(methods); i++) {
        race(methods[i]);
        wait_ms(240);
        assert_noted("");
        wait_ms(20);
        assert_noted("connect>3");
        wait_ms(1000);
        assert_noted("");
        stand(3);
        assert_noted(said[i]);
        refuse(2);
        say_busy(3, methods[i]);
        refuse(3);
        wait_ms(60000); /* the penalty's time */
        *sent = 0;
    }
}

/* DNS is slow with the next server's addresses; once this one has the request, they do not matter.
 */
static void a_stream_that_stands_while_the_next_server_is_looked_for_has_time(void **state)
{
    unsigned n;

    (void)state;
    call(OUTSIDE ";transport=tcp");
    note();
    do {
        n = 0;
        while (n < w.asked_count && w.asked[n].name[0] == 'b')
            n++;
        if (n < w.asked_count)
            tell(n, doubled);
        note();
    } while (n < w.asked_count);
    wait_ms(260);
    wait_ms(4200);
    assert_true(w.asked_count > 0);
    *sent = 0;
    stand(2);
    assert_noted("close>3 INVITE>2");
    wait_ms(50);
    settle(doubled);
    wait_ms(1000);
    assert_noted("");
    say_busy(2, "INVITE");
}

/* A caller of that server whose connection is gone hears by the one that the loser waits for. */
static void a_stream_that_a_response_waits_for_is_not_given_up(void **state)
{
    struct flow caller = world_open(&w, 2, 5060);

    (void)state;
    *sent = 0;
    SAY(&w, .host = 2, .by = &caller, .uri = "sip:bob@example.com",
        .from = "<sip:carol@elsewhere.example>;tag=carol", .call_id = "waits", .branch = "waits");
    note();
    assert_noted("100>2 INVITE>8");
    world_close(&w, &caller);
    race("MESSAGE");
    wait_ms(260);
    assert_noted("connect>3");
    answer(8, 486);
    note();
    assert_noted("486>2 ACK>8");
    stand(3);
    assert_noted("MESSAGE>3");
    say_busy(3, "MESSAGE");
}

/* Within one tick of the timers, in either order. */
static void an_address_that_refuses_as_the_other_stands_changes_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        if (i) {
            world_end(&w);
            begin(state);
        }
        race("INVITE");
        wait_ms(260);
        *sent = 0;
        if (i)
            world_close(&w, &streams[3]);
        world_event(&w, &(struct event){.kind = EVENT_OPENED, .flow = streams[2]});
        if (!i)
            world_close(&w, &streams[3]);
        note();
        wait_ms(10);
        assert_noted("INVITE>2");
        say_busy(2, "INVITE");
        note();
        *sent = 0;
    }
}

static void which_address_was_silent_is_remembered(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(260);
    stand(3);
    assert_noted("connect>3 close>2 INVITE>3");
    refuse(2);
    say_busy(3, "INVITE");
    refuse(3);
    *sent = 0;
    call_again(OUTSIDE ";transport=tcp", "again");
    settle(doubled);
    wait_ms(10);
    assert_noted("100>9 connect>3 INVITE>3");
    say_busy(3, "INVITE");
}

static void the_first_address_is_used_if_its_stream_stands_first_after_all(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(260);
    stand(2);
    assert_noted("connect>3 close>3 INVITE>2");
    stand(3); /* they met on the way */
    refuse(3);
    assert_noted("");
    ANSWER(&w, .host = 2, .by = &streams[2], .status = 180);
    note();
    cancel();
    note();
    assert_noted("180>9 CANCEL>2 200>9");
    ANSWER(&w, .host = 2, .by = &streams[2], .method = "CANCEL", .status = 200);
    note();
    ANSWER(&w, .host = 2, .by = &streams[2], .status = 487);
    note();
    assert_noted("487>9 ACK>2");
}

static void an_address_that_refuses_leads_to_the_other_at_once(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(100);
    refuse(2);
    assert_noted("connect>3 INVITE>3");
    say_busy(3, "INVITE");
}

static void where_the_second_refuses_the_first_is_still_waited_for(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(260);
    refuse(3);
    wait_ms(500);
    assert_noted("connect>3");
    stand(2);
    assert_noted("INVITE>2");
    say_busy(2, "INVITE");
}

static void a_server_whose_addresses_are_all_silent_is_left_for_the_next(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(260);
    wait_ms(3960);
    assert_noted("connect>3");
    wait_ms(60);
    assert_noted("close>2 close>3 connect>4 INVITE>4");
    stand(2); /* too late: nobody gets it twice */
    stand(3);
    assert_noted("");
    say_busy(4, "INVITE");
}

static void where_all_addresses_refuse_the_caller_hears_it_once(void **state)
{
    static const zone_lines alone = {
        "_sip._tcp.elsewhere.example SRV 1 1 5060 a.elsewhere.example",
        "a.elsewhere.example A 198.51.100.2|198.51.100.3",
    };

    (void)state;
    call(OUTSIDE ";transport=tcp");
    settle(alone);
    wait_ms(260);
    assert_noted("100>9 connect>2 connect>3");
    refuse(2);
    assert_noted("");
    refuse(3);
    assert_noted("500>9");
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

static void after_a_refusal_a_late_answer_is_waited_for_as_long_as_any(void **state)
{
    static const zone_lines alone = {
        "_sip._tcp.elsewhere.example SRV 1 1 5060 a.elsewhere.example",
        "a.elsewhere.example A 198.51.100.2",
    };

    (void)state;
    call(OUTSIDE ";transport=tcp");
    note();
    tell(0, alone);
    note();
    tell(1, alone);
    wait_ms(60);
    assert_noted("100>9 connect>2"); /* another address may come yet */
    refuse(2);
    wait_ms(1000);
    assert_noted("");
    settle(alone);
    assert_noted("500>9");
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

static void a_call_that_is_cancelled_meanwhile_is_sent_to_nobody(void **state)
{
    (void)state;
    race("INVITE");
    wait_ms(260);
    assert_noted("connect>3");
    cancel();
    note();
    wait_ms(10);
    assert_noted("200>9 487>9");
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
    stand(2);
    stand(3);
    assert_noted("close>2");
}

/* By a stream that stands; then that ends, and another is opened for what was sent. */
static void send_again(void)
{
    race("INVITE");
    stand(2);
    say_busy(2, "INVITE");
    *sent = 0;
    call_again(OUTSIDE ";transport=tcp", "again");
    settle(doubled);
    assert_noted("100>9 INVITE>2");
    refuse(2);
    assert_noted("connect>2 INVITE>2");
}

static void what_was_sent_once_is_in_no_race(void **state)
{
    (void)state;
    send_again();
    answer(2, 180); /* by a way of its own (18.2.2) */
    note();
    stand(2);
    wait_ms(300);
    assert_noted("180>9");
    answer(2, 486);
    note();
    assert_noted("486>9 ACK>2");
}

static void what_was_sent_once_may_be_accepted_before_its_new_stream_stands(void **state)
{
    (void)state;
    send_again();
    answer(2, 200);
    note();
    stand(2);
    assert_noted("200>9");
    wait_ms(40000);
    assert_int_equal(core_census(w.core).client_transactions, 0);
}

static void what_was_sent_once_is_cancelled_by_its_new_stream(void **state)
{
    (void)state;
    send_again();
    answer(2, 180);
    note();
    SAY(&w, .host = 9, .method = "CANCEL", .uri = OUTSIDE, .from = ALICE,
        .to = "<sip:carol@elsewhere.example>", .call_id = "again", .branch = "again");
    note();
    stand(2);
    assert_noted("180>9 CANCEL>2 200>9");
    answer(2, 487);
    note();
    assert_noted("487>9 ACK>2");
}

/* alice may have one call by the relay, and has one with bob: another has no room there. */
static void a_full_relay_is_no_fault_of_the_servers(void **state)
{
    static struct relay_table table;
    const char *offer = "v=0\no=- 1 1 IN IP4 198.51.100.9\ns=-\nc=IN IP4 198.51.100.9\nt=0 0\n"
                        "m=audio 4000 RTP/AVP 0\n";

    (void)state;
    memset(&table, 0, sizeof table);
    w.settings.media.mode = MEDIA_ALWAYS;
    w.settings.media.user_calls = 1;
    w.settings.media.has[0] = true;
    w.settings.media.own[0] = (struct address_bytes){false, {192, 0, 2, 1}};
    world_relay(&w, &table);
    SAY(&w, .host = 9, .from = ALICE, .body = offer);
    SAY(&w, .host = 9, .uri = OUTSIDE, .from = ALICE, .to = "<sip:carol@elsewhere.example>",
        .call_id = "full", .branch = "full", .body = offer);
    settle(three);
    wait_ms(10);
    assert_noted("100>9 503>9");
    call_again(OUTSIDE, "without");
    settle(three);
    assert_noted("100>9 INVITE>2");
    answer(2, 486);
    answer(8, 486);
    note();
    world_wait(&w, SECONDS(100));
}

/* 18.1.1: by a stream, since it is long; a firewall lets none through. */
static void send_at_length(const char *method, const char *name)
{
    static char filler[1400];

    memset(filler, 'x', sizeof filler - 1);
    memcpy(filler, "Subject: ", 9);
    filler[sizeof filler - 2] = '\n';
    SAY(&w, .host = 9, .method = method, .uri = OUTSIDE, .from = ALICE,
        .to = "<sip:carol@elsewhere.example>", .more = filler, .call_id = name, .branch = name);
    settle(three);
}

static void call_at_length(const char *name)
{
    send_at_length("INVITE", name);
}

static void a_stream_that_does_not_come_about_is_left_for_datagrams(void **state)
{
    (void)state;
    call_at_length("first");
    assert_noted("100>9 connect>2 INVITE>2");
    world_wait(&w, MS(2100));
    note();
    assert_noted("INVITE>2 close>2");
    assert_int_equal(w.requests[w.request_count - 1].to.transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 2, .status = 486);
    assert_said("486>9 ACK>2");
    call_at_length("second");
    assert_noted("100>9 INVITE>2");
    assert_int_equal(w.requests[w.request_count - 1].to.transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 2, .status = 486);
}

/* Though its server has four seconds to say a word: nothing was sent there yet. */
static void a_message_waits_no_longer_for_its_stream(void **state)
{
    (void)state;
    send_at_length("MESSAGE", "first");
    assert_noted("connect>2 MESSAGE>2");
    world_wait(&w, MS(2100));
    note();
    assert_noted("MESSAGE>2 close>2");
    assert_int_equal(w.requests[w.request_count - 1].to.transport, TRANSPORT_UDP);
    ANSWER(&w, .host = 2, .method = "MESSAGE", .status = 200);
    assert_said("200>9");
}

static void where_datagrams_are_lost_too_the_next_server_is_due(void **state)
{
    (void)state;
    call_at_length("first");
    world_wait(&w, MS(2100));
    *sent = 0;
    w.out.count = 0;
    world_wait(&w, MS(2100));
    settle(three);
    assert_non_null(strstr(sent, "connect>3 INVITE>3"));
    ANSWER(&w, .host = 3, .by = &w.requests[w.request_count - 1].to, .status = 486);
}

static void who_takes_the_stream_and_is_silent_is_left_for_the_next(void **state)
{
    (void)state;
    call_at_length("first");
    world_event(&w,
                &(struct event){.kind = EVENT_OPENED, .flow = w.requests[w.request_count - 1].to});
    w.out.count = 0;
    world_wait(&w, MS(2100));
    settle(three);
    assert_noted("100>9 connect>2 INVITE>2 connect>3 INVITE>3");
    ANSWER(&w, .host = 3, .by = &w.requests[w.request_count - 1].to, .status = 486);
}

/* What DNS says, or does not, where there is no place to go. */
static void without_a_place_the_caller_hears_why(void **state)
{
    static const struct {
        zone_lines zone;
        unsigned status;
        const char *reason;
    } cases[] = {
        {{NULL}, 404, "No SIP Server In That Domain"},
        {{"_sip._tcp.elsewhere.example SRV 0 0 0 ."}, 404, "No SIP Server In That Domain"},
        {{"_sip._tcp.elsewhere.example SRV ?", "_sip._udp.elsewhere.example SRV ?"},
         504,
         "DNS Does Not Answer"},
        {{"elsewhere.example NAPTR !"}, 502, "DNS Answer Is Forged"},
        {{"_sip._udp.elsewhere.example SRV 1 1 5060 a.elsewhere.example",
          "a.elsewhere.example A !"},
         502,
         "DNS Answer Is Forged"},
        {{"_sip._udp.elsewhere.example SRV 1 1 5060 a.elsewhere.example"},
         502,
         "No Server Of That Domain Has An Address In Reach"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct message m;
        char name[16];
        snprintf(name, sizeof name, "call-%u", i);
        call_again(OUTSIDE, name);
        while (w.asked_count)
            tell(0, cases[i].zone);
        assert_int_equal(world_status(&w, 0), cases[i].status);
        message_parse(world_sent(&w, 0), &m);
        assert_slice(message_span(&m, m.reason), cases[i].reason);
        SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE, .call_id = name,
            .branch = name);
    }
}

static void a_family_of_addresses_is_not_waited_for(void **state)
{
    static const zone_lines zone = {"elsewhere.example A 198.51.100.2"};

    (void)state;
    call(OUTSIDE ":5060");
    assert_said("100>9 AAAA?elsewhere.example A?elsewhere.example");
    tell(1, zone);
    assert_said("");
    world_wait(&w, MS(40));
    assert_said("");
    world_wait(&w, MS(20));
    assert_said("INVITE>2");
    tell(0, zone);
    answer(2, 200);
    assert_said("200>9");
}

/* Two for that of NAPTR, which tells nothing that the others would not, and three for those. */
static void an_answer_that_is_lost_is_waited_for_five_seconds(void **state)
{
    (void)state;
    call(OUTSIDE);
    world_wait(&w, MS(1900));
    assert_said("");
    world_wait(&w, MS(200));
    assert_said("SRV?_sip._tcp.elsewhere.example SRV?_sip._udp.elsewhere.example");
    w.asked_count = 0;
    world_wait(&w, MS(2800));
    assert_said("");
    world_wait(&w, MS(200));
    assert_int_equal(world_status(&w, 0), 504);
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

/* The addresses of the first server are never told; those of the next are. */
static void a_server_whose_addresses_do_not_come_is_passed_over(void **state)
{
    (void)state;
    call(OUTSIDE);
    tell(0, three);
    tell(0, three);
    tell(2, three);
    tell(2, three);
    assert_said("");
    world_wait(&w, MS(5100));
    settle(three);
    assert_noted("INVITE>3");
    answer(3, 200);
}

/* 16.6: bob and carol ring at once; DNS holds up nobody but carol. */
static void dns_does_not_hold_up_the_other_branches(void **state)
{
    struct user_settings both = world_user(&w, "both", "", "x");

    (void)state;
    both.kind = USER_ALIAS;
    both.contacts = S("sip:bob@example.com\n" OUTSIDE "\n");
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &both});
    call("sip:both@example.com");
    assert_said("100>9 INVITE>8 NAPTR?elsewhere.example");
    answer(8, 180);
    assert_said("180>9");
    tell(0, three);
    answer(8, 200);
    assert_said("200>9");
    world_wait(&w, MS(10));
    assert_int_equal(core_census(w.core).lookups, 0);
    tell(0, three); /* to a lookup that is no more */
    assert_said("");
}

/* What nobody could be found for says less than what somebody answered. */
static void a_busy_phone_counts_more_than_a_domain_that_is_not_there(void **state)
{
    static const zone_lines none = {NULL};
    struct user_settings both = world_user(&w, "both", "", "x");

    (void)state;
    both.kind = USER_ALIAS;
    both.contacts = S("sip:bob@example.com\n" OUTSIDE "\n");
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &both});
    call("sip:both@example.com");
    w.out.count = 0;
    settle(none);
    assert_noted("");
    answer(8, 486);
    assert_said("486>9 ACK>8");
    SAY(&w, .host = 9, .method = "ACK", .uri = "sip:both@example.com", .from = ALICE);
}

static void a_caller_who_gives_up_does_not_wait_for_dns(void **state)
{
    (void)state;
    call(OUTSIDE);
    cancel();
    assert_said("200>9");
    world_wait(&w, MS(10));
    assert_said("487>9");
    assert_int_equal(core_census(w.core).lookups, 0);
    tell(0, three);
    assert_said("");
    acknowledge();
}

static void a_restart_looks_again_for_a_server_that_was_not_known(void **state)
{
    (void)state;
    call(OUTSIDE);
    w.asked_count = 0; /* the answer dies with the process */
    world_restart(&w);
    world_wait(&w, MS(200));
    assert_said("NAPTR?elsewhere.example");
    settle(three);
    assert_noted("INVITE>2");
    answer(2, 180);
    assert_said("180>9");
    answer(2, 200);
    assert_said("200>9");
}

static void a_restart_stays_with_the_server_that_was_chosen(void **state)
{
    char before[BRANCH_TEXT + 1], after[BRANCH_TEXT + 1];

    (void)state;
    call(OUTSIDE);
    settle(three);
    answer(2, 503);
    settle(three);
    *sent = 0;
    branch_at(3, before);
    world_restart(&w);
    world_wait(&w, MS(10));
    assert_said("INVITE>3");
    assert_string_equal(branch_at(3, after), before);
    answer(3, 180);
    cancel();
    assert_said("CANCEL>3 200>9");
    ANSWER(&w, .host = 3, .status = 200, .method = "CANCEL");
    answer(3, 487);
    acknowledge();
}

static void a_server_that_fails_after_a_restart_has_successors_all_the_same(void **state)
{
    (void)state;
    call(OUTSIDE);
    settle(three);
    *sent = 0;
    world_restart(&w);
    world_wait(&w, MS(10));
    assert_said("INVITE>2");
    answer(2, 503);
    settle(three);
    assert_noted("ACK>2 INVITE>3");
    answer(3, 200);
}

static void who_failed_just_now_is_tried_last_for_a_while(void **state)
{
    (void)state;
    call_again(OUTSIDE, "one");
    settle(three);
    answer(2, 503);
    answer(3, 200);
    *sent = 0;
    call_again(OUTSIDE, "two");
    settle(three);
    assert_noted("100>9 INVITE>3");
    answer(3, 503);
    settle(three);
    assert_noted("INVITE>4 ACK>3");
    answer(4, 503);
    settle(three);
    assert_noted("INVITE>2 ACK>4"); /* but tried it is */
    answer(2, 200);
    world_wait(&w, SECONDS(61));
    call_again(OUTSIDE, "three");
    settle(three);
    assert_noted("100>9 INVITE>2");
    answer(2, 200);
}

static void a_server_says_how_long_it_wants_to_be_left_alone(void **state)
{
    static const struct {
        const char *field;
        unsigned shorter, longer; /* seconds: still, and no longer */
    } cases[] = {
        {"Retry-After: 5\n", 4, 6},
        {"Retry-After: 120 (restarts);duration=9\n", 118, 121},
        {"Retry-After: 86400\n", 598, 601},
        {"Retry-After: soon\n", 58, 61},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        for (unsigned n = 0; n < 3; n++) {
            char name[16];
            snprintf(name, sizeof name, "call-%u-%u", i, n);
            if (n)
                world_wait(&w,
                           SECONDS(n == 1 ? cases[i].shorter : cases[i].longer - cases[i].shorter));
            call_again(OUTSIDE, name);
            settle(three);
            assert_noted(n == 1 ? "100>9 INVITE>3" : "100>9 INVITE>2");
            if (!n) {
                ANSWER(&w, .host = 2, .status = 503, .more = cases[i].field);
                settle(three);
                *sent = 0;
            }
            answer(n == 2 ? 2 : 3, 200);
        }
    }
}

/* A zone is written by whom one calls, not by us: it must not lead into our network who has no way
 * there. */
static void a_name_leads_nobody_where_he_could_not_go(void **state)
{
    static const struct {
        const char *caller; /* his network; NULL: a trusted one */
        const char *address;
        unsigned status; /* 0: he gets there */
    } cases[] = {
        {"198.51.100.9", "203.0.113.1", 0},
        {"198.51.100.9", "10.0.0.1", 403},
        {"198.51.100.9", "172.31.0.1", 403},
        {"198.51.100.9", "192.168.1.1", 403},
        {"198.51.100.9", "100.64.0.1", 403},
        {"198.51.100.9", "169.254.169.254", 403},
        {"198.51.100.9", "127.0.0.1", 403},
        {"198.51.100.9", "0.0.0.0", 404},
        {"198.51.100.9", "224.0.0.1", 404},
        {NULL, "10.0.0.1", 0},
        {NULL, "127.0.0.1", 0},
        {NULL, "255.255.255.255", 404},
        {"10.1.1.1", "192.168.1.1", 0},
        {"10.1.1.1", "169.254.169.254", 403},
        {"10.1.1.1", "127.0.0.1", 403},
        {"127.0.0.2", "10.0.0.1", 0},
        {"127.0.0.2", "127.0.0.1", 0},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct address_bytes address;
        char line[64], text[1024], name[16];
        struct flow flow = world_flow(9, 5060);
        const zone_lines zone = {line};

        end(NULL);
        begin(NULL);
        snprintf(line, sizeof line, "elsewhere.example A %s", cases[i].address);
        snprintf(name, sizeof name, "call-%u", i);
        if (cases[i].caller) {
            assert_true(host_numeric(slice_text(cases[i].caller), &address));
            memcpy(flow.address, address.at, sizeof address.at);
            w.settings.network_count = 0;
        }
        for (unsigned n = 0; n < 2 && !w.asked_count; n++) { /* with a proof, if it is asked for */
            snprintf(text, sizeof text, "%s%s%s", n ? "Proxy-Authorization: " : "",
                     n ? world_credentials(world_header(&w, 0, "Proxy-Authenticate"), "alice",
                                           "wonder", "INVITE", OUTSIDE ":5060", 1)
                       : "",
                     n ? "\n" : "");
            SAY(&w, .host = 9, .by = &flow, .uri = OUTSIDE ":5060", .from = ALICE, .call_id = name,
                .branch = name, .more = text, .cseq = n + 1);
        }
        assert_int_equal(w.asked_count, 2);
        while (w.asked_count)
            tell(0, zone);
        if (cases[i].status)
            assert_int_equal(world_status(&w, 0), cases[i].status);
        else
            assert_true(slice_starts(world_sent(&w, 0), S("INVITE ")));
    }
}

/* A machine on two networks; and an address of its own leads to nobody else. */
static void a_place_is_reached_from_the_address_nearest_to_it(void **state)
{
    static const struct socket_settings sockets[] = {
        {TRANSPORT_UDP, S("127.0.0.1"), 5060},   {TRANSPORT_UDP, S("203.0.113.7"), 5060},
        {TRANSPORT_UDP, S("10.1.0.1"), 5060},    {TRANSPORT_UDP, S("10.2.0.1"), 5060},
        {TRANSPORT_UDP, S("[::1]"), 5060},       {TRANSPORT_UDP, S("[fe80::1]"), 5060},
        {TRANSPORT_TCP, S("203.0.113.7"), 5060},
    };
    static const struct {
        const char *record;
        unsigned socket;
    } cases[] = {
        {"A 198.51.100.2", 1}, {"A 10.1.3.4", 2}, {"A 10.2.9.9", 3},    {"A 127.0.0.2", 0},
        {"AAAA fe80::9", 5},   {"AAAA ::1", 4},   {"A 192.168.1.1", 2},
    };
    static const zone_lines six = {"elsewhere.example AAAA 2001:db8::7"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char line[64];
        const zone_lines zone = {line};
        end(NULL);
        begin(NULL);
        w.settings.sockets = sockets;
        w.settings.socket_count = COUNT_OF(sockets);
        snprintf(line, sizeof line, "elsewhere.example %s", cases[i].record);
        call(OUTSIDE ":5060");
        settle(zone);
        assert_non_null(strstr(sent, "INVITE>"));
        assert_int_equal(w.requests[w.request_count - 1].to.socket, cases[i].socket);
    }
    end(NULL);
    begin(NULL);
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    call(OUTSIDE ":5060");
    while (w.asked_count)
        tell(0, six);
    assert_int_equal(world_status(&w, 0), 404); /* by IPv6 it gets nowhere */
    acknowledge();
}

/* What the administrator wrote may lead there, whoever calls. */
static void a_contact_of_the_settings_may_be_in_our_network(void **state)
{
    static const zone_lines zone = {"pbx.example A 10.0.0.7"};
    struct user_settings pbx = world_user(&w, "pbx", "", "x");

    (void)state;
    pbx.contacts = S("sip:desk@pbx.example:5060\n");
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &pbx});
    SAY(&w, .host = 7, .uri = "sip:pbx@example.com", .to = "<sip:pbx@example.com>");
    settle(zone);
    assert_noted("100>7 INVITE>7");
    assert_true(slice_starts(w.requests[w.request_count - 1].bytes,
                             S("INVITE sip:desk@pbx.example:5060 SIP/2.0\r\n")));
    assert_int_equal(w.requests[w.request_count - 1].to.address[0], 10);
}

static void put_gateway(const char *id, struct slice contact)
{
    struct user_settings gateway = world_user(&w, id, "", "x");

    gateway.kind = USER_GATEWAY;
    gateway.contacts = contact;
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &gateway});
}

/* One after the other, as their routes are ranked; a server of the table has a name, too. */
static void gateways_and_rules_are_reached_by_name(void **state)
{
    static const struct route routes[] = {
        {S("9"), S("first"), {S(""), S("")}, 0},
        {S("9"), S("second"), {S("-9"), S("")}, 0},
    };
    static const struct rule rules[] = {
        {.kind = RULE_REDIRECT, .pattern = S("7"), .server = S("elsewhere.example")},
    };
    static const zone_lines zone = {
        "two.example A 198.51.100.5",
        "elsewhere.example A 198.51.100.6",
    };
    struct user_settings alice = world_user(&w, "alice", "201", "wonder");

    (void)state;
    w.settings.dialplan = (struct dialplan){routes, COUNT_OF(routes), rules, COUNT_OF(rules)};
    alice.level = 5;
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &alice});
    put_gateway("first", S("sip:gw@one.example:5060\n"));
    put_gateway("second", S("sip:gw@two.example:5060\n"));
    call("sip:9123@example.com");
    settle(zone);
    assert_noted("100>9 INVITE>5");
    assert_true(slice_starts(w.requests[w.request_count - 1].bytes,
                             S("INVITE sip:123@two.example:5060 SIP/2.0\r\n")));
    answer(5, 200);
    call_again("sip:77@example.com", "rule");
    settle(zone);
    assert_noted("100>9 INVITE>6");
    answer(6, 200);
}

/* 16.3 step 4: somebody else's name, and our address. */
static void a_name_that_leads_to_ourselves_is_a_loop(void **state)
{
    static const zone_lines zone = {"elsewhere.example A 192.0.2.1"};
    struct flow ours = {.transport = TRANSPORT_UDP, .port = 5060, .address = {192, 0, 2, 1}};
    struct event event = {.kind = EVENT_RECEIVED, .flow = ours};
    char bytes[4096];
    struct slice invite;

    (void)state;
    call(OUTSIDE ":5060");
    while (w.asked_count)
        tell(0, zone);
    invite = world_sent(&w, 0);
    assert_true(slice_starts(invite, S("INVITE ")) && invite.len < sizeof bytes);
    memcpy(bytes, invite.at, invite.len);
    event.bytes = slice_of(bytes, invite.len);
    world_event(&w, &event);
    assert_int_equal(world_status(&w, 0), 482);
    event.bytes = world_sent(&w, 0);
    memcpy(bytes, event.bytes.at, event.bytes.len);
    event.bytes.at = bytes;
    world_event(&w, &event);
    assert_int_equal(world_status(&w, 0), 482);
    assert_int_equal(world_sent_to(&w, 0).address[3], 9);
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE ":5060", .from = ALICE);
}

/* RFC 4320 4.1: no 100 before its sender's timer E has grown; then there is one. */
static void a_message_waits_for_dns_and_goes_to_the_next_server(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = OUTSIDE, .from = ALICE);
    assert_said("NAPTR?elsewhere.example");
    world_wait(&w, MS(3600));
    assert_said("SRV?_sip._tcp.elsewhere.example SRV?_sip._udp.elsewhere.example 100>9");
    settle(three);
    assert_noted("MESSAGE>2");
    ANSWER(&w, .host = 2, .status = 503, .method = "MESSAGE");
    settle(three);
    assert_noted("MESSAGE>3");
    ANSWER(&w, .host = 3, .status = 200, .method = "MESSAGE");
    assert_said("200>9");
}

/* It may have arrived, but who cannot tell has lost it: the next server is asked. */
static void a_message_is_not_lost_with_a_silent_server(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .method = "MESSAGE", .uri = OUTSIDE, .from = ALICE);
    settle(three);
    *sent = 0;
    world_wait(&w, MS(4100));
    settle(three);
    assert_non_null(strstr(sent, "MESSAGE>3"));
    ANSWER(&w, .host = 2, .status = 200, .method = "MESSAGE");
    assert_said("200>9");
    ANSWER(&w, .host = 3, .status = 482, .method = "MESSAGE");
    assert_said("");
}

static void there_are_only_so_many_lookups(void **state)
{
    static const zone_lines none = {NULL};

    (void)state;
    for (unsigned i = 0; i <= world_limits.lookups; i++) {
        char name[16];
        snprintf(name, sizeof name, "call-%u", i);
        call_again(OUTSIDE, name);
    }
    assert_int_equal(world_status(&w, 0), 503);
    assert_string_equal(world_header(&w, 0, "Retry-After"), "5");
    SAY(&w, .host = 9, .uri = "sip:bob@example.com", .from = ALICE, .branch = "bob");
    assert_said("100>9 INVITE>8"); /* who needs none is not held up */
    answer(8, 200);
    while (w.asked_count)
        tell(0, none);
    world_wait(&w, MS(10));
}

/* Eight at most, though the zone has more. */
static void there_are_only_so_many_places(void **state)
{
    static const zone_lines many = {
        "elsewhere.example A 198.51.100.2|198.51.100.3|198.51.100.4|198.51.100.5|198.51.100.6",
        "_sip._udp.elsewhere.example SRV 1 1 5060 elsewhere.example|2 1 5061 elsewhere.example|"
        "3 1 5062 elsewhere.example|4 1 5063 elsewhere.example",
    };
    unsigned tries = 0;

    (void)state;
    call(OUTSIDE);
    settle(many);
    for (; !strstr(sent, "500>9"); tries++) {
        assert_true(tries < 20);
        ANSWER(&w, .host = w.requests[w.request_count - 1].to.address[3], .status = 503);
        settle(many);
        while (w.request_count && slice_starts(w.requests[w.request_count - 1].bytes, S("ACK")))
            free((void *)(uintptr_t)w.requests[--w.request_count].bytes.at);
    }
    assert_int_equal(tries, PLACES_LIMIT);
    *sent = 0;
    SAY(&w, .host = 9, .method = "ACK", .uri = OUTSIDE, .from = ALICE);
}

static void what_we_cannot_speak_is_refused_at_once(void **state)
{
    (void)state;
    call("sips:carol@elsewhere.example"); /* by UDP */
    assert_int_equal(world_status(&w, 0), 403);
    call_again(OUTSIDE ";transport=sctp", "two");
    assert_int_equal(world_status(&w, 0), 500);
    call_again(OUTSIDE ";transport=tls", "three");
    assert_int_equal(world_status(&w, 0), 500);
    assert_int_equal(w.asked_count, 0);
}

static void strangers_are_not_carried_to_others(void **state)
{
    (void)state;
    SAY(&w, .host = 7, .uri = OUTSIDE);
    assert_int_equal(world_status(&w, 0), 403);
    assert_int_equal(w.asked_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    RUN(TEST(a_name_is_asked_for_step_by_step), TEST(max_forwards_counts_down_for_every_server),
        TEST(the_chosen_server_gets_cancel_and_ack),
        TEST(a_server_that_says_503_is_left_for_the_next_by_a_branch_of_its_own),
        TEST(what_no_server_takes_is_refused_as_the_last_of_them_did),
        TEST(a_domain_that_proves_itself_meanwhile_is_asked_in_clear_no_more),
        TEST(a_phone_is_told_whether_the_domain_that_answers_has_proven_itself),
        TEST(a_domain_that_has_proven_itself_is_not_asked_in_clear), TEST(another_refusal_is_final),
        TEST(a_server_that_does_not_say_a_word_is_left_soon),
        TEST(what_was_left_is_cancelled_when_it_wakes_up),
        TEST(what_was_left_is_taken_back_while_nobody_else_speaks),
        TEST(what_was_left_may_refuse_while_nobody_else_speaks),
        TEST(what_was_left_may_answer_all_the_same), TEST(a_server_where_nobody_is_is_left_at_once),
        TEST(so_is_a_host_outside), TEST(a_server_without_a_neighbour_has_all_the_time),
        TEST(servers_that_never_answer_time_out),
        TEST(a_stream_that_cannot_be_opened_leads_to_the_next_server),
        TEST(where_one_address_is_silent_the_request_goes_to_the_other_soon),
        TEST(a_stream_that_stands_while_the_next_server_is_looked_for_has_time),
        TEST(a_stream_that_a_response_waits_for_is_not_given_up),
        TEST(an_address_that_refuses_as_the_other_stands_changes_nothing),
        TEST(which_address_was_silent_is_remembered),
        TEST(the_first_address_is_used_if_its_stream_stands_first_after_all),
        TEST(an_address_that_refuses_leads_to_the_other_at_once),
        TEST(where_the_second_refuses_the_first_is_still_waited_for),
        TEST(a_server_whose_addresses_are_all_silent_is_left_for_the_next),
        TEST(where_all_addresses_refuse_the_caller_hears_it_once),
        TEST(after_a_refusal_a_late_answer_is_waited_for_as_long_as_any),
        TEST(a_call_that_is_cancelled_meanwhile_is_sent_to_nobody),
        TEST(a_full_relay_is_no_fault_of_the_servers), TEST(what_was_sent_once_is_in_no_race),
        TEST(what_was_sent_once_may_be_accepted_before_its_new_stream_stands),
        TEST(what_was_sent_once_is_cancelled_by_its_new_stream),
        TEST(a_stream_that_does_not_come_about_is_left_for_datagrams),
        TEST(a_message_waits_no_longer_for_its_stream),
        TEST(where_datagrams_are_lost_too_the_next_server_is_due),
        TEST(who_takes_the_stream_and_is_silent_is_left_for_the_next),
        TEST(without_a_place_the_caller_hears_why), TEST(a_family_of_addresses_is_not_waited_for),
        TEST(an_answer_that_is_lost_is_waited_for_five_seconds),
        TEST(a_server_whose_addresses_do_not_come_is_passed_over),
        TEST(dns_does_not_hold_up_the_other_branches),
        TEST(a_busy_phone_counts_more_than_a_domain_that_is_not_there),
        TEST(a_caller_who_gives_up_does_not_wait_for_dns),
        TEST(a_restart_looks_again_for_a_server_that_was_not_known),
        TEST(a_restart_stays_with_the_server_that_was_chosen),
        TEST(a_server_that_fails_after_a_restart_has_successors_all_the_same),
        TEST(who_failed_just_now_is_tried_last_for_a_while),
        TEST(a_server_says_how_long_it_wants_to_be_left_alone),
        TEST(a_name_leads_nobody_where_he_could_not_go),
        TEST(a_place_is_reached_from_the_address_nearest_to_it),
        TEST(a_contact_of_the_settings_may_be_in_our_network),
        TEST(gateways_and_rules_are_reached_by_name),
        TEST(a_name_that_leads_to_ourselves_is_a_loop),
        TEST(a_message_waits_for_dns_and_goes_to_the_next_server),
        TEST(a_message_is_not_lost_with_a_silent_server), TEST(there_are_only_so_many_lookups),
        TEST(there_are_only_so_many_places), TEST(what_we_cannot_speak_is_refused_at_once),
        TEST(strangers_are_not_carried_to_others));
}
