/*
 * A phone's calls: dialogs made by INVITE, from either side (RFC 3261 12, 13, 15), and what the
 * phone means to do with them: ring, answer, refuse, give up, hold, hang up.
 *
 * Ended calls are kept to the end of the seed: they are the truth that the observer is judged by.
 */
#pragma once

#include "sim/exchange.h"
#include "sim/relay.h"
#include "sim/session.h"

enum call_state {
    CALL_INVITING,  /* caller: no final response yet */
    CALL_RINGING,   /* callee: not decided yet */
    CALL_ANSWERED,  /* callee: 2xx sent, no ACK yet */
    CALL_CONFIRMED, /* caller: 2xx came; callee: ACK came */
    CALL_ENDING,    /* BYE sent */
    CALL_ENDED,
};

struct call {
    struct call *next;
    uint32_t serial;
    bool is_caller;
    bool is_strict; /* began when nothing but kills went wrong, and both are polite */
    enum call_state state;
    char call_id[64];
    char local_tag[32];
    char remote_tag[64];
    struct slice local, remote; /* From and To values without tags; owned */
    struct flow flow;           /* another domain's: by which it goes, if that is TLS */
    struct slice domain;        /* caller: what it must be by TLS, or has proven to be; or empty */
    bool is_proven, is_signed;  /* it has; and it has signed its INVITE */
    struct slice target;        /* the peer's Contact URI; owned */
    struct slice routes;        /* Route fields; owned */
    uint32_t cseq;              /* the last sent */
    uint32_t invite_cseq;       /* of the INVITE to be acknowledged */
    uint32_t remote_cseq;       /* the last received */
    struct slice ack;           /* for the last 2xx; owned */
    uint64_t binding;           /* id of the phone's binding when it began, 0 = none */

    instant began;        /* INVITE sent or received */
    instant confirmed_at; /* a dialog on this side, 0 = never */
    duration elapsed;     /* the machine's time then */
    instant act_at;       /* when the next thing planned is due; NEVER */
    unsigned manner;      /* callee: index of what it means to do */
    unsigned rings;       /* callee: 180s yet to send */
    bool hangs_up;        /* this side means to end it */
    bool wants_reinvite;
    bool wants_cancel; /* caller: as soon as a provisional response has come */
    struct session session;
    struct sound sound;
    bool was_confirmed;
    bool was_hung_up; /* its own BYE was answered with 2xx */
    bool was_lost;    /* the phone lost its power meanwhile, or its BYE had no answer */
};

/* Dials a Request-URI. */
void call_start(struct sim *sim, struct phone *phone, struct slice uri);

/* Responses to an INVITE of ours; finals but 2xx come by call_finished, NULL for none. */
void call_progress(struct sim *sim, struct phone *phone, struct exchange *exchange,
                   const struct message *response);
void call_accepted(struct sim *sim, struct phone *phone, struct exchange *exchange,
                   const struct message *response);
void call_finished(struct sim *sim, struct phone *phone, struct exchange *exchange,
                   const struct message *response);

/* Requests of the peer. */
void call_invited(struct sim *sim, struct phone *phone, const struct message *request);
void call_cancelled(struct sim *sim, struct phone *phone, const struct message *request);
void call_acknowledged(struct sim *sim, struct phone *phone, const struct message *request);
void call_ended(struct sim *sim, struct phone *phone, const struct message *request);
void call_updated(struct sim *sim, struct phone *phone, const struct message *request);

/* Nobody acknowledged our 2xx. */
void call_unacknowledged(struct sim *sim, struct phone *phone, const struct answer *answer);

/* Hangs up what is up, cancels what rings. */
void call_hang_up_all(struct sim *sim, struct phone *phone);

/* What is planned: what is due now, then when the next is. */
void call_expire(struct sim *sim, struct phone *phone);
instant call_deadline(const struct phone *phone);

/* The phone loses its power, and every call with it. */
void call_forget_all(struct phone *phone);

struct call *call_by_serial(struct phone *phone, uint32_t serial);

/* The call with these tags, on a phone's side; NULL if it never had it. */
const struct call *call_with_tags(const struct phone *phone, struct slice call_id,
                                  struct slice local_tag, struct slice remote_tag);
