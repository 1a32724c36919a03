/* Signed requests on their way out and in: what is signed, and what waits for a certificate. */
#include "../../torture/toy_es256.h"
#include "talk.h"
#include "zone.h"

#include "core/vouch.h"

#include <stdio.h>

#define INFO "https://elsewhere.example/sip.pem"
#define ALICE "<sip:alice@example.com>;tag=alice"
#define START                                                                                      \
    "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"

static struct world w;

static unsigned signed_count;

static bool count_and_sign(const void *key, struct slice text, uint8_t *signature)
{
    signed_count++;
    return toy_sign(key, text, signature);
}

static const struct es256_table toy = {count_and_sign, toy_verify};
static const uint8_t keys[] = {7, 9};
static const struct voucher ours[] = {
    {S("example.com"), S("https://example.com/1"), &keys[0], 0, INT64_MAX}};
static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 9}, .bits = 32, .access = ACCESS_TRUSTED},
};

/* bob at 2; alice, whom her phone at 9 is proof enough of, may be called for. */
static int begin(void **state)
{
    (void)state;
    signed_count = 0;
    world_begin(&w, true);
    w.es256 = &toy;
    w.settings.vouchers = ours;
    w.settings.voucher_count = COUNT_OF(ours);
    w.settings.networks = trusted;
    w.settings.network_count = COUNT_OF(trusted);
    world_restart(&w);
    talk_phone(&w, 2, "");
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* The lines of a signature by that key, of carol's request to bob. */
static const char *signature(unsigned key, const char *info)
{
    struct voucher carol = {S("elsewhere.example"), slice_text(info), &keys[key], 0, INT64_MAX};
    char at[4096];
    static char lines[4096];
    struct writer out = writer_over(at, sizeof at);
    struct message m;
    size_t len = 0;

    assert_false(message_parse(S(START "From: " CAROL "\r\nTo: " BOB "\r\nCall-ID: 1\r\n"
                                       "CSeq: 1 MESSAGE\r\n\r\n"),
                               &m)
                     .status);
    assert_int_equal(vouch_sign(&m, &carol, &toy, w.now.wall, &out), VOUCHED);
    for (size_t i = 0; i < out.len; i++)
        if (at[i] != '\r')
            lines[len++] = at[i];
    lines[len] = '\0';
    return lines;
}

/* carol's signed request, each with a transaction of its own. */
static void ask(const char *method, const char *uri, const char *branch, const char *lines)
{
    char call_id[64];

    snprintf(call_id, sizeof call_id, "call-%s", branch);
    SAY(&w, .host = 5, .method = method, .uri = uri, .branch = branch, .more = lines,
        .call_id = call_id);
}

static void message(const char *branch)
{
    ask("MESSAGE", NULL, branch, signature(0, INFO));
}

static struct certificate good(unsigned key)
{
    return (struct certificate){CERTIFICATE_GOOD, {keys[key]}, 0, INT64_MAX};
}

/* What the n-th fetch found. */
static void tell(unsigned n, struct certificate found)
{
    assert_true(n < w.fetched_count);
    world_event(&w, &(struct event){
                        .kind = EVENT_CERTIFICATE,
                        .question = w.fetched[n].question.id,
                        .certificate = &found,
                    });
}

static void a_signed_request_waits_for_its_certificate(void **state)
{
    (void)state;
    message("a");
    assert_sent(&w, "");
    assert_int_equal(w.fetched_count, 1);
    assert_string_equal(w.fetched[0].what, "elsewhere.example\n" INFO);
    assert_int_equal(w.fetched[0].question.widest, SECLUSION_NONE);
    tell(0, good(0));
    assert_sent(&w, "MESSAGE>2");
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Caller"),
                        "verified;domain=elsewhere.example;by=signature");
}

static void its_copies_are_absorbed_meanwhile(void **state)
{
    const char *lines = signature(0, INFO);

    (void)state;
    ask("INVITE", NULL, "a", lines);
    ask("INVITE", NULL, "a", lines);
    assert_sent(&w, "");
    assert_int_equal(w.fetched_count, 1);
    tell(0, good(0));
    assert_sent(&w, "100>5 INVITE>2");
    ask("INVITE", NULL, "a", lines);
    assert_sent(&w, "100>5");
}

static void all_who_wait_for_it_go_on(void **state)
{
    (void)state;
    message("a");
    message("b");
    message("c");
    assert_int_equal(w.fetched_count, 1);
    tell(0, good(0));
    assert_sent(&w, "MESSAGE>2");
    world_wait(&w, MS(20));
    assert_sent(&w, "MESSAGE>2 MESSAGE>2");
}

static void it_is_kept_for_an_hour(void **state)
{
    (void)state;
    message("a");
    tell(0, good(0));
    world_wait(&w, SECONDS(3000));
    talk_phone(&w, 2, "");
    message("b");
    assert_sent(&w, "MESSAGE>2");
    world_wait(&w, SECONDS(601));
    message("c");
    assert_sent(&w, "");
    assert_int_equal(w.fetched_count, 2);
}

static void one_that_is_not_to_be_had_is_told(void **state)
{
    (void)state;
    message("a");
    tell(0, (struct certificate){.state = CERTIFICATE_UNREACHABLE});
    assert_sent(&w, "436>5");
    message("b");
    assert_sent(&w, "436>5");
    world_wait(&w, SECONDS(10));
    message("c");
    assert_int_equal(w.fetched_count, 2);
    tell(1, (struct certificate){.state = CERTIFICATE_UNSUPPORTED});
    assert_sent(&w, "437>5");
}

static void a_fetch_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    ask("INVITE", NULL, "a", signature(0, INFO));
    world_wait(&w, MS(4900));
    assert_sent(&w, "");
    world_wait(&w, MS(200));
    assert_sent(&w, "436>5");
    tell(0, good(0)); /* too late */
    assert_sent(&w, "");
}

static void one_that_was_replaced_is_fetched_again(void **state)
{
    (void)state;
    message("a");
    tell(0, good(0));
    ask("MESSAGE", NULL, "b", signature(1, INFO));
    assert_sent(&w, "438>5"); /* it has just been fetched */
    world_wait(&w, SECONDS(10));
    ask("MESSAGE", NULL, "c", signature(1, INFO));
    assert_sent(&w, "");
    tell(1, good(1));
    assert_sent(&w, "MESSAGE>2");
}

static void who_waits_may_cancel(void **state)
{
    (void)state;
    ask("INVITE", NULL, "a", signature(0, INFO));
    SAY(&w, .host = 5, .method = "CANCEL", .branch = "a", .call_id = "call-a");
    assert_sent(&w, "487>5 200>5");
    tell(0, good(0));
    assert_sent(&w, "");
}

static void nothing_is_promised_to_who_waits(void **state)
{
    unsigned count = w.record_count;
    const char *lines = signature(0, INFO);

    (void)state;
    ask("INVITE", NULL, "a", lines);
    world_signal(&w, EVENT_CHECKPOINT);
    world_wait(&w, MS(1));
    for (unsigned i = count; i < w.record_count; i++)
        assert_true(w.records[i].len < 400); /* bindings alone */
    world_restart(&w);
    assert_int_equal(core_census(w.core).contexts, 0);
    ask("INVITE", NULL, "a", lines);
    tell(1, good(0));
    assert_sent(&w, "100>5 INVITE>2");
}

static void nobody_learns_meanwhile_who_exists(void **state)
{
    (void)state;
    ask("MESSAGE", "sip:nobody@example.com", "a", signature(0, INFO));
    assert_sent(&w, "");
    tell(0, good(0));
    assert_sent(&w, "480>5");
}

static void there_is_a_limit_to_what_is_fetched(void **state)
{
    char info[64], branch[16];

    (void)state;
    for (unsigned i = 0; i < FETCHES_LIMIT - 4; i++) { /* as many contexts as this world has */
        snprintf(info, sizeof info, "https://elsewhere.example/%u", i);
        snprintf(branch, sizeof branch, "b%u", i);
        ask("MESSAGE", NULL, branch, signature(0, info));
        assert_sent(&w, "");
    }
    assert_int_equal(w.fetched_count, FETCHES_LIMIT - 4);
    world_wait(&w, SECONDS(6));
    assert_int_equal(core_census(w.core).contexts, 0);
}

static void a_request_is_signed_once_for_all_its_copies(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .uri = "sip:dave@198.51.100.7", .from = ALICE,
        .to = "<sip:dave@198.51.100.7>");
    assert_sent(&w, "100>9 INVITE>7");
    assert_string_not_equal(world_header(&w, 1, "Identity"), "");
    assert_string_not_equal(world_header(&w, 1, "Date"), "");
    world_wait(&w, MS(1600));
    assert_sent(&w, "INVITE>7 INVITE>7");
    assert_int_equal(signed_count, 1);
    ANSWER(&w, .host = 7, .status = 486);
    assert_sent(&w, "486>9 ACK>7");
}

/* The Identity of the latest signed request, and to whom it was sent. */
static unsigned latest(char *identity, size_t limit)
{
    struct message m;
    unsigned n = w.request_count;

    do {
        assert_true(n--);
        assert_false(message_parse(w.requests[n].bytes, &m).status);
    } while (!m.first[HEADER_IDENTITY]);
    snprintf(identity, limit, "%.*s", (int)message_first(&m, HEADER_IDENTITY).len,
             message_first(&m, HEADER_IDENTITY).at);
    return w.requests[n].to.address[3];
}

static void the_next_server_of_a_domain_gets_the_same_signature(void **state)
{
    static const zone_lines zone = {"elsewhere.example A 198.51.100.7|198.51.100.8"};
    char first[4096], second[4096];
    unsigned host;

    (void)state;
    SAY(&w, .host = 9, .uri = "sip:carol@elsewhere.example:5060", .from = ALICE,
        .to = "<sip:carol@elsewhere.example>");
    while (w.asked_count) {
        struct reply reply;
        zone_answer(zone, w.asked[0].question.type, slice_text(w.asked[0].name), &reply);
        world_tell(&w, 0, &reply.answer);
    }
    host = latest(first, sizeof first);
    assert_string_not_equal(first, "");
    ANSWER(&w, .host = host, .status = 503);
    assert_int_equal(latest(second, sizeof second), host == 7 ? 8 : 7);
    assert_string_equal(second, first);
    assert_int_equal(signed_count, 1);
    ANSWER(&w, .host = host == 7 ? 8 : 7, .status = 486);
}

static void a_restored_request_is_signed_anew(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .uri = "sip:dave@198.51.100.7", .from = ALICE,
        .to = "<sip:dave@198.51.100.7>");
    world_restart(&w);
    world_wait(&w, MS(10));
    assert_sent(&w, "INVITE>7");
    assert_int_equal(signed_count, 2);
    assert_string_not_equal(world_header(&w, 0, "Identity"), "");
    ANSWER(&w, .host = 7, .status = 486);
}

static void what_stays_within_the_domain_is_not_signed(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .uri = "sip:bob@example.com", .from = ALICE);
    assert_sent(&w, "100>9 INVITE>2");
    assert_string_equal(world_header(&w, 1, "Identity"), "");
    ANSWER(&w, .host = 2, .status = 486);
    assert_int_equal(signed_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(a_signed_request_waits_for_its_certificate), TEST(its_copies_are_absorbed_meanwhile),
        TEST(all_who_wait_for_it_go_on), TEST(it_is_kept_for_an_hour),
        TEST(one_that_is_not_to_be_had_is_told), TEST(a_fetch_that_takes_too_long_is_given_up),
        TEST(one_that_was_replaced_is_fetched_again), TEST(who_waits_may_cancel),
        TEST(nothing_is_promised_to_who_waits), TEST(nobody_learns_meanwhile_who_exists),
        TEST(there_is_a_limit_to_what_is_fetched),
        TEST(a_request_is_signed_once_for_all_its_copies),
        TEST(the_next_server_of_a_domain_gets_the_same_signature),
        TEST(a_restored_request_is_signed_anew), TEST(what_stays_within_the_domain_is_not_signed));
}
