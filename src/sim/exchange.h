/*
 * A phone's transactions: exchanges are its own requests (RFC 3261 17.1), answers are others'
 * (17.2).  They belong to the phone that lists them.
 */
#pragma once

#include "sim/letter.h"

struct sim;
struct phone;

enum purpose {
    FOR_REGISTRATION,
    FOR_CALL,     /* INVITE without a dialog */
    FOR_REINVITE, /* and within one */
    FOR_CANCEL,
    FOR_BYE,
    FOR_MESSAGE,
    FOR_OPTIONS,
    FOR_INFO,
    FOR_UPDATE, /* a refresh of the session */
    PURPOSE_COUNT,
};

enum exchange_state {
    EXCHANGE_CALLING,
    EXCHANGE_PROCEEDING,
    EXCHANGE_ACCEPTED,  /* a 2xx came: more may */
    EXCHANGE_COMPLETED, /* another final came: it may come again */
};

struct exchange {
    struct exchange *next;
    enum purpose purpose;
    enum method method;
    enum exchange_state state;
    uint32_t call;  /* serial of the call it is about, 0 = none */
    unsigned tries; /* challenges answered */
    uint32_t cseq;
    char branch[48];
    struct slice bytes; /* as sent; owned */
    struct flow flow;   /* by which; without a transport: from the phone's own address */
    instant began;
    instant resend_at;
    duration resend_after;
    instant end_at;
    bool is_unsent;  /* it waits for a stream */
    bool is_learned; /* what its 2xx says of the session is known */
    /* for the judge */
    unsigned failure; /* the non-2xx final that came, 0 = none */
    char failure_tag[64];
    bool is_accepted;  /* a 2xx came */
    bool is_cancelled; /* the phone sent CANCEL */
};

/* Writes and sends the letter, and waits for what comes. */
struct exchange *exchange_begin(struct sim *sim, struct phone *phone, enum purpose purpose,
                                const struct letter *letter, uint32_t call, unsigned tries);

/* A response has come; ignored if no exchange awaits it. */
void exchange_receive(struct sim *sim, struct phone *phone, const struct message *response);

/* Its CANCEL (9.1), once a provisional response has come. */
void exchange_cancel(struct sim *sim, struct phone *phone, struct exchange *exchange);

struct exchange *exchange_of_call(struct phone *phone, uint32_t call, enum purpose purpose);

struct answer {
    struct answer *next;
    enum method method;
    char branch[80];
    struct slice request;  /* owned */
    struct slice response; /* the last; owned */
    unsigned status;       /* of it, 0 = none */
    uint32_t call;
    struct flow flow;  /* by which the request came */
    instant resend_at; /* of a failure, or a 2xx, to an INVITE */
    duration resend_after;
    instant end_at;
    instant reply_at; /* a slow phone answers then; NEVER */
    bool is_acknowledged;
    bool is_unsent; /* the response waits for a stream */
    bool is_strict; /* began when nothing but kills went wrong */
};

/* The transaction of a request, or of the INVITE that an ACK or CANCEL is about; NULL if none. */
struct answer *answer_find(struct phone *phone, const struct message *request, enum method method);

struct answer *answer_begin(struct sim *sim, struct phone *phone, const struct message *request);

/* Responds, and keeps it for retransmissions. */
void answer_send(struct sim *sim, struct phone *phone, struct answer *answer,
                 const struct reply *reply);

/* Timers of both: what is due now, then when the next is. */
void exchange_expire(struct sim *sim, struct phone *phone);
instant exchange_deadline(const struct phone *phone);

/* There is a stream again: what waits for it is sent. */
void exchange_resume(struct sim *sim, struct phone *phone);

/* The stream that they went by is gone: requests without a final response fail, unless the server
 * may bring that to the phone's door. */
void exchange_break(struct sim *sim, struct phone *phone);

/* Forgets all of them, as a phone that loses its power. */
void exchange_forget(struct phone *phone);
