/*
 * Client transactions: RFC 3261 17.1, INVITE as corrected by RFC 6026; and timer C of the proxy
 * that uses them (16.6 step 11, 16.8).
 *
 * A pure state machine like core/strans.
 */
#pragma once

#include "core/strans.h"

enum ctrans_state {
    CTRANS_NONE,
    CTRANS_CALLING,    /* INVITE sent, nothing heard */
    CTRANS_PROCEEDING, /* a provisional response came */
    CTRANS_ACCEPTED,   /* a 2xx came; more may follow */
    CTRANS_COMPLETED,  /* a failure came and was acknowledged */
    CTRANS_TRYING,     /* non-INVITE sent, nothing heard */
    CTRANS_PENDING,    /* non-INVITE: a provisional response came */
    CTRANS_ANSWERED,   /* non-INVITE: a final response came */
    CTRANS_TERMINATED,
    CTRANS_STATE_COUNT,
};

enum ctrans_input {
    CTRANS_PROVISIONAL,
    CTRANS_SUCCESS,
    CTRANS_FAILURE,
    CTRANS_UNREACHED,  /* the transport says so */
    CTRANS_RESEND_DUE, /* timer A or E */
    CTRANS_END_DUE,    /* timer B, C, D, F, K or M */
    CTRANS_INPUT_COUNT,
};

enum ctrans_effect {
    CTRANS_SEND = 1 << 0,     /* send the request again */
    CTRANS_SEND_ACK = 1 << 1, /* acknowledge the failure */
    CTRANS_PASS = 1 << 2,     /* hand the response to the transaction user */
    CTRANS_FAILED = 1 << 3,   /* timed out or not reached: tell the transaction user */
    CTRANS_EXPIRED = 1 << 4,  /* timer C: the transaction user should cancel */
    CTRANS_ENDED = 1 << 5,    /* free it */
    CTRANS_START_RESEND = 1 << 6,
    CTRANS_START_C = 1 << 7,
    CTRANS_START_LONG = 1 << 8,  /* 64 T1: M, D */
    CTRANS_START_SHORT = 1 << 9, /* T4: K */
};

struct ctrans {
    uint8_t state; /* enum ctrans_state */
    bool is_reliable;
    bool is_hurried;       /* a provisional response no longer prolongs it */
    uint32_t resend_after; /* ms */
    instant resend_at;
    instant end_at;
};

/* Starts it: the request has just been sent. */
void ctrans_init(struct ctrans *ct, bool is_invite, bool is_reliable, instant now);

enum ctrans_input ctrans_input_of(unsigned status);

/* Bits of enum ctrans_effect.  `timer_c` is the length of timer C. */
unsigned ctrans_step(struct ctrans *ct, enum ctrans_input input, instant now, duration timer_c);

/* The input that is due at `now`; CTRANS_INPUT_COUNT if none is. */
enum ctrans_input ctrans_due(const struct ctrans *ct, instant now);

/* An INVITE's CANCEL went out: if no final response comes within 64 T1 it is over (9.1). */
void ctrans_hurry(struct ctrans *ct, instant now);

/* A final response is still awaited. */
static inline bool ctrans_is_open(const struct ctrans *ct)
{
    return ct->state == CTRANS_CALLING || ct->state == CTRANS_PROCEEDING ||
           ct->state == CTRANS_TRYING || ct->state == CTRANS_PENDING;
}

static inline instant ctrans_deadline(const struct ctrans *ct)
{
    return min_u64(ct->resend_at, ct->end_at);
}
