/*
 * Whom a certificate is of: its names, as core/identity wants them, and whether it is meant for SIP
 * (RFC 5922 7.1, RFC 5924).
 */
#pragma once

#include "core/identity.h"

#include <openssl/x509v3.h>

struct subject {
    GENERAL_NAMES *alternatives;    /* its own */
    struct certificate_names names; /* borrowed from that and the certificate */
};

void subject_read(struct subject *subject, const X509 *certificate);
void subject_free(struct subject *subject);

/* A certificate without purposes is for all; else it must be for SIP (RFC 5924) or TLS. */
bool subject_is_for_sip(const X509 *certificate);
