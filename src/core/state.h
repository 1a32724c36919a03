/*
 * The core's memory: everything it remembers between two steps, for the modules of src/core only.
 *
 * Three lives: texts of a transaction, a binding or a dialog lie in blocks of the slab and belong
 * to it; the message of a step belongs to the shell; settings belong to src/config.
 */
#pragma once

#include "base/pool.h"
#include "base/random.h"
#include "base/slab.h"
#include "base/table.h"
#include "base/timers.h"
#include "core/core.h"
#include "core/ctrans.h"
#include "core/outside.h"
#include "core/ports.h"
#include "core/strans.h"
#include "core/tally.h"
#include "core/vouch.h"

enum timer_kind {
    TIMER_SERVER,
    TIMER_CLIENT,
    TIMER_BINDING,
    TIMER_DIALOG,
    TIMER_CERTIFICATE,
    TIMER_CLAIM,
    TIMER_ANCHOR,
    TIMER_KIND_COUNT,
};

/* A user of this domain: a row, replaced alone. */
struct user {
    struct pool_item item;
    struct table_link by_id;
    struct table_link by_extension;
    struct block text; /* id, extension, display name, static contacts */
    uint8_t id_len;
    uint8_t extension_len;
    uint8_t binding_count;
    uint8_t has_ha1; /* bit per enum algorithm */
    uint32_t first_binding;
    uint8_t ha1_md5[16];
    uint8_t ha1_sha256[32];
    uint8_t epoch; /* of the settings that it was last put with */
    uint8_t source;
    uint8_t kind;
    uint8_t level;
    bool is_closed;
    bool is_inside_only;
    uint8_t profile;
    bool lacks_bindings; /* they are not in memory yet (core/recall) */
    uint16_t status;
    uint16_t contacts_len;
    uint8_t display_len;
    struct written written;
};

/* One contact of an address of record. */
struct binding {
    struct pool_item item;
    struct table_link by_id;
    uint64_t id; /* the same across restarts; what a Record-Route cookie names */
    uint32_t user;
    uint32_t next; /* of the same user */
    uint32_t cseq;
    uint16_t q; /* thousandths */
    uint16_t contact_len;
    uint16_t call_id_len;
    uint16_t path_len;
    uint16_t instance_len;
    uint32_t reg_id; /* RFC 5626: 0 = none */
    struct flow flow;
    struct block text; /* contact URI, Call-ID, Path, instance ID */
    struct timer timer;
    instant expires;
    instant stored_until; /* what the journal promises */
    bool is_restored;     /* not heard of in this run */
    bool is_displaced;    /* nor is the socket that it came by known */
    bool is_kept_open;    /* keep-alives go to it */
    uint8_t ice;          /* enum media_skill: by what its phone said last */
};

struct server_transaction {
    struct pool_item item;
    struct table_link by_key;
    struct hash128 key;
    struct strans machine;
    struct timer timer;
    struct flow flow; /* where responses go */
    uint64_t caller;  /* binding of the phone that sent the request, 0 = none */
    uint32_t context; /* index, 0 when it is answered */
    uint16_t sent_by; /* where the sender listens, should the stream be gone (18.2.2) */
    uint16_t status;  /* of the final response to an INVITE */
    bool is_recorded; /* the journal knows of it, under key.low */
    uint8_t accepted_count;
    bool is_metered;     /* by UDP, of who has proven nothing: */
    uint32_t allowance;  /* bytes that it may still get before no failure is repeated */
    bool is_initial;     /* an INVITE that makes dialogs */
    bool signs_answers;  /* to it, which is of who signs, too (core/hearing) */
    bool checks_answers; /* it went out signed, by some branch */
    uint32_t
        session; /* seconds: what a 2xx without Session-Expires is given (RFC 4028); 0 = none */
    uint8_t answer_count;
    uint32_t answers[ANSWER_LIMIT];  /* hashes of the To tags of the 2xx forwarded */
    uint64_t accepted[ANSWER_LIMIT]; /* branches that they came by */
    struct block response;           /* the last, while it may have to be sent again */
};

/* A stream that the shell holds, or is opening. */
struct connection {
    struct table_link by_peer;
    struct flow flow; /* its handle included */
    bool is_live;
    bool has_opened;     /* it stands; else it is being opened */
    bool is_kept;        /* more goes by it than the requests of client transactions */
    uint8_t policy;      /* of one that we opened for a domain: what was demanded of it, */
    bool has_tlsa;       /* and by TLSA records */
    uint16_t generation; /* the last, of one that we open */
    uint16_t alias;      /* of one that a domain opened: the port where it is listening; 0 = none */
    uint64_t domain;     /* policy_hash of that domain; 0 = it was for none */
    bool is_proven;      /* to be of some domain, perhaps since a request of it (core/claims) */
    struct block proven; /* lines of the domains that the peer has proven to be */
    struct block credential; /* what it has shown (core/credential), or empty */
    uint32_t first_client;   /* transactions whose request went by it; of a free place that we may
                                open the next such, 0 = none */
};

/* A domain that has proven itself by TLS (core/policy.h). */
struct proven_domain {
    struct pool_item item;
    struct table_link by_domain;
    uint64_t domain; /* policy_hash of its name */
    int64_t until;   /* wall seconds */
    bool is_sought;  /* we have connected to it: its place is no stranger's */
    instant quiet;   /* until then the administrator is not told of it again */
};

struct client_transaction {
    struct pool_item item;
    struct table_link by_branch; /* only of restored ones */
    uint64_t restored;           /* what its branch says, if it was restored; else 0 */
    struct ctrans machine;
    struct timer timer;
    struct flow flow;
    struct handle server; /* whose responses it makes; none for a CANCEL */
    struct handle cancel; /* its CANCEL, once sent */
    struct block request; /* as sent, while it may have to be sent again */
    instant stream_due;   /* until then a long request waits for its stream (18.1.1); 0 = none */
    uint8_t method;
    uint8_t branch;            /* index in the context */
    bool is_cancelled;         /* CANCEL is due, or sent */
    bool has_run_out : 1;      /* by timer C (16.8) */
    bool is_left : 1;          /* its place is too slow: another took over its target */
    bool is_direct : 1;        /* and was told of no relay, whatever that one was */
    bool is_rehearsal : 1;     /* it only locates (core/rehearse) */
    bool is_unproven : 1;      /* who took its stream did not prove to be its domain */
    bool is_signed : 1;        /* its request is, so that its answers may be (core/hearing) */
    bool has_changed : 1;      /* an answer that was signed came changed */
    bool is_remembered : 1;    /* by a record of its 2xx alone: branch and flow are not its own */
    bool is_held : 1;          /* nothing is sent before its stream stands (core/race) */
    bool lacks_relay : 1;      /* the relay is full: no other place would mend that */
    uint8_t heard;             /* enum heard: of the response that it is told of */
    bool is_decided;           /* its final response, or the lack of one, was counted */
    bool has_dialled;          /* a connection was opened for it, and will not be again */
    bool lacks_flow;           /* its stream is gone: looked for again until its machine's end_at */
    uint32_t lookup;           /* of places for its target (core/locate), 0 = none */
    uint32_t connection;       /* place of the stream it went by, 0 = none */
    uint32_t next_on, prev_on; /* of the same stream */
};

enum context_flag {
    CONTEXT_INVITE = 1 << 0,
    CONTEXT_CANCELLED = 1 << 1, /* the caller gave up */
    CONTEXT_ACCEPTED = 1 << 2,  /* a 2xx was forwarded */
    CONTEXT_REFUSED = 1 << 3,   /* a 6xx came: no new branches */
    CONTEXT_IN_DIALOG = 1 << 4,
    CONTEXT_SIGNED = 1 << 5,  /* branches that leave for other domains are (core/signing) */
    CONTEXT_OFFERED = 1 << 6, /* it has a session description */
    CONTEXT_WRITTEN = 1 << 7, /* it comes from a gateway, or from whose place is written down */
};

/* How the flow of a target is known. */
enum target_way {
    WAY_GIVEN,  /* by its binding, or its URI has an address */
    WAY_SOUGHT, /* not yet: its URI has a name, and RFC 3263 says where that is */
    WAY_CHOSEN, /* it is the latest of the places that the name leads to; there may be more */
    WAY_LAST,   /* and it is the last that is tried */
};

/* One place a request may go. */
struct target {
    uint64_t binding; /* its id, 0 for a bare flow */
    struct flow flow; /* of WAY_SOUGHT: the place that failed last, if any */
    uint16_t q;
    uint16_t uri_len;  /* 0 = the Request-URI stays */
    uint16_t path_len; /* Route values on the way there (RFC 3327), right behind the URI */
    uint8_t way;       /* enum target_way */
    uint8_t tries;     /* places that the request was sent to */
    uint32_t uri_at;   /* in the target set's text */
    bool is_next_flow; /* of the phone of the target before it: for when that cannot be reached */
    bool is_ours;      /* a phone or gateway that the administrator wrote down: no other domain */
    bool is_bound;     /* its server has TLSA records, one of which it must match */
    uint8_t media, media_path; /* enum media_reason, media_path */
    struct handle anchor;      /* of what goes through the relay (core/anchor) */
};

/* Response context (16.2): a request being forwarded, until its last branch is decided. */
struct context {
    struct pool_item item;
    struct table_link by_merge;
    struct hash128 merge; /* of what merged requests share (8.2.2.2) */
    uint32_t server;      /* index */
    uint8_t flags;
    uint8_t method;
    uint8_t target_count;
    uint8_t next_target; /* those before it have been tried: the hunting position */
    uint8_t open;        /* branches without a final response */
    uint16_t best_status;
    uint16_t best_rank;   /* the lower, the better */
    struct block request; /* as received */
    struct span contact;  /* in the request: its Contact URI, for the observer */
    struct span uri;      /* and what else is told of a call: the Request-URI, */
    struct span from;     /* From, */
    struct span call_id;  /* and Call-ID */
    uint8_t answerer;     /* the branch that answered first */
    uint8_t proof;        /* bits of enum caller_proof */
    uint64_t call;        /* the number of the call that it begins; 0 = none, or it was answered */
    int64_t began;        /* wall seconds */
    struct block targets; /* struct target each, then their URIs */
    struct block best;    /* the best response so far, as it would go to the caller */
    struct block reason;  /* why it was cancelled: a Reason value (RFC 3326) */
    struct block signature; /* lines that say who sends it (core/signing), */
    int64_t signed_at;      /* made at these wall seconds */
    struct handle dialog;   /* the one that this request is part of */
    struct handle anchor;   /* of that dialog, if the request offers something: */
    uint64_t offer_tag;     /* in the exchange with this tag, */
    uint32_t offer_number;  /* by this number, */
    uint8_t offer_side;     /* from this side (core/legs) */
    struct flow flow;       /* by which the request came */
    uint64_t caller;        /* binding that sent it, 0 = none */
    instant opened_at;
    struct block answer;     /* a response that waits for a certificate (core/hearing), */
    struct flow answer_flow; /* and by which flow it came */
    uint32_t held_by;        /* what the request, or that, waits for (core/awaited); 0 = nothing */
    uint32_t next_held;      /* that waits for the same */
    struct handle branches[BRANCH_LIMIT];
};

enum dialog_state {
    DIALOG_NONE,
    DIALOG_CONFIRMED, /* a 2xx passed */
    DIALOG_ENDING,    /* a BYE passed, its answer not yet */
    DIALOG_ENDED,
    DIALOG_STATE_COUNT,
};

/* Why the server ended a call. */
enum dialog_drop {
    DROP_EXPIRED,
    DROP_WISHED, /* an administrator wished it */
    DROP_SILENT, /* nothing was heard of its media */
    DROP_BROKEN, /* and could not be, for the relay had no port for it */
    DROP_COUNT,
};

struct dialog {
    struct pool_item item;
    struct table_link by_key;
    struct hash128 key;
    uint64_t id;
    struct timer timer;
    int64_t began; /* wall seconds */
    instant began_at;
    instant ends; /* it is hung up then */
    uint32_t caller_cseq, callee_cseq;
    uint8_t state;    /* enum dialog_state */
    uint8_t byes;     /* of our own, not yet answered */
    uint8_t dropped;  /* enum dialog_drop: why they were sent */
    uint8_t from, to; /* enum node: as what it was counted */
    uint8_t ender;    /* enum call_ender: who sent the last BYE */
    uint16_t lens[9]; /* of the parts of its text: enum dialog_part */
    struct block text;
};

/* The record of a call that has ended, until the database has it (core/calls.h). */
struct kept_call {
    struct pool_item item;
    struct table_link by_id;
    uint64_t id;
    uint32_t before, next; /* in the order in which they ended */
    bool is_given;         /* the shell has it */
    struct block text;     /* as call_write has it */
};

struct nonce_slot {
    uint64_t nonce;  /* its MAC, 0 = empty */
    uint64_t window; /* bit n: count `highest - n` was used */
    uint32_t highest;
    uint32_t last; /* what the latest request was, so that its copy is known */
};

/* Wrong passwords from one source, or from one source for one account (core/abuse). */
struct guesses {
    uint64_t key; /* 0 = never used */
    uint32_t count;
    instant last;
};

/* When the next of a kind may come that is let in at a pace (core/admission). */
struct pace {
    uint64_t key; /* 0 = never used */
    instant due;  /* of the one after those that came */
};

/* A server that failed, and is tried last until then (core/penalty). */
struct penalty {
    uint64_t place; /* hash of its transport address, 0 = never used */
    instant until;
};

/* What is kept for some time, and was asked for, or is (core/awaited). */
struct awaited {
    struct hash128 key;             /* 0 = never used */
    instant until;                  /* what was found is good until then */
    uint64_t question;              /* under which it is asked for; 0 = it is not */
    uint32_t first_held, last_held; /* contexts whose requests wait for it */
    struct timer timer;
};

/* A certificate of another domain (core/certificates), or where one was looked for. */
struct kept_certificate {
    struct awaited awaited; /* by its place, whom it speaks for, and where it may lie */
    struct certificate certificate;
    instant found_at;
};

/* Whether a certificate is of a domain, by what DNS says (core/claims). */
struct kept_claim {
    struct awaited awaited;
    bool is_proven;
    uint32_t lookup; /* which finds it out, while it is asked for */
};

/* The walk of a checkpoint over all that must be in the newest segment. */
struct checkpoint {
    bool is_running;
    uint8_t pool; /* which of bindings, contexts, servers, dialogs */
    uint32_t index;
};

/* Whether the server keeps up (core/load). */
struct load {
    instant high_since;   /* the queue was high from then on, NEVER = it never was */
    instant low_since;    /* it was found low from then on, NEVER = it was high when last seen */
    instant calm_at;      /* strained until then, unless it is high again */
    instant copies_until; /* an INVITE that was refused may come again so long */
    bool is_strained;
    bool is_shedding;
    uint64_t *shed; /* the latest of them, by their keys */
};

struct core {
    struct limits limits;
    const struct settings *settings;
    const struct digest_table *digests;
    const struct es256_table *es256;
    struct random random;
    struct hash_key key_table, key_binding, key_loop, key_branch, key_cookie, key_tag, key_nonce,
        key_gruu;
    uint32_t run; /* tells this run's nonces from an earlier one's */
    uint32_t nonces_given;
    uint64_t boot;
    bool is_started;
    bool store_failed;
    bool is_recovering;      /* it failed, and the checkpoint that mends it is not yet written */
    uint8_t epoch;           /* of the settings; counts their replacements */
    uint32_t md5_only_count; /* users who can answer MD5 alone */
    uint32_t sweep;          /* the row to look at next for an older epoch; 0 = none is due */
    instant started_at;
    uint32_t kept_open; /* bindings that keep-alives go to */

    struct timers timers;
    struct slab slab;
    struct pool users, bindings, servers, clients, contexts, dialogs, calls;
    struct table users_by_id, users_by_extension, bindings_by_id, servers_by_key, clients_by_branch,
        contexts_by_merge, dialogs_by_key, calls_by_id;
    struct nonce_slot *nonces;
    struct connection *connections; /* by place */
    struct pool proven;             /* struct proven_domain */
    struct table proven_by_domain;
    struct table connections_by_peer;
    struct pool lookups;
    struct handle waiting_acks[WAITING_ACKS_LIMIT]; /* client transactions of core/courier */
    struct penalty *penalties;
    struct pace *paces;
    struct rehearsal *rehearsals;
    struct kept_certificate *certificates;
    struct kept_claim *claims;
    struct claim_lookup *claim_lookups;
    struct pool anchors; /* struct anchor */
    struct table anchors_by_call, anchors_by_id, anchors_by_payer;
    struct ports ports;           /* the relay's */
    struct outside outside;       /* the public address, where it was learnt */
    char *description;            /* MESSAGE_LIMIT bytes: one that is about to be forwarded */
    struct suspicion *suspicions; /* of calls without sound (core/silence) */
    instant suspicions_until;     /* before it some pair may be suspected */
    bool has_relay;               /* it can be used */
    bool is_adopting;             /* what its table lacks is being opened, ... */
    uint32_t adopted;             /* ... up to this anchor */
    uint64_t fetches_asked;       /* so far */
    uint64_t claims_asked;        /* so far */
    uint32_t fetches, held;       /* fetches under way, and requests that wait (core/awaited) */
    instant penalties_until;      /* before it some place may have one */
    uint32_t free_connection;     /* place of the first that we may open */
    uint64_t next_call;
    uint32_t last_call, waiting_call; /* the latest to end, and the first that the shell has not */
    uint32_t calls_given;             /* to the shell, and not yet in the database */
    uint32_t calls_lost;              /* for lack of room, and not yet told */
    struct load load;
    struct recall *recall; /* while not all of the last run is in memory, else NULL */
    struct guesses *guesses;
    instant guesses_until; /* before it some counter may say something */
    instant ban_logged;
    struct checkpoint checkpoint;
    struct tally tally;
    struct moment now; /* of the present step: what is told bears its time */
    bool is_watched;   /* somebody wants to be told what happens */
    int64_t wall_zero; /* wall seconds at boot time 0, as they stand in the journal's records */

    uint32_t strans_states, ctrans_states, dialog_states, legs_states; /* entered at least once */
    uint32_t sights; /* bit n: enum locate_sight n was seen */
};

#define CONTAINER(member, type, name) ((type *)(void *)((char *)(member)-offsetof(type, name)))
