/*
 * Passage: the judge of what the server sends (rule: nothing to an unauthorised target).
 *
 * It notes every datagram that the core was given and demands of every one that leaves:
 *   a response    goes to the source of a request with its branch (18.2.2);
 *   ACK, CANCEL   by the branch of an INVITE go where that INVITE went;
 *   a branch      leads to one place: another is asked by another (RFC 3263 4.3);
 *   a new request answers one of the same Call-ID, CSeq and From tag that came from a phone which
 *                 knows its password (or whoever claims another domain, if ours is public), and
 *                 goes to an address from which the dialled user is, or at that time was,
 *                 registered, or that DNS has for the dialled domain (sim/zone); by a GRUU it
 *                 goes to the one phone that it was given to;
 *   in a dialog   it came from one of the two phones of the call and goes to the other, or is the
 *                 server's own BYE to one of them, when their call has grown too old.
 * And: a request without answer is sent again after T1, a branch that has its final response is
 * not cancelled, a stranger's REGISTER is not accepted.
 */
#pragma once

#include "core/flow.h"
#include "sim/ledger.h"
#include "sip/message.h"

struct sim;
struct held;

/* A request that the core was given. */
struct arrival {
    struct flow flow;
    uint32_t sender;   /* the node it truly came from */
    uint32_t via_port; /* of the topmost Via */
    int user;          /* index of the user its Request-URI dials, -1: none */
    uint32_t device;   /* the one phone that it names by a GRUU; NO_NODE: none */
    bool is_foreign;   /* its From names another domain */
    duration elapsed;  /* the machine's time then */
    char target[64];   /* host and port of the Request-URI */
};

/* A request that the server sent, by its branch. */
struct departure {
    struct flow flow;
    uint32_t device; /* whose response came last; NO_NODE: nobody's */
    enum method method;
    uint32_t sent;          /* times */
    uint64_t step;          /* in which it was first decided */
    instant at;             /* when it was first sent */
    uint64_t target;        /* the same for all branches to it */
    uint64_t answered_step; /* first response; 0 = none */
    uint64_t final_step;
};

struct passage {
    struct ledger by_branch;  /* arrivals */
    struct ledger by_request; /* arrivals */
    struct ledger by_call;    /* nodes that take part */
    struct ledger sent;       /* departures */
    struct ledger gruus;      /* phones, by the temporary GRUUs that they were given */
    struct arrival *arrivals;
    uint32_t arrival_count, arrival_room;
    struct departure *departures;
    uint32_t departure_count, departure_room;
    uint32_t watched; /* the first departure whose retransmission is not checked yet */
};

void passage_received(struct sim *sim, const struct flow *flow, uint32_t sender,
                      const struct message *m, uint64_t step);
void passage_decided(struct sim *sim, const struct held *held, const struct message *m);
void passage_sent(struct sim *sim, const struct held *held, const struct message *m);

/* The caller takes part in the call from its beginning. */
void passage_call(struct sim *sim, uint32_t node, struct slice call_id);

/* A phone was given this temporary GRUU. */
void passage_given(struct sim *sim, uint32_t node, struct slice gruu);

/* Checks what should have been sent again by now. */
void passage_watch(struct sim *sim);

/* The index of the user that a URI of our domain names by id or extension; -1 if it names none. */
int passage_user(const struct sim *sim, struct slice uri);

void passage_free(struct passage *p);
