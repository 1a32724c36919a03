/*
 * What the core asks its shell to do, in this order.  The core never does it itself.
 *
 * Order is durability: a send stands behind the persists before it, and must not leave before
 * they are safe from a kill of the process.  If one fails, the sends that `promise` behind it are
 * dropped, up to the last that the core decided on before it was told (the peer's retransmission
 * will ask again); all others go out.
 */
#pragma once

#include "core/dns.h"
#include "core/flow.h"
#include "core/oddity.h"

enum action_kind {
    ACTION_SEND = 1,     /* write bytes to flow; where its stream has ended, nothing happens */
    ACTION_CONNECT,      /* open a stream to flow, which names it already: what is sent to it waits
                            until it stands; EVENT_CLOSED if it never will.  `bytes`: by TLS, what
                            it must prove (core/peer.h), or empty */
    ACTION_CLOSE,        /* end a stream, once all that was sent to it has left; at once if it does
                            not stand yet */
    ACTION_EXPECT,       /* from now on the peer of a stream keeps it alive (RFC 5626): end it when
                            nothing has come for FLOW_SILENCE */
    ACTION_PERSIST,      /* append bytes to the journal as one record */
    ACTION_CHECKPOINTED, /* all that lives is in the newest segment: drop the older ones */
    ACTION_LOG,          /* a line for the administrator; rare, never one a message */
    ACTION_CALL,   /* a call has ended: put its record (core/calls.h) into the database, and say
                      so by EVENT_CALLS_KEPT; no more than CALL_WINDOW are out */
    ACTION_ASK,    /* ask DNS for the records of one type of the name in `bytes`, which has no dot
                      at its end, and say what it answers by EVENT_DNS, once; where nothing can be
                      asked at all, that it failed, in a step of its own.  The core has a patience of
                      its own: an answer may take its time, and comes once all the same */
    ACTION_FETCH,  /* `bytes`: a domain, a line feed and an https URI: fetch the certificate there,
                      see whether it speaks for the domain, and say so by EVENT_CERTIFICATE */
    ACTION_LEG,    /* `bytes`: struct leg_change each (core/leg.h), at any address: do that to the
                      relay's table, in this order.  A leg that is to be opened and is there is
                      moved, and one that is to be closed and is not is closed */
    ACTION_LOOK,   /* `bytes`: struct leg_place each, at any address, of one call's legs: say by
                      EVENT_LEGS what is in the relay's table there */
    ACTION_ANSWER, /* lines of JSON for an administrator who asked, or for all who watch */
};

/* Whom an answer is for.  A long listing is answered in parts: the shell asks for the next one,
 * with the same request, when the administrator has read most of this. */
struct admin_answer {
    uint32_t client; /* the request's; 0 = everyone who watches */
    bool is_part;    /* more follows, from this cursor on */
    uint64_t cursor;
};

/* What DNS is asked.  An absolute name: there is no search list; but for an address, /etc/hosts
 * counts first. */
struct dns_question {
    uint64_t id; /* to be handed back in event.question */
    enum dns_type type;
};

/* What is fetched, and from where at most: not from addresses that fewer can reach than who asks
 * for it (RFC 6890), for they are no business of strangers. */
struct fetch_question {
    uint64_t id; /* to be handed back in event.question */
    enum seclusion widest;
};

struct action {
    enum action_kind kind;
    bool promises;
    union {
        struct flow flow;           /* of a send */
        struct admin_answer answer; /* of an answer */
        struct dns_question ask;
        struct fetch_question fetch;
    };
    struct slice bytes; /* in actions.bytes */
};

/* Bounded, and the caller's.  The bytes of actions live in `bytes` until the caller sets count and
 * bytes.len back to 0; it may run many steps before that, as long as each begins with room for
 * STEP_ACTIONS more and STEP_BYTES more. */
struct actions {
    struct action *at;
    uint32_t count;
    uint32_t limit;
    struct writer bytes;
};

static inline void actions_push(struct actions *out, struct action act)
{
    assert(out->count < out->limit);
    out->at[out->count++] = act;
}
