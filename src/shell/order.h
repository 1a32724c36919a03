/*
 * An order: one line of the control protocol, read (sipwitch-control(7)).
 *
 * A line is a JSON object whose member `command` names the command; the other members are what that
 * command takes.  What is unknown, missing or too long is a fault, never guessed.
 */
#pragma once

#include "core/admin.h"
#include "core/settings.h"

#define ORDER_LIMIT 8192u /* bytes of a line: the longest text of a message, escaped */

enum order_kind {
    ORDER_CORE,   /* for the core: `request` */
    ORDER_CHECK,  /* that the server answers */
    ORDER_EVENTS, /* to be told what happens */
    ORDER_DOWN,   /* the server ends */
    ORDER_RELOAD, /* the configuration is read again */
    ORDER_TRACE,  /* `trace` */

    /* Of the database: `user` is whom it is about. */
    ORDER_ADD_USER,
    ORDER_REMOVE_USER,
    ORDER_SET_PASSWORD,
    ORDER_RECORDS, /* of calls: `user` may be empty */
};

enum order_trace {
    TRACE_STREAM, /* as it comes, to this client */
    TRACE_ON,     /* into memory */
    TRACE_OFF,
    TRACE_CLEAR,
    TRACE_SHOW, /* what is in memory */
};

struct order {
    enum order_kind kind;
    enum order_trace trace;
    struct admin_request request; /* its texts belong to `held` */
    struct user_settings user;    /* so do these */
    struct slice realm;           /* that the digests are for */
    uint64_t since;               /* seconds of the wall clock; 0 = from the first record on */
    void *held;
};

struct order_fault {
    const char *code; /* static */
    char text[256];   /* why, and what to write instead */
};

/* False, with a fault and nothing to free, if it cannot be carried out. */
bool order_read(struct slice line, struct order *order, struct order_fault *fault);
void order_free(struct order *order);
