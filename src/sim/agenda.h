/*
 * Agenda: what is going to happen, in the order of virtual time; of two things at one instant the
 * one noted first happens first.
 */
#pragma once

#include "base/slice.h"

enum due_kind {
    DUE_ARRIVAL,     /* a datagram reaches the server or a node */
    DUE_PHONE,       /* a phone's earliest timer */
    DUE_STRANGER,    /* a stranger's next idea */
    DUE_STORE,       /* the disk may have finished a write */
    DUE_ARCHIVE,     /* the database writes what waits for it */
    DUE_RESTART,     /* a killed server comes up again */
    DUE_PAST,        /* it has time to bring more of the last run into memory */
    DUE_FAULT,       /* the next fault of the world */
    DUE_RELIEF,      /* its end */
    DUE_LOAD,        /* the server looks how full its queue is */
    DUE_DNS,         /* DNS answers */
    DUE_NOTARY,      /* a domain that signs writes something */
    DUE_LEGS,        /* the relay says what it has */
    DUE_CERTIFICATE, /* a certificate was fetched, or not */
    DUE_UNREACHED,   /* the network says that a datagram did not arrive */
    DUE_PHASE,       /* the next part of the hour */
    DUE_WIRE,        /* a stream ends, as the core asked, or could not be opened */
    DUE_DIAL,        /* one that the core asked for stands */
    DUE_READ,        /* the server reads what came by one */
    DUE_SILENCE,     /* it is looked whether its peer still keeps one alive */
    DUE_INSPECTION,  /* the judge looks into the core */
    DUE_LIFETIMES,   /* and, more often, at its transactions */
    DUE_KIND_COUNT,
};

struct due {
    instant at;
    uint64_t order;
    enum due_kind kind;
    uint32_t who;
    void *what; /* owned by the agenda's reader once taken */
};

struct agenda {
    struct due *heap;
    size_t count;
    size_t room;
    uint64_t noted;
};

void agenda_note(struct agenda *a, instant at, enum due_kind kind, uint32_t who, void *what);

/* When the first is due; NEVER if there is none. */
instant agenda_next(const struct agenda *a);
struct due agenda_take(struct agenda *a); /* asserts that there is one */
