/*
 * Legwork: carries out what the core asks of the relay (core/action.h), and tells it what the relay
 * has.
 *
 * Changes are made when they are carried out, before what stands behind them is sent.  What the
 * core looks for is read in the round that follows.  Where the relay ends, another is opened, and
 * the core is told as at the start; where none could be opened it is tried again.
 */
#pragma once

#include "core/event.h"
#include "shell/log.h"
#include "shell/relay.h"

struct legwork_plan {
    struct relay_setup setup;
    struct log *log;
};

struct legwork;

/* Without a relay there is one that never has any; NULL if there is no memory. */
struct legwork *legwork_create(const struct legwork_plan *plan);

/* The relay's legs go on. */
void legwork_destroy(struct legwork *legwork);

/* Whether the settings want a relay, and whether one may be started. */
void legwork_want(struct legwork *legwork, bool is_wanted, bool may_start);

/* ACTION_LEG, ACTION_LOOK */
void legwork_change(struct legwork *legwork, struct slice changes);
void legwork_look(struct legwork *legwork, struct slice keys);

/* Readable when the relay has ended; -1 if it cannot. */
int legwork_descriptor(const struct legwork *legwork);
void legwork_lost(struct legwork *legwork);

/* When it is to be tried again to open one; NEVER. */
instant legwork_deadline(const struct legwork *legwork);
void legwork_retry(struct legwork *legwork);

/* There is something that the core must be told. */
bool legwork_has_news(const struct legwork *legwork);

/* The next thing that the core must be told, until there is none.  What the event points at stays
 * until the next call. */
bool legwork_next(struct legwork *legwork, struct event *event);
