/*
 * The SIP domains that a certificate names (RFC 5922 7.1, 7.2).
 *
 * URIs of the form sip:DOMAIN count; only where there are none, host names do; only where it has no
 * alternative names at all, its common name.  There are no wildcards, and where DNS led makes no
 * difference: the name is the one that was asked for.
 */
#pragma once

#include "base/cursor.h"

#define IDENTITY_NAMES 128u /* of each kind that are looked at; public CAs allow 100 */

/* What a certificate says of its subject; borrowed. */
struct certificate_names {
    struct slice uris[IDENTITY_NAMES], hosts[IDENTITY_NAMES]; /* alternative names */
    unsigned uri_count, host_count;
    bool has_alternatives; /* of any kind */
    struct slice common;   /* the common name, or empty */
};

/* It names that domain. */
bool identity_proves(const struct certificate_names *names, struct slice domain);

/* Writes the domains it names, in lower case, a line each; those without room are left out. */
void identity_write(struct writer *w, const struct certificate_names *names);

/* One of the lines is that domain; case does not count. */
bool identity_is_among(struct slice lines, struct slice domain);
