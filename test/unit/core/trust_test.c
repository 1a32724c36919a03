/* Who must prove who they are, and who need not. */
#include "enrol.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A request out of any dialog, as from this From. */
static void ask(struct world *w, unsigned host, const char *method, const char *from,
                const char *extra)
{
    static unsigned serial;

    serial++;
    world_receive(w, host, 5060,
                  "%s sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bKtrust%u;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:%s>;tag=t\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: trust-%u\n"
                  "CSeq: 1 %s\n"
                  "%s"
                  "Content-Length: 0\n\n",
                  method, host, serial, from, serial, method, extra);
}

static void test_every_method_of_our_own_users_is_challenged(void **state)
{
    static const char *const methods[] = {"INVITE", "MESSAGE",  "SUBSCRIBE", "OPTIONS", "PUBLISH",
                                          "REFER",  "INFO",     "NOTIFY",    "UPDATE",  "PRACK",
                                          "BYE",    "REGISTER", "FOO"};
    static const char *const names[] = {
        "alice@example.com", "alice@EXAMPLE.com",    "alice@example.com.", "alice@example.com:7777",
        "alice@192.0.2.1",   "alice@192.0.2.1:7777", "201@example.com",    "nobody@example.com"};
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    for (unsigned m = 0; m < COUNT_OF(methods); m++)
        for (unsigned n = 0; n < COUNT_OF(names); n++) {
            ask(&w, 9, methods[m], names[n], "");
            assert_int_equal(world_sent_count(&w), 1);
            assert_int_equal(world_status(&w, 0), strcmp(methods[m], "REGISTER") ? 407 : 401);
        }
    world_end(&w);
}

static void test_a_trusted_network_is_not_on_the_flow_of_a_binding(void **state)
{
    static const struct subnet office = {
        .bits = 30,
        .address = {198, 51, 100, 4},
        .access = ACCESS_TRUSTED,
    };
    struct world w;

    (void)state;
    world_begin(&w, true);
    w.settings.networks = &office;
    w.settings.network_count = 1;
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    ask(&w, 5, "MESSAGE", "alice@example.com", "");
    assert_int_equal(world_status(&w, 0), 407); /* no binding yet */
    world_register(&w, "alice", "wonder", 5, 5060, 3600);
    ask(&w, 5, "MESSAGE", "alice@example.com", "");
    assert_true(slice_starts(world_sent(&w, 0), S("MESSAGE sip:bob@198.51.100.2:5060 ")));
    ask(&w, 5, "MESSAGE", "201@example.com", ""); /* her extension */
    assert_true(slice_starts(world_sent(&w, 0), S("MESSAGE ")));
    ask(&w, 6, "MESSAGE", "alice@example.com", ""); /* her network, not her flow */
    assert_int_equal(world_status(&w, 0), 407);
    ask(&w, 5, "MESSAGE", "bob@example.com", ""); /* her flow, not her name */
    assert_int_equal(world_status(&w, 0), 407);
    ask(&w, 5, "REGISTER", "alice@example.com", "");
    assert_int_equal(world_status(&w, 0), 401); /* never this */
    world_register(&w, "alice", "wonder", 8, 5060, 3600);
    ask(&w, 8, "MESSAGE", "alice@example.com", ""); /* her flow, no trusted network */
    assert_int_equal(world_status(&w, 0), 407);
    world_end(&w);
}

static void test_of_several_authorizations_ours_is_found(void **state)
{
    struct world w;
    char fields[2048];

    (void)state;
    world_begin(&w, true);
    ask(&w, 9, "OPTIONS", "alice@example.com", "");
    snprintf(fields, sizeof fields,
             "Proxy-Authorization: Basic YWxpY2U6d29uZGVy\n"
             "Proxy-Authorization: Digest username=\"alice\", realm=\"other.example\", "
             "nonce=\"n\", uri=\"sip:bob@example.com\", response=\"%032d\"\n"
             "Proxy-Authorization: Digest username=\"alice\", realm=\"example.com\", "
             "nonce=\"old\", uri=\"sip:bob@example.com\", response=\"%032d\"\n"
             "Proxy-Authorization: %s\n",
             0, 0,
             world_credentials(world_header(&w, 0, "Proxy-Authenticate"), "alice", "wonder",
                               "OPTIONS", "sip:bob@example.com", 1));
    ask(&w, 9, "OPTIONS", "alice@example.com", fields);
    assert_int_equal(world_status(&w, 0), 480); /* she may ask; bob is away */
    world_end(&w);
}

static void test_the_uri_of_the_digest_is_checked(void **state)
{
    struct world w;
    char fields[1200];

    (void)state;
    world_begin(&w, true);
    ask(&w, 9, "OPTIONS", "alice@example.com", "");
    snprintf(fields, sizeof fields, "Proxy-Authorization: %s\n",
             world_credentials(world_header(&w, 0, "Proxy-Authenticate"), "alice", "wonder",
                               "OPTIONS", "sip:eve@example.com", 1));
    ask(&w, 9, "OPTIONS", "alice@example.com", fields);
    assert_int_equal(world_status(&w, 0), 407);
    world_end(&w);
}

/* The names of its header fields, one after the other. */
static void list_fields(const struct world *w, char *text, size_t limit)
{
    struct message m;
    struct writer to = writer_over(text, limit - 1);

    assert_false(message_parse(world_sent(w, 0), &m).status);
    for (unsigned i = 1; i <= m.field_count; i++)
        write_bytes(&to, m.bytes.at + m.fields[i].line,
                    (size_t)(m.fields[i].value - m.fields[i].line));
    text[to.len] = 0;
}

static void test_unknown_users_get_the_answer_of_known_ones(void **state)
{
    static const char *const names[] = {"alice", "nancy"};
    struct world w;
    char fields[2][512];
    size_t lens[2];

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 2; i++) {
        char from[64], authorization[1200];
        snprintf(from, sizeof from, "%s@example.com", names[i]);
        ask(&w, 9, "REGISTER", from, "");
        snprintf(authorization, sizeof authorization, "Authorization: %s\n",
                 world_credentials(world_header(&w, 0, "WWW-Authenticate"), names[i], "wrong",
                                   "REGISTER", "sip:bob@example.com", 1));
        ask(&w, 9, "REGISTER", from, authorization);
        assert_int_equal(world_status(&w, 0), 401);
        lens[i] = world_sent(&w, 0).len;
        list_fields(&w, fields[i], sizeof fields[i]);
    }
    assert_string_equal(fields[0], fields[1]);
    assert_int_equal(lens[0], lens[1]);
    world_end(&w);
}

static void test_auth_int_is_not_offered(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    ask(&w, 9, "OPTIONS", "alice@example.com", "");
    assert_non_null(strstr(world_header(&w, 0, "Proxy-Authenticate"), "qop=\"auth\""));
    assert_non_null(strstr(world_header(&w, 0, "Proxy-Authenticate"), "algorithm=MD5"));
    ask(&w, 9, "OPTIONS", "alice@example.com", "User-Agent: Linphone/5.1\n");
    assert_non_null(strstr(world_header(&w, 0, "Proxy-Authenticate"), "algorithm=SHA-256"));
    w.settings.sha256_first = true;
    ask(&w, 9, "OPTIONS", "alice@example.com", "");
    assert_non_null(strstr(world_header(&w, 0, "Proxy-Authenticate"), "algorithm=SHA-256"));
    world_end(&w);
}

/* alice's word, by another node's stream. */
static void ask_by(struct world *w, const struct flow *flow, const char *from, const char *extra)
{
    static unsigned serial;

    serial++;
    world_receive_by(w, flow,
                     "MESSAGE sip:bob@example.com SIP/2.0\n"
                     "Via: SIP/2.0/TCP 198.51.100.7:5060;branch=z9hG4bKnode%u\n"
                     "Max-Forwards: 70\n"
                     "From: <sip:%s>;tag=t\n"
                     "To: <sip:bob@example.com>\n"
                     "Call-ID: node-%u\n"
                     "CSeq: 1 MESSAGE\n"
                     "%s"
                     "Content-Length: 0\n\n",
                     serial, from, serial, extra);
}

static void test_another_node_is_believed_by_its_stream_alone(void **state)
{
    static const struct fellow fellows[] = {
        {S("north.example"), {false, {198, 51, 100, 7}}, true},
        {S("south.example"), {false, {0}}, false},
    };
    struct world w;
    struct flow node, stranger;

    (void)state;
    world_begin(&w, false);
    w.settings.fellows = fellows;
    w.settings.fellow_count = COUNT_OF(fellows);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    node = world_open(&w, 7, 5060);
    stranger = world_open(&w, 8, 5060);
    ask_by(&w, &node, "alice@example.com", "P-SIPWITCH-Node: yes\n");
    assert_true(slice_starts(world_sent(&w, 0), S("MESSAGE ")));
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Caller"),
                        "verified;domain=example.com;by=node");
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Node"), "");
    ask_by(&w, &node, "eve@north.example", "P-SIPWITCH-Node: yes\n");
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Caller"),
                        "verified;domain=north.example;by=node");
    ask_by(&w, &node, "eve@south.example", "P-SIPWITCH-Node: yes\n");
    assert_int_equal(world_status(&w, 0), 403);
    ask_by(&w, &node, "alice@example.com", "P-SIPWITCH-Node: no\n");
    assert_int_equal(world_status(&w, 0), 407);
    ask_by(&w, &stranger, "alice@example.com", "P-SIPWITCH-Node: yes\n");
    assert_int_equal(world_status(&w, 0), 407);
    ask(&w, 7, "MESSAGE", "alice@example.com", "P-SIPWITCH-Node: yes\n");
    assert_int_equal(world_status(&w, 0), 407); /* a datagram, if from there */
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method_of_our_own_users_is_challenged),
        cmocka_unit_test(test_a_trusted_network_is_not_on_the_flow_of_a_binding),
        cmocka_unit_test(test_of_several_authorizations_ours_is_found),
        cmocka_unit_test(test_the_uri_of_the_digest_is_checked),
        cmocka_unit_test(test_unknown_users_get_the_answer_of_known_ones),
        cmocka_unit_test(test_auth_int_is_not_offered),
        cmocka_unit_test(test_another_node_is_believed_by_its_stream_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
