/* What can happen to the core: one event at one instant. */
#pragma once

#include "core/flow.h"

enum event_kind {
    EVENT_RECEIVED = 1, /* a whole message came in on flow */
    EVENT_DEADLINE,     /* the instant of core_deadline has come */
    EVENT_RESTORED,     /* a record of the journal, oldest first; only before EVENT_STARTED */
    EVENT_STARTED,      /* the journal is read: from now on the world may speak */
    EVENT_CHECKPOINT,   /* a new journal segment was begun: persist all that lives once more, from
                           scratch if a checkpoint is under way */
    EVENT_STORE_FAILED, /* a persist failed, or is late by two seconds */
    EVENT_STORE_WORKS,  /* it works again, in a new segment: a checkpoint begins from scratch */
};

struct event {
    enum event_kind kind;
    struct flow flow;
    struct slice bytes; /* the message, or the record's payload; the shell's, for this step */
};
