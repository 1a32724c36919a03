/*
 * Server transactions: RFC 3261 17.2, INVITE as corrected by RFC 6026, non-INVITE by RFC 4320.
 *
 * A pure state machine.  Feed it one input at a time with the current instant; it changes its
 * state and deadlines, and says which effects its owner (core/transaction) must carry out.
 */
#pragma once

#include "base/base.h"

#define T1 MS(500)
#define T2 MS(4000)
#define T4 MS(5000)

enum strans_state {
    STRANS_NONE,
    STRANS_PROCEEDING, /* INVITE: no final response yet */
    STRANS_ACCEPTED,   /* a 2xx went out; more may follow */
    STRANS_COMPLETED,  /* a failure went out and awaits its ACK */
    STRANS_CONFIRMED,  /* the ACK came */
    STRANS_TRYING,     /* non-INVITE: nothing sent yet */
    STRANS_PENDING,    /* non-INVITE: a provisional response went out */
    STRANS_ANSWERED,   /* non-INVITE: the final response went out, or none ever will */
    STRANS_TERMINATED,
    STRANS_STATE_COUNT,
};

enum strans_input {
    STRANS_REQUEST, /* the request again */
    STRANS_ACK,
    STRANS_PROVISIONAL, /* 1xx from the transaction user */
    STRANS_SUCCESS,     /* 2xx from the transaction user */
    STRANS_FAILURE,     /* 3xx-6xx from the transaction user */
    STRANS_SILENCE,     /* the transaction user will never answer (RFC 4320 4.2) */
    STRANS_RESEND_DUE,  /* timer G; or time to say 100 */
    STRANS_END_DUE,     /* timer H, I, J or L */
    STRANS_INPUT_COUNT,
};

enum strans_effect {
    STRANS_SEND = 1 << 0,      /* send the last response */
    STRANS_TIMED_OUT = 1 << 1, /* no ACK came */
    STRANS_ENDED = 1 << 2,     /* free it */
    STRANS_START_RESEND = 1 << 3,
    STRANS_START_LONG = 1 << 4,  /* 64 T1: H, J or L */
    STRANS_START_SHORT = 1 << 5, /* T4: I */
    STRANS_IS_SLOW = 1 << 6,     /* non-INVITE: the transaction user is to say 100 now */
};

struct strans {
    uint8_t state; /* enum strans_state */
    bool is_reliable;
    uint32_t resend_after; /* ms: timer G's present interval */
    instant resend_at;
    instant end_at;
};

/* When the sender's timer E has grown to T2: the time to say 100, and not before (RFC 4320 4.1). */
#define TRYING_AFTER (7 * T1)

/* Starts it: the request has just come. */
void strans_init(struct strans *st, bool is_invite, bool is_reliable, instant now);

/* The input that a response of this status is. */
enum strans_input strans_input_of(unsigned status);

/* True if this response may still go out: one final, or one or more 2xx, never both. */
bool strans_accepts(const struct strans *st, enum strans_input input);

/* Bits of enum strans_effect. */
unsigned strans_step(struct strans *st, enum strans_input input, instant now);

/* The input that is due at `now`; STRANS_INPUT_COUNT if none is. */
enum strans_input strans_due(const struct strans *st, instant now);

static inline instant strans_deadline(const struct strans *st)
{
    return min_u64(st->resend_at, st->end_at);
}
