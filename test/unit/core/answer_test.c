/* Signed answers: what is signed of one, what is checked, and what becomes of those that wait for a
 * certificate or were changed. */
#include "../../torture/toy_es256.h"
#include "talk.h"

#include "core/answer.h"

#include <stdio.h>

#define WALL INT64_C(1443208345)
#define INFO "https://two.example/identity.pem"
#define DAVE "sip:dave@198.51.100.7" /* of the domain 198.51.100.7, as far as these tests go */
#define ALICE "<sip:alice@example.com>;tag=alice"
#define KEYS "a=fingerprint:sha-256 AB:CD"

static struct world w;

static const struct es256_table toy = {toy_sign, toy_verify};
static const uint8_t keys[] = {7, 9};
static const struct voucher two = {S("two.example"), S(INFO), &keys[0], WALL - 1000, WALL + 1000};

/* ---- one response */

#define START "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define FROM "From: Alice <sip:Alice@One.example:5062>;tag=a\r\n"
#define TO "To: <sip:bob@two.example>;tag=b\r\n"
#define CALL "Call-ID: c\r\nCSeq: 1 INVITE\r\n"
#define BODY "Content-Type: application/sdp\r\n\r\n" KEYS "\r\n"

static const struct message *parsed(const char *text)
{
    static struct message m;

    assert_false(message_parse(slice_text(text), &m).status);
    return &m;
}

static enum vouching sign(const char *text, const struct voucher *voucher, char *line, size_t size)
{
    struct writer out = writer_over(line, size - 1);
    enum vouching vouching = answer_sign(parsed(text), voucher, &toy, WALL, &out);

    line[out.len] = 0;
    return vouching;
}

static struct certificate shelf;

static struct certificate look_up(void *self, struct slice info, struct slice domain)
{
    (void)self;
    assert_slice(info, INFO);
    assert_slice(domain, "two.example");
    return shelf;
}

static enum answer_verdict check(const char *text, const char *asked, int64_t wall)
{
    return answer_check(parsed(text), slice_text(asked), look_up, NULL, &toy, wall);
}

/* The signed response, with one text in it replaced by another. */
static const char *changed(const char *from, const char *to)
{
    static char text[4096];
    char line[2048], whole[4096], *at;

    assert_int_equal(sign(START FROM TO CALL BODY, &two, line, sizeof line), VOUCHED);
    snprintf(whole, sizeof whole, START FROM TO CALL "%s" BODY, line);
    at = strstr(whole, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    return text;
}

static void its_keys_are_signed_and_proven(void **state)
{
    (void)state;
    shelf = (struct certificate){CERTIFICATE_GOOD, {keys[0]}, 0, INT64_MAX};
    assert_int_equal(check(changed("", ""), "two.example", WALL + VOUCH_FRESH), ANSWER_PROVEN);
    assert_int_equal(check(changed("", ""), "TWO.example", WALL), ANSWER_PROVEN);
    assert_int_equal(check(changed("", ""), "", WALL), ANSWER_PROVEN);
    assert_int_equal(
        check(changed("sip:Alice@One.example:5062", "sip:alice@one.example"), "two.example", WALL),
        ANSWER_PROVEN);
}

static void what_fits_no_more_was_changed(void **state)
{
    static const char *const changes[][2] = {
        {"AB:CD", "AB:CE"},           {KEYS, "a=nothing"},       {KEYS, "a=fingerprint:sha-256 X"},
        {"Call-ID: c", "Call-ID: d"}, {";tag=a", ";tag=x"},      {";tag=b", ";tag=x"},
        {"Alice@One", "Eve@One"},     {"info=<https", "info=<"}, {"ppt=\"answer\"", "ppt=\"div\""},
        {"Answer: ey", "Answer: eY"},
    };

    (void)state;
    shelf = (struct certificate){CERTIFICATE_GOOD, {keys[0]}, 0, INT64_MAX};
    for (unsigned i = 0; i < COUNT_OF(changes); i++)
        if (check(changed(changes[i][0], changes[i][1]), "two.example", WALL) != ANSWER_CHANGED)
            fail_msg("%s", changes[i][1]);
    shelf.point[0] = keys[1];
    assert_int_equal(check(changed("", ""), "two.example", WALL), ANSWER_CHANGED);
}

static void what_nobody_vouches_for_is_unsigned(void **state)
{
    static const struct certificate useless[] = {
        {CERTIFICATE_UNREACHABLE, {0}, 0, 0},
        {CERTIFICATE_UNSUPPORTED, {0}, 0, 0},
        {CERTIFICATE_GOOD, {7}, WALL + 1, INT64_MAX},
        {CERTIFICATE_GOOD, {7}, 0, WALL - 1},
    };

    (void)state;
    shelf = (struct certificate){CERTIFICATE_GOOD, {keys[0]}, 0, INT64_MAX};
    assert_int_equal(check(START FROM TO CALL BODY, "two.example", WALL), ANSWER_UNSIGNED);
    assert_int_equal(check(changed("", ""), "three.example", WALL), ANSWER_UNSIGNED);
    assert_int_equal(check(changed("", ""), "two.example", WALL + VOUCH_FRESH + 1),
                     ANSWER_UNSIGNED);
    assert_int_equal(check(changed("Via:", "P-SIPWITCH-Answer: x\r\nVia:"), "two.example", WALL),
                     ANSWER_UNSIGNED);
    for (unsigned i = 0; i < COUNT_OF(useless); i++) {
        shelf = useless[i];
        assert_int_equal(check(changed("", ""), "two.example", WALL), ANSWER_UNSIGNED);
    }
    shelf.state = CERTIFICATE_UNKNOWN;
    assert_int_equal(check(changed("", ""), "two.example", WALL), ANSWER_WAITING);
}

static void without_keys_there_is_nothing_to_sign(void **state)
{
    char line[2048];

    (void)state;
    assert_int_equal(sign(START FROM TO CALL "\r\n", &two, line, sizeof line), VOUCH_NOT_OURS);
    assert_int_equal(check(START FROM TO CALL "\r\n", "two.example", WALL), ANSWER_NOTHING);
}

static void what_cannot_be_named_is_not_signed(void **state)
{
    struct voucher late = two;
    char line[2048];

    (void)state;
    late.not_after = WALL - 1;
    assert_int_equal(sign(START FROM TO CALL BODY, &late, line, sizeof line), VOUCH_STALE);
    assert_int_equal(
        sign(START "From: <tel:+15551>;tag=a\r\n" TO CALL BODY, &two, line, sizeof line),
        VOUCH_UNCLEAR);
    assert_int_equal(
        sign(START FROM "To: <sip:bob@two.example>\r\n" CALL BODY, &two, line, sizeof line),
        VOUCH_UNCLEAR);
}

/* ---- calls */

static const struct voucher ours = {S("example.com"), S("https://example.com/1"), &keys[1], 0,
                                    INT64_MAX};
static const struct subnet trusted = {
    .address = {198, 51, 100, 9}, .bits = 32, .access = ACCESS_TRUSTED};

/* alice's phone at 9 has called dave, at 7, of another domain. */
static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    w.es256 = &toy;
    w.settings.vouchers = &ours;
    w.settings.voucher_count = 1;
    w.settings.networks = &trusted;
    w.settings.network_count = 1;
    world_restart(&w);
    world_register(&w, "alice", "wonder", 9, 5060, 3600);
    SAY(&w, .host = 9, .uri = DAVE, .from = ALICE, .to = "<" DAVE ">", .body = KEYS "\n");
    assert_sent(&w, "100>9 INVITE>7");
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(400));
    assert_int_equal(core_census(w.core).server_transactions, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).contexts, 0);
    world_end(&w);
    return 0;
}

/* The line that dave's domain adds, as the tests write lines. */
static const char *signature(void)
{
    static const struct voucher dave = {S("198.51.100.7"), S(INFO), &keys[0], 0, INT64_MAX};
    static char text[2048];
    char line[2048];
    struct writer out = writer_over(line, sizeof line);
    struct message m;

    assert_false(
        message_parse(S(START "From: " ALICE "\r\nTo: <" DAVE ">;tag=h7\r\nCall-ID: call\r\n"
                              "CSeq: 1 INVITE\r\n" BODY),
                      &m)
            .status);
    assert_int_equal(answer_sign(&m, &dave, &toy, w.now.wall, &out), VOUCHED);
    snprintf(text, sizeof text, "%.*s\n", (int)out.len - 2, line);
    return text;
}

static void answer(unsigned status, const char *body)
{
    ANSWER(&w, .host = 7, .status = status, .more = signature(), .body = body);
}

static void tell(enum certificate_state found)
{
    struct certificate certificate = {found, {keys[0]}, 0, INT64_MAX};

    assert_true(w.fetched_count);
    world_event(&w, &(struct event){
                        .kind = EVENT_CERTIFICATE,
                        .question = w.fetched[w.fetched_count - 1].question.id,
                        .certificate = &certificate,
                    });
}

static void an_answer_waits_for_its_certificate(void **state)
{
    (void)state;
    answer(200, KEYS);
    assert_sent(&w, "");
    assert_string_equal(w.fetched[0].what, "198.51.100.7\n" INFO);
    tell(CERTIFICATE_GOOD);
    assert_sent(&w, "200>9");
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Callee"),
                        "verified;domain=198.51.100.7;by=signature;media=offer+answer");
    answer(200, KEYS);
    assert_sent(&w, "200>9");
}

static void the_latest_that_waits_comes_again(void **state)
{
    (void)state;
    answer(183, KEYS);
    answer(200, KEYS);
    assert_sent(&w, "");
    assert_int_equal(w.fetched_count, 1);
    tell(CERTIFICATE_GOOD);
    assert_sent(&w, "200>9");
}

static void what_says_nothing_does_not_wait(void **state)
{
    (void)state;
    answer(183, KEYS);
    ANSWER(&w, .host = 7, .status = 180);
    assert_sent(&w, "180>9");
    tell(CERTIFICATE_GOOD);
    assert_sent(&w, "183>9");
    ANSWER(&w, .host = 7, .status = 486);
}

static void without_its_certificate_it_is_unverified(void **state)
{
    (void)state;
    answer(200, KEYS);
    tell(CERTIFICATE_UNREACHABLE);
    assert_sent(&w, "200>9");
    assert_string_equal(world_header(&w, 0, "P-SIPWITCH-Callee"), "unverified;media=offer-only");
}

static void who_waits_for_an_answer_may_cancel(void **state)
{
    (void)state;
    ANSWER(&w, .host = 7, .status = 180);
    answer(183, KEYS);
    SAY(&w, .host = 9, .method = "CANCEL", .uri = DAVE, .from = ALICE, .to = "<" DAVE ">");
    assert_sent(&w, "CANCEL>7 200>9");
    ANSWER(&w, .host = 7, .status = 487);
    assert_sent(&w, "487>9 ACK>7");
    tell(CERTIFICATE_GOOD);
    assert_sent(&w, "");
}

static void a_changed_answer_is_acknowledged_and_hung_up(void **state)
{
    (void)state;
    answer(200, "a=fingerprint:sha-256 AB:CE");
    assert_sent(&w, "ACK>7 BYE>7 502>9");
    answer(200, "a=fingerprint:sha-256 AB:CE"); /* the ACK was lost */
    assert_sent(&w, "ACK>7 BYE>7");
    assert_int_equal(w.call_count, 1);
}

static void a_changed_early_answer_is_cancelled(void **state)
{
    (void)state;
    answer(183, "a=fingerprint:sha-256 AB:CE");
    assert_sent(&w, "CANCEL>7");
    ANSWER(&w, .host = 7, .status = 200, .method = "CANCEL");
    ANSWER(&w, .host = 7, .status = 487);
    assert_sent(&w, "502>9 ACK>7");
}

static void a_late_copy_is_checked_after_a_crash(void **state)
{
    (void)state;
    answer(200, KEYS);
    tell(CERTIFICATE_GOOD);
    world_restart(&w);
    answer(200, "a=fingerprint:sha-256 AB:CE");
    assert_sent(&w, "ACK>7 BYE>7");
}

#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(cmocka_unit_test(its_keys_are_signed_and_proven),
        cmocka_unit_test(what_fits_no_more_was_changed),
        cmocka_unit_test(what_nobody_vouches_for_is_unsigned),
        cmocka_unit_test(without_keys_there_is_nothing_to_sign),
        cmocka_unit_test(what_cannot_be_named_is_not_signed),
        CALL_TEST(an_answer_waits_for_its_certificate),
        CALL_TEST(the_latest_that_waits_comes_again), CALL_TEST(what_says_nothing_does_not_wait),
        CALL_TEST(without_its_certificate_it_is_unverified),
        CALL_TEST(who_waits_for_an_answer_may_cancel),
        CALL_TEST(a_changed_answer_is_acknowledged_and_hung_up),
        CALL_TEST(a_changed_early_answer_is_cancelled),
        CALL_TEST(a_late_copy_is_checked_after_a_crash));
}
