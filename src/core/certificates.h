/*
 * The certificates of other domains, by which signed requests are checked (RFC 8224 6.2): each as
 * the shell fetched it, for an hour, and the requests that wait for one.
 *
 * A request that waits has been answered nothing and promised nothing.  Its transaction absorbs
 * copies and can be cancelled; when the certificate is there, or is not to be had, the request goes
 * on down its path as if it had just come (core/proxy).
 *
 * Memory is a table of fixed size.  What is bad goes before what is good, so that strangers cannot
 * drive the certificates out by which others are known.
 */
#pragma once

#include "core/oddity.h"
#include "core/request.h"
#include "core/vouch.h"

/* Whose certificate is looked for, and what was found; for certificates_look. */
struct certificate_search {
    struct core *core;
    enum seclusion widest;           /* how far from everyone its place may be */
    struct kept_certificate *relied; /* on which the verdict relies, or NULL */
    struct hash128 wanted;           /* the first that is not known, if has_wanted; */
    struct slice info;               /* its place, and */
    char domain[NAME_LIMIT + 1];     /* whom it is to speak for */
    bool has_wanted;
};

size_t certificates_bytes(void);
void certificates_init(struct core *core, struct arena *from);

/* A certificate_function; `self` is a struct certificate_search. */
struct certificate certificates_look(void *self, struct slice info, struct slice domain);

/* A verdict relied on it, and refused: true if it was fetched long enough ago to have been replaced
 * since.  Then it is forgotten. */
bool certificates_forget(struct core *core, struct kept_certificate *kept);

/* Has the request of a context, or the response that it keeps, wait for what is wanted, and asks
 * for that unless it is asked for already.  NULL: nobody waits.  False if there is no room. */
bool certificates_await(struct core *core, const struct certificate_search *search,
                        struct context *context, struct actions *out);

/* EVENT_CERTIFICATE, and the timer of one: what waits for it goes on, one request in a step. */
void certificates_tell(struct core *core, uint64_t question, const struct certificate *found,
                       struct moment now, struct actions *out);
void certificates_expire(struct core *core, struct kept_certificate *kept, struct moment now,
                         struct actions *out);
