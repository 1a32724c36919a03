/*
 * The helper at the router (sipw-router): a process of its own that finds out the public address
 * and has ports forwarded, while the daemon goes on and never waits for it.  It is started here
 * where the settings want it, ends with the daemon, and is started again if it ends before that.
 */
#pragma once

#include "base/hash.h"
#include "core/event.h"
#include "shell/log.h"

struct router;

/* `secret`: what the nonce of the router's mappings is made of, the same in each run.  NULL if
 * there is no memory. */
struct router *router_create(const struct hash_key *secret, struct log *log);

/* The helper gives the ports back and ends; nobody waits for that. */
void router_destroy(struct router *router);

/* What the settings want; they are copied. */
void router_want(struct router *router, const struct settings *settings);

/* Readable when there is news; -1 if there can be none.  It changes with what is wanted, and when
 * there was news. */
int router_descriptor(const struct router *router);

/* There is something that the core must be told, whether or not that is readable. */
bool router_has_news(const struct router *router);

/* The next thing that the core must be told; false if there is none.  What the event points at
 * stays until the next call. */
bool router_next(struct router *router, struct event *event);
