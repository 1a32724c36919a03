#include "shell/chain.h"

#include "core/identity.h"
#include "shell/certificate.h"
#include "shell/es256.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define CHAIN_LIMIT 8      /* certificates from the domain's to a CA */
#define DOMAINS_ROOM 4096u /* bytes of the domains that a certificate names */

/* The certificates of a PEM file, in order, or the one that is there in DER. */
static STACK_OF(X509) * read_certificates(struct slice bytes)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *pem = BIO_new_mem_buf(bytes.at, (int)bytes.len);
    const unsigned char *der = (const unsigned char *)bytes.at;
    X509 *one;

    while (all && pem && sk_X509_num(all) < CHAIN_LIMIT &&
           (one = PEM_read_bio_X509(pem, NULL, NULL, (void *)"")))
        sk_X509_push(all, one);
    if (all && !sk_X509_num(all) && (one = d2i_X509(NULL, &der, (long)bytes.len)))
        sk_X509_push(all, one);
    BIO_free(pem);
    ERR_clear_error();
    return all;
}

static bool is_trusted(X509_STORE *store, X509 *certificate, STACK_OF(X509) * chain)
{
    X509_STORE_CTX *judging = X509_STORE_CTX_new();
    bool ok = judging && store && X509_STORE_CTX_init(judging, store, certificate, chain) == 1 &&
              X509_STORE_CTX_set_purpose(judging, X509_PURPOSE_ANY) == 1;

    if (ok)
        X509_STORE_CTX_set_depth(judging, CHAIN_LIMIT);
    ok = ok && X509_verify_cert(judging) == 1;
    X509_STORE_CTX_free(judging);
    ERR_clear_error();
    return ok;
}

static bool names_domain(X509 *certificate, struct slice domain)
{
    char text[DOMAINS_ROOM];
    struct writer w = writer_over(text, sizeof text);

    certificate_write_domains(certificate, &w);
    return identity_is_among(writer_slice(&w), domain);
}

void chain_judge(struct slice bytes, struct slice domain, X509_STORE *store,
                 struct certificate *found)
{
    STACK_OF(X509) *all = read_certificates(bytes);
    X509 *first = all ? sk_X509_value(all, 0) : NULL;
    EVP_PKEY *key = first ? X509_get0_pubkey(first) : NULL;

    found->state = CERTIFICATE_UNSUPPORTED;
    if (key && es256_point(key, found->point) && names_domain(first, domain) &&
        is_trusted(store, first, all) &&
        certificate_times(first, &found->not_before, &found->not_after))
        found->state = CERTIFICATE_GOOD;
    sk_X509_pop_free(all, X509_free);
    ERR_clear_error();
}
