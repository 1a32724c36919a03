#include "shell/vouchers.h"

#include "core/identity.h"
#include "shell/certificate.h"
#include "shell/es256.h"
#include "sip/upgrade.h"
#include "sip/uri.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#define DOMAINS_ROOM 4096u /* bytes of the names of one certificate */
#define VOUCHERS_LIMIT 256u

struct vouchers {
    struct voucher at[VOUCHERS_LIMIT];
    EVP_PKEY *keys[VOUCHERS_LIMIT];
    unsigned count;
};

static const SSL_CTX *context_for(const struct certs *certs, struct slice domain, bool *is_named)
{
    *is_named = true;
    for (unsigned i = 0; i < certs->named_count; i++)
        if (slice_equal_nocase(certs->named[i].name, domain))
            return certs->named[i].context;
    *is_named = false;
    return certs->server;
}

static bool names_domain(X509 *certificate, struct slice domain)
{
    char text[DOMAINS_ROOM];
    struct writer w = writer_over(text, sizeof text);

    certificate_write_domains(certificate, &w);
    return identity_is_among(writer_slice(&w), domain);
}

static char *copy_lower(struct slice text)
{
    char *copy = strndup(text.at, text.len);

    for (size_t i = 0; copy && i < text.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return copy;
}

/* Where the certificate of a domain is. */
static char *make_info(const struct vouchers_plan *plan, const char *domain, bool is_named)
{
    char text[PASSPORT_NAME];

    if (plan->info.len && !is_named)
        return strndup(plan->info.at, plan->info.len);
    snprintf(text, sizeof text, "https://%s:%u" UPGRADE_CERTIFICATE, domain, plan->port);
    return strdup(text);
}

static bool keep_names(struct voucher *voucher, const struct vouchers_plan *plan,
                       struct slice domain, bool is_named)
{
    char *name = copy_lower(domain);
    char *info = name ? make_info(plan, name, is_named) : NULL;

    if (!info) {
        free(name);
        return false;
    }
    voucher->domain = slice_text(name);
    voucher->info = slice_text(info);
    return true;
}

/* Why it is not signed for; NULL if it is. */
static const char *add(struct vouchers *vouchers, const SSL_CTX *context, struct slice domain,
                       const struct vouchers_plan *plan, bool is_named)
{
    struct voucher *voucher = &vouchers->at[vouchers->count];
    EVP_PKEY *key = SSL_CTX_get0_privatekey(context);
    X509 *certificate = SSL_CTX_get0_certificate(context);
    uint8_t point[ES256_POINT];

    if (!es256_point(key, point))
        return "its key is none of the curve P-256, by which alone identities are signed; have one "
               "certified that openssl ecparam -name prime256v1 -genkey makes";
    if (!plan->port && !(plan->info.len && !is_named))
        return "nothing is listened on by wss, where others could fetch it; write the URI where "
               "they can into identity";
    if (!certificate_times(certificate, &voucher->not_before, &voucher->not_after))
        return "its dates cannot be read; renew it";
    if (!keep_names(voucher, plan, domain, is_named))
        return "there is no memory";
    EVP_PKEY_up_ref(key);
    voucher->key = vouchers->keys[vouchers->count++] = key;
    return NULL;
}

static bool is_domain(struct slice name)
{
    struct address_bytes address;

    return host_valid(name) && !host_numeric(name, &address);
}

/* Signs for a domain, if its certificate names it. */
static void consider(struct vouchers *vouchers, const struct certs *certs,
                     const struct vouchers_plan *plan, struct slice domain, bool is_wanted,
                     struct report *report)
{
    bool is_named;
    const SSL_CTX *context = context_for(certs, domain, &is_named);
    const char *why = NULL;

    if (!is_domain(domain) || vouchers->count == VOUCHERS_LIMIT)
        return;
    if (!is_named && certs->self_signed[0])
        why = "the certificate is of our own making, and others would refuse what it signs; have "
              "one made by a CA";
    else if (names_domain(SSL_CTX_get0_certificate(context), domain))
        why = add(vouchers, context, domain, plan, is_named);
    else if (is_wanted)
        why = "the certificate does not name it; have one made that does";
    if (why)
        report_warning(report, (struct place){0}, "identities of %.*s are not signed: %s",
                       (int)domain.len, domain.at, why);
}

struct vouchers *vouchers_make(const struct certs *certs, const struct vouchers_plan *plan,
                               struct report *report)
{
    struct vouchers *vouchers = calloc(1, sizeof *vouchers);

    if (!vouchers)
        return NULL;
    consider(vouchers, certs, plan, plan->realm, true, report);
    for (unsigned i = 0; i < plan->name_count; i++)
        if (!slice_equal_nocase(plan->names[i], plan->realm) && !certs->self_signed[0])
            consider(vouchers, certs, plan, plan->names[i], false, report);
    return vouchers;
}

void vouchers_free(struct vouchers *vouchers)
{
    for (unsigned i = 0; vouchers && i < vouchers->count; i++) {
        EVP_PKEY_free(vouchers->keys[i]);
        free((void *)(uintptr_t)vouchers->at[i].domain.at);
        free((void *)(uintptr_t)vouchers->at[i].info.at);
    }
    free(vouchers);
}

const struct voucher *vouchers_at(const struct vouchers *vouchers, unsigned *count)
{
    *count = vouchers->count;
    return vouchers->at;
}
