/* Callers of other domains whom no CA knows: what DNS is asked of them, and who is believed. */
#include "talk.h"
#include "zone.h"

#include "core/connection.h"
#include "core/credential.h"
#include "core/policy.h"

#include <stdio.h>

static struct world w;
static struct flow its; /* the connection of elsewhere.example's server, at 20 */

#define BY_TLS 1u
static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                 {TRANSPORT_TLS, S("192.0.2.1"), 5061}};

#define VERIFIED "verified;domain=elsewhere.example;by=tls"
#define UNVERIFIED "unverified"
#define ITS_SRV "_sips._tcp.elsewhere.example srv 1 1 5061 a.elsewhere.example"
#define ITS_TLSA "_5061._tcp.a.elsewhere.example"

static const zone_lines published = {ITS_SRV, ITS_TLSA " tlsa 3 1 1 7x32"};

static void begin_within(const struct limits *limits)
{
    world_begin_within(&w, true, limits);
    w.settings.sockets = sockets;
    w.settings.socket_count = COUNT_OF(sockets);
    talk_phone(&w, 2, "");
}

static int begin(void **state)
{
    (void)state;
    begin_within(&world_limits);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* Of its own certificate 5 and 6, of its key 7 and 8; of who signed it 15 to 18. */
static struct credential shown(void)
{
    struct credential credential = {.count = 2, .names = S("a.elsewhere.example\n")};

    for (unsigned i = 0; i < 2; i++)
        for (unsigned selector = 0; selector < 2; selector++) {
            struct shown_certificate *of = &credential.chain[i];
            int byte = (int)(10 * i + 5 + 2 * selector);
            memset(of->sha256[selector], byte, sizeof of->sha256[selector]);
            memset(of->sha512[selector], byte + 1, sizeof of->sha512[selector]);
        }
    return credential;
}

/* A server opens a connection, proves what a CA says of it, and shows that. */
static struct flow connects(unsigned place, const char *domains,
                            const struct credential *credential)
{
    struct flow flow = world_flow(20, 40000 + place);

    flow.transport = TRANSPORT_TLS;
    flow.socket = BY_TLS;
    flow.connection = connection_name(place, 1);
    world_show(&w, &flow, domains, credential);
    return flow;
}

static void connect(void)
{
    const struct credential credential = shown();

    its = connects(1, "", &credential);
}

static void call_by(const struct flow *flow, const char *name, const char *from)
{
    SAY(&w, .host = 20, .by = flow, .call_id = name, .branch = name, .from = from);
}

static void call(const char *name)
{
    call_by(&its, name, NULL);
}

/* A MESSAGE, which ends as soon as it is let in. */
static void ask_for_nobody(const char *name, const char *from)
{
    SAY(&w, .host = 20, .by = &its, .method = "MESSAGE", .uri = "sip:nobody@example.com",
        .call_id = name, .branch = name, .from = from);
}

/* DNS answers until something is sent, or no more is asked. */
static void settle(const zone_lines zone)
{
    while (w.asked_count) {
        struct reply reply;
        zone_answer(zone, w.asked[0].question.type, slice_text(w.asked[0].name), &reply);
        world_tell(&w, 0, &reply.answer);
        if (world_sent_count(&w))
            return;
    }
}

/* What bob's phone is told of the caller, who was let in by the last step. */
static const char *told(void)
{
    for (unsigned i = 0; i < world_sent_count(&w); i++)
        if (!world_status(&w, i))
            return world_header(&w, i, "P-SIPWITCH-Caller");
    return "";
}

static void a_caller_whose_key_its_domain_publishes_is_verified(void **state)
{
    (void)state;
    connect();
    call("one");
    assert_sent(&w, "NAPTR?elsewhere.example 100>20");
    settle(published);
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), VERIFIED);
}

/* Nothing of it comes from the caller but the name: where NAPTR leads, that is what is asked. */
static void its_servers_are_found_as_if_they_were_called(void **state)
{
    static const zone_lines by_naptr = {
        "elsewhere.example naptr 10 10 s SIPS+D2T tls.elsewhere.example",
        "tls.elsewhere.example srv 1 1 5061 a.elsewhere.example|2 1 5071 b.elsewhere.example",
        ITS_TLSA " tlsa 3 1 1 1x32",
        "_5071._tcp.b.elsewhere.example tlsa 3 1 1 7x32",
    };
    static const zone_lines by_host = {"_5061._tcp.elsewhere.example tlsa 3 1 1 7x32"};

    (void)state;
    connect();
    call("one");
    settle(by_naptr);
    assert_string_equal(told(), VERIFIED);
    end(state);
    begin(state);
    connect();
    call("one");
    settle(by_host);
    assert_string_equal(told(), VERIFIED);
}

static void what_dnssec_does_not_prove_proves_nothing(void **state)
{
    static const zone_lines zones[] = {
        {ITS_SRV},
        {ITS_SRV, ITS_TLSA " tlsa 3 1 1 9x32"},
        {ITS_SRV, ITS_TLSA " TLSA 3 1 1 7x32"},
        {ITS_SRV, ITS_TLSA " tlsa !"},
        {ITS_SRV, ITS_TLSA " tlsa ?"},
        {"_sips._tcp.elsewhere.example SRV 1 1 5061 a.elsewhere.example",
         ITS_TLSA " tlsa 3 1 1 7x32"},
        {"_sips._tcp.elsewhere.example srv !", ITS_TLSA " tlsa 3 1 1 7x32"},
        {"_sips._tcp.elsewhere.example srv ?", ITS_TLSA " tlsa 3 1 1 7x32"},
        {"elsewhere.example naptr !", ITS_SRV, ITS_TLSA " tlsa 3 1 1 7x32"},
        {"elsewhere.example NAPTR 10 10 s SIPS+D2T _sips._tcp.elsewhere.example", ITS_SRV,
         ITS_TLSA " tlsa 3 1 1 7x32"},
        {"_sips._tcp.other.example srv 1 1 5061 a.elsewhere.example", ITS_TLSA " tlsa 3 1 1 7x32"},
    };

    for (unsigned i = 0; i < COUNT_OF(zones); i++) {
        connect();
        call("one");
        settle(zones[i]);
        if (strcmp(told(), UNVERIFIED) != 0)
            print_error("zone %u\n", i);
        assert_string_equal(told(), UNVERIFIED);
        end(state);
        begin(state);
    }
}

/* The certificate is the caller's own, its name another's. */
static void who_is_of_one_domain_does_not_speak_for_another(void **state)
{
    static const zone_lines both = {ITS_SRV, ITS_TLSA " tlsa 3 1 1 9x32",
                                    "_sips._tcp.evil.example srv 1 1 5061 evil.example",
                                    "_5061._tcp.evil.example tlsa 3 1 1 7x32"};

    (void)state;
    connect();
    call_by(&its, "own", "<sip:mallory@evil.example>;tag=m");
    settle(both);
    assert_string_equal(told(), "verified;domain=evil.example;by=tls");
    call("one");
    settle(both);
    assert_string_equal(told(), UNVERIFIED);
}

static bool matches(const struct credential *credential, const char *record, const char *domain)
{
    char line[128];
    zone_lines zone = {line};
    struct reply reply;
    struct peer_plan plan = {
        .domain = slice_text(domain), .server = S("a.elsewhere.example"), .tlsa_count = 1};

    snprintf(line, sizeof line, "x tlsa %s", record);
    zone_answer(zone, DNS_TLSA, S("x"), &reply);
    assert_true(dns_read_tlsa(reply.answer.data[0], &plan.tlsa[0]));
    return credential_matches(credential, &plan, world_digests.hash[ALGORITHM_SHA256]);
}

static void records_name_what_was_shown_by_their_usage(void **state)
{
    static const struct {
        const char *record;
        bool is_by_itself, is_vouched; /* it matches so */
    } rows[] = {
        {"3 0 1 5x32", true, true},   {"3 1 1 7x32", true, true},    {"3 0 2 6x64", true, true},
        {"3 1 2 8x64", true, true},   {"3 1 1 5x32", false, false},  {"3 0 1 15x32", false, false},
        {"2 0 1 15x32", true, true},  {"2 1 2 18x64", true, true},   {"2 1 1 7x32", false, false},
        {"1 1 1 7x32", false, true},  {"1 1 1 17x32", false, false}, {"0 0 1 15x32", false, true},
        {"0 0 1 5x32", false, false},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct credential credential = shown();
        assert_int_equal(matches(&credential, rows[i].record, "x.example"), rows[i].is_by_itself);
        credential.is_vouched = true;
        assert_int_equal(matches(&credential, rows[i].record, "x.example"), rows[i].is_vouched);
        credential.names = S("other.example\n");
        assert_int_equal(matches(&credential, rows[i].record, "x.example"),
                         rows[i].is_by_itself && rows[i].record[0] == '3');
        credential.names = S("x.example\n");
        assert_int_equal(matches(&credential, rows[i].record, "X.example"), rows[i].is_vouched);
    }
}

static void a_record_may_be_the_key_itself(void **state)
{
    char bytes[40] = {0};
    struct slice key = slice_of(bytes, sizeof bytes);
    struct credential credential = shown();

    (void)state;
    memset(bytes, 9, sizeof bytes);
    assert_false(matches(&credential, "3 1 0 9x40", "x.example"));
    world_digests.hash[ALGORITHM_SHA256](&key, 1, credential.chain[0].sha256[1]);
    assert_true(matches(&credential, "3 1 0 9x40", "x.example"));
    assert_false(matches(&credential, "3 0 0 9x40", "x.example"));
}

static void what_was_shown_is_read_as_it_was_written(void **state)
{
    struct credential credential = shown(), again;
    char bytes[CREDENTIAL_BYTES];
    struct writer writer = writer_over(bytes, sizeof bytes);

    (void)state;
    credential.count = CREDENTIAL_CHAIN;
    credential.is_vouched = true;
    credential_write(&writer, &credential);
    assert_true(credential_read(writer_slice(&writer), &again));
    assert_memory_equal(credential.chain, again.chain, sizeof again.chain);
    assert_true(again.is_vouched && slice_equal(again.names, credential.names));
    assert_int_equal(credential_name(writer_slice(&writer)).at[0], 5);
    for (size_t len = 0; len < writer.len; len++)
        assert_false(credential_read(slice_until(writer_slice(&writer), len), &again));
}

/* For an hour, by whatever connection. */
static void what_was_found_is_remembered(void **state)
{
    const struct credential credential = shown();

    (void)state;
    connect();
    call("one");
    settle(published);
    call("two");
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), VERIFIED);
    world_close(&w, &its);
    its = connects(2, "", &credential);
    call("three");
    assert_string_equal(told(), VERIFIED);
    world_wait(&w, SECONDS(3601));
    talk_phone(&w, 2, "");
    call("four");
    assert_sent(&w, "NAPTR?elsewhere.example 100>20");
    settle(published);
    assert_string_equal(told(), VERIFIED);
}

static void what_was_not_found_is_looked_for_again_after_a_while(void **state)
{
    static const zone_lines nothing = {ITS_SRV};

    (void)state;
    connect();
    call("one");
    settle(nothing);
    call("two");
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), UNVERIFIED);
    world_wait(&w, SECONDS(31));
    call("three");
    settle(published);
    assert_string_equal(told(), VERIFIED);
}

static void all_who_wait_go_on_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    connect();
    call("one");
    call("two");
    assert_sent(&w, "100>20");
    settle(published);
    assert_string_equal(told(), VERIFIED);
    assert_string_equal(world_header(&w, 1, "Call-ID"), "one");
    world_wait(&w, MS(10));
    assert_string_equal(told(), VERIFIED);
    assert_string_equal(world_header(&w, 1, "Call-ID"), "two");
}

static void who_gives_up_meanwhile_is_let_go(void **state)
{
    (void)state;
    connect();
    call("one");
    SAY(&w, .host = 20, .by = &its, .method = "CANCEL", .call_id = "one", .branch = "one");
    assert_sent(&w, "487>20 200>20");
    settle(published);
    assert_sent(&w, "");
}

static void dns_that_says_nothing_does_not_hold_a_call_for_long(void **state)
{
    (void)state;
    connect();
    call("one");
    world_wait(&w, MS(4900));
    assert_sent(&w, "");
    world_wait(&w, MS(200));
    assert_string_equal(told(), UNVERIFIED);
    settle(published); /* too late */
    assert_sent(&w, "");
}

static void who_needs_no_proof_by_dns_does_not_wait_for_it(void **state)
{
    const struct credential credential = shown();
    struct flow flow = connects(2, "elsewhere.example\n", &credential);

    (void)state;
    call_by(&flow, "by-a-ca", NULL);
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), VERIFIED);
    flow = world_flow(20, 40003);
    flow.transport = TRANSPORT_TLS;
    flow.socket = BY_TLS;
    flow.connection = connection_name(3, 1);
    world_event(&w, &(struct event){.kind = EVENT_OPENED, .flow = flow});
    call_by(&flow, "without", NULL);
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), UNVERIFIED);
    connect();
    call_by(&its, "number", "<sip:carol@198.51.100.20>;tag=carol");
    assert_sent(&w, "100>20 INVITE>2");
    SAY(&w, .host = 20, .by = &its, .method = "OPTIONS", .uri = "sip:example.com");
    assert_sent(&w, "200>20");
}

/* Nor is anything looked up for who is not let in anyway, or comes too often. */
static void strangers_do_not_have_us_look_up_without_end(void **state)
{
    char name[32], from[64];
    unsigned asked = 0, refused = 0;

    (void)state;
    w.settings.stranger_source = 10;
    connect();
    SAY(&w, .host = 20, .by = &its, .uri = "sip:bob@other.example");
    assert_sent(&w, "403>20");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "n%u", i);
        snprintf(from, sizeof from, "<sip:carol@d%u.example>;tag=c", i);
        ask_for_nobody(name, from);
        asked += strstr(talk_sent(&w), "NAPTR?") != NULL;
        refused += world_status(&w, 0) == 503;
    }
    assert_int_equal(asked, 10);
    assert_int_equal(refused, 10);
    world_wait(&w, SECONDS(6));
}

static void only_so_many_are_looked_up_at_a_time(void **state)
{
    struct limits limits = world_limits;
    char name[32], from[64];

    limits.contexts = 2 * CLAIM_LOOKUPS;
    limits.transactions = 4 * CLAIM_LOOKUPS;
    end(state);
    begin_within(&limits);
    w.settings.stranger_source = w.settings.stranger_callee = 0;
    connect();
    for (unsigned i = 0; i < CLAIM_LOOKUPS; i++) {
        snprintf(name, sizeof name, "n%u", i);
        snprintf(from, sizeof from, "<sip:carol@d%u.example>;tag=c", i);
        ask_for_nobody(name, from);
        assert_non_null(strstr(talk_sent(&w), "NAPTR?"));
    }
    call("more");
    assert_sent(&w, "100>20 INVITE>2");
    assert_string_equal(told(), UNVERIFIED);
    world_wait(&w, SECONDS(6));
    call("again");
    settle(published);
    assert_string_equal(told(), VERIFIED);
}

/* One whose domain is proven is counted as that domain, and not by its address. */
static void who_is_proven_is_no_stranger_to_the_limits(void **state)
{
    (void)state;
    w.settings.stranger_source = 1;
    connect();
    call("one");
    settle(published);
    assert_string_equal(told(), VERIFIED);
    SAY(&w, .host = 20, .from = "<sip:x@d1.example>;tag=x", .call_id = "x", .branch = "x");
    assert_int_equal(world_status(&w, 0), 503);
}

static void a_domain_that_dns_proves_is_remembered_for_it(void **state)
{
    (void)state;
    connect();
    call("one");
    assert_int_equal(policy_of(w.core, S("elsewhere.example"), w.now.wall), POLICY_OPPORTUNISTIC);
    settle(published);
    assert_int_equal(policy_of(w.core, S("elsewhere.example"), w.now.wall), POLICY_VERIFIED);
}

/* The connection that a request to that domain's server goes by; true if it is a new one. */
static bool reach(const char *domain, uint8_t byte, uint8_t policy, struct flow *flow)
{
    char data[32];
    struct peer_plan plan = {
        .domain = slice_text(domain), .policy = policy, .tlsa_count = byte ? 1 : 0};

    memset(data, byte, sizeof data);
    plan.tlsa[0] = (struct tlsa){3, 1, 1, slice_of(data, sizeof data)};
    *flow = world_flow(20, 5061);
    flow->transport = TRANSPORT_TLS;
    w.out.count = 0;
    w.out.bytes.len = 0;
    assert_true(connection_reach_domain(w.core, flow, &plan, &w.out));
    return w.out.count == 1 && w.out.at[0].kind == ACTION_CONNECT;
}

static void call_with_alias(const char *name)
{
    world_receive_by(&w, &its,
                     "INVITE sip:bob@example.com SIP/2.0\n"
                     "Via: SIP/2.0/TLS 198.51.100.20:5061;alias;branch=z9hG4bK%s\n"
                     "Max-Forwards: 70\n"
                     "From: " CAROL "\n"
                     "To: " BOB "\n"
                     "Call-ID: %s\n"
                     "CSeq: 1 INVITE\n"
                     "Contact: <sip:carol@198.51.100.20:5061;transport=tls>\n"
                     "Content-Length: 0\n\n",
                     name, name);
}

/* RFC 5923: its server's records are looked at each time, so that a key that was taken out of them
 * is not used again. */
static void its_connection_is_used_in_the_other_direction(void **state)
{
    struct flow found;

    (void)state;
    connect();
    call_with_alias("one");
    assert_true(reach("elsewhere.example", 7, POLICY_OPPORTUNISTIC, &found)); /* not proven yet */
    world_close(&w, &found);
    settle(published);
    assert_false(reach("elsewhere.example", 7, POLICY_DANE, &found));
    assert_true(flow_equal(&found, &its));
    assert_true(reach("elsewhere.example", 9, POLICY_DANE, &found));
    world_close(&w, &found);
    assert_true(reach("elsewhere.example", 0, POLICY_VERIFIED, &found));
    assert_true(reach("other.example", 9, POLICY_OPPORTUNISTIC, &found));
}

/* After its connection has gone, whoever answers at its address must match the records, too. */
static void what_follows_in_its_call_demands_the_same_proof(void **state)
{
    static const zone_lines with_address = {ITS_SRV, ITS_TLSA " tlsa 3 1 1 7x32",
                                            "a.elsewhere.example a 198.51.100.20"};
    struct peer_plan plan = {.tlsa_count = 0};

    (void)state;
    connect();
    call_with_alias("one");
    settle(with_address);
    ANSWER(&w, .host = 2, .status = 200);
    world_close(&w, &its);
    SAY(&w, .host = 2, .method = "BYE", .uri = "sip:carol@198.51.100.20:5061;transport=tls",
        .from = BOB ";tag=h2", .to = CAROL, .call_id = "one", .more = talk_route(&w, 2));
    world_wait(&w, MS(10));
    while (w.asked_count) {
        struct reply reply;
        zone_answer(with_address, w.asked[0].question.type, slice_text(w.asked[0].name), &reply);
        world_tell(&w, 0, &reply.answer);
        for (unsigned i = 0; i < w.out.count; i++)
            if (w.out.at[i].kind == ACTION_CONNECT)
                assert_true(peer_read(w.out.at[i].bytes, &plan));
    }
    assert_int_equal(plan.tlsa_count, 1);
    assert_int_equal(plan.policy, POLICY_DANE);
}

static void a_node_may_be_proven_by_dns(void **state)
{
    static const struct fellow node = {.name = S("elsewhere.example")};

    (void)state;
    w.settings.fellows = &node;
    w.settings.fellow_count = 1;
    connect();
    SAY(&w, .host = 20, .by = &its, .from = "<sip:alice@example.com>;tag=a", .call_id = "one",
        .branch = "one", .more = "P-SIPWITCH-Node: yes\n");
    assert_sent(&w, "NAPTR?elsewhere.example 100>20");
    settle(published);
    assert_string_equal(told(), "verified;domain=example.com;by=node");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(a_caller_whose_key_its_domain_publishes_is_verified),
        TEST(its_servers_are_found_as_if_they_were_called),
        TEST(what_dnssec_does_not_prove_proves_nothing),
        TEST(who_is_of_one_domain_does_not_speak_for_another),
        TEST(records_name_what_was_shown_by_their_usage), TEST(a_record_may_be_the_key_itself),
        TEST(what_was_shown_is_read_as_it_was_written), TEST(what_was_found_is_remembered),
        TEST(what_was_not_found_is_looked_for_again_after_a_while),
        TEST(all_who_wait_go_on_in_the_order_in_which_they_came),
        TEST(who_gives_up_meanwhile_is_let_go),
        TEST(dns_that_says_nothing_does_not_hold_a_call_for_long),
        TEST(who_needs_no_proof_by_dns_does_not_wait_for_it),
        TEST(strangers_do_not_have_us_look_up_without_end),
        TEST(only_so_many_are_looked_up_at_a_time),
        TEST(who_is_proven_is_no_stranger_to_the_limits),
        TEST(a_domain_that_dns_proves_is_remembered_for_it),
        TEST(its_connection_is_used_in_the_other_direction),
        TEST(what_follows_in_its_call_demands_the_same_proof), TEST(a_node_may_be_proven_by_dns));
}
