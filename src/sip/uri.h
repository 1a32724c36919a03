/*
 * SIP and SIPS URIs (RFC 3261 19.1) as slices of their text; other schemes are kept opaque.
 */
#pragma once

#include "base/address.h"

enum scheme {
    SCHEME_SIP,
    SCHEME_SIPS,
    SCHEME_TEL,
    SCHEME_OTHER,
};

struct uri {
    enum scheme scheme;
    struct slice text;     /* all of it */
    struct slice user;     /* with escapes, without password; at == NULL if there is no '@' */
    struct slice password; /* at == NULL if there is none */
    struct slice host;     /* an IPv6 reference keeps its brackets */
    uint32_t port;         /* 0 = none */
    struct slice params;   /* from the first ';' to '?' */
    struct slice headers;  /* past the '?' */
};

/* False if it breaks the grammar of sip: and sips:.  Of other schemes only the scheme's own name
 * is checked, and only text and scheme are set (a tel: number is in user). */
bool uri_parse(struct slice text, struct uri *uri);

/* Equivalence as in 19.1.4. */
bool uri_equal(const struct uri *a, const struct uri *b);

/* The value of a URI parameter (name without case); `value` is empty for a flag.  False if it is
 * not there. */
bool uri_param(const struct uri *uri, struct slice name, struct slice *value);

/* Writes text with its %-escapes decoded; fails on a bad escape or %00. */
void uri_unescape(struct writer *w, struct slice text);

/* Writes text as the user part of a URI, with escapes where the grammar wants them. */
void uri_escape(struct writer *w, struct slice text);

/* Two texts are the same once their escapes are decoded; case counts. */
bool uri_text_equal(struct slice a, struct slice b);

/* Takes ";name=value" off the front of a parameter list; false at its end or if it is malformed
 * (then `rest` is left where it stopped, not empty).  Values may be quoted strings or, for header
 * parameters, host literals. White space around ; and = is allowed, folds too. */
bool param_next(struct slice *rest, struct slice *name, struct slice *value);

/* The value of one parameter of a list; false if it is not there. */
bool param_find(struct slice params, struct slice name, struct slice *value);

/* A host name, IPv4 address or IPv6 reference by the grammar of 25.1. */
bool host_valid(struct slice host);
