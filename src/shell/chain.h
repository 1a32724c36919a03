/*
 * What was fetched as another domain's certificate, and whether it counts: bytes of anybody.
 */
#pragma once

#include "core/vouch.h"

#include <openssl/x509.h>

/* Judges a chain in PEM, the domain's own certificate first, or that one alone in DER.  It is good
 * if a CA that the store trusts says that it is the domain's, now, and it has a key that can be
 * checked by; else unsupported. */
void chain_judge(struct slice bytes, struct slice domain, X509_STORE *store,
                 struct certificate *found);
