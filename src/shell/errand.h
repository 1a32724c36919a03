/*
 * Errands: what administrators ask for that takes longer than a step: reading the configuration
 * again, or what the database is for.  The client waits; calls go on.
 */
#pragma once

#include "shell/control.h"
#include "shell/order.h"

#define ERRANDS CONTROL_CLIENTS /* one a client, and it asks no more meanwhile */

struct loop;
struct errands;

/* NULL if there is no memory.  What is borrowed must outlive it. */
struct errands *errands_create(struct loop *loop, struct control *control);
void errands_destroy(struct errands *errands);

/* Runs it, and answers the client when it is done or cannot be. */
void errands_run(struct errands *errands, const struct order *order);
