/* What other domains' servers must prove, and which connections are used again for which. */
#include "ask.h"

#include "core/connection.h"
#include "core/policy.h"

#include <stdio.h>

#define DAY (24 * 3600)

static struct world w;

#define BY_TLS 1u
static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                 {TRANSPORT_TLS, S("192.0.2.1"), 5061}};

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

static struct flow server_of_example_net(void)
{
    struct flow flow = world_flow(20, 5061);

    flow.transport = TRANSPORT_TLS;
    return flow;
}

/* The connection that a request to that domain goes by, to the same host whatever the domain. */
static struct flow reach(const char *domain, uint8_t policy)
{
    const struct peer_plan plan = {.domain = slice_text(domain), .policy = policy};
    struct flow flow = server_of_example_net();

    w.out.count = 0;
    w.out.bytes.len = 0;
    assert_true(connection_reach_domain(w.core, &flow, &plan, &w.out));
    return flow;
}

static bool is_new(void)
{
    return w.out.count == 1 && w.out.at[0].kind == ACTION_CONNECT;
}

static void prove(const struct flow *flow, const char *domains)
{
    world_show(&w, flow, domains, &(struct credential){.is_vouched = true, .count = 1});
}

static uint8_t policy(const char *domain)
{
    return policy_of(w.core, slice_text(domain), w.now.wall);
}

static void settings_say_what_is_demanded(void **state)
{
    static const struct domain_settings domains[] = {{S("a.example"), POLICY_DANE},
                                                     {S("b.example"), POLICY_OPPORTUNISTIC}};

    (void)state;
    assert_int_equal(policy("a.example"), POLICY_OPPORTUNISTIC);
    w.settings.domains = domains;
    w.settings.domain_count = COUNT_OF(domains);
    w.settings.policy = POLICY_VERIFIED;
    assert_int_equal(policy("A.Example"), POLICY_DANE);
    assert_int_equal(policy("b.example"), POLICY_OPPORTUNISTIC);
    assert_int_equal(policy("c.example"), POLICY_VERIFIED);
}

static void a_connection_carries_its_plan(void **state)
{
    struct peer_plan plan;

    (void)state;
    reach("example.net", POLICY_DANE);
    assert_true(is_new());
    assert_true(peer_read(w.out.at[0].bytes, &plan));
    assert_true(slice_equal(plan.domain, S("example.net")));
    assert_int_equal(plan.policy, POLICY_DANE);
}

static void a_connection_serves_the_domain_that_it_was_opened_for(void **state)
{
    struct flow first = reach("example.net", POLICY_OPPORTUNISTIC), again;

    (void)state;
    prove(&first, "");
    again = reach("EXAMPLE.net", POLICY_OPPORTUNISTIC);
    assert_true(!is_new() && flow_equal(&first, &again));
    reach("example.net", POLICY_VERIFIED); /* of whom more is demanded now */
    assert_true(is_new());
}

/* CVE-2020-15260: another domain at the same address. */
static void a_connection_serves_no_other_domain_at_its_address(void **state)
{
    struct flow first = reach("example.net", POLICY_VERIFIED);

    (void)state;
    prove(&first, "example.net\n");
    reach("victim.example", POLICY_OPPORTUNISTIC);
    assert_true(is_new());
}

static void a_connection_serves_all_domains_that_its_peer_has_proven_to_be(void **state)
{
    struct flow first = reach("example.net", POLICY_OPPORTUNISTIC), again;

    (void)state;
    prove(&first, "example.net\nexample.org\n");
    again = reach("Example.ORG", POLICY_VERIFIED);
    assert_true(!is_new() && flow_equal(&first, &again));
    reach("example.org", POLICY_DANE); /* a CA's word is not enough */
    assert_true(is_new());
    assert_true(connection_proves(w.core, &first, S("example.org")));
    assert_false(connection_proves(w.core, &first, S("example.com")));
    assert_false(connection_proves(w.core, &first, S("")));
}

static void who_connects_to_us_may_prove_to_be_a_domain(void **state)
{
    struct flow flow = server_of_example_net();

    (void)state;
    flow.socket = BY_TLS;
    flow.connection = connection_name(3, 1);
    prove(&flow, "example.net\n");
    assert_true(connection_proves(w.core, &flow, S("example.net")));
    world_close(&w, &flow);
    assert_false(connection_proves(w.core, &flow, S("example.net")));
    flow.connection = connection_name(3, 2);
    prove(&flow, "");
    assert_false(connection_proves(w.core, &flow, S("example.net")));
}

/* Its server connects from some port, proves what it can, and asks; `alias`: ";alias", or nothing.
 */
static struct flow connects(const char *domains, const char *alias)
{
    struct flow flow = world_flow(20, 40000);

    flow.transport = TRANSPORT_TLS;
    flow.socket = BY_TLS;
    flow.connection = connection_name(3, 1);
    prove(&flow, domains);
    world_receive_by(&w, &flow,
                     "OPTIONS sip:example.com SIP/2.0\n"
                     "Via: SIP/2.0/TLS 198.51.100.20%s;branch=z9hG4bKalias\n"
                     "Max-Forwards: 70\n"
                     "From: <sip:carol@example.net>;tag=c\n"
                     "To: <sip:example.com>\n"
                     "Call-ID: alias\n"
                     "CSeq: 1 OPTIONS\n"
                     "Content-Length: 0\n\n",
                     alias);
    return flow;
}

/* RFC 5923 5 */
static void a_domain_is_reached_by_the_connection_that_it_opened(void **state)
{
    struct flow its = connects("example.net\n", ";alias"), found;

    (void)state;
    found = reach("example.net", POLICY_VERIFIED);
    assert_true(!is_new() && flow_equal(&its, &found));
    reach("example.org", POLICY_OPPORTUNISTIC); /* which is at the same place */
    assert_true(is_new());
    world_close(&w, &its);
    reach("example.net", POLICY_VERIFIED);
    assert_true(is_new());
}

static void a_connection_that_only_a_ca_vouches_for_does_not_do_for_dane(void **state)
{
    (void)state;
    connects("example.net\n", ";alias");
    reach("example.net", POLICY_DANE);
    assert_true(is_new());
}

/* RFC 5923 8.1, 9: nor where its server listens at another port. */
static void without_proof_or_alias_its_connection_is_not_used(void **state)
{
    static const char *const rows[][2] = {
        {"", ";alias"},
        {"example.net\n", ""},
        {"example.net\n", ":5071;alias"},
        {"example.org\n", ";alias"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        connects(rows[i][0], rows[i][1]);
        reach("example.net", POLICY_OPPORTUNISTIC);
        assert_true(is_new());
        end(state);
        begin(state);
    }
}

static void what_we_open_may_be_used_to_reach_us(void **state)
{
    struct flow flow = reach("example.net", POLICY_VERIFIED);

    (void)state;
    assert_true(connection_is_ours(w.core, &flow));
    flow.connection = connection_name(3, 1);
    assert_false(connection_is_ours(w.core, &flow));
}

static void a_domain_that_proved_itself_must_go_on_doing_so(void **state)
{
    struct flow flow = reach("example.net", POLICY_OPPORTUNISTIC);

    (void)state;
    prove(&flow, "example.org\n"); /* another */
    assert_int_equal(policy("example.net"), POLICY_OPPORTUNISTIC);
    world_close(&w, &flow);
    flow = reach("example.net", POLICY_OPPORTUNISTIC);
    prove(&flow, "example.org\nexample.net\n");
    assert_int_equal(policy("example.net"), POLICY_VERIFIED);
    assert_int_equal(policy("example.org"), POLICY_OPPORTUNISTIC);
    world_wait(&w, SECONDS(29 * DAY));
    assert_int_equal(policy("Example.Net"), POLICY_VERIFIED);
    world_wait(&w, SECONDS(2 * DAY));
    assert_int_equal(policy("example.net"), POLICY_OPPORTUNISTIC);
}

static void what_proved_itself_is_remembered_by_the_next_run(void **state)
{
    struct flow flow = reach("example.net", POLICY_OPPORTUNISTIC);

    (void)state;
    prove(&flow, "example.net\n");
    world_restart(&w);
    assert_int_equal(policy("example.net"), POLICY_VERIFIED);
    world_restart(&w); /* from the checkpoint of the start */
    assert_int_equal(policy("example.net"), POLICY_VERIFIED);
}

static void it_is_written_once_a_day(void **state)
{
    struct flow flow = reach("example.net", POLICY_OPPORTUNISTIC);
    unsigned before;

    (void)state;
    prove(&flow, "example.net\n");
    before = w.record_count;
    for (unsigned hour = 0; hour < 48; hour++) {
        world_close(&w, &flow);
        world_wait(&w, SECONDS(3600));
        flow = reach("example.net", POLICY_OPPORTUNISTIC);
        prove(&flow, "example.net\n");
    }
    assert_int_equal(w.record_count - before, 2);
}

static void an_administrator_may_forget_a_domain(void **state)
{
    struct flow flow = reach("example.net", POLICY_OPPORTUNISTIC);

    (void)state;
    prove(&flow, "example.net\n");
    ask(&w, ADMIN_FORGET, "", "example.com");
    assert_answer(&w, "\"error\":\"not-found\"");
    ask(&w, ADMIN_FORGET, "", "EXAMPLE.net");
    assert_answer(&w, "done");
    assert_int_equal(w.out.at[0].kind, ACTION_PERSIST);
    assert_int_equal(policy("example.net"), POLICY_OPPORTUNISTIC);
    world_restart(&w);
    assert_int_equal(policy("example.net"), POLICY_OPPORTUNISTIC);
}

static void note(unsigned number, bool is_sought)
{
    char domain[32];

    snprintf(domain, sizeof domain, "d%u.example", number);
    w.out.count = 0;
    w.out.bytes.len = 0;
    w.now.wall += 1;
    policy_note(w.core, policy_hash(w.core, slice_text(domain)), is_sought, w.now, &w.out);
}

static void only_so_many_are_remembered(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PROVEN_LIMIT + 10; i++)
        note(i, true);
    assert_int_equal(policy("d9.example"), POLICY_OPPORTUNISTIC);
    assert_int_equal(policy("d10.example"), POLICY_VERIFIED);
    assert_int_equal(policy("d4105.example"), POLICY_VERIFIED);
}

/* However many names they prove to have; through a restart, too. */
static void strangers_make_us_forget_nobody_whom_we_call(void **state)
{
    struct flow flow = reach("example.net", POLICY_OPPORTUNISTIC);

    (void)state;
    note(1, false);
    prove(&flow, "example.net\n");
    world_restart(&w);
    for (unsigned i = 2; i < PROVEN_LIMIT + 10; i++)
        note(i, false);
    assert_int_equal(policy("example.net"), POLICY_VERIFIED);
    assert_int_equal(policy("d1.example"), POLICY_OPPORTUNISTIC);
    assert_int_equal(policy("d4105.example"), POLICY_VERIFIED);
}

/* A certificate that its own connection has shown; without `alias` it may have no server of TLS. */
static void a_domain_that_calls_us_by_tls_must_go_on_doing_so(void **state)
{
    static const char *const aliases[] = {"", ";alias"};
    static const uint8_t policies[] = {POLICY_OPPORTUNISTIC, POLICY_VERIFIED};

    (void)state;
    world_register(&w, "bob", "builder", 8, 5060, 3600);
    w.settings.is_public = true;
    for (unsigned i = 0; i < COUNT_OF(aliases); i++) {
        struct flow flow = connects("example.net\n", "");
        world_receive_by(&w, &flow,
                         "MESSAGE sip:bob@example.com SIP/2.0\n"
                         "Via: SIP/2.0/TLS 198.51.100.20%s;branch=z9hG4bKcalls%u\n"
                         "Max-Forwards: 70\n"
                         "From: <sip:carol@example.net>;tag=c\n"
                         "To: <sip:bob@example.com>\n"
                         "Call-ID: calls%u\n"
                         "CSeq: 1 MESSAGE\n"
                         "Content-Length: 0\n\n",
                         aliases[i], i, i);
        assert_int_equal(policy("example.net"), policies[i]);
        world_close(&w, &flow);
    }
    world_restart(&w);
    assert_int_equal(policy("example.net"), POLICY_VERIFIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(settings_say_what_is_demanded), TEST(a_connection_carries_its_plan),
        TEST(a_connection_serves_the_domain_that_it_was_opened_for),
        TEST(a_connection_serves_no_other_domain_at_its_address),
        TEST(a_connection_serves_all_domains_that_its_peer_has_proven_to_be),
        TEST(who_connects_to_us_may_prove_to_be_a_domain),
        TEST(a_domain_is_reached_by_the_connection_that_it_opened),
        TEST(a_connection_that_only_a_ca_vouches_for_does_not_do_for_dane),
        TEST(without_proof_or_alias_its_connection_is_not_used),
        TEST(what_we_open_may_be_used_to_reach_us),
        TEST(a_domain_that_proved_itself_must_go_on_doing_so),
        TEST(what_proved_itself_is_remembered_by_the_next_run), TEST(it_is_written_once_a_day),
        TEST(an_administrator_may_forget_a_domain), TEST(only_so_many_are_remembered),
        TEST(strangers_make_us_forget_nobody_whom_we_call),
        TEST(a_domain_that_calls_us_by_tls_must_go_on_doing_so));
}
