/* Password guessing is slowed, and answers to the unproven are short. */
#include "enrol.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WINDOW SECONDS(15 * 60)

/* One guess with a fresh nonce: its status, 0 if it is not answered. */
static unsigned guess(struct world *w, unsigned host, const char *user, const char *secret)
{
    static unsigned serial;
    char authorization[1100] = "";

    for (unsigned i = 0; i < 2; i++) {
        serial++;
        world_receive(w, host, 5060,
                      "REGISTER sip:example.com SIP/2.0\n"
                      "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bKguess%u;rport\n"
                      "Max-Forwards: 70\n"
                      "From: <sip:%s@example.com>;tag=g\n"
                      "To: <sip:%s@example.com>\n"
                      "Call-ID: guess\n"
                      "CSeq: %u REGISTER\n"
                      "%s"
                      "Content-Length: 0\n\n",
                      host, serial, user, user, serial, authorization);
        if (!i)
            snprintf(authorization, sizeof authorization, "Authorization: %s\n",
                     world_credentials(world_header(w, 0, "WWW-Authenticate"), user, secret,
                                       "REGISTER", "sip:example.com", 1));
    }
    return world_status(w, 0);
}

static void test_ten_guesses_a_quarter_hour_are_answered(void **state)
{
    struct world w;
    unsigned answered = 0;

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 40; i++)
        answered += guess(&w, 9, "alice", "wrong") != 0;
    assert_int_equal(answered, 10);
    assert_int_equal(guess(&w, 9, "alice", "wonder"), 0);   /* nor is the right one told */
    assert_int_equal(guess(&w, 8, "alice", "wonder"), 200); /* elsewhere she is let in */
    world_wait(&w, WINDOW - SECONDS(1));
    assert_int_equal(guess(&w, 9, "alice", "wrong"), 0);
    world_wait(&w, SECONDS(2));
    assert_int_equal(guess(&w, 9, "alice", "wrong"), 401);
    world_end(&w);
}

static void test_thirty_guesses_of_a_source_are_answered(void **state)
{
    struct world w;
    unsigned answered = 0;

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 60; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%u", i);
        answered += guess(&w, 9, user, "wrong") != 0;
    }
    assert_int_equal(answered, 30);
    assert_int_equal(guess(&w, 9, "bob", "builder"), 0);
    assert_int_equal(guess(&w, 10, "bob", "builder"), 200);
    world_end(&w);
}

static void test_the_names_of_one_account_are_one(void **state)
{
    static const char *const names[] = {"alice", "201", "alice@example.com"};
    struct world w;
    unsigned answered = 0;

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 30; i++)
        answered += guess(&w, 9, names[i % 3], "wrong") == 401;
    assert_int_equal(answered, 10);
    world_end(&w);
}

static void test_a_source_with_a_live_binding_of_the_user_is_unaffected(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "alice", "wonder", 9, 7070, 3600); /* behind the same NAT */
    for (unsigned i = 0; i < 60; i++)
        guess(&w, 9, "bob", "wrong");
    for (unsigned i = 0; i < 60; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%u", i);
        guess(&w, 9, user, "wrong");
    }
    assert_int_equal(guess(&w, 9, "bob", "builder"), 0);
    assert_int_equal(guess(&w, 9, "alice", "wonder"), 200);
    world_end(&w);
}

static void test_exempt_networks_may_guess(void **state)
{
    static const struct subnet lab = {
        .bits = 24,
        .address = {198, 51, 100, 0},
        .access = ACCESS_EXEMPT,
    };
    struct world w;

    (void)state;
    world_begin(&w, true);
    w.settings.networks = &lab;
    w.settings.network_count = 1;
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(guess(&w, 9, "alice", "wrong"), 401);
    world_end(&w);
}

/* Neither counted, for its address may be forged, nor looked at, for it would not be counted. */
static void test_a_nonce_that_is_not_ours_says_nothing_of_the_password(void **state)
{
    static const char *const secrets[] = {"wonder", "wrong"};
    struct world w;

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < 40; i++) {
        char fields[1200];
        snprintf(fields, sizeof fields, "Authorization: %s\n",
                 world_credentials("realm=\"example.com\", nonce=\"AAAABBBBCCCCDDDD\"", "alice",
                                   secrets[i % 2], "REGISTER", "sip:example.com", 1));
        world_receive(&w, 9, 5060,
                      "REGISTER sip:example.com SIP/2.0\n"
                      "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKforeign%u;rport\n"
                      "From: <sip:alice@example.com>;tag=g\n"
                      "To: <sip:alice@example.com>\n"
                      "Call-ID: foreign\nCSeq: 1 REGISTER\n%sContent-Length: 0\n\n",
                      i, fields);
        assert_int_equal(world_status(&w, 0), 401);
        assert_non_null(strstr(world_header(&w, 0, "WWW-Authenticate"), "stale=true"));
    }
    assert_int_equal(guess(&w, 9, "alice", "wonder"), 200);
    world_end(&w);
}

/* Padded so that each length from 250 to 700 is sent. */
static void measure(struct world *w, const char *method, const char *uri, const char *from,
                    const char *extra)
{
    static unsigned serial;

    for (unsigned pad = 0; pad < 350; pad += 7) {
        char line[512], text[2048];
        struct message m;
        size_t bytes_in, bytes_out = 0;
        memset(line, 'x', sizeof line);
        line[pad] = 0;
        serial++;
        snprintf(text, sizeof text,
                 "%s %s SIP/2.0\n"
                 "Via: SIP/2.0/UDP 10.20.30.40:5060;branch=z9hG4bKm%u;rport\n"
                 "From: <%s>;tag=m\n"
                 "To: <%s>\n"
                 "Call-ID: measure%u\n"
                 "CSeq: 1 %s\n"
                 "%s"
                 "X: %s\n"
                 "Content-Length: 0\n\n",
                 method, uri, serial, from, uri, serial, method, extra, line);
        bytes_in = strlen(text);
        for (const char *c = text; *c; c++)
            bytes_in += *c == '\n'; /* each becomes CRLF */
        world_receive(w, 9, 5070, "%s", text);
        for (unsigned i = 0; i < world_sent_count(w); i++)
            bytes_out += world_sent(w, i).len;
        if (world_sent_count(w))
            assert_false(message_parse(world_sent(w, 0), &m).status);
        if (bytes_in > UNPROVEN_FREE)
            assert_true(bytes_out <= bytes_in);
        world_wait(w, SECONDS(4)); /* nor again by itself */
        assert_int_equal(world_sent_count(w), 0);
    }
}

static void test_no_unproven_sender_gets_more_bytes_than_it_sent(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    w.settings.sha256_first = true;
    measure(&w, "REGISTER", "sip:example.com", "sip:alice@example.com", "");
    measure(&w, "INVITE", "sip:bob@example.com", "sip:alice@example.com", "");
    measure(&w, "INVITE", "sip:bob@example.com", "sip:carol@elsewhere.example", "");
    measure(&w, "INVITE", "sip:nobody@example.com", "sip:carol@elsewhere.example", "");
    measure(&w, "INVITE", "sip:eve@203.0.113.1", "sip:carol@elsewhere.example", "");
    measure(&w, "OPTIONS", "sip:example.com", "sip:carol@elsewhere.example", "");
    measure(&w, "INVITE", "sip:example.com", "sip:carol@elsewhere.example", "");
    measure(&w, "FOO", "sip:example.com", "sip:carol@elsewhere.example", "");
    measure(&w, "OPTIONS", "sip:example.com", "sip:c@e.example", "Require: a,b,c,d,e,f,g,h,i,j\n");
    measure(&w, "OPTIONS", "sip:example.com", "sip:c@e.example", "Proxy-Require: a,b,c,d,e,f\n");
    measure(&w, "OPTIONS", "sip:example.com", "sip:c@e.example", "Max-Forwards: x\n");
    measure(&w, "OPTIONS", "sip:bob@example.com", "sip:c@e.example", "Max-Forwards: 0\n");
    measure(&w, "CANCEL", "sip:bob@example.com", "sip:c@e.example", "");
    measure(&w, "BYE", "sip:bob@example.com", "sip:c@e.example", "");
    world_end(&w);
}

static void test_a_full_server_says_503_and_answers_options(void **state)
{
    struct world w;
    bool was_full = false;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", BOB, 5060, 3600);
    for (unsigned i = 0; i < 80; i++) {
        char branch[16];
        snprintf(branch, sizeof branch, "full%u", i);
        world_receive(&w, CAROL, 5060,
                      "INVITE sip:bob@example.com SIP/2.0\n"
                      "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK%s;rport\n"
                      "From: <sip:carol@elsewhere.example>;tag=c%u\nTo: <sip:bob@example.com>\n"
                      "Call-ID: full%u\nCSeq: 1 INVITE\nContact: <sip:carol@198.51.100.9>\n"
                      "Content-Length: 0\n\n",
                      branch, i, i);
        if (world_status(&w, 0) != 503)
            continue;
        was_full = true;
        assert_string_not_equal(world_header(&w, 0, "Retry-After"), "");
    }
    assert_true(was_full);
    world_receive(&w, CAROL, 5060,
                  "OPTIONS sip:example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKopt;rport\n"
                  "From: <sip:carol@elsewhere.example>;tag=o\nTo: <sip:example.com>\n"
                  "Call-ID: opt\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n");
    assert_int_equal(world_status(&w, 0), 200);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_guesses_a_quarter_hour_are_answered),
        cmocka_unit_test(test_thirty_guesses_of_a_source_are_answered),
        cmocka_unit_test(test_the_names_of_one_account_are_one),
        cmocka_unit_test(test_a_source_with_a_live_binding_of_the_user_is_unaffected),
        cmocka_unit_test(test_exempt_networks_may_guess),
        cmocka_unit_test(test_a_nonce_that_is_not_ours_says_nothing_of_the_password),
        cmocka_unit_test(test_no_unproven_sender_gets_more_bytes_than_it_sent),
        cmocka_unit_test(test_a_full_server_says_503_and_answers_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
