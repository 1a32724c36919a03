#include "../../torture/toy_es256.h"
#include "unit.h"

#include "core/vouch.h"

#include <stdio.h>

#define WALL INT64_C(1443208345) /* Fri, 25 Sep 2015 19:12:25 GMT */
#define DATE "Date: Fri, 25 Sep 2015 19:12:25 GMT\r\n"
#define INFO "https://example.org/sip.pem"

#define TO "To: <sip:bob@example.com>\r\n"
#define FROM "From: Alice <sip:Alice@Example.org:5062;transport=tcp>;tag=1\r\n"
#define REST "Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n"
#define START "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define KEYS "a=fingerprint:sha-256 AB:CD\r\n"

static const struct es256_table toy = {toy_sign, toy_verify};
static const uint8_t key = 7;
static const struct voucher alice = {S("example.org"), S(INFO), &key, WALL - 1000, WALL + 1000};

/* What the shell found, and what it was asked for. */
struct shelf {
    struct certificate certificate;
    unsigned asked;
    char domain[64];
};

static struct certificate look_up(void *self, struct slice info, struct slice domain)
{
    struct shelf *shelf = self;

    assert_slice(info, INFO);
    snprintf(shelf->domain, sizeof shelf->domain, "%.*s", (int)domain.len, domain.at);
    shelf->asked++;
    return shelf->certificate;
}

static struct shelf with(enum certificate_state state)
{
    return (struct shelf){.certificate = {state, {key}, WALL - 1000, WALL + 1000}};
}

static const struct message *parsed(const char *text)
{
    static struct message m;
    struct fault fault = message_parse(slice_text(text), &m);

    if (fault.status)
        fail_msg("%s", fault.reason);
    return &m;
}

static enum vouching sign(const char *text, const struct voucher *voucher, char *lines, size_t size)
{
    struct writer w = writer_over(lines, size - 1);
    enum vouching vouching = vouch_sign(parsed(text), voucher, &toy, WALL, &w);

    lines[w.len] = 0;
    return vouching;
}

static struct vouch_verdict verify(const char *text, struct shelf *shelf, int64_t wall)
{
    return vouch_verify(parsed(text), look_up, shelf, &toy, wall);
}

/* A signed request: its start and fields, and the body. */
static const char *signed_request(void)
{
    static char text[4096];
    char lines[2048];

    assert_int_equal(sign(START FROM TO REST "\r\n" KEYS, &alice, lines, sizeof lines), VOUCHED);
    snprintf(text, sizeof text, START FROM TO "%s" REST "\r\n" KEYS, lines);
    return text;
}

/* The same with one text in it replaced by another. */
static const char *changed(const char *from, const char *to)
{
    static char text[4096];
    const char *whole = signed_request(), *at = strstr(whole, from);

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    return text;
}

static void assert_refused(const char *text, unsigned status)
{
    struct shelf shelf = with(CERTIFICATE_GOOD);
    struct vouch_verdict verdict = verify(text, &shelf, WALL);

    assert_int_equal(verdict.kind, VERDICT_REFUSED);
    assert_int_equal(verdict.fault.status, status);
}

static void a_request_is_dated_signed_and_proven(void **state)
{
    struct shelf shelf = with(CERTIFICATE_GOOD);
    const char *text = signed_request();
    struct vouch_verdict verdict = verify(text, &shelf, WALL + VOUCH_FRESH);

    (void)state;
    assert_non_null(strstr(text, DATE));
    assert_int_equal(verdict.kind, VERDICT_PROVEN);
    assert_true(verdict.covers_media);
    assert_slice(verdict.info, INFO);
    assert_string_equal(shelf.domain, "example.org");
}

static void a_date_that_is_there_is_kept(void **state)
{
    char lines[2048], text[4096];
    struct shelf shelf = with(CERTIFICATE_GOOD);

    (void)state;
    assert_int_equal(sign(START FROM TO "Date: Fri, 25 Sep 2015 19:12:00 GMT\r\n" REST
                                        "\r\nv=0\r\n",
                          &alice, lines, sizeof lines),
                     VOUCHED);
    assert_null(strstr(lines, "Date"));
    snprintf(text, sizeof text,
             START FROM TO "Date: Fri, 25 Sep 2015 19:12:00 GMT\r\n%s" REST "\r\nv=0\r\n", lines);
    assert_int_equal(verify(text, &shelf, WALL).kind, VERDICT_PROVEN);
    assert_false(verify(text, &shelf, WALL).covers_media);
}

static void nobody_vouches_for_others(void **state)
{
    static const char *const others[] = {"From: <sip:alice@example.net>;tag=1\r\n",
                                         "From: <sip:example.org>;tag=1\r\n",
                                         "From: <sip:+123@example.org>;tag=1\r\n",
                                         "From: <sip:123@example.org;user=phone>;tag=1\r\n",
                                         "From: <tel:+123>;tag=1\r\n",
                                         "From: <sip:alice@sub.example.org>;tag=1\r\n"};
    char lines[2048], text[2048];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(others); i++) {
        snprintf(text, sizeof text, START "%s" TO REST "\r\n", others[i]);
        assert_int_equal(sign(text, &alice, lines, sizeof lines), VOUCH_NOT_OURS);
        assert_string_equal(lines, "");
    }
}

static void a_date_that_is_off_is_not_signed(void **state)
{
    static const char *const dates[] = {"Date: Fri, 25 Sep 2015 19:11:24 GMT\r\n",
                                        "Date: Fri, 25 Sep 2015 19:13:26 GMT\r\n",
                                        "Date: yesterday\r\n", DATE DATE};
    struct voucher old = alice;
    char lines[2048], text[2048];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(dates); i++) {
        snprintf(text, sizeof text, START FROM TO "%s" REST "\r\n", dates[i]);
        assert_int_equal(sign(text, &alice, lines, sizeof lines), VOUCH_STALE);
    }
    old.not_after = WALL - 1;
    assert_int_equal(sign(START FROM TO REST "\r\n", &old, lines, sizeof lines), VOUCH_STALE);
    old = alice;
    old.not_before = WALL + 1;
    assert_int_equal(sign(START FROM TO REST "\r\n", &old, lines, sizeof lines), VOUCH_STALE);
}

static void what_cannot_be_read_is_not_signed(void **state)
{
    struct voucher keyless = alice;
    char lines[2048];

    (void)state;
    assert_int_equal(
        sign(START FROM TO REST "\r\na=fingerprint:sha-256 x\r\n", &alice, lines, sizeof lines),
        VOUCH_UNCLEAR);
    assert_int_equal(sign(START FROM "To: <http://x>\r\n" REST "\r\n", &alice, lines, sizeof lines),
                     VOUCH_UNCLEAR);
    assert_int_equal(sign(START FROM TO REST "\r\n", &alice, lines, 20), VOUCH_UNCLEAR);
    keyless.key = NULL;
    assert_int_equal(sign(START FROM TO REST "\r\n", &keyless, lines, sizeof lines), VOUCH_FAILED);
}

/* 8.3 */
static void a_number_may_be_called(void **state)
{
    char lines[2048], text[4096];
    struct shelf shelf = with(CERTIFICATE_GOOD);

    (void)state;
    assert_int_equal(sign(START FROM "To: <sip:+1-215-555@example.com>\r\n" REST "\r\n", &alice,
                          lines, sizeof lines),
                     VOUCHED);
    snprintf(text, sizeof text, START FROM "To: <sip:1215555@x;user=phone>\r\n%s" REST "\r\n",
             lines);
    assert_int_equal(verify(text, &shelf, WALL).kind, VERDICT_PROVEN);
}

static void what_was_changed_on_the_way_is_refused(void **state)
{
    (void)state;
    assert_refused(changed("AB:CD", "AB:CE"), 438);
    assert_refused(changed("AB:CD", "AB:CD\r\na=fingerprint:sha-1 01"), 438);
    assert_refused(changed(KEYS, "v=0\r\n"), 438);
    assert_refused(changed("<sip:Alice@", "<sip:Mallory@"), 438);
    assert_refused(changed(TO, "To: <sip:carol@example.com>\r\n"), 438);
    assert_refused(changed("eyJ", "eyK"), 438);
    assert_refused(changed(INFO, INFO "x"), 438);
    assert_refused(changed(";info=", ";inf="), 438);
    assert_refused(changed(";info=", ";alg=RS256;info="), 437);
}

static void changes_that_mean_nothing_are_no_fault(void **state)
{
    struct shelf shelf = with(CERTIFICATE_GOOD);

    (void)state;
    assert_int_equal(verify(changed("AB:CD", "ab:cd"), &shelf, WALL).kind, VERDICT_PROVEN);
    assert_int_equal(verify(changed("Alice <sip:Alice@Example.org:5062;transport=tcp>",
                                    "<sip:%61lice@example.ORG>"),
                            &shelf, WALL)
                         .kind,
                     VERDICT_PROVEN);
    assert_int_equal(verify(changed("Identity: ", "y:"), &shelf, WALL).kind, VERDICT_PROVEN);
    /* 6.2 step 4: the PASSporT's own time counts. */
    assert_int_equal(verify(changed(DATE, ""), &shelf, WALL).kind, VERDICT_PROVEN);
}

static void an_old_one_is_stale_and_fetches_nothing(void **state)
{
    struct shelf shelf = with(CERTIFICATE_UNKNOWN);
    struct vouch_verdict verdict = verify(signed_request(), &shelf, WALL + VOUCH_FRESH + 1);

    (void)state;
    assert_int_equal(verdict.kind, VERDICT_REFUSED);
    assert_int_equal(verdict.fault.status, 403);
    assert_int_equal(verify(signed_request(), &shelf, WALL - VOUCH_FRESH - 1).fault.status, 403);
    assert_int_equal(
        verify(changed(DATE, "Date: Fri, 25 Sep 2015 19:11:24 GMT\r\n"), &shelf, WALL).fault.status,
        403); /* the Date that is told must be fresh, too */
    assert_int_equal(shelf.asked, 0);
    shelf = with(CERTIFICATE_GOOD);
    assert_int_equal(
        verify(changed(DATE, "Date: Fri, 25 Sep 2015 19:12:00 GMT\r\n"), &shelf, WALL).kind,
        VERDICT_PROVEN); /* for which the PASSporT's own time counts */
}

static void the_certificate_is_waited_for_and_judged(void **state)
{
    struct shelf shelf = with(CERTIFICATE_UNKNOWN);
    struct vouch_verdict verdict = verify(signed_request(), &shelf, WALL);

    (void)state;
    assert_int_equal(verdict.kind, VERDICT_WAITING);
    assert_slice(verdict.info, INFO);
    shelf = with(CERTIFICATE_UNREACHABLE);
    assert_int_equal(verify(signed_request(), &shelf, WALL).fault.status, 436);
    shelf = with(CERTIFICATE_UNSUPPORTED);
    assert_int_equal(verify(signed_request(), &shelf, WALL).fault.status, 437);
    shelf = with(CERTIFICATE_GOOD);
    shelf.certificate.not_after = WALL - 1;
    assert_int_equal(verify(signed_request(), &shelf, WALL).fault.status, 437);
    shelf = with(CERTIFICATE_GOOD);
    shelf.certificate.point[0]++;
    assert_int_equal(verify(signed_request(), &shelf, WALL).fault.status, 438);
}

static void a_certificate_that_cannot_be_had_safely_is_not_asked_for(void **state)
{
    struct voucher plain = alice;
    struct shelf shelf = with(CERTIFICATE_GOOD);
    char lines[2048], text[4096];
    struct vouch_verdict verdict;

    (void)state;
    plain.info = S("http://example.org/sip.pem");
    assert_int_equal(sign(START FROM TO REST "\r\n", &plain, lines, sizeof lines), VOUCHED);
    snprintf(text, sizeof text, START FROM TO "%s" REST "\r\n", lines);
    verdict = verify(text, &shelf, WALL);
    assert_int_equal(verdict.fault.status, 436);
    assert_int_equal(shelf.asked, 0);
}

static void without_a_known_field_there_is_nothing_to_say(void **state)
{
    struct shelf shelf = with(CERTIFICATE_GOOD);

    (void)state;
    assert_int_equal(verify(START FROM TO REST "\r\n", &shelf, WALL).kind, VERDICT_NONE);
    assert_int_equal(verify(changed("\r\nCall-ID", ";ppt=shaken\r\nCall-ID"), &shelf, WALL).kind,
                     VERDICT_NONE);
    assert_int_equal(shelf.asked, 0);
}

/* 6.2.1 */
static void one_proof_is_enough(void **state)
{
    struct shelf shelf = with(CERTIFICATE_GOOD);

    (void)state;
    assert_int_equal(
        verify(changed("Identity: ", "Identity: nonsense\r\nIdentity: "), &shelf, WALL).kind,
        VERDICT_PROVEN);
    assert_int_equal(
        verify(changed("Call-ID", "Identity: ..AA;info=<" INFO ">\r\nCall-ID"), &shelf, WALL).kind,
        VERDICT_PROVEN);
    assert_refused(changed("Identity: ", "Identity: a\r\nIdentity: b\r\nIdentity: c\r\n"
                                         "Identity: d\r\nIdentity: "),
                   438);
}

/* RFC 8225 7: the request itself says what was signed. */
static void the_compact_form_is_proven_by_the_request(void **state)
{
    const char *whole = signed_request(), *start = strstr(whole, "Identity: ") + 10;
    const char *dot = strchr(strchr(start, '.') + 1, '.');
    struct shelf shelf = with(CERTIFICATE_GOOD);
    char text[4096];

    (void)state;
    snprintf(text, sizeof text, "%.*s.%s", (int)(start - whole), whole, dot);
    assert_non_null(strstr(text, "Identity: .."));
    assert_int_equal(verify(text, &shelf, WALL).kind, VERDICT_PROVEN);
    assert_true(verify(text, &shelf, WALL).covers_media);
    *strstr(text, "AB:CD") = 'B';
    assert_refused(text, 438);
    *strstr(text, "BB:CD") = 'A';
    memcpy(strstr(text, "Date: Fri"), "Dat_: Fri", 9);
    assert_refused(text, 438);
}

/* alice's request for bob, as it asks for `uri`, with a diversion from one URI to another. */
static struct vouch_verdict diverted(const char *uri, const char *from, const char *to)
{
    static const struct voucher bob = {S("example.com"), S(INFO), &key, WALL - 1000, WALL + 1000};
    struct shelf shelf = with(CERTIFICATE_GOOD);
    char text[8192], line[2048];
    struct writer w = writer_over(line, sizeof line);
    const char *whole = signed_request();
    struct uri before, after;

    assert_true(uri_parse(slice_text(from), &before) && uri_parse(slice_text(to), &after));
    vouch_divert(parsed(whole), &bob, &before, &after, &toy, WALL, &w);
    whole = strstr(signed_request(), "Via:");
    snprintf(text, sizeof text, "INVITE %s SIP/2.0\r\n%.*s%s", uri, (int)w.len, line, whole);
    return verify(text, &shelf, WALL);
}

static void a_diversion_leads_from_its_callee_to_another(void **state)
{
    struct vouch_verdict verdict =
        diverted("sip:carol@example.net", "sip:bob@example.com", "sip:carol@example.net");

    (void)state;
    assert_int_equal(verdict.kind, VERDICT_PROVEN);
    assert_true(verdict.leads_here);
    verdict = diverted("sip:dave@example.net", "sip:bob@example.com", "sip:carol@example.net");
    assert_int_equal(verdict.kind, VERDICT_PROVEN);
    assert_false(verdict.leads_here);
    verdict = diverted("sip:carol@example.net", "sip:eve@example.com", "sip:carol@example.net");
    assert_false(verdict.leads_here);
    verdict = diverted("sip:bob@example.com", "sip:bob@example.com", "sip:carol@example.net");
    assert_true(verdict.leads_here);
}

int main(void)
{
    RUN(cmocka_unit_test(a_request_is_dated_signed_and_proven),
        cmocka_unit_test(a_date_that_is_there_is_kept), cmocka_unit_test(nobody_vouches_for_others),
        cmocka_unit_test(a_date_that_is_off_is_not_signed),
        cmocka_unit_test(what_cannot_be_read_is_not_signed),
        cmocka_unit_test(a_number_may_be_called),
        cmocka_unit_test(what_was_changed_on_the_way_is_refused),
        cmocka_unit_test(changes_that_mean_nothing_are_no_fault),
        cmocka_unit_test(an_old_one_is_stale_and_fetches_nothing),
        cmocka_unit_test(the_certificate_is_waited_for_and_judged),
        cmocka_unit_test(a_certificate_that_cannot_be_had_safely_is_not_asked_for),
        cmocka_unit_test(without_a_known_field_there_is_nothing_to_say),
        cmocka_unit_test(one_proof_is_enough),
        cmocka_unit_test(a_diversion_leads_from_its_callee_to_another),
        cmocka_unit_test(the_compact_form_is_proven_by_the_request));
}
