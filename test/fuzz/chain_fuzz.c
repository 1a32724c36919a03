/*
 * chain_judge, and what a certificate says of itself.  An input is what somebody has put where a
 * signature says that a domain's certificate is.
 *
 * Without a CA nothing counts.  With the input itself as one, what counts has a point of the curve
 * and a time in which it is valid.
 */
#include "fuzz.h"

#include "base/cursor.h"
#include "core/identity.h"
#include "shell/certificate.h"
#include "shell/chain.h"

#include <openssl/pem.h>

#define DOMAIN S("example.com")

/* A store that trusts the first certificate of the input, if it has one. */
static X509_STORE *trusting(struct slice bytes)
{
    X509_STORE *store = X509_STORE_new();
    BIO *pem = BIO_new_mem_buf(bytes.at, (int)bytes.len);
    X509 *first = pem ? PEM_read_bio_X509(pem, NULL, NULL, (void *)"") : NULL;

    assert(store);
    if (first)
        X509_STORE_add_cert(store, first);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    X509_free(first);
    BIO_free(pem);
    return store;
}

static void check_names(struct slice bytes)
{
    BIO *pem = BIO_new_mem_buf(bytes.at, (int)bytes.len);
    X509 *first = pem ? PEM_read_bio_X509(pem, NULL, NULL, (void *)"") : NULL;
    char text[512];
    struct writer w = writer_over(text, sizeof text);
    int64_t from, to;

    if (first) {
        certificate_write_domains(first, &w);
        assert(!w.failed && (!w.len || text[w.len - 1] == '\n'));
        assert(!identity_is_among(writer_slice(&w), S("*.example.com")));
        certificate_times(first, &from, &to);
    }
    X509_free(first);
    BIO_free(pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static X509_STORE *nobody;
    struct slice bytes = fuzz_input(data, size);
    struct certificate found = {.state = CERTIFICATE_UNKNOWN};
    X509_STORE *store = trusting(bytes);

    if (!nobody)
        nobody = X509_STORE_new();
    chain_judge(bytes, DOMAIN, nobody, &found);
    assert(found.state == CERTIFICATE_UNSUPPORTED);
    chain_judge(bytes, DOMAIN, store, &found);
    assert(found.state == CERTIFICATE_UNSUPPORTED ||
           (found.state == CERTIFICATE_GOOD && found.point[0] == 4 &&
            found.not_before <= found.not_after));
    check_names(bytes);
    X509_STORE_free(store);
    return 0;
}
