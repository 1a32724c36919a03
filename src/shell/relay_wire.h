/*
 * What the daemon and the relay's process say to each other over a Unix socket that keeps messages
 * whole: each request has one answer.  Both are of one machine, so that numbers are its own; and of
 * one version, or the process says so.
 */
#pragma once

#include "shell/relay.h"

#define RELAY_SOCKET "relay"  /* in the state directory */
#define RELAY_WIRE_VERSION 2u /* another one where this file or core/leg.h changes */
#define RELAY_WIRE_BATCH 256u /* changes, keys or legs in a message */

enum relay_question {
    RELAY_HELLO, /* the answer's count is the limit, its place the process's id */
    RELAY_APPLY, /* changes; the answer has an int32_t for each */
    RELAY_READ,  /* keys; the answer has a leg for each */
    RELAY_LIST,  /* from `place`; the answer's `place` is where to go on */
};

struct relay_message {
    uint32_t version;
    uint32_t question; /* enum relay_question, the answer's too */
    uint32_t count;
    uint32_t place;
    union {
        struct leg_change changes[RELAY_WIRE_BATCH];
        struct leg_place keys[RELAY_WIRE_BATCH];
        struct relay_leg legs[RELAY_WIRE_BATCH];
        int32_t errors[RELAY_WIRE_BATCH];
    };
};

#define RELAY_MESSAGE_HEAD offsetof(struct relay_message, changes)
