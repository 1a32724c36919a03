/*
 * A request on its way down the path: the message and what the stages found out about it.  Lives
 * for one step.
 */
#pragma once

#include "core/cookie.h"
#include "core/state.h"
#include "sip/address.h"

/* Where a request may go: filled by find_target_set, in order of preference. */
struct target_set {
    struct target at[BRANCH_LIMIT];
    unsigned count;
    struct slice uris[BRANCH_LIMIT];  /* empty: the Request-URI stays */
    struct slice paths[BRANCH_LIMIT]; /* Route values on the way there (RFC 3327) */
};

struct request {
    struct message message;
    struct flow flow;      /* by which it came */
    struct via via;        /* the topmost */
    struct slice via_rest; /* what stands behind it in its field */
    struct uri uri;        /* the Request-URI; valid if uri_is_valid */
    bool uri_is_valid;
    struct cseq cseq;
    struct address from, to; /* uri.len == 0 where the grammar is broken */
    struct slice call_id, from_tag, to_tag;
    struct hash128 key; /* of its server transaction, once request_key was called */

    uint32_t max_forwards;
    uint32_t max_breadth;
    unsigned own_routes;        /* Route values at the front that are ours */
    struct slice foreign_route; /* URI of one behind them that is not, or empty */
    bool next_is_strict;        /* that one has no `lr`: it wants to be the Request-URI */
    bool is_strict;             /* a strict router put our Route into the Request-URI (16.4) */
    enum cookie_direction direction;
    struct cookie cookie;
    struct user *sender; /* authenticated; NULL for a stranger */
    unsigned access;     /* bits of enum access, of its source */
    uint8_t proof;       /* bits of enum caller_proof: what is known of who begins something */
    bool is_counted;     /* its source was, before it waited for its proof (core/claims) */
    bool is_repeated;    /* an exact copy of a request that was authenticated before */
    uint64_t caller;     /* binding by whose flow it came; 0 = none */
    struct target_set targets;
    bool has_unfit_target; /* there was one that only sips: may reach, or only sip: */
    struct handle dialog;  /* that it is part of, if the observer knows it */
    struct hash128 merge;  /* of what merged requests share, once context_is_merged was called */
    struct moment now;
    const struct why *why; /* who is told each step of a rehearsal (core/why.h); else NULL */
};

/* Reads what every stage needs.  Where a header is missing or broken its part is empty. */
void request_read(struct request *req, const struct flow *flow);

/* Max-Forwards, and Max-Breadth (RFC 5393); what is said of neither stays as it is. */
struct fault request_limits(struct request *req);

/* 16.4: Route values at the front that name us come off; the first of them holds the cookie, unless
 * a strict router has it in the Request-URI: then the last value goes there in its place. */
struct fault request_routes(const struct core *core, struct request *req);

/* The key of its server transaction (17.2.3). */
void request_key(const struct core *core, struct request *req);

static inline struct slice request_header(const struct request *req, enum header header)
{
    return message_first(&req->message, header);
}

/* The host is one of our names, whatever the port: who claims to be one of ours at such an address
 * must prove it. */
bool host_is_claimed(const struct core *core, struct slice host);
/* They are those of a socket. */
bool host_is_socket(const struct core *core, struct slice host, uint32_t port);
/* Its sent-by is what we write, or did: a socket's, or the public address with a socket's port. */
bool via_is_own(const struct core *core, const struct via *via);
/* The host and port are one of ours: realm, local name or socket. */
bool host_is_local(const struct core *core, struct slice host, uint32_t port);
/* 16.4, 16.5: the Request-URI is of this domain, and no maddr leads elsewhere. */
bool request_is_ours(const struct core *core, const struct request *req);
/* The user part is not looked at. */
bool uri_is_local(const struct core *core, const struct uri *uri);
/* 16.4: a value that we put into a route; perhaps by an address that has gone since. */
bool route_is_own(const struct core *core, const struct uri *uri);
