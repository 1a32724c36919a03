/*
 * The servers of a branch whose next hop is named (RFC 3263): lookups under way, what they ask of
 * DNS and how long that is waited for, and the places that they find, in the order in which they
 * are tried.
 *
 * A lookup belongs to a client transaction: one that waits for its first place, or one that was
 * sent to a place and may have to be sent to the next.  It ends with it, or once the server there
 * takes care of the request.  The core never waits by looking again: EVENT_DNS names the lookup.
 */
#pragma once

#include "core/oddity.h"
#include "core/resolve.h"
#include "core/state.h"

/* What becomes of a branch whose domain's server does not prove to be that (RFC 7673 4), and of one
 * that cannot. */
#define FAULT_UNPROVEN ((struct fault){502, "Server Does Not Prove To Be That Domain"})
#define FAULT_BARRED ((struct fault){502, "That Domain Must Prove Itself By TLS"})
#define FAULT_UNPROVABLE ((struct fault){502, "No TLSA Records Prove That Domain"})

/* And of one to a domain that has proven itself (core/policy) and now shows no server of TLS:
 * somebody on the way may hide it. */
#define FAULT_WITHHELD                                                                             \
    ((struct fault){502, "That Domain Has Proven Itself By TLS, And Has None Now"})

/* What has been met, for the simulator. */
enum locate_sight {
    SIGHT_NONE,
    SIGHT_PLACE,     /* a place was found */
    SIGHT_NEXT,      /* and another after it */
    SIGHT_ASIDE,     /* one with a penalty, put aside */
    SIGHT_HURRY,     /* one family of addresses was not waited for */
    SIGHT_LATE,      /* an answer was not waited for any longer */
    SIGHT_GONE,      /* an answer came to a lookup that is no more */
    SIGHT_SECLUDED,  /* a place that its caller may not be led to */
    SIGHT_NOTHING,   /* no place: there is none, */
    SIGHT_FAILED,    /* nobody can tell, */
    SIGHT_FORGED,    /* or somebody forged it */
    SIGHT_BOUND,     /* a place whose certificate must match TLSA records */
    SIGHT_RIVAL,     /* a stream to one address was not waited for alone, */
    SIGHT_PREFERRED, /* and was the better one */
    SIGHT_COUNT,
};

size_t locate_bytes(const struct limits *limits);
void locate_init(struct core *core, struct arena *from);

/* There is one more lookup to be had, by a request that begins something or by one of a dialog. */
bool locate_has_room(const struct core *core, bool is_new);

/* What is looked for. */
struct locate_aim {
    const struct uri *uri;
    enum seclusion widest;    /* how far from everyone a place may be */
    const struct flow *tried; /* a place that failed already, or NULL */
    const struct flow *only;  /* the one place that will do, or NULL: its TLSA records are sought */
    bool is_secure;           /* by TLS, whatever the URI says, */
    bool is_dane;             /* and with TLSA records */
};

/* Begins one for a branch.  False if there is no room. */
bool locate_begin(struct core *core, struct client_transaction *client,
                  const struct locate_aim *aim, instant now);

/* The domain that is looked for; the lookup's. */
struct slice locate_domain(const struct core *core, const struct client_transaction *client);

/* It looks, or has looked, for one place alone. */
bool locate_is_narrow(const struct core *core, const struct client_transaction *client);

/* The server at the place given last. */
struct locate_server {
    struct slice name; /* as DNS names it; empty if nothing did; the lookup's */
    bool is_bound;     /* it has TLSA records, one of which it must match */
};
struct locate_server locate_given(const struct core *core, const struct client_transaction *client);

/* The next place, or whether to wait for one: until locate_due.  Asks what there is to be asked.
 */
enum resolve_result locate_next(struct core *core, struct client_transaction *client,
                                struct flow *flow, instant now, struct actions *out);

/* The branch is sent there: unless it hears something soon, the next place is due. */
void locate_tried(struct core *core, const struct client_transaction *client,
                  const struct flow *place, instant now);

/* That was held until now: the next place is due as late as if it were tried only now. */
void locate_sent(struct core *core, const struct client_transaction *client, instant now);

/* What the server at the place tried last must prove, if it is at that flow; else nothing is known
 * of it. */
void locate_demand(const struct core *core, const struct client_transaction *client,
                   const struct flow *place, struct peer_plan *plan);

/* Another address of the server tried last can be tried beside it. */
bool locate_has_sibling(struct core *core, const struct client_transaction *client, instant now);

/* The same, or there may soon be one, or one is tried already. */
bool locate_may_race(struct core *core, const struct client_transaction *client, instant now);

/* The branch waits for its stream: after a while another address of the same server is due. */
void locate_stagger(struct core *core, const struct client_transaction *client, instant now);

/* No other server is tried yet. */
bool locate_is_patient(const struct core *core, const struct client_transaction *client,
                       instant now);

/* A place whose stream does not stand yet, nor has failed, and the transaction that waits for it,
 * if that still does, beside the one which has the lookup. */
struct locate_rival {
    struct handle client;
    struct flow place;
    uint8_t target; /* what is demanded there (resolve_demand) */
    bool has_tlsa;
};

/* The place tried last becomes one.  There must be room: another had a sibling. */
void locate_add_rival(struct core *core, const struct client_transaction *client,
                      const struct client_transaction *rival);

/* Takes one out; false if there is none. */
bool locate_take_rival(struct core *core, const struct client_transaction *client,
                       struct locate_rival *rival);

/* One that was taken out is the place tried last. */
void locate_prefer(struct core *core, const struct client_transaction *client,
                   const struct locate_rival *rival);

/* A rival's place is the one tried last, and that a rival.  False if it is none. */
bool locate_swap_rival(struct core *core, const struct client_transaction *client,
                       const struct client_transaction *rival);

/* The place tried last failed: what counts if there is no other. */
void locate_failed(struct core *core, const struct client_transaction *client, unsigned status);

/* Something was heard: there is no hurry any more. */
void locate_calm(struct core *core, const struct client_transaction *client);

/* When its branch is to be woken, unless an answer does so; NEVER without a lookup. */
instant locate_due(const struct core *core, const struct client_transaction *client);

/* That instant may have come: true if it has, and locate_next may tell more than before. */
bool locate_expire(struct core *core, const struct client_transaction *client, instant now);

/* Asks what a lookup wants to know; `name` is that of its questions, whose lowest 16 bits are its
 * own.  The highest bit is left to others (core/claims).  The last one's type; 0: it wants to know
 * nothing. */
unsigned locate_ask(struct resolve *resolve, uint64_t name, struct actions *out);

/* EVENT_DNS: the branch to be woken, or NULL. */
struct client_transaction *locate_tell(struct core *core, uint64_t question,
                                       const struct dns_answer *answer);

/* DNS names no server of TLS for a domain that has proven itself (FAULT_WITHHELD). */
bool locate_is_withheld(const struct core *core, const struct client_transaction *client);

/* Why there is no place, or what became of the last. */
struct fault locate_fault(const struct core *core, const struct client_transaction *client);

/* Hands the lookup on to another transaction, and ends it. */
void locate_move(struct core *core, struct client_transaction *from, struct client_transaction *to);
void locate_end(struct core *core, struct client_transaction *client);
