#include "unit.h"

#include "sip/challenge.h"

#include <openssl/evp.h>

static void digest_with(const EVP_MD *md, const struct slice *parts, unsigned count, uint8_t *out)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    assert_true(EVP_DigestInit_ex(context, md, NULL));
    for (unsigned i = 0; i < count; i++)
        assert_true(EVP_DigestUpdate(context, parts[i].at, parts[i].len));
    assert_true(EVP_DigestFinal_ex(context, out, NULL));
    EVP_MD_CTX_free(context);
}

static void md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    digest_with(EVP_md5(), parts, count, out);
}

static void sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    digest_with(EVP_sha256(), parts, count, out);
}

static const struct digest_table digests = {{[ALGORITHM_MD5] = md5, [ALGORITHM_SHA256] = sha256}};

#define NONCE "dcd98b7102dd2f0e8b11d0f600bfb0c093"
#define MD5_HEX "6629fae49393a05397450978507c4ef1"
#define SHA256_HEX "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
#define REQUIRED                                                                                   \
    "username=\"bob\", realm=\"biloxi.com\", nonce=\"n\", uri=\"sip:biloxi.com\", "                \
    "response=\"" MD5_HEX "\""

/* RFC 2617 3.5. */
#define MUFASA                                                                                     \
    "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"" NONCE "\", "              \
    "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "                        \
    "response=\"" MD5_HEX "\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""

/* RFC 7616 3.9.1. */
#define CIRCLE(algorithm, response)                                                                \
    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "       \
    "algorithm=" algorithm ", "                                                                    \
    "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "                        \
    "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "                          \
    "response=\"" response "\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""

static struct credentials parsed(const char *text)
{
    struct credentials c;

    if (!credentials_parse(slice_text(text), &c))
        fail_msg("refused: %s", text);
    return c;
}

static bool is_valid(const char *text)
{
    struct credentials c;

    return credentials_parse(slice_text(text), &c);
}

/* Whether the response in the credentials is that of a user who knows the password. */
static bool proves(const char *text, const char *password, const char *method, const char *body)
{
    struct credentials c = parsed(text);
    uint8_t ha1[DIGEST_LIMIT];
    char hex[2 * DIGEST_LIMIT];

    digest_ha1(&digests, c.algorithm, c.username, c.realm, slice_text(password), ha1);
    digest_response(&digests, &c, ha1, slice_text(method), slice_text(body), hex);
    return digest_equal(c.response, slice_of(hex, 2 * digest_size(c.algorithm)));
}

static void credentials_fall_into_their_parts(void **state)
{
    struct credentials c = parsed(MUFASA);

    (void)state;
    assert_slice(c.username, "Mufasa");
    assert_slice(c.realm, "testrealm@host.com");
    assert_slice(c.nonce, NONCE);
    assert_slice(c.uri, "/dir/index.html");
    assert_slice(c.response, MD5_HEX);
    assert_slice(c.cnonce, "0a4f113b");
    assert_slice(c.opaque, "5ccc069c403ebaf9f0171e9517f40e41");
    assert_slice(c.qop, "auth");
    assert_slice(c.nc_text, "00000001");
    assert_int_equal(c.nc, 1);
    assert_int_equal(c.algorithm, ALGORITHM_MD5);
}

static void what_is_absent_shows(void **state)
{
    struct credentials c = parsed("Digest " REQUIRED);

    (void)state;
    assert_null(c.cnonce.at);
    assert_null(c.opaque.at);
    assert_null(c.qop.at);
    assert_null(c.nc_text.at);
    assert_int_equal(c.nc, 0);
    assert_int_equal(c.algorithm, ALGORITHM_MD5);
}

static void the_examples_of_the_rfcs_prove_the_password(void **state)
{
    (void)state;
    assert_true(proves(MUFASA, "Circle Of Life", "GET", ""));
    assert_true(
        proves(CIRCLE("MD5", "8ca523f5e9506fed4657c9700eebdbec"), "Circle of Life", "GET", ""));
    assert_true(proves(CIRCLE("SHA-256", SHA256_HEX), "Circle of Life", "GET", ""));
    assert_false(proves(MUFASA, "Circle of Life", "GET", ""));
    assert_false(proves(MUFASA, "Circle Of Life", "INVITE", ""));
}

static void without_qop_the_response_is_that_of_rfc_2069(void **state)
{
    (void)state;
    assert_true(proves("Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"" NONCE
                       "\", uri=\"/dir/index.html\", response=\"1949323746fe6a43ef61f9606e7febea\"",
                       "CircleOfLife", "GET", ""));
    assert_true(proves("Digest username=\"bob\", realm=\"atlanta.example.com\", "
                       "nonce=\"ea9c8e88df84f1cec4341ae6cbe5a359\", opaque=\"\", "
                       "uri=\"sips:ss2.biloxi.example.com\", "
                       "response=\"b5f508175c6cccc6f0600285b4391fbf\"",
                       "zanzibar", "REGISTER", ""));
}

static void auth_int_covers_the_body(void **state)
{
    static const char text[] =
        "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"" NONCE "\", "
        "uri=\"sip:biloxi.com\", qop=auth-int, nc=00000001, cnonce=\"0a4f113b\", "
        "algorithm=SHA-256, "
        "response=\"36ba2f6e54ec92aaffb7babad9d9d6eac56cb1de8626a7c7b889a19120505eae\"";
    static const char no_body[] =
        "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"" NONCE "\", "
        "uri=\"sip:biloxi.com\", qop=auth-int, nc=00000001, cnonce=\"0a4f113b\", "
        "response=\"21b30cb3720f1d6f22eba30b35c52265\"";

    (void)state;
    assert_true(proves(text, "zanzibar", "REGISTER", "v=0\r\n"));
    assert_false(proves(text, "zanzibar", "REGISTER", "v=1\r\n"));
    assert_true(proves(no_body, "zanzibar", "REGISTER", ""));
}

static void ha1_is_the_hash_of_user_realm_and_password(void **state)
{
    uint8_t ha1[DIGEST_LIMIT], wanted[16];

    (void)state;
    assert_true(hex_decode(S("939e7578ed9e3c518a452acee763bce9"), wanted, sizeof wanted));
    digest_ha1(&digests, ALGORITHM_MD5, S("Mufasa"), S("testrealm@host.com"), S("Circle Of Life"),
               ha1);
    assert_memory_equal(ha1, wanted, sizeof wanted);
}

static void white_space_may_be_odd_and_case_is_ignored(void **state)
{
    struct credentials c =
        parsed("  dIGEST\r\n \t USERNAME = \"bob\"\r\n , Realm=\r\n \"r\",nonce=\"n\" ,uri=\"u\","
               "  RESPONSE=\"" MD5_HEX "\" , algorithm = md5 ");

    (void)state;
    assert_slice(c.username, "bob");
    assert_slice(c.realm, "r");
    assert_int_equal(c.algorithm, ALGORITHM_MD5);
}

static void tokens_may_be_quoted_and_order_is_free(void **state)
{
    struct credentials c = parsed("Digest response=\"" SHA256_HEX
                                  "\", algorithm=\"SHA-256\", nc=\"0000ABcd\", qop=\"auth\", "
                                  "cnonce=\"c\", uri=\"u\", nonce=\"\", realm=\"\", username=\"\"");

    (void)state;
    assert_int_equal(c.algorithm, ALGORITHM_SHA256);
    assert_int_equal(c.nc, 0xabcd);
    assert_slice(c.nc_text, "0000ABcd");
    assert_slice(c.qop, "auth");
    assert_non_null(c.nonce.at);
}

static void unknown_parameters_are_ignored(void **state)
{
    (void)state;
    assert_true(is_valid("Digest x=y, " REQUIRED ", userhash=false, x=\"a,b\\\"=\", x=1"));
}

/* RFC 4475 3.3.7; a phone that knows a newer algorithm must not be taken for a broken one. */
static void unknown_algorithms_are_told_from_unknown_schemes(void **state)
{
    (void)state;
    assert_false(is_valid("NoOneKnowsThisScheme opaque-data=here"));
    assert_false(is_valid("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert_int_equal(parsed("Digest " REQUIRED ", algorithm=SHA-512-256").algorithm,
                     ALGORITHM_OTHER);
    assert_int_equal(parsed("Digest " REQUIRED ", algorithm=MD5-sess").algorithm, ALGORITHM_OTHER);
}

static void quotes_keep_their_escapes_until_undone(void **state)
{
    struct credentials c =
        parsed("Digest username=\"a\\\"b\\\\\", realm=\"r\", nonce=\"n\", uri=\"u\", "
               "response=\"" MD5_HEX "\"");
    char at[4];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    assert_slice(c.username, "a\\\"b\\\\");
    quoted_unescape(&w, c.username);
    assert_slice(writer_slice(&w), "a\"b\\");
    assert_false(w.failed);
    quoted_unescape(&w, c.username);
    assert_true(w.failed);
}

static void broken_credentials_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Digest",
        "Digest ",
        "Digest" REQUIRED,
        "Digest\r\n" REQUIRED,
        "DigestX " REQUIRED,
        "Digest ," REQUIRED,
        "Digest " REQUIRED ",",
        "Digest " REQUIRED ",,x=y",
        "Digest " REQUIRED " x=y",
        "Digest " REQUIRED ", x",
        "Digest " REQUIRED ", x=",
        "Digest " REQUIRED ", =y",
        "Digest " REQUIRED ", x=\"y",
        "Digest " REQUIRED ", x=\"y\"z",
        "Digest " REQUIRED ", realm=\"r\"",
        "Digest " REQUIRED ", opaque=x",
        "Digest " REQUIRED ", nc=0000001",
        "Digest " REQUIRED ", nc=000000001",
        "Digest " REQUIRED ", nc=0000000g",
        "Digest " REQUIRED ", nc=00000001, nc=00000001",
        "Digest " REQUIRED ", algorithm=SHA-256",
        "Digest " REQUIRED ", algorithm=MD5, algorithm=MD5",
        "Digest " REQUIRED ", qop=auth",
        "Digest " REQUIRED ", qop=auth, nc=00000001",
        "Digest " REQUIRED ", qop=auth, cnonce=\"c\"",
        "Digest " REQUIRED ", qop=\"\", cnonce=\"c\", nc=00000001",
        "Digest username=bob, realm=\"r\", nonce=\"n\", uri=\"u\", response=\"" MD5_HEX "\"",
        "Digest username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"\"",
        "Digest username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"" MD5_HEX "00\"",
        "Digest username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", "
        "response=\"g629fae49393a05397450978507c4ef1\"",
        "Digest realm=\"r\", nonce=\"n\", uri=\"u\", response=\"" MD5_HEX "\"",
        "Digest username=\"b\", nonce=\"n\", uri=\"u\", response=\"" MD5_HEX "\"",
        "Digest username=\"b\", realm=\"r\", uri=\"u\", response=\"" MD5_HEX "\"",
        "Digest username=\"b\", realm=\"r\", nonce=\"n\", response=\"" MD5_HEX "\"",
        "Digest username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\"",
        "Digest username=\"b\x01\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"" MD5_HEX "\""};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (is_valid(bad[i]))
            fail_msg("accepted: %s", bad[i]);
}

static void digests_are_equal_but_for_the_case_of_hex(void **state)
{
    (void)state;
    assert_true(digest_equal(S("09afAF"), S("09AFaf")));
    assert_false(digest_equal(S("09af"), S("09ae")));
    assert_false(digest_equal(S("0"), S("\x10")));
    assert_false(digest_equal(S("g"), S("G")));
    assert_false(digest_equal(S("a"), S("!")));
    assert_false(digest_equal(S("@"), S("`")));
    assert_false(digest_equal(S("09af"), S("09a")));
    assert_true(digest_equal(S(""), NO_SLICE));
}

static void algorithms_have_names_and_sizes(void **state)
{
    (void)state;
    assert_slice(algorithm_name(ALGORITHM_MD5), "MD5");
    assert_int_equal(digest_size(ALGORITHM_MD5), 16);
    assert_slice(algorithm_name(ALGORITHM_SHA256), "SHA-256");
    assert_int_equal(digest_size(ALGORITHM_SHA256), DIGEST_LIMIT);
}

static void mutilated_credentials_stay_within_bounds(void **state)
{
    static const char letters[] = "=,\"\\ \t\r\n0az";
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        char text[sizeof MUFASA];
        size_t len = sizeof text - 1;
        struct credentials c;
        memcpy(text, MUFASA, sizeof text);
        for (uint64_t changes = draw_below(&seed, 3); changes > 0; changes--)
            text[draw_below(&seed, len)] = letters[draw_below(&seed, sizeof letters - 1)];
        if (draw_below(&seed, 2))
            len = draw_below(&seed, len);
        if (!credentials_parse(slice_of(text, len), &c))
            continue;
        assert_true(c.response.at >= text && c.response.at + c.response.len <= text + len);
        assert_true(c.nonce.at >= text && c.nonce.at + c.nonce.len <= text + len);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(credentials_fall_into_their_parts), cmocka_unit_test(what_is_absent_shows),
        cmocka_unit_test(the_examples_of_the_rfcs_prove_the_password),
        cmocka_unit_test(without_qop_the_response_is_that_of_rfc_2069),
        cmocka_unit_test(auth_int_covers_the_body),
        cmocka_unit_test(ha1_is_the_hash_of_user_realm_and_password),
        cmocka_unit_test(white_space_may_be_odd_and_case_is_ignored),
        cmocka_unit_test(tokens_may_be_quoted_and_order_is_free),
        cmocka_unit_test(unknown_parameters_are_ignored),
        cmocka_unit_test(unknown_algorithms_are_told_from_unknown_schemes),
        cmocka_unit_test(quotes_keep_their_escapes_until_undone),
        cmocka_unit_test(broken_credentials_are_refused),
        cmocka_unit_test(digests_are_equal_but_for_the_case_of_hex),
        cmocka_unit_test(algorithms_have_names_and_sizes),
        cmocka_unit_test(mutilated_credentials_stay_within_bounds));
}
