#include "programs/shake.h"

#include "shell/subject.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>

/* Names as OpenSSL takes them. */
static bool copy_name(char *text, size_t room, struct slice name)
{
    snprintf(text, room, "%.*s", (int)name.len, name.at);
    return name.len && name.len < room;
}

static bool add_records(struct shake *shake, const struct peer_plan *plan, const char *domain)
{
    char server[SHAKE_TEXT];

    if (!copy_name(server, sizeof server, plan->server) || SSL_dane_enable(shake->ssl, server) != 1)
        return false;
    SSL_dane_set_flags(shake->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_add1_host(shake->ssl, domain);
    for (unsigned i = 0; i < plan->tlsa_count; i++) {
        const struct tlsa *tlsa = &plan->tlsa[i];
        SSL_dane_tlsa_add(shake->ssl, tlsa->usage, tlsa->selector, tlsa->matching,
                          (const unsigned char *)tlsa->data.at, tlsa->data.len);
    }
    return true;
}

bool shake_begin(struct shake *shake, int descriptor, const struct peer_plan *plan)
{
    char domain[SHAKE_TEXT];

    *shake = (struct shake){.context = SSL_CTX_new(TLS_client_method())};
    if (!shake->context || !copy_name(domain, sizeof domain, plan->domain))
        return false;
    SSL_CTX_set_min_proto_version(shake->context, TLS1_2_VERSION);
    SSL_CTX_set_default_verify_paths(shake->context);
    if (plan->tlsa_count)
        SSL_CTX_dane_enable(shake->context);
    shake->ssl = SSL_new(shake->context);
    if (!shake->ssl || SSL_set_fd(shake->ssl, descriptor) != 1)
        return false;
    SSL_set_connect_state(shake->ssl);
    if (plan->tlsa_count)
        return add_records(shake, plan, domain);
    return SSL_set_tlsext_host_name(shake->ssl, domain) == 1;
}

enum shake_step shake_go_on(struct shake *shake)
{
    int result;
    unsigned long error;

    ERR_clear_error();
    result = SSL_do_handshake(shake->ssl);
    if (result == 1)
        return SHAKE_DONE;
    switch (SSL_get_error(shake->ssl, result)) {
    case SSL_ERROR_WANT_READ: return SHAKE_WANTS_READ;
    case SSL_ERROR_WANT_WRITE: return SHAKE_WANTS_WRITE;
    default: break;
    }
    error = ERR_peek_error();
    shake->why = error ? ERR_reason_error_string(error) : NULL;
    if (!shake->why)
        shake->why = "it ends the connection";
    return SHAKE_FAILED;
}

void shake_end(struct shake *shake)
{
    SSL_free(shake->ssl);
    SSL_CTX_free(shake->context);
    *shake = (struct shake){NULL};
}

bool shake_is_by_dane(const struct shake *shake)
{
    return SSL_get0_dane_authority(shake->ssl, NULL, NULL) >= 0 &&
           SSL_get_verify_result(shake->ssl) == X509_V_OK;
}

/* ---- the certificate */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* Whether a CA vouches for it, dates and names aside. */
static int judge(const struct shake *shake, X509 *certificate)
{
    X509_STORE_CTX *judging = X509_STORE_CTX_new();
    int verdict = X509_V_ERR_OUT_OF_MEM;

    if (judging && X509_STORE_CTX_init(judging, SSL_CTX_get_cert_store(shake->context), certificate,
                                       SSL_get_peer_cert_chain(shake->ssl)) == 1) {
        X509_STORE_CTX_set_flags(judging, X509_V_FLAG_NO_CHECK_TIME);
        X509_verify_cert(judging);
        verdict = X509_STORE_CTX_get_error(judging);
    }
    X509_STORE_CTX_free(judging);
    return verdict;
}

static void write_issuer(const X509 *certificate, char text[SHAKE_TEXT])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int len = 0;

    if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
        len = BIO_read(bio, text, SHAKE_TEXT - 1);
    text[len > 0 ? len : 0] = '\0';
    BIO_free(bio);
}

static void write_key_hash(const X509 *certificate, char text[64 + 1])
{
    unsigned char hash[SHA256_DIGEST_LENGTH], *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    text[0] = '\0';
    if (len > 0 && SHA256(der, (size_t)len, hash))
        for (unsigned i = 0; i < sizeof hash; i++)
            snprintf(text + 2 * i, 3, "%02x", hash[i]);
    OPENSSL_free(der);
}

bool shake_look(const struct shake *shake, struct slice domain, struct shown *shown)
{
    X509 *certificate = SSL_get0_peer_certificate(shake->ssl);
    struct subject subject;
    int verdict;

    if (!certificate)
        return false;
    verdict = judge(shake, certificate);
    subject_read(&subject, certificate);
    *shown = (struct shown){
        .from = seconds_of(X509_get0_notBefore(certificate)),
        .until = seconds_of(X509_get0_notAfter(certificate)),
        .names_domain = identity_proves(&subject.names, domain),
        .is_for_sip = subject_is_for_sip(certificate),
        .is_self_signed = verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        .doubt = verdict == X509_V_OK ? NULL : X509_verify_cert_error_string(verdict),
    };
    subject_free(&subject);
    write_issuer(certificate, shown->issuer);
    write_key_hash(certificate, shown->key_hash);
    return true;
}
