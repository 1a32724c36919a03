/*
 * Journal records: what of the core's memory survives the process (doc: ARCHITECTURE.md).
 *
 * A record is a type byte and its fields in little-endian order.  Later records override earlier
 * ones about the same id, so that reading them twice does no harm.  Times are wall seconds.
 */
#pragma once

#include "core/state.h"

enum record_type {
    RECORD_BIND = 1, /* a binding, whole */
    RECORD_UNBIND,   /* id */
    RECORD_INVITE,   /* an INVITE being forwarded: bytes, flow, targets, branches, position */
    RECORD_INVITE_ACCEPTED, /* it was answered: what a late 2xx needs, in place of the INVITE */
    RECORD_INVITE_FAILED,   /* it was refused: the response, until its ACK; the call's record */
    RECORD_INVITE_END,      /* nothing more is expected of it */
    RECORD_DIALOG,          /* the observer's record of a call */
    RECORD_DIALOG_END,      /* id; the call's record */
    RECORD_CALL,            /* the record of a call, whole (core/calls.h) */
    RECORD_CALL_KEPT,       /* id: the database has it */
    RECORD_PROVEN,          /* hash of a domain that has proven itself; until when, if sought */
    RECORD_MEDIA,           /* the legs of a call that is relayed (core/anchor) */
    RECORD_MEDIA_END,       /* id */
    RECORD_OUTSIDE,         /* the public address that was learnt (core/outside) */
};

/* Starts a record in out->bytes; nothing else may be written there until record_end. */
struct writer *record_begin(struct actions *out, enum record_type type, uint64_t id);
/* Ends it and emits the persist. */
void record_end(struct actions *out);

/* True if records are worth emitting: not while the store fails. */
static inline bool record_wanted(const struct core *core)
{
    return !core->store_failed;
}

void write_flow(struct writer *w, const struct flow *flow);
struct flow read_flow(struct reader *r);

/* An instant to come, by both clocks.  Within one boot of the machine boot time is read back, since
 * the wall clock may have jumped; after another the wall clock, and no more than `longest` ahead.
 */
void write_instant(struct writer *w, const struct core *core, instant at, struct moment now);
instant read_instant(struct reader *r, const struct core *core, struct moment now,
                     duration longest);

/* EVENT_RESTORED: takes in one record. Unknown types and broken records are passed over. */
void record_restore(struct core *core, struct slice payload, struct moment now,
                    struct actions *out);

/* A few more records of all that lives, while a checkpoint runs; at its end ACTION_CHECKPOINTED. */
void record_checkpoint(struct core *core, struct moment now, struct actions *out);
