/*
 * Our certificates and their keys, and the CAs that others are verified by.
 *
 * All are PEM files, and a key lies behind its certificates or in a file of its own:
 *
 *     STATE/certs/DOMAIN.pem       for those who ask for that name (RFC 6066 3), DOMAIN.key its key
 *     certfile, keyfile of <stack>, else STATE/certs/REALM.pem   for all others
 *     STATE/certs/self-signed.pem  made where there is neither
 *
 * One set is loaded whole or not at all.
 */
#pragma once

#include "config/report.h"

#include <limits.h>
#include <openssl/ssl.h>

#define CERTS_NAMED 256u /* domains with a certificate of their own */

struct certs_plan {
    const char *state_path;
    struct slice realm;
    struct slice certfile, keyfile; /* configured, or empty */
    struct slice authfile;          /* CAs beside those of the system; or empty */
};

struct named_certificate {
    struct slice name;
    SSL_CTX *context;
};

struct certs {
    SSL_CTX *server; /* with the certificate for all names that have none of their own */
    SSL_CTX *client;
    struct named_certificate named[CERTS_NAMED];
    unsigned named_count;
    bool is_made;               /* a self-signed one was made just now */
    char self_signed[PATH_MAX]; /* its file, where it is the one in use; else empty */
};

/* NULL if there is a fault; it is in the report.  May be called on any thread. */
struct certs *certs_load(const struct certs_plan *plan, struct report *report);

/* Connections that began with them keep what they need. */
void certs_free(struct certs *certs);
