#include "unit.h"

#include "base/base64.h"
#include "sip/passport.h"

#define INFO "https://cert.example.org/passport.cer"

/* RFC 8225 appendix A. */
#define HEADER                                                                                     \
    "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3"   \
    "Nwb3J0LmNlciJ9"
#define PAYLOAD                                                                                    \
    "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6ey"   \
    "J0biI6IjEyMTU1NTUxMjEyIn19"

/* RFC 8946 3. */
#define DIV_HEADER                                                                                 \
    "eyJhbGciOiJFUzI1NiIsInBwdCI6ImRpdiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly93d3cuZXhhbX"   \
    "BsZS5jb20vY2VydC5jZXIifQ"
#define DIV_PAYLOAD                                                                                \
    "eyJkZXN0Ijp7InRuIjpbIjEyMTU1NTUxMjE0Il19LCJkaXYiOnsidG4iOiIxMjE1NTU1NTEyMTMifSwiaWF0IjoxND"   \
    "QzMjA4MzQ1LCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0"

static const struct passport example = {
    .info = S(INFO),
    .orig = {true, S("12155551212")},
    .dest = {{false, S("sip:alice@example.com")}},
    .dest_count = 1,
    .iat = 1471375418,
};

static struct passport_text decoded;

static void assert_written(const struct passport *passport, const char *wanted)
{
    char at[PASSPORT_SIGNED];
    struct writer w = writer_over(at, sizeof at);

    passport_write(&w, passport);
    assert_false(w.failed);
    assert_slice(writer_slice(&w), wanted);
}

/* Header and claims as JSON. */
static bool reads(const char *header, const char *payload, struct passport *passport)
{
    char at[2 * PASSPORT_SIGNED];
    struct writer h = writer_over(at, sizeof at / 2);
    struct writer p = writer_over(at + sizeof at / 2, sizeof at / 2);

    write_base64url(&h, slice_text(header));
    write_base64url(&p, slice_text(payload));
    return passport_read(writer_slice(&h), writer_slice(&p), &decoded, passport);
}

static void the_example_of_the_rfc_is_written_byte_by_byte(void **state)
{
    (void)state;
    assert_written(&example, HEADER "." PAYLOAD);
}

static void the_example_of_the_rfc_is_read(void **state)
{
    struct passport p;

    (void)state;
    assert_true(passport_read(S(HEADER), S(PAYLOAD), &decoded, &p));
    assert_slice(p.info, INFO);
    assert_int_equal(p.type.len, 0);
    assert_int_equal(p.iat, 1471375418);
    assert_true(passport_same_name(&p.orig, &example.orig));
    assert_int_equal(p.dest_count, 1);
    assert_true(passport_same_name(&p.dest[0], &example.dest[0]));
    assert_int_equal(p.keys.count, 0);
}

static void a_diverted_call_says_where_it_came_from(void **state)
{
    struct passport p, diverted = {
                           .info = S("https://www.example.com/cert.cer"),
                           .type = S("div"),
                           .orig = {true, S("12155551212")},
                           .dest = {{true, S("12155551214")}},
                           .dest_count = 1,
                           .div = {true, S("121555551213")},
                           .iat = 1443208345,
                       };

    (void)state;
    assert_written(&diverted, DIV_HEADER "." DIV_PAYLOAD);
    assert_true(passport_read(S(DIV_HEADER), S(DIV_PAYLOAD), &decoded, &p));
    assert_slice(p.type, "div");
    assert_true(passport_same_name(&p.div, &diverted.div));
}

/* RFC 8225 5.2.2 and 9.1. */
static void media_keys_are_sorted_and_have_no_colons(void **state)
{
    static const char payload[] =
        "{\"dest\":{\"uri\":[\"sip:alice@example.com\"]},\"iat\":1443208345,\"mky\":[{\"alg\":"
        "\"sha-256\",\"dig\":\"021ACC5427ABEB9C533F3E4B652E7D463F5442CD54F17A03A27DF9B07F4619B2\"},"
        "{\"alg\":\"sha-256\",\"dig\":\"4AADB9B13F82183B540212DF3E5D496B19E57CAB3E4B652E7D463F5442"
        "CD54F1\"}],\"orig\":{\"tn\":\"12155551212\"}}";
    struct passport keyed = example, p;
    char at[PASSPORT_SIGNED];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    assert_true(fingerprints_read(
        S("a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:"
          "65:2E:7D:46:3F:54:42:CD:54:F1\r\n"
          "a=fingerprint:sha-256 02:1A:CC:54:27:AB:EB:9C:53:3F:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1:"
          "7A:03:A2:7D:F9:B0:7F:46:19:B2\r\n"),
        &keyed.keys));
    keyed.iat = 1443208345;
    write_slice(&w, S(HEADER "."));
    write_base64url(&w, slice_text(payload));
    at[w.len] = 0;
    assert_written(&keyed, at);
    assert_true(
        passport_read(S(HEADER), slice_from(writer_slice(&w), sizeof HEADER), &decoded, &p));
    assert_true(fingerprints_equal(&p.keys, &keyed.keys));
}

#define HEAD "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a/b\"}"
#define CLAIMS(more)                                                                               \
    "{" more "\"dest\":{\"uri\":[\"sip:a@b\"]},\"iat\":1,\"orig\":{\"uri\":\"sip:c@d\"}}"

static void order_white_space_escapes_and_other_claims_are_no_fault(void **state)
{
    struct passport p;

    (void)state;
    assert_true(
        reads(" { \"x5u\" : \"https:\\/\\/a\\/b\" , \"typ\":\"passport\",\"alg\":\"ES256\"}",
              "{\"orig\":{\"uri\":\"sip:c\\u0040d\"}, \"attest\":[{}], \"iat\":1,"
              "\"dest\":{\"uri\":[\"sip:a@b\",\"sip:x@y\"],\"tn\":[\"1\"]}}",
              &p));
    assert_slice(p.info, "https://a/b");
    assert_slice(p.orig.text, "sip:c@d");
    assert_int_equal(p.dest_count, 3);
    assert_true(p.dest[0].is_number);
    assert_slice(p.dest[2].text, "sip:x@y");
    assert_true(reads("{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"u\"}",
                      CLAIMS(""), &p));
    assert_slice(p.type, "shaken");
}

static void headers_that_lack_anything_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"alg\":\"ES256\",\"typ\":\"passport\"}",
        "{\"alg\":\"ES256\",\"x5u\":\"u\"}",
        "{\"typ\":\"passport\",\"x5u\":\"u\"}",
        "{\"alg\":\"none\",\"typ\":\"passport\",\"x5u\":\"u\"}",
        "{\"alg\":\"HS256\",\"typ\":\"passport\",\"x5u\":\"u\"}",
        "{\"alg\":\"ES256\",\"alg\":\"none\",\"typ\":\"passport\",\"x5u\":\"u\"}",
        "{\"alg\":\"ES256\",\"typ\":\"jwt\",\"x5u\":\"u\"}",
        "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"\"}",
        "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":7}",
        "{\"alg\":\"ES256\",\"crit\":[\"x\"],\"typ\":\"passport\",\"x5u\":\"u\"}",
        "{\"alg\":\"ES256\",\"ppt\":1,\"typ\":\"passport\",\"x5u\":\"u\"}",
        "[]",
        "",
    };
    struct passport p;

    (void)state;
    assert_true(reads(HEAD, CLAIMS(""), &p));
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (reads(bad[i], CLAIMS(""), &p))
            fail_msg("accepted: %s", bad[i]);
}

#define DEST "\"dest\":{\"uri\":[\"sip:a@b\"]},"
#define ORIG "\"orig\":{\"uri\":\"sip:c@d\"}}"

static void claims_that_lack_anything_are_refused(void **state)
{
    static const char *const bad[] = {
        "{" DEST ORIG,
        "{\"iat\":1," ORIG,
        "{" DEST "\"iat\":1}",
        "{" DEST "\"iat\":\"1\"," ORIG, /* as in the example of RFC 8224 4.1.1 */
        "{" DEST "\"iat\":1.5," ORIG,
        "{" DEST "\"iat\":-1," ORIG,
        "{" DEST "\"iat\":9223372036854775808," ORIG,
        "{" DEST "\"iat\":1,\"orig\":{}}",
        "{" DEST "\"iat\":1,\"orig\":{\"uri\":[\"sip:c@d\"]}}",
        "{" DEST "\"iat\":1,\"orig\":{\"uri\":\"sip:c@d\",\"tn\":\"1\"}}",
        "{" DEST "\"iat\":1,\"orig\":{\"uri\":\"\"}}",
        "{" DEST "\"iat\":1,\"orig\":{\"uri\":\"sip:e@f\"}," ORIG,
        "{\"dest\":{\"uri\":\"sip:a@b\"},\"iat\":1," ORIG,
        "{\"dest\":{\"uri\":[]},\"iat\":1," ORIG,
        "{\"dest\":{\"uri\":[1]},\"iat\":1," ORIG,
        "{\"dest\":{\"uri\":[\"1\",\"2\",\"3\",\"4\",\"5\"]},\"iat\":1," ORIG,
        CLAIMS("\"mky\":[],"),
        CLAIMS("\"mky\":{},"),
        CLAIMS("\"mky\":[{\"alg\":\"sha-256\"}],"),
        CLAIMS("\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"xy\"}],"),
        CLAIMS("\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"AB\"}],\"mky\":[],"),
    };
    struct passport p;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (reads(HEAD, bad[i], &p))
            fail_msg("accepted: %s", bad[i]);
}

static void a_diversion_without_its_claim_is_refused(void **state)
{
    static const char head[] =
        "{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\",\"x5u\":\"u\"}";
    struct passport p;

    (void)state;
    assert_false(reads(head, CLAIMS(""), &p));
    assert_true(reads(head, CLAIMS("\"div\":{\"uri\":\"sip:x@y\"},"), &p));
    assert_false(reads(head, CLAIMS("\"div\":{\"uri\":\"sip:x@y\"},\"opt\":\"a.b.c\","), &p));
}

static void what_cannot_be_signed_is_not_written(void **state)
{
    static char name[PASSPORT_NAME + 1];
    char at[PASSPORT_SIGNED];
    struct passport bad[6];

    (void)state;
    memset(name, 'a', sizeof name);
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        bad[i] = example;
    bad[0].orig.text = S("");
    bad[1].orig.text = slice_of(name, sizeof name);
    bad[2].dest[0].text = S("sip:\xff@b");
    bad[3].dest_count = 2;
    bad[4].info = NO_SLICE;
    bad[5].type = S("div");
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct writer w = writer_over(at, sizeof at);
        passport_write(&w, &bad[i]);
        assert_true(w.failed);
    }
}

static void the_longest_fits(void **state)
{
    static char name[PASSPORT_NAME], digests[FINGERPRINTS_LIMIT][2 * FINGERPRINT_BYTES];
    char at[PASSPORT_SIGNED];
    struct writer w = writer_over(at, sizeof at);
    struct passport longest = example, p;
    size_t dot;

    (void)state;
    memset(name, 'a', sizeof name);
    longest.info = longest.orig.text = longest.dest[0].text = longest.div.text =
        slice_of(name, sizeof name);
    longest.type = S("div");
    longest.iat = INT64_MAX;
    for (unsigned i = 0; i < FINGERPRINTS_LIMIT; i++) {
        memset(digests[i], "0123456789ABCDEF"[i], sizeof digests[i]);
        assert_true(fingerprints_add(&longest.keys, S("sha-512-of-some-kind"),
                                     slice_of(digests[i], sizeof digests[i])));
    }
    passport_write(&w, &longest);
    assert_false(w.failed);
    dot = slice_find(writer_slice(&w), '.');
    assert_true(passport_read(slice_until(writer_slice(&w), dot),
                              slice_from(writer_slice(&w), dot + 1), &decoded, &p));
    assert_true(fingerprints_equal(&p.keys, &longest.keys));
}

static void assert_canonical(const char *text, const char *wanted)
{
    struct uri uri;
    char at[128];
    struct writer w = writer_over(at, sizeof at);

    assert_true(uri_parse(slice_text(text), &uri));
    assert_true(passport_write_uri(&w, &uri));
    assert_slice(writer_slice(&w), wanted);
}

/* RFC 8224 8.5. */
static void uris_have_one_canonical_form(void **state)
{
    struct uri uri;
    char at[8];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    assert_canonical("sip:alice@example.com", "sip:alice@example.com");
    assert_canonical("SIP:Alice:secret@EXAMPLE.com:5070;transport=tcp?subject=x",
                     "sip:alice@example.com");
    assert_canonical("sips:%61l%69%63e@[2001:DB8::1]", "sips:alice@[2001:db8::1]");
    assert_canonical("sip:a%3ab%2F%5f@b", "sip:a%3Ab%2F_@b");
    assert_canonical("sip:%41@b", "sip:a@b");
    assert_true(uri_parse(S("sip:example.com"), &uri));
    assert_false(passport_write_uri(&w, &uri));
    assert_true(uri_parse(S("tel:+12155551212"), &uri));
    assert_false(passport_write_uri(&w, &uri));
    assert_true(uri_parse(S("sip:alice@example.com"), &uri));
    assert_false(passport_write_uri(&w, &uri));
}

static void numbers_are_told_from_names(void **state)
{
    static const struct {
        const char *text;
        bool is_number;
    } uris[] = {
        {"sip:+12155551212@example.com", true},
        {"sip:12155551212@example.com;user=phone", true},
        {"sip:12155551212@example.com;user=Phone", true},
        {"tel:911", true},
        {"sip:201@example.com", false},
        {"sip:alice@example.com;user=ip", false},
        {"sip:example.com", false},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(uris); i++) {
        struct uri uri;
        assert_true(uri_parse(slice_text(uris[i].text), &uri));
        assert_int_equal(passport_is_number(&uri), uris[i].is_number);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(the_example_of_the_rfc_is_written_byte_by_byte),
        cmocka_unit_test(the_example_of_the_rfc_is_read),
        cmocka_unit_test(a_diverted_call_says_where_it_came_from),
        cmocka_unit_test(media_keys_are_sorted_and_have_no_colons),
        cmocka_unit_test(order_white_space_escapes_and_other_claims_are_no_fault),
        cmocka_unit_test(headers_that_lack_anything_are_refused),
        cmocka_unit_test(claims_that_lack_anything_are_refused),
        cmocka_unit_test(a_diversion_without_its_claim_is_refused),
        cmocka_unit_test(what_cannot_be_signed_is_not_written), cmocka_unit_test(the_longest_fits),
        cmocka_unit_test(uris_have_one_canonical_form),
        cmocka_unit_test(numbers_are_told_from_names));
}
