/*
 * Deliberate faults, to show that the simulator bites.  A build with -DFAULT=n has fault n in the
 * core; every other build has none, and the compiler leaves no trace of them.
 */
#pragma once

#include <stdbool.h>

enum fault_number {
    FAULT_NONE,
    FAULT_TIMER_DROPPED,       /* a client transaction's retransmission is not set */
    FAULT_ACK_LOST,            /* a non-2xx final is not acknowledged */
    FAULT_SEND_BEFORE_PERSIST, /* a REGISTER's 200 goes out before its record */
    FAULT_CANCEL_AFTER_2XX,    /* the branch that answered is cancelled too */
    FAULT_SECOND_FINAL,        /* a final response goes out though one went before */
    FAULT_COOKIE_UNCHECKED,    /* any cookie is believed */
    FAULT_BRANCH_LEAKED,       /* a cancelled branch's transaction is never freed */
    FAULT_BINDING_RESURRECTED, /* a removal is not persisted */
    FAULT_NONCE_REPLAYED,      /* a nonce count may come twice */
    FAULT_OBSERVER_BLIND,      /* the observer misses the end of a call */
    FAULT_RECORD_APART,        /* a call's end and its record are two in the journal */
    FAULT_RECORD_FORGOTTEN,    /* a checkpoint leaves out what the database does not have yet */
    FAULT_REFRESH_IGNORED,     /* a session ends when it would have without its refresh */
    FAULT_CHECKPOINT_EARLY,    /* it does not wait until the last run is in memory */
    FAULT_BRANCH_REUSED,     /* the next server of a domain is asked by the branch of the former */
    FAULT_PROOF_FORGOTTEN,   /* that a domain has proven itself is not persisted */
    FAULT_CONNECTION_SHARED, /* one to a domain is used for another at the same address */
    FAULT_FLOW_GIVEN_UP,     /* where one flow of a phone fails, the next is not tried */
    FAULT_KEYS_UNCHECKED,    /* media keys that were not signed are let in */
    FAULT_DIALOG_UNPROVEN, /* who answers a new connection of a dialog need not prove its domain */
    FAULT_LEGS_LEFT,       /* the relay's legs of a call stay after its end */
    FAULT_LEGS_UNRECORDED, /* what a relayed call agreed on is not persisted */
    FAULT_PROOF_SHORT,     /* that a domain has proven itself is remembered for a week only */
    FAULT_ACCEPTED_KEPT,   /* timer L is ten times as long as it should be */
    FAULT_COUNT,
};

#ifndef FAULT
#define FAULT FAULT_NONE
#endif

static inline bool fault_is(enum fault_number number)
{
    return (int)FAULT == (int)number;
}
