#include "shell/es256.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#define DER_LIMIT 72 /* bytes of a signature: two integers of 33 bytes, and their headers */

/* R and S, each filled up with zeros, out of the form that OpenSSL writes. */
static bool from_der(const uint8_t *der, size_t len, uint8_t *signature)
{
    ECDSA_SIG *both = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = both && BN_bn2binpad(ECDSA_SIG_get0_r(both), signature, ES256_SIGNATURE / 2) > 0 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(both), signature + ES256_SIGNATURE / 2,
                           ES256_SIGNATURE / 2) > 0;

    ECDSA_SIG_free(both);
    return ok;
}

/* Length of the DER form; 0 on failure. */
static size_t to_der(const uint8_t *signature, uint8_t *der)
{
    ECDSA_SIG *both = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, ES256_SIGNATURE / 2, NULL);
    BIGNUM *s = BN_bin2bn(signature + ES256_SIGNATURE / 2, ES256_SIGNATURE / 2, NULL);
    int len = 0;

    if (both && r && s && ECDSA_SIG_set0(both, r, s) == 1)
        len = i2d_ECDSA_SIG(both, &der);
    else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(both);
    return len > 0 ? (size_t)len : 0;
}

static bool sign(const void *key, struct slice text, uint8_t *signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *private = (EVP_PKEY *)(uintptr_t)key; /* only counted */
    uint8_t der[DER_LIMIT];
    size_t len = sizeof der;
    bool ok = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, private) == 1 &&
              EVP_DigestSign(context, der, &len, (const uint8_t *)text.at, text.len) == 1 &&
              from_der(der, len, signature);

    EVP_MD_CTX_free(context);
    return ok;
}

/* NULL if it is no point of the curve. */
static EVP_PKEY *public_key(const uint8_t *point)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){SN_X9_62_prime256v1},
                                         0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point,
                                          ES256_POINT),
        OSSL_PARAM_construct_end(),
    };

    if (context && EVP_PKEY_fromdata_init(context) == 1)
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    EVP_PKEY_CTX_free(context);
    return key;
}

static bool verify(const uint8_t *point, struct slice text, const uint8_t *signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *key = public_key(point);
    uint8_t der[DER_LIMIT];
    size_t len = to_der(signature, der);
    bool ok = context && key && len &&
              EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(context, der, len, (const uint8_t *)text.at, text.len) == 1;

    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return ok;
}

const struct es256_table es256_openssl = {.sign = sign, .verify = verify};

/* As TLS encodes it: not compressed, whatever form the key has. */
bool es256_point(const EVP_PKEY *key, uint8_t *point)
{
    char group[32];
    unsigned char *encoded = NULL;
    size_t len;
    bool ok = EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                             &len) == 1 &&
              slice_equal(slice_text(group), S(SN_X9_62_prime256v1)) &&
              EVP_PKEY_get1_encoded_public_key((EVP_PKEY *)(uintptr_t)key, &encoded) == ES256_POINT;

    if (ok)
        memcpy(point, encoded, ES256_POINT);
    OPENSSL_free(encoded);
    return ok;
}
