/*
 * Call records: one for each INVITE that begins a call and was sent to somebody, whatever became of
 * it.  Where several phones answered, the first makes the call.
 *
 * A call has its number from its INVITE on, and keeps it through every crash.  Its record stands in
 * the journal within the record of what ended it, so that a kill leaves both or neither.  Then it
 * goes to the shell, for the database (ACTION_CALL), and is kept here, and at each checkpoint in
 * the journal, until the database has it (EVENT_CALLS_KEPT).  What comes twice has the same number.
 */
#pragma once

#include "core/heard.h"
#include "core/state.h"

enum call_ender {
    CALL_ENDED_BY_NOBODY, /* its time was over */
    CALL_ENDED_BY_CALLER,
    CALL_ENDED_BY_CALLEE,
    CALL_ENDED_BY_ADMIN,
    CALL_ENDED_BY_SILENCE, /* nothing was heard of its media */
    CALL_ENDED_BY_RELAY,   /* which had no port for it */
};

/* Texts are clean: valid UTF-8 without control characters, at most NAME_LIMIT bytes each. */
struct call_record {
    uint64_t id;
    int64_t began;        /* wall seconds: its INVITE came */
    int64_t answered;     /* 0 = it was not */
    int64_t ended;        /* 0 = it was not yet */
    uint32_t duration;    /* seconds from answer to end, by a clock that is never set */
    uint16_t status;      /* the final response to the INVITE */
    uint8_t ender;        /* enum call_ender: whose CANCEL or BYE ended it */
    uint8_t media_path;   /* enum media_path, and */
    uint8_t media;        /* enum media_reason: why it took that */
    uint8_t proof;        /* bits of enum caller_proof: what is proven of the caller */
    struct slice network; /* the address from which it came */
    struct slice caller;  /* a user's id or number, or user@host */
    struct slice dialed;  /* a number or id, or user@host */
    struct slice callee;  /* who answered; else who was called: a user's id, or user@host */
    struct slice display; /* the caller's display name */
    struct slice call_id;
    struct heard_ends heard; /* nothing, where it was not relayed */
};

/* Room for any of them, written. */
#define CALL_RECORD_LIMIT (72u + 6u * (NAME_LIMIT + 2u) + HEARD_LIMIT)

void call_write(struct writer *w, const struct call_record *call);
/* False if it is broken; texts are borrowed. */
bool call_read(struct reader *r, struct call_record *call);
/* The proof in a record of which nothing else is looked at; CALLER_UNTOLD if it is none. */
uint8_t call_proof(struct slice record);
/* And which way its media takes; undecided if it is none. */
void call_media(struct slice record, uint8_t *path, uint8_t *reason);
/* Why a call ended, as GNU SIP Witch's records say it: terminated, busy, declined, rejected,
 * redirect, expired, failed; or dropped, silent, unrelayed. */
struct slice call_reason(const struct call_record *call);

size_t calls_bytes(const struct limits *limits);
void calls_init(struct core *core, struct arena *from, uint64_t first);

/* The number of a new call. */
uint64_t calls_number(struct core *core);

/* What is known of a call while its context stands: `branch` is the target that counts as callee.
 * Texts are written into `texts`, which needs CALL_RECORD_LIMIT bytes. */
void calls_describe(const struct core *core, const struct context *context, unsigned branch,
                    struct writer *texts, struct call_record *call);

/* A call has ended.  Its record must have been put into the journal just before, or will be by
 * calls_persist at once. */
void calls_end(struct core *core, const struct call_record *call, struct actions *out);

/* For a call whose end has no record of its own, and for a checkpoint. */
void calls_persist(const struct call_record *call, struct actions *out);
void calls_persist_kept(const struct kept_call *kept, struct actions *out);

/* Gives the shell more of those that wait, as far as its window and this step allow. */
void calls_give(struct core *core, struct actions *out);
bool calls_wait(const struct core *core);

/* EVENT_CALLS_KEPT: numbers of calls that are in the database, eight bytes each. */
void calls_kept(struct core *core, struct slice numbers, struct actions *out);

/* RECORD_CALL. */
void calls_restore(struct core *core, struct reader *record);
/* A call's record, or NULL, at the end of the record of what ended it. */
void calls_write_end(struct writer *w, const struct call_record *call);
void calls_restore_end(struct core *core, struct reader *record);
/* A call of this number has been: the next has a higher one. */
void calls_passed(struct core *core, uint64_t id);
/* RECORD_CALL_KEPT */
void calls_restore_kept(struct core *core, struct reader *record);
