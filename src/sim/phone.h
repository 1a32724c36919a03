/*
 * A phone: a user agent (RFC 3261 section 8) at one node of the network.
 *
 * It registers, calls and is called, and keeps its own transactions (sim/exchange) and calls
 * (sim/call) by the RFC's timers.  What kind of phone it is stands in its traits; a rude one breaks
 * the rules, an impostor does not know its user's password.
 *
 * A phone with two flows (RFC 5626) has two nodes, which register each for itself; what comes by
 * the second is the first one's, and answered by the way it came.
 */
#pragma once

#include "sim/call.h"
#include "sim/exchange.h"
#include "sip/challenge.h"

struct sim;

enum trait {
    TRAIT_RPORT = 1 << 0,      /* asks for rport (RFC 3581) */
    TRAIT_EAGER = 1 << 1,      /* sends credentials before it is asked */
    TRAIT_FOREIGN = 1 << 2,    /* of another domain */
    TRAIT_IMPOSTOR = 1 << 3,   /* has the wrong password */
    TRAIT_NEVER_ACKS = 1 << 4, /* rude: leaves a 2xx without ACK */
    TRAIT_SILENT = 1 << 5,     /* rude: rings for ever or not at all */
    TRAIT_TWOFOLD = 1 << 6,    /* answers as if forked behind it: two 2xx */
    TRAIT_STORMY = 1 << 7,     /* sends provisional responses without end */
    TRAIT_LOOPING = 1 << 8,    /* registers a contact that points at the server */
    TRAIT_STRICT = 1 << 9,     /* routes as RFC 2543 did */
    TRAIT_OUTBOUND = 1 << 10,  /* names the server in a preloaded Route */
    TRAIT_STREAM = 1 << 11,    /* speaks by a stream */
    TRAIT_TIMERS = 1 << 12,    /* knows session timers (RFC 4028) */
    TRAIT_BUSY = 1 << 13,      /* a server that says 503 to everything */
    TRAIT_DOOR = 1 << 14,      /* takes streams that the server opens */
    TRAIT_WEB = 1 << 15,       /* its streams are WebSockets (RFC 7118) */
    TRAIT_FLOWS = 1 << 16,     /* says what instance it is, and registers flows (RFC 5626) */
    TRAIT_SECOND = 1 << 17,    /* no phone, but the second flow of one */
    TRAIT_TLS = 1 << 18,       /* its streams are TLS; it takes none, for it has no certificate */
};

/* Those whose calls need not end well. */
#define TRAITS_RUDE                                                                                \
    (TRAIT_IMPOSTOR | TRAIT_NEVER_ACKS | TRAIT_SILENT | TRAIT_TWOFOLD | TRAIT_STORMY |             \
     TRAIT_LOOPING)

struct nonce {
    char text[128];
    char opaque[64];
    bool has_qop;
    uint32_t count; /* uses; 0 and no text: none known */
};

struct phone {
    uint32_t node;
    uint32_t device; /* the node of the phone whose flow it is: its own, or that of the first */
    unsigned user;   /* index of its user, or the number of a foreigner */
    unsigned traits;
    unsigned site;
    struct flow address;  /* as the server sees it */
    struct flow door;     /* where it takes streams; without a transport: nowhere */
    struct flow stream;   /* of another domain: the latest of TLS that it opened to the server */
    struct flow heard_by; /* what it deals with now came by this flow */
    char user_name[16];
    char aor[64];      /* "sip:u3@sip.example" */
    char host[64];     /* as the phone knows itself: Via and Contact */
    char contact[128]; /* URI */
    unsigned q;        /* thousandths; 0 = not said */
    unsigned expires;  /* seconds it asks for */
    uint8_t ha1[DIGEST_LIMIT];
    struct nonce nonce;

    char call_id[48]; /* of its registrations */
    uint32_t register_cseq;
    bool wants_registration;
    bool is_registered;
    instant back_since;        /* it registered anew after its stream broke; NEVER: not yet */
    char removed_contact[128]; /* left behind by a move, to be removed */
    char public_gruu[96], temporary_gruu[128]; /* that it was given last (RFC 5627) */

    instant register_at; /* when to refresh; NEVER */
    instant act_at;      /* when to do something of its own accord */
    instant connect_at;  /* when to try again, after its stream has broken; NEVER */
    instant wake_at;     /* what the agenda knows; NEVER */
    uint32_t serial;     /* of branches, tags and Call-IDs */

    struct exchange *exchanges; /* client transactions */
    struct answer *answers;     /* server transactions */
    struct call *calls;
    struct call *past_calls;
};

/* Names of its own, never repeated: "z9hG4bK3-17". */
void phone_name(struct phone *phone, const char *prefix, char *text, size_t limit);

void phone_init(struct sim *sim, struct phone *phone, uint32_t node, unsigned user,
                unsigned traits);
void phone_free(struct phone *phone);

/* Bytes have come by this flow. */
void phone_receive(struct sim *sim, struct phone *phone, const struct flow *flow,
                   struct slice bytes);

/* Its timers; notes the next in the agenda. */
void phone_wake(struct sim *sim, struct phone *phone);
void phone_arrange(struct sim *sim, struct phone *phone);

/* It sends a MESSAGE there. */
void phone_write_to(struct sim *sim, struct phone *phone, struct slice uri);

/* Sends to the server from its own address; or by the flow that a request came by, if that still
 * stands (18.2.2). */
void phone_send(struct sim *sim, struct phone *phone, struct slice bytes);
void phone_send_by(struct sim *sim, struct phone *phone, const struct flow *flow,
                   struct slice bytes);

/* A call goes by this stream of TLS between domains, which may be gone, or not opened yet: another
 * takes its place, if the server is there. */
void phone_renew_flow(struct sim *sim, struct phone *phone, struct flow *flow);

/* A request of its own making is decided: the final response, or NULL after a timeout. */
void phone_finished(struct sim *sim, struct phone *phone, struct exchange *exchange,
                    const struct message *response);

/* A letter with everything that does not depend on what it is about. */
struct letter phone_letter(struct phone *phone, enum method method, char *branch, size_t limit);

/* Sends it out of a dialog: with a preloaded Route and credentials if the phone is of that kind. */
void phone_request(struct sim *sim, struct phone *phone, enum purpose purpose,
                   struct letter *letter, uint32_t call);

/* Registers at once, whatever was planned; or no longer. */
void phone_register(struct sim *sim, struct phone *phone);
void phone_unregister(struct sim *sim, struct phone *phone);

/* Its stream has ended. */
void phone_cut_off(struct sim *sim, struct phone *phone);

/* What it does of its own accord. */
void phone_move(struct sim *sim, struct phone *phone, bool keeps_contact);
void phone_reboot(struct sim *sim, struct phone *phone);
void phone_act(struct sim *sim, struct phone *phone);

static inline bool phone_is_by_stream(const struct phone *phone)
{
    return (phone->traits & TRAIT_STREAM) != 0;
}

static inline bool phone_is_rude(const struct phone *phone)
{
    return (phone->traits & TRAITS_RUDE) != 0;
}

static inline bool phone_is_honest(const struct phone *phone)
{
    return !(phone->traits & TRAIT_IMPOSTOR);
}
