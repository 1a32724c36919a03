#include "unit.h"

#include "sip/fingerprint.h"

/* RFC 8225 5.2.2. */
#define FIRST                                                                                      \
    "02:1A:CC:54:27:AB:EB:9C:53:3F:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1:7A:03:A2:7D:F9:B0:7F:46:"   \
    "19:B2"
#define SECOND                                                                                     \
    "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:42:CD:"   \
    "54:F1"

#define SESSION "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"

static void they_are_found_in_the_session_and_its_media(void **state)
{
    struct fingerprints list;

    (void)state;
    assert_true(fingerprints_read(S(SESSION "a=fingerprint:sha-256 " SECOND "\r\n"
                                            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
                                            "a=fingerprint:sha-256 " FIRST "\r\n"
                                            "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
                                            "a=fingerprint:SHA-256 " FIRST "\r\n"
                                            "a=fingerprint:sha-1 AB:cd"),
                                  &list));
    assert_int_equal(list.count, 3);
    assert_slice(list.at[0].algorithm, "sha-1");
    assert_slice(list.at[0].digest, "AB:cd");
    assert_slice(list.at[1].digest, FIRST);
    assert_slice(list.at[2].digest, SECOND);
}

static void a_session_without_them_has_none(void **state)
{
    struct fingerprints list;

    (void)state;
    assert_true(fingerprints_read(S(SESSION "m=audio 9 RTP/AVP 0\r\na=fingerprints:x\r\n"), &list));
    assert_int_equal(list.count, 0);
    assert_true(fingerprints_read(S(""), &list));
    assert_int_equal(list.count, 0);
}

static void whatever_a_phone_takes_for_one_is_one(void **state)
{
    struct fingerprints list;

    (void)state;
    assert_true(
        fingerprints_read(S("v=0\ra=Fingerprint:sha-256  ab:cd \nA=FINGERPRINT:sha-1 01"), &list));
    assert_int_equal(list.count, 2);
}

static void they_are_equal_but_for_case_and_colons(void **state)
{
    struct fingerprints a = {.count = 0}, b = {.count = 0};

    (void)state;
    assert_true(fingerprints_add(&a, S("sha-256"), S("AB:01")));
    assert_true(fingerprints_add(&a, S("sha-256"), S("0A:FF")));
    assert_true(fingerprints_add(&b, S("SHA-256"), S("0aff")));
    assert_false(fingerprints_equal(&a, &b));
    assert_true(fingerprints_add(&b, S("sha-256"), S("ab01")));
    assert_true(fingerprints_equal(&a, &b));
    assert_true(fingerprints_add(&b, S("sha-256"), S("AB01")));
    assert_true(fingerprints_equal(&a, &b));
    b.at[0].digest = S("0AFE");
    assert_false(fingerprints_equal(&a, &b));
}

static void what_is_no_fingerprint_is_refused(void **state)
{
    static const char *const bad[] = {
        "a=fingerprint:",
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-256 ",
        "a=fingerprint:sha-256 A",
        "a=fingerprint:sha-256 ABC",
        "a=fingerprint:sha-256 AB:",
        "a=fingerprint:sha-256 AG",
        "a=fingerprint:sha-256 AB:C",
        "a=fingerprint:sha-256 AB:CDEF",
        "a=fingerprint: AB",
        "a=fingerprint:sha(256) AB:CD",
        "a=fingerprint:sha-256 AB CD",
        "a=fingerprint:sha-256 ABCD:EF",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct fingerprints list;
        if (fingerprints_read(slice_text(bad[i]), &list))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void there_is_an_end_to_them(void **state)
{
    static const char digits[] = "0123456789ABCDEF";
    struct fingerprints list = {.count = 0};
    char longest[2 * FINGERPRINT_BYTES + 2];

    (void)state;
    memset(longest, 'A', sizeof longest);
    assert_true(fingerprints_add(&list, S("sha-512"), slice_of(longest, sizeof longest - 2)));
    assert_false(fingerprints_add(&list, S("sha-512"), slice_of(longest, sizeof longest)));
    for (unsigned i = 1; i < FINGERPRINTS_LIMIT; i++)
        assert_true(fingerprints_add(&list, S("sha-1"), slice_of(digits + i - 1, 2)));
    assert_int_equal(list.count, FINGERPRINTS_LIMIT);
    assert_true(fingerprints_add(&list, S("sha-1"), S("01")));
    assert_false(fingerprints_add(&list, S("sha-1"), S("77")));
}

int main(void)
{
    RUN(cmocka_unit_test(they_are_found_in_the_session_and_its_media),
        cmocka_unit_test(a_session_without_them_has_none),
        cmocka_unit_test(whatever_a_phone_takes_for_one_is_one),
        cmocka_unit_test(they_are_equal_but_for_case_and_colons),
        cmocka_unit_test(what_is_no_fingerprint_is_refused),
        cmocka_unit_test(there_is_an_end_to_them));
}
