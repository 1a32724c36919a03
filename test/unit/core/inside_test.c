/* Requests in a dialog with another domain: where they go once its connection has gone, and what is
 * proven there before they do. */
#include "abroad.h"

#include <stdio.h>

#define TO_CAROL "<sip:carol@elsewhere.example>;tag=h2"
#define CONTACT_CAROL "sip:h2@198.51.100.2:5061;transport=tls"

static struct abroad a;

static const zone_lines plain = {
    "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example",
    "a.elsewhere.example a 198.51.100.2",
};

static const zone_lines bound = {
    "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example",
    "a.elsewhere.example a 198.51.100.2",
    "_5061._tcp.a.elsewhere.example tlsa 3 1 1 7x32",
};

/* The server that the dialog names has moved, and has a neighbour. */
static const zone_lines moved = {
    ("_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example|2 1 5061 b.elsewhere.example"),
    "a.elsewhere.example a 198.51.100.3",
    "b.elsewhere.example a 198.51.100.4",
};

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

static void demand(uint8_t policy)
{
    static struct domain_settings domains[] = {{S("elsewhere.example"), POLICY_OPPORTUNISTIC}};

    domains[0].policy = policy;
    a.w.settings.domains = domains;
    a.w.settings.domain_count = COUNT_OF(domains);
}

/* alice's request in the dialog; `routes` are those behind ours. */
static void ask(const char *method, const char *uri, const char *routes)
{
    char more[2048];

    snprintf(more, sizeof more, "%s%s", talk_route(&a.w, 2), routes);
    SAY(&a.w, .host = 9, .method = method, .uri = uri, .from = ALICE, .to = TO_CAROL,
        .call_id = "one", .branch = method, .cseq = 2, .more = more);
}

/* alice's call rings at the server at 198.51.100.2, and is answered. */
static void ringing_call(const zone_lines zone)
{
    abroad_call(&a, OUTSIDE, "one");
    assert_true(abroad_settle(&a, zone));
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 2, .by = &a.stream, .status = 180);
}

static void answered_call(const zone_lines zone)
{
    ringing_call(zone);
    ANSWER(&a.w, .host = 2, .by = &a.stream, .status = 200);
    assert_sent(&a.w, "200>9");
    ask("ACK", CONTACT_CAROL, "");
    assert_sent(&a.w, "ACK>2");
}

static void break_connection(void)
{
    world_close(&a.w, &a.stream);
    world_wait(&a.w, MS(10));
}

/* carol agrees to the BYE. */
static void agree(void)
{
    ANSWER(&a.w, .host = 2, .by = &a.stream, .method = "BYE", .status = 200);
    assert_sent(&a.w, "200>9");
}

static void assert_demanded(uint8_t policy, unsigned tlsa_count)
{
    assert_int_equal(a.stream.transport, TRANSPORT_TLS);
    assert_int_equal(a.stream.address[3], 2);
    assert_int_equal(a.stream.port, 5061);
    assert_true(slice_equal(a.plan.domain, S("elsewhere.example")));
    assert_int_equal(a.plan.policy, policy);
    assert_int_equal(a.plan.tlsa_count, tlsa_count);
}

/* A call whose connection has gone since it was answered. */
static void broken_call(uint8_t policy, const zone_lines zone)
{
    demand(policy);
    answered_call(zone);
    break_connection();
}

/* What was sent waits for a new connection to the server, which must prove that, and does. */
static void proves_itself(uint8_t policy, unsigned tlsa_count)
{
    assert_demanded(policy, tlsa_count);
    abroad_prove(&a, "elsewhere.example\n");
    agree();
}

/* The BYE opens a new connection, and is sent by it when that has proven itself. */
static void bye_goes_to_who_proves_itself(uint8_t policy)
{
    ask("BYE", CONTACT_CAROL, "");
    assert_true(abroad_look(&a));
    proves_itself(policy, 0);
}

/* The server that a BYE is sent to by name answers it at another place. */
static void answers_at(unsigned host)
{
    assert_int_equal(a.stream.address[3], host);
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = host, .by = &a.stream, .method = "BYE", .status = 200);
    assert_sent(&a.w, "200>9");
}

static void while_the_connection_stands_all_goes_by_it(void **state)
{
    (void)state;
    demand(POLICY_VERIFIED);
    answered_call(plain);
    ask("BYE", CONTACT_CAROL, "");
    assert_sent(&a.w, "BYE>2");
    agree();
}

static void a_new_connection_must_prove_the_domain_of_the_dialog(void **state)
{
    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    bye_goes_to_who_proves_itself(POLICY_VERIFIED);
}

static void who_cannot_prove_it_is_refused(void **state)
{
    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("BYE", CONTACT_CAROL, "");
    assert_true(abroad_look(&a));
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
}

/* Nobody demanded a proof, and it was given: it is demanded from then on. */
static void what_was_proven_when_it_began_is_demanded(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, plain);
    bye_goes_to_who_proves_itself(POLICY_VERIFIED);
}

static void a_restart_forgets_none_of_it(void **state)
{
    (void)state;
    demand(POLICY_VERIFIED);
    answered_call(plain);
    world_restart(&a.w);
    bye_goes_to_who_proves_itself(POLICY_VERIFIED);
}

/* The connection breaks under a request that nobody has answered yet. */
static void a_request_is_sent_once_more_by_another_connection(void **state)
{
    (void)state;
    demand(POLICY_VERIFIED);
    answered_call(plain);
    ask("BYE", CONTACT_CAROL, "");
    break_connection();
    assert_true(abroad_look(&a));
    proves_itself(POLICY_VERIFIED, 0);
}

static void records_that_it_matched_are_sought_again(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, bound);
    ask("BYE", CONTACT_CAROL, "");
    assert_false(abroad_look(&a));
    assert_true(abroad_settle(&a, bound));
    proves_itself(POLICY_DANE, 1);
}

static void a_restart_does_not_forget_that_there_were_records(void **state)
{
    (void)state;
    answered_call(bound);
    world_restart(&a.w);
    ask("BYE", CONTACT_CAROL, "");
    assert_false(abroad_look(&a));
    assert_true(abroad_settle(&a, bound));
    proves_itself(POLICY_DANE, 1);
}

static void nobody_is_reached_without_the_records(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, bound);
    ask("BYE", CONTACT_CAROL, "");
    assert_false(abroad_settle(&a, plain));
    assert_sent(&a.w, "502>9");
}

/* Of its copies one. */
static void an_ack_waits_until_the_records_are_found(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, bound);
    ask("ACK", CONTACT_CAROL, "");
    assert_sent(&a.w, "NAPTR?elsewhere.example");
    ask("ACK", CONTACT_CAROL, "");
    assert_sent(&a.w, "");
    assert_true(abroad_settle(&a, bound));
    assert_demanded(POLICY_DANE, 1);
    assert_string_equal(a.sent, "connect>2 ACK>2");
    ask("ACK", CONTACT_CAROL, "");
    assert_sent(&a.w, "ACK>2");
}

static void an_ack_goes_to_nobody_without_the_records(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, bound);
    ask("ACK", CONTACT_CAROL, "");
    assert_false(abroad_settle(&a, plain));
    assert_sent(&a.w, "");
    assert_int_equal(core_census(a.w.core).lookups, 0);
}

/* Whoever is in a dialog can send as many as it likes. */
static void no_more_than_some_acks_wait_at_a_time(void **state)
{
    struct limits limits = world_limits;

    (void)state;
    talk_end(&a.w);
    limits.lookups = limits.transactions = 2 * WAITING_ACKS_LIMIT;
    abroad_begin_within(&a, &limits);
    broken_call(POLICY_OPPORTUNISTIC, bound);
    for (unsigned n = 0; n < WAITING_ACKS_LIMIT + 8; n++) {
        char more[2048];
        snprintf(more, sizeof more, "%sSubject: %u\n", talk_route(&a.w, 2), n);
        SAY(&a.w, .host = 9, .method = "ACK", .uri = CONTACT_CAROL, .from = ALICE, .to = TO_CAROL,
            .call_id = "one", .branch = "ACK", .cseq = 2, .more = more);
        a.w.asked_count = 0; /* nobody answers */
    }
    assert_int_equal(core_census(a.w.core).lookups, WAITING_ACKS_LIMIT);
    for (unsigned n = 0; n < 40; n++) {
        world_wait(&a.w, SECONDS(1));
        a.w.asked_count = 0;
    }
    assert_int_equal(core_census(a.w.core).lookups, 0);
}

static void an_ack_may_open_a_connection(void **state)
{
    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("ACK", CONTACT_CAROL, "");
    assert_true(abroad_look(&a));
    assert_demanded(POLICY_VERIFIED, 0);
}

static void a_server_with_a_name_is_looked_for_anew(void **state)
{
    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("BYE", CONTACT_CAROL, "Route: <sip:a.elsewhere.example:5061;transport=tls;lr>\n");
    assert_false(abroad_look(&a));
    assert_true(abroad_settle(&a, moved));
    assert_true(slice_equal(a.plan.domain, S("elsewhere.example")));
    assert_int_equal(a.plan.policy, POLICY_VERIFIED);
    answers_at(3);
}

static void a_domain_as_next_hop_has_other_servers(void **state)
{
    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("BYE", "sip:carol@elsewhere.example", "");
    assert_true(abroad_settle(&a, moved));
    assert_int_equal(a.stream.address[3], 3);
    abroad_fail_to_prove(&a);
    abroad_look(&a);
    answers_at(4);
}

static void a_server_with_a_name_must_have_records_if_that_before_had(void **state)
{
    (void)state;
    broken_call(POLICY_OPPORTUNISTIC, bound);
    ask("BYE", CONTACT_CAROL, "Route: <sip:a.elsewhere.example:5061;transport=tls;lr>\n");
    assert_false(abroad_settle(&a, moved));
    assert_sent(&a.w, "502>9");
}

/* As those of many phones; whoever is at the old address has to prove the domain all the same. */
static void a_name_that_leads_nowhere_leads_where_the_call_began(void **state)
{
    static const zone_lines empty = {NULL};

    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("BYE", "sip:carol@phone.invalid:5060;transport=tls", "");
    assert_true(abroad_settle(&a, empty));
    proves_itself(POLICY_VERIFIED, 0);
}

/* Where the domain sends us elsewhere, that must be proven, and no less. */
static void a_server_of_another_name_must_prove_that(void **state)
{
    static const zone_lines hosted = {
        "a.hosting.example a 198.51.100.2",
        "_5061._tcp.a.hosting.example tlsa 3 1 1 7x32",
    };

    (void)state;
    broken_call(POLICY_VERIFIED, plain);
    ask("BYE", CONTACT_CAROL, "Route: <sip:a.hosting.example:5061;transport=tls;lr>\n");
    assert_true(abroad_settle(&a, hosted));
    assert_true(slice_equal(a.plan.domain, S("a.hosting.example")));
    assert_int_equal(a.plan.policy, POLICY_VERIFIED);
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
}

static void our_own_bye_demands_the_same(void **state)
{
    (void)state;
    a.w.settings.call_longest = SECONDS(60);
    broken_call(POLICY_VERIFIED, plain);
    a.w.out.count = 0;
    world_wait(&a.w, SECONDS(61));
    assert_true(abroad_look(&a));
    assert_demanded(POLICY_VERIFIED, 0);
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 2, .by = &a.stream, .method = "BYE", .status = 200);
    ANSWER(&a.w, .host = 9, .method = "BYE", .status = 200);
}

/* alice's phone agrees to our BYE, and nobody waits for another. */
static void alice_is_the_last_to_agree(void)
{
    ANSWER(&a.w, .host = 9, .method = "BYE", .status = 200);
    assert_int_equal(core_census(a.w.core).dialogs, 0);
}

static void our_own_bye_waits_until_the_records_are_found(void **state)
{
    (void)state;
    a.w.settings.call_longest = SECONDS(60);
    broken_call(POLICY_OPPORTUNISTIC, bound);
    world_wait(&a.w, SECONDS(61));
    assert_true(abroad_settle(&a, bound));
    assert_demanded(POLICY_DANE, 1);
    assert_string_equal(a.sent, "connect>2 BYE>2");
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 2, .by = &a.stream, .method = "BYE", .status = 200);
    alice_is_the_last_to_agree();
}

static void our_own_bye_goes_to_nobody_without_the_records(void **state)
{
    (void)state;
    a.w.settings.call_longest = SECONDS(60);
    broken_call(POLICY_OPPORTUNISTIC, bound);
    world_wait(&a.w, SECONDS(61));
    assert_false(abroad_settle(&a, plain));
    alice_is_the_last_to_agree();
}

/* As any request in a dialog is whose connection breaks under it. */
static void our_own_bye_is_sent_once_more(void **state)
{
    (void)state;
    a.w.settings.call_longest = SECONDS(60);
    demand(POLICY_VERIFIED);
    answered_call(plain);
    world_wait(&a.w, SECONDS(61));
    assert_false(abroad_look(&a));
    break_connection();
    assert_true(abroad_look(&a));
    assert_demanded(POLICY_VERIFIED, 0);
    assert_string_equal(a.sent, "connect>2 BYE>2");
    abroad_fail_to_prove(&a);
    assert_false(abroad_look(&a));
    alice_is_the_last_to_agree();
}

/* A call from outside, by TLS, of a domain that has proven itself, and whose connection has gone
 * since it was answered. */
static void broken_call_from_outside(void)
{
    struct flow flow;

    flow = world_open(&a.w, 7, 40000);
    world_close(&a.w, &flow);
    flow.transport = TRANSPORT_TLS;
    flow.socket = 1;
    world_event(&a.w, &(struct event){
                          .kind = EVENT_OPENED, .flow = flow, .bytes = S("elsewhere.example\n")});
    SAY(&a.w, .host = 7, .by = &flow, .uri = "sip:alice@example.com",
        .to = "<sip:alice@example.com>", .call_id = "in", .branch = "in");
    ANSWER(&a.w, .host = 9, .status = 200);
    world_close(&a.w, &flow);
}

/* By a new connection to where it listens. */
static void caller_is_to_prove_it(void)
{
    assert_true(abroad_look(&a));
    assert_int_equal(a.stream.address[3], 7);
    assert_int_equal(a.stream.port, 5061);
    assert_true(slice_equal(a.plan.domain, S("elsewhere.example")));
    assert_int_equal(a.plan.policy, POLICY_VERIFIED);
}

static void a_caller_that_has_proven_its_domain_must_prove_it_again(void **state)
{
    (void)state;
    broken_call_from_outside();
    SAY(&a.w, .host = 9, .method = "BYE", .uri = "sip:carol@198.51.100.7:5061;transport=tls",
        .from = "<sip:alice@example.com>;tag=h9", .to = CAROL, .call_id = "in", .branch = "bye",
        .cseq = 2, .more = talk_route(&a.w, 9));
    caller_is_to_prove_it();
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
}

static void our_own_bye_finds_such_a_caller(void **state)
{
    (void)state;
    a.w.settings.call_longest = SECONDS(60);
    broken_call_from_outside();
    world_wait(&a.w, SECONDS(61));
    caller_is_to_prove_it();
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 7, .by = &a.stream, .method = "BYE", .status = 200);
    alice_is_the_last_to_agree();
}

/* Who has no more than a dialog is carried to its other end alone. */
static void a_stranger_names_no_next_hop(void **state)
{
    char more[2048];

    (void)state;
    SAY(&a.w, .host = 7, .uri = "sip:alice@example.com", .to = "<sip:alice@example.com>",
        .call_id = "in", .branch = "in");
    ANSWER(&a.w, .host = 9, .status = 200);
    snprintf(more, sizeof more, "%sRoute: <sip:victim.example;lr>\n", talk_route(&a.w, 9));
    SAY(&a.w, .host = 7, .method = "BYE", .uri = "sip:alice@198.51.100.9:5060",
        .to = "<sip:alice@example.com>;tag=h9", .call_id = "in", .branch = "bye", .cseq = 2,
        .more = more);
    assert_sent(&a.w, "BYE>9");
    ANSWER(&a.w, .host = 9, .method = "BYE", .status = 200);
}

/* Another way by which the server says something, and that proves nothing. */
static const struct flow elsewhere = {
    .transport = TRANSPORT_UDP, .port = 5060, .address = {198, 51, 100, 2}};

/* A call whose connection has gone while it rang, and that alice gives up. */
static void cancelled_call(const zone_lines zone)
{
    ringing_call(zone);
    break_connection();
    ANSWER(&a.w, .host = 2, .by = &elsewhere, .status = 183);
    SAY(&a.w, .host = 9, .method = "CANCEL", .uri = OUTSIDE, .from = ALICE,
        .to = "<sip:carol@elsewhere.example>", .call_id = "one", .branch = "one");
}

/* What follows the INVITE goes where that went, to who proves to be there. */
static void ack_and_cancel_follow_the_invite(void **state)
{
    (void)state;
    demand(POLICY_VERIFIED);
    cancelled_call(plain);
    assert_true(abroad_look(&a));
    assert_demanded(POLICY_VERIFIED, 0);
    assert_sent(&a.w, "connect>2 CANCEL>2 200>9");
    abroad_prove(&a, "elsewhere.example\n");
    break_connection();
    ANSWER(&a.w, .host = 2, .by = &elsewhere, .status = 487);
    assert_true(abroad_look(&a));
    assert_demanded(POLICY_VERIFIED, 0);
    assert_sent(&a.w, "connect>2 487>9 ACK>2");
    assert_int_equal(world_sent_to(&a.w, 1).transport, TRANSPORT_TLS);
}

static void ack_and_cancel_wait_until_the_records_are_found(void **state)
{
    (void)state;
    cancelled_call(bound);
    assert_sent(&a.w, "NAPTR?elsewhere.example 200>9");
    assert_true(abroad_settle(&a, bound));
    assert_demanded(POLICY_DANE, 1);
    assert_string_equal(a.sent, "connect>2 CANCEL>2");
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 2, .by = &a.stream, .method = "CANCEL", .status = 200);
    break_connection();
    ANSWER(&a.w, .host = 2, .by = &elsewhere, .status = 487);
    assert_sent(&a.w, "NAPTR?elsewhere.example 487>9");
    assert_true(abroad_settle(&a, bound));
    assert_demanded(POLICY_DANE, 1);
    assert_string_equal(a.sent, "connect>2 ACK>2");
}

/* It answers before the CANCEL could be sent. */
static void a_cancel_that_waits_is_dropped_when_it_is_late(void **state)
{
    (void)state;
    cancelled_call(bound);
    ANSWER(&a.w, .host = 2, .by = &elsewhere, .status = 486);
    assert_true(abroad_settle(&a, bound));
    assert_string_equal(a.sent, "connect>2 ACK>2");
}

/* A pending INVITE: its server must match what it had to match before. */
static void a_restart_looks_for_the_records_of_a_ringing_call(void **state)
{
    (void)state;
    ringing_call(bound);
    world_restart(&a.w);
    world_wait(&a.w, MS(200));
    assert_true(abroad_settle(&a, bound));
    assert_int_equal(a.stream.address[3], 2);
    assert_int_equal(a.plan.tlsa_count, 1);
    abroad_prove(&a, "elsewhere.example\n");
    ANSWER(&a.w, .host = 2, .by = &a.stream, .status = 200);
    assert_sent(&a.w, "200>9");
}

static void a_ringing_call_is_not_repeated_to_who_has_no_records(void **state)
{
    (void)state;
    ringing_call(bound);
    world_restart(&a.w);
    world_wait(&a.w, MS(200));
    assert_false(abroad_settle(&a, plain));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(while_the_connection_stands_all_goes_by_it),
        TEST(a_new_connection_must_prove_the_domain_of_the_dialog),
        TEST(who_cannot_prove_it_is_refused), TEST(what_was_proven_when_it_began_is_demanded),
        TEST(a_restart_forgets_none_of_it), TEST(a_request_is_sent_once_more_by_another_connection),
        TEST(records_that_it_matched_are_sought_again),
        TEST(a_restart_does_not_forget_that_there_were_records),
        TEST(nobody_is_reached_without_the_records), TEST(an_ack_may_open_a_connection),
        TEST(an_ack_waits_until_the_records_are_found),
        TEST(an_ack_goes_to_nobody_without_the_records),
        TEST(no_more_than_some_acks_wait_at_a_time), TEST(a_server_with_a_name_is_looked_for_anew),
        TEST(a_domain_as_next_hop_has_other_servers),
        TEST(a_server_with_a_name_must_have_records_if_that_before_had),
        TEST(a_name_that_leads_nowhere_leads_where_the_call_began),
        TEST(a_server_of_another_name_must_prove_that), TEST(our_own_bye_demands_the_same),
        TEST(our_own_bye_waits_until_the_records_are_found),
        TEST(our_own_bye_goes_to_nobody_without_the_records), TEST(our_own_bye_is_sent_once_more),
        TEST(a_caller_that_has_proven_its_domain_must_prove_it_again),
        TEST(our_own_bye_finds_such_a_caller), TEST(a_stranger_names_no_next_hop),
        TEST(ack_and_cancel_follow_the_invite),
        TEST(ack_and_cancel_wait_until_the_records_are_found),
        TEST(a_cancel_that_waits_is_dropped_when_it_is_late),
        TEST(a_restart_looks_for_the_records_of_a_ringing_call),
        TEST(a_ringing_call_is_not_repeated_to_who_has_no_records));
}
