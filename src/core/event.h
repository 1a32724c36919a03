/* What can happen to the core: one event at one instant. */
#pragma once

#include "core/leg.h"
#include "core/outside.h"
#include "core/settings.h"
#include "sip/message.h"

enum event_kind {
    EVENT_RECEIVED = 1, /* a whole message came in on flow */
    EVENT_BROKEN,     /* what came on a stream is no message: `bytes` are its head, as much of it as
                         there is, and `fault` says why */
    EVENT_OPENED,     /* a peer opened a stream, or one that we opened stands; one that outlived the
                         last run comes before the records.  `bytes`: the domains that the peer has
                         proven to be (RFC 5922), a line each */
    EVENT_CLOSED,     /* a stream has ended, or could not be opened, perhaps since its peer
                         `is_unproven`; its handle is void */
    EVENT_DEADLINE,   /* the instant of core_deadline has come */
    EVENT_RESTORED,   /* a record of the journal, oldest first; only before EVENT_STARTED */
    EVENT_STARTED,    /* the journal is read: from now on the world may speak */
    EVENT_RECALL,     /* there is time to bring more of the last run into memory (core/recall.h) */
    EVENT_CHECKPOINT, /* a new journal segment was begun: persist all that lives once more, from
                         scratch if a checkpoint is under way */
    EVENT_CALLS_KEPT, /* bytes: numbers of calls that are in the database, eight bytes each, at most
                         CALLS_KEPT_AT_ONCE */
    EVENT_STORE_FAILED, /* a persist failed, or is late by two seconds */
    EVENT_STORE_WORKS,  /* it works again, in a new segment: a checkpoint begins from scratch */
    EVENT_SETTINGS,     /* settings replace the old ones, which are not looked at after this step;
                           sockets stay what they are */
    EVENT_USER,         /* user is new, or replaces the row of that id; its phones stay bound */
    EVENT_USER_GONE,    /* bytes: the id of a user who goes, with all bindings */
    EVENT_PASSWORD,     /* user: an id, and the digests that replace those it has */
    EVENT_USERS_PUT,    /* the rows of files and accounts that were not put since the last
                           EVENT_SETTINGS go; a few in each step */
    EVENT_LOAD,         /* fill: of the fullest receive queue, in thousandths; while it never rests
                           some hundred times a second, and when it does again (core/load.h) */
    EVENT_UNREACHED,   /* a datagram to flow did not arrive: the network says so, or there is no way
                          there.  `bytes`: its beginning, as far as it came back */
    EVENT_DNS,         /* dns: the answer to an ACTION_ASK, or that there is none; each question is
                          answered once, in any order, in its own time: the core knows which
                          answers it still waits for, and passes over all others */
    EVENT_CERTIFICATE, /* certificate: what an ACTION_FETCH found, once; an answer that comes late
                          is passed over */
    EVENT_RELAY,       /* the relay can be used from now on, if `has_relay`, or cannot; when it can,
                          EVENT_LEGS lists its whole table next */
    EVENT_LEGS,        /* legs, leg_count: what an ACTION_LOOK asked for, as far as it is there; or,
                          where `is_list`, some of the whole table, LEGS_LISTED at most, and where
                          `is_end` the last of it */
    EVENT_UNOPENED,    /* legs, leg_count: what an ACTION_LEG wanted opened, and could not be; where
                          `is_taken`, since another program has the port */
    EVENT_OUTSIDE,     /* outside: under which address the server is known outside, or that it is
                          not known; each time that this changes, and once at the start */
    EVENT_ADMIN,       /* an administrator asks for something: `request` */
};

/* A leg as the relay has it. */
struct leg_found {
    struct leg_place key;
    struct leg leg;
    struct leg_stream stream;
};

struct admin_request;
struct certificate;
struct dns_answer;

struct event {
    enum event_kind kind;
    struct flow flow;
    struct slice bytes;      /* the message, or the record's payload; the shell's, for this step, or
                                for as long as core/recall.h says */
    struct slice credential; /* EVENT_OPENED: by TLS, what the peer has shown, as credential_write
                                has it; empty if it was nothing */
    const struct settings *settings;
    const struct user_settings *user; /* copied in this step */
    struct fault fault;               /* EVENT_BROKEN */
    bool is_unproven;                 /* EVENT_CLOSED: it lacked what its plan demands */
    unsigned fill;                    /* EVENT_LOAD */
    uint64_t question;                /* EVENT_DNS, EVENT_CERTIFICATE: as it was in the action */
    const struct certificate *certificate; /* core/vouch.h; the shell's, for this step */
    const struct dns_answer *dns;          /* core/dns.h; the shell's, for this step */
    const struct admin_request *request;   /* core/admin.h; the shell's, for this step */
    const struct outside_news *outside;    /* EVENT_OUTSIDE; the shell's, for this step */
    bool has_relay;                        /* EVENT_RELAY */
    unsigned leg_limit;                    /* EVENT_RELAY: legs that it can hold */
    bool is_list, is_end;                  /* EVENT_LEGS */
    bool is_taken;                         /* EVENT_UNOPENED */
    unsigned leg_count;
    const struct leg_found *legs; /* the shell's, for this step */
};
