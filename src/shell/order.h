/*
 * An order: one line of the control protocol, read (sipwitch-control(7)).
 *
 * A line is a JSON object whose member `command` names the command; the other members are what that
 * command takes.  What is unknown, missing or too long is a fault, never guessed.
 */
#pragma once

#include "core/admin.h"

#define ORDER_LIMIT 8192u /* bytes of a line: the longest text of a message, escaped */

enum order_kind {
    ORDER_CORE,   /* for the core: `request` */
    ORDER_CHECK,  /* that the server answers */
    ORDER_EVENTS, /* to be told what happens */
    ORDER_DOWN,   /* the server ends */
    ORDER_RELOAD, /* the configuration is read again */
    ORDER_TRACE,  /* `trace` */
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
    void *held;
};

struct order_fault {
    const char *code; /* static */
    char text[256];   /* why, and what to write instead */
};

/* False, with a fault and nothing to free, if it cannot be carried out. */
bool order_read(struct slice line, struct order *order, struct order_fault *fault);
void order_free(struct order *order);
