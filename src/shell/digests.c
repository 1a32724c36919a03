/* OpenSSL 3 calls these functions deprecated, but through EVP a digest of one block costs 50 ns
 * more (a provider's context is fetched, cleared and given back), and needs a context from the
 * heap. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "shell/digests.h"

#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

static void hash_md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    MD5_CTX context;

    MD5_Init(&context);
    for (unsigned i = 0; i < count; i++)
        MD5_Update(&context, parts[i].at, parts[i].len);
    MD5_Final(out, &context);
    OPENSSL_cleanse(&context, sizeof context);
}

static void hash_sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    SHA256_CTX context;

    SHA256_Init(&context);
    for (unsigned i = 0; i < count; i++)
        SHA256_Update(&context, parts[i].at, parts[i].len);
    SHA256_Final(out, &context);
    OPENSSL_cleanse(&context, sizeof context);
}

const struct digest_table digests_openssl = {
    .hash = {[ALGORITHM_MD5] = hash_md5, [ALGORITHM_SHA256] = hash_sha256},
};

void digests_sha1(struct slice bytes, uint8_t sum[20])
{
    SHA1((const unsigned char *)bytes.at, bytes.len, sum);
}
