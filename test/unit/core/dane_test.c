/* Servers of other domains that DANE authenticates (RFC 7673): what is asked of DNS, what a
 * connection there must prove, and who is refused. */
#include "abroad.h"

#include "core/policy.h"

static struct abroad a;

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
    abroad_begin(&a);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&a.w);
    return 0;
}

static void a_connection_must_match_the_records_of_its_server(void **state)
{
    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    assert_true(abroad_settle(&a, proven));
    assert_int_equal(a.stream.transport, TRANSPORT_TLS);
    assert_true(slice_equal(a.plan.domain, S("elsewhere.example")));
    assert_true(slice_equal(a.plan.server, S("a.elsewhere.example")));
    assert_int_equal(a.plan.tlsa_count, 2);
    assert_int_equal(a.plan.tlsa[0].usage, 3);
    assert_int_equal(a.plan.tlsa[1].usage, 2);
    assert_int_equal(a.plan.tlsa[1].data.at[31], 8);
}

static void without_records_nothing_is_demanded_of_it(void **state)
{
    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    assert_true(abroad_settle(&a, unproven));
    assert_int_equal(a.stream.transport, TRANSPORT_TLS);
    assert_int_equal(a.plan.tlsa_count, 0);
    assert_int_equal(a.plan.policy, POLICY_OPPORTUNISTIC);
}

/* Never to the one without TLS. */
static void who_does_not_match_is_left_for_the_next_and_then_refused(void **state)
{
    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    abroad_settle(&a, proven);
    abroad_fail_to_prove(&a);
    assert_true(abroad_look(&a));
    assert_int_equal(a.stream.address[3], 3);
    assert_true(slice_equal(a.plan.server, S("b.elsewhere.example")));
    assert_int_equal(a.plan.tlsa[0].data.at[0], 9);
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
    assert_non_null(
        memmem(a.w.out.bytes.at, a.w.out.bytes.len, S("Server Does Not Prove To Be").at, 27));
}

/* The one with a penalty is the last that is tried, and has its demands all the same. */
static void who_failed_must_still_match_when_tried_again(void **state)
{
    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    abroad_settle(&a, proven);
    abroad_fail_to_prove(&a);
    abroad_look(&a);
    abroad_fail_to_prove(&a);
    abroad_call(&a, OUTSIDE, "two");
    abroad_settle(&a, proven);
    assert_int_equal(a.stream.transport, TRANSPORT_TLS);
    assert_int_equal(a.plan.tlsa_count, a.stream.address[3] == 2 ? 2 : 1);
    abroad_fail_to_prove(&a);
    abroad_look(&a);
    assert_int_equal(a.plan.tlsa_count, a.stream.address[3] == 2 ? 2 : 1);
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
}

static void a_domain_of_policy_dane_must_have_records(void **state)
{
    static const struct domain_settings domains[] = {{S("elsewhere.example"), POLICY_DANE}};

    (void)state;
    a.w.settings.domains = domains;
    a.w.settings.domain_count = COUNT_OF(domains);
    abroad_call(&a, OUTSIDE, "one");
    assert_false(abroad_settle(&a, unproven));
    assert_sent(&a.w, "502>9");
    assert_non_null(memmem(a.w.out.bytes.at, a.w.out.bytes.len, S("No TLSA Records").at, 15));
    abroad_call(&a, OUTSIDE, "two");
    assert_true(abroad_settle(&a, proven));
    assert_int_equal(a.plan.policy, POLICY_DANE);
    assert_int_equal(a.plan.tlsa_count, 2);
}

static void a_host_elsewhere_proves_nothing_by_its_records(void **state)
{
    (void)state;
    abroad_call(&a, "sip:carol@victim.example;maddr=elsewhere.example", "one");
    assert_true(abroad_settle(&a, proven));
    assert_true(slice_equal(a.plan.domain, S("victim.example")));
    assert_int_equal(a.plan.tlsa_count, 0);
}

/* A number behind the name is no way around what the name must prove. */
static void an_address_elsewhere_must_prove_to_be_the_domain(void **state)
{
    static const struct domain_settings domains[] = {{S("elsewhere.example"), POLICY_VERIFIED}};

    (void)state;
    a.w.settings.domains = domains;
    a.w.settings.domain_count = COUNT_OF(domains);
    abroad_call(&a, OUTSIDE ";maddr=198.51.100.2", "one");
    assert_true(abroad_look(&a));
    assert_int_equal(a.stream.transport, TRANSPORT_TLS);
    assert_int_equal(a.plan.policy, POLICY_VERIFIED);
    assert_slice(a.plan.domain, "elsewhere.example");
    abroad_fail_to_prove(&a);
    assert_sent(&a.w, "502>9");
    abroad_call(&a, OUTSIDE ";maddr=198.51.100.2;transport=udp", "two");
    assert_false(abroad_look(&a));
    assert_sent(&a.w, "500>9");
}

/* A CA's word does not do where there are records; what matched them does. */
static void a_connection_that_matched_is_used_again(void **state)
{
    struct flow first;

    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    abroad_settle(&a, unproven);
    abroad_prove(&a, "elsewhere.example\n");
    first = a.stream;
    abroad_call(&a, OUTSIDE, "two");
    assert_false(abroad_settle(&a, unproven));
    abroad_call(&a, OUTSIDE, "three");
    assert_true(abroad_settle(&a, proven));
    assert_false(flow_equal(&first, &a.stream));
    abroad_prove(&a, "elsewhere.example\n");
    abroad_call(&a, OUTSIDE, "four");
    assert_false(abroad_settle(&a, proven));
}

static void what_matched_is_remembered_as_proven(void **state)
{
    (void)state;
    abroad_call(&a, OUTSIDE, "one");
    abroad_settle(&a, proven);
    abroad_prove(&a, "elsewhere.example\n");
    assert_int_equal(policy_of(a.w.core, S("elsewhere.example"), a.w.now.wall), POLICY_VERIFIED);
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
    abroad_call(&a, OUTSIDE, "one");
    abroad_settle(&a, one);
    abroad_prove(&a, "elsewhere.example\n");
    abroad_call(&a, OUTSIDE, "two"); /* by the connection that stands */
    assert_false(abroad_settle(&a, one));
    world_wait(&a.w, SECONDS(6));
    world_close(&a.w, &a.stream);
    world_wait(&a.w, MS(10));
    assert_true(abroad_look(&a));
    assert_int_equal(a.plan.tlsa_count, 1);
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
        TEST(an_address_elsewhere_must_prove_to_be_the_domain),
        TEST(a_connection_that_matched_is_used_again), TEST(what_matched_is_remembered_as_proven),
        TEST(a_connection_that_breaks_is_opened_with_the_same_demands));
}
