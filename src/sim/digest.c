#include "sim/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

static void hash_parts(const EVP_MD *type, const struct slice *parts, unsigned count, uint8_t *out)
{
    static EVP_MD_CTX *context;
    bool is_done;

    if (!context)
        context = EVP_MD_CTX_new();
    is_done = context && EVP_DigestInit_ex(context, type, NULL);
    for (unsigned i = 0; is_done && i < count; i++)
        is_done = EVP_DigestUpdate(context, parts[i].at, parts[i].len);
    if (!is_done || !EVP_DigestFinal_ex(context, out, NULL))
        abort();
}

static void md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    static EVP_MD *type;

    if (!type)
        type = EVP_MD_fetch(NULL, "MD5", NULL);
    hash_parts(type, parts, count, out);
}

static void sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    static EVP_MD *type;

    if (!type)
        type = EVP_MD_fetch(NULL, "SHA256", NULL);
    hash_parts(type, parts, count, out);
}

const struct digest_table sim_digests = {{[ALGORITHM_MD5] = md5, [ALGORITHM_SHA256] = sha256}};
