#include "unit.h"

#include "base/base64.h"
#include "shell/es256.h"

#include <openssl/ec.h>
#include <openssl/pem.h>

/* RFC 7515 A.3. */
#define X_7515 "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y_7515 "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define TEXT_7515                                                                                  \
    "eyJhbGciOiJFUzI1NiJ9."                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"   \
    "VlfQ"
#define SIGNATURE_7515                                                                             \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

/* RFC 8946 3 and appendix A. */
#define PUBLIC_8946                                                                                \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzGM1VsO+3IqbMF54rQMaYKQftO4\n"                           \
    "hUYm9wv5wutLgEd9FsiTy3+4+Wa2O7pffOXPC0QzO+yD8hGEXGP/2mZo6w==\n"                               \
    "-----END PUBLIC KEY-----\n"
#define TEXT_8946                                                                                  \
    "eyJhbGciOiJFUzI1NiIsInBwdCI6ImRpdiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly93d3cuZXhhbX"   \
    "BsZS5jb20vY2VydC5jZXIifQ."                                                                    \
    "eyJkZXN0Ijp7InRuIjpbIjEyMTU1NTUxMjE0Il19LCJkaXYiOnsidG4iOiIxMjE1NTU1NTEyMTMifSwiaWF0IjoxND"   \
    "QzMjA4MzQ1LCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0"
#define SIGNATURE_8946                                                                             \
    "xBHWipDEEJ8a6TsdX6xUXAnblsFiGUiAxwLiv0HLC9IICj6eG9jQd6WzeSSjHRBwxmChHhVIiMTSqIlk3yCNkg"

static void decode(const char *text, uint8_t *out, size_t size)
{
    struct writer w = writer_over((char *)out, size);

    assert_true(base64url_decode(&w, slice_text(text)));
    assert_int_equal(w.len, size);
}

static void read_point(const char *pem, uint8_t *point)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

    assert_true(es256_point(key, point));
    EVP_PKEY_free(key);
    BIO_free(bio);
}

static bool verifies(const uint8_t *point, const char *text, const char *encoded)
{
    uint8_t signature[ES256_SIGNATURE];

    decode(encoded, signature, sizeof signature);
    return es256_openssl.verify(point, slice_text(text), signature);
}

/* That of RFC 8225 appendix A is by neither of the keys beside it. */
static void signatures_of_the_rfcs_are_verified(void **state)
{
    uint8_t point[ES256_POINT] = {4};

    (void)state;
    decode(X_7515, point + 1, 32);
    decode(Y_7515, point + 33, 32);
    assert_true(verifies(point, TEXT_7515, SIGNATURE_7515));
    assert_false(verifies(point, TEXT_8946, SIGNATURE_7515));
    read_point(PUBLIC_8946, point);
    assert_true(verifies(point, TEXT_8946, SIGNATURE_8946));
    assert_false(verifies(point, TEXT_7515, SIGNATURE_7515));
}

static void what_is_signed_is_verified(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t signature[ES256_SIGNATURE], point[ES256_POINT];

    (void)state;
    assert_true(es256_point(key, point));
    for (unsigned i = 0; i < 200; i++) { /* some begin with a zero */
        char text[8];
        struct writer w = writer_over(text, sizeof text);
        write_number(&w, i);
        assert_true(es256_openssl.sign(key, writer_slice(&w), signature));
        assert_true(es256_openssl.verify(point, writer_slice(&w), signature));
        signature[i % ES256_SIGNATURE] ^= 1;
        assert_false(es256_openssl.verify(point, writer_slice(&w), signature));
    }
    EVP_PKEY_free(key);
}

static void nonsense_is_no_signature(void **state)
{
    uint8_t point[ES256_POINT], signature[ES256_SIGNATURE] = {0};

    (void)state;
    read_point(PUBLIC_8946, point);
    assert_false(es256_openssl.verify(point, S(""), signature));
    memset(signature, 0xff, sizeof signature);
    assert_false(es256_openssl.verify(point, S(""), signature));
    decode(SIGNATURE_8946, signature, sizeof signature);
    point[ES256_POINT - 1] ^= 1; /* no point of the curve */
    assert_false(es256_openssl.verify(point, S(TEXT_8946), signature));
    memset(point, 0, sizeof point);
    assert_false(es256_openssl.verify(point, S(TEXT_8946), signature));
}

static void keys_of_other_kinds_are_none(void **state)
{
    EVP_PKEY *other[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
                         EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    uint8_t point[ES256_POINT];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(other); i++) {
        assert_non_null(other[i]);
        assert_false(es256_point(other[i], point));
        EVP_PKEY_free(other[i]);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(signatures_of_the_rfcs_are_verified),
        cmocka_unit_test(what_is_signed_is_verified), cmocka_unit_test(nonsense_is_no_signature),
        cmocka_unit_test(keys_of_other_kinds_are_none));
}
