/* Servers of other domains that DANE authenticates (RFC 7673): what is asked of DNS, what a
 * connection there must prove, and who is refused. */
#include "talk.h"
#include "zone.h"

#include "core/connection.h"
#include "core/peer.h"
#include "core/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define ALICE "<sip:alice@example.com>;tag=alice"
#define OUTSIDE "sip:carol@elsewhere.example"

static struct world w;
static struct flow stream;    /* the latest that was opened */
static struct peer_plan plan; /* and what its peer must prove */
static char plan_bytes[4096];

static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                 {TRANSPORT_TLS, S("192.0.2.1"), 5061}};
static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 0}, .bits = 24, .access = ACCESS_TRUSTED},
};

/* A server of TLS that has TLSA records, a second, and one of UDP. */
static const zone_lines proven = {
    ("_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example|2 1 5061 b.elsewhere.example"),
    "_sip._udp.elsewhere.example srv 1 1 5060 a.elsewhere.example",
    "a.elsewhere.example a 198.51.100.2",
    "b.elsewhere.example a 198.51.100.3",
    "_5061._tcp.a.elsewhere.example tlsa 3 1 1 7x32|2 0 1 8x32",
    "_5061._tcp.b.elsewhere.example tlsa 3 1 1 9x32",
};

/* The same without, and one server. */
static const zone_lines unproven = {
    "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example",
    "_sip._udp.elsewhere.example srv 1 1 5060 a.elsewhere.example",
    "a.elsewhere.example a 198.51.100.2",
};

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    w.settings.networks = trusted;
    w.settings.network_count = COUNT_OF(trusted);
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    stream = (struct flow){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(400));
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).lookups, 0);
    w.asked_count = 0;
    world_end(&w);
    return 0;
}

/* Notes the stream that was opened, with its plan. */
static bool look(void)
{
    bool is_new = false;

    for (unsigned i = 0; i < w.out.count; i++) {
        const struct action *act = &w.out.at[i];
        if (act->kind != ACTION_CONNECT)
            continue;
        assert_true(act->bytes.len <= sizeof plan_bytes);
        memcpy(plan_bytes, act->bytes.at, act->bytes.len);
        assert_true(peer_read(slice_of(plan_bytes, act->bytes.len), &plan));
        stream = act->flow;
        is_new = true;
    }
    return is_new;
}

/* DNS answers all that it is asked. */
static bool settle(const zone_lines zone)
{
    bool is_new = look();

    while (w.asked_count) {
        struct reply reply;
        zone_answer(zone, w.asked[0].question.type, slice_text(w.asked[0].name), &reply);
        world_tell(&w, 0, &reply.answer);
        is_new |= look();
    }
    return is_new;
}

static void call(const char *uri, const char *name)
{
    SAY(&w, .host = 9, .uri = uri, .from = ALICE, .to = "<sip:carol@elsewhere.example>",
        .call_id = name, .branch = name);
}

static void prove(const char *domains)
{
    world_event(
        &w, &(struct event){.kind = EVENT_OPENED, .flow = stream, .bytes = slice_text(domains)});
}

/* The handshake ended without what was demanded. */
static void fail_to_prove(void)
{
    w.out.count = 0;
    world_event(&w, &(struct event){.kind = EVENT_CLOSED, .flow = stream, .is_unproven = true});
    look();
    world_wait(&w, MS(10));
}

static void a_connection_must_match_the_records_of_its_server(void **state)
{
    (void)state;
    call(OUTSIDE, "one");
    assert_true(settle(proven));
    assert_int_equal(stream.transport, TRANSPORT_TLS);
    assert_true(slice_equal(plan.domain, S("elsewhere.example")));
    assert_true(slice_equal(plan.server, S("a.elsewhere.example")));
    assert_int_equal(plan.tlsa_count, 2);
    assert_int_equal(plan.tlsa[0].usage, 3);
    assert_int_equal(plan.tlsa[1].usage, 2);
    assert_int_equal(plan.tlsa[1].data.at[31], 8);
}

static void without_records_nothing_is_demanded_of_it(void **state)
{
    (void)state;
    call(OUTSIDE, "one");
    assert_true(settle(unproven));
    assert_int_equal(stream.transport, TRANSPORT_TLS);
    assert_int_equal(plan.tlsa_count, 0);
    assert_int_equal(plan.policy, POLICY_OPPORTUNISTIC);
}

/* Never to the one without TLS. */
static void who_does_not_match_is_left_for_the_next_and_then_refused(void **state)
{
    (void)state;
    call(OUTSIDE, "one");
    settle(proven);
    fail_to_prove();
    assert_true(look());
    assert_int_equal(stream.address[3], 3);
    assert_true(slice_equal(plan.server, S("b.elsewhere.example")));
    assert_int_equal(plan.tlsa[0].data.at[0], 9);
    fail_to_prove();
    assert_sent(&w, "502>9");
    assert_non_null(
        memmem(w.out.bytes.at, w.out.bytes.len, S("Server Does Not Prove To Be").at, 27));
}

/* The one with a penalty is the last that is tried, and has its demands all the same. */
static void who_failed_must_still_match_when_tried_again(void **state)
{
    (void)state;
    call(OUTSIDE, "one");
    settle(proven);
    fail_to_prove();
    look();
    fail_to_prove();
    call(OUTSIDE, "two");
    settle(proven);
    assert_int_equal(stream.transport, TRANSPORT_TLS);
    assert_int_equal(plan.tlsa_count, stream.address[3] == 2 ? 2 : 1);
    fail_to_prove();
    look();
    assert_int_equal(plan.tlsa_count, stream.address[3] == 2 ? 2 : 1);
    fail_to_prove();
    assert_sent(&w, "502>9");
}

static void a_domain_of_policy_dane_must_have_records(void **state)
{
    static const struct domain_settings domains[] = {{S("elsewhere.example"), POLICY_DANE}};

    (void)state;
    w.settings.domains = domains;
    w.settings.domain_count = COUNT_OF(domains);
    call(OUTSIDE, "one");
    assert_false(settle(unproven));
    assert_sent(&w, "502>9");
    assert_non_null(memmem(w.out.bytes.at, w.out.bytes.len, S("No TLSA Records").at, 15));
    call(OUTSIDE, "two");
    assert_true(settle(proven));
    assert_int_equal(plan.policy, POLICY_DANE);
    assert_int_equal(plan.tlsa_count, 2);
}

static void a_host_elsewhere_proves_nothing_by_its_records(void **state)
{
    (void)state;
    call("sip:carol@victim.example;maddr=elsewhere.example", "one");
    assert_true(settle(proven));
    assert_true(slice_equal(plan.domain, S("victim.example")));
    assert_int_equal(plan.tlsa_count, 0);
}

/* A CA's word does not do where there are records; what matched them does. */
static void a_connection_that_matched_is_used_again(void **state)
{
    struct flow first;

    (void)state;
    call(OUTSIDE, "one");
    settle(unproven);
    prove("elsewhere.example\n");
    first = stream;
    call(OUTSIDE, "two");
    assert_false(settle(unproven));
    call(OUTSIDE, "three");
    assert_true(settle(proven));
    assert_false(flow_equal(&first, &stream));
    prove("elsewhere.example\n");
    call(OUTSIDE, "four");
    assert_false(settle(proven));
}

static void what_matched_is_remembered_as_proven(void **state)
{
    (void)state;
    call(OUTSIDE, "one");
    settle(proven);
    prove("elsewhere.example\n");
    assert_int_equal(policy_of(w.core, S("elsewhere.example"), w.now.wall), POLICY_VERIFIED);
}

/* The server says nothing, there is no other, and its connection breaks. */
static void a_connection_that_breaks_is_opened_with_the_same_demands(void **state)
{
    static const zone_lines one = {
        "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example",
        "a.elsewhere.example a 198.51.100.2",
        "_5061._tcp.a.elsewhere.example tlsa 3 1 1 7x32",
    };

    (void)state;
    call(OUTSIDE, "one");
    settle(one);
    prove("elsewhere.example\n");
    call(OUTSIDE, "two"); /* by the connection that stands */
    assert_false(settle(one));
    world_wait(&w, SECONDS(6));
    world_close(&w, &stream);
    world_wait(&w, MS(10));
    assert_true(look());
    assert_int_equal(plan.tlsa_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(a_connection_must_match_the_records_of_its_server),
        TEST(without_records_nothing_is_demanded_of_it),
        TEST(who_does_not_match_is_left_for_the_next_and_then_refused),
        TEST(who_failed_must_still_match_when_tried_again),
        TEST(a_domain_of_policy_dane_must_have_records),
        TEST(a_host_elsewhere_proves_nothing_by_its_records),
        TEST(a_connection_that_matched_is_used_again), TEST(what_matched_is_remembered_as_proven),
        TEST(a_connection_that_breaks_is_opened_with_the_same_demands));
}
