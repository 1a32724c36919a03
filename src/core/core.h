/*
 * The core: turns one event at one instant into a list of actions, and is nothing but memory and
 * rules.  The shell turns the world into events and carries the actions out; the simulator is
 * another shell.
 *
 * Start: core_create, core_put_user for each user, EVENT_RESTORED for each record of the journal,
 * EVENT_STARTED; then messages and deadlines as they come.  After recall_begin (core/recall.h)
 * users may be put and bindings come to memory while messages come.
 */
#pragma once

#include "base/hash.h"
#include "core/action.h"
#include "core/event.h"
#include "core/limits.h"
#include "core/settings.h"
#include "sip/es256.h"

struct core;

struct core_origin {
    struct limits limits;
    const struct settings *settings;
    const struct digest_table *digests;
    const struct es256_table *es256; /* NULL: nothing is signed, nor believed for being signed */
    struct hash_key secret;          /* from the key file: the same in every run */
    struct hash_key seed;            /* of this run's random stream: never the same */
    uint64_t first_call;             /* number of the next call: above all that the database has */
    uint64_t boot; /* names this boot of the machine: boot time goes on through runs that share it;
                      0 = unknown */
};

/* Bytes of memory that these limits need. */
size_t core_bytes(const struct limits *limits);

/* Lays the core out in zeroed memory of core_bytes, aligned to 64; pages never used are never
 * touched.  The memory stays the caller's and must outlive the core; there is nothing to free. */
struct core *core_create(void *memory, const struct core_origin *origin, struct moment now);

/* Adds a user before the start, or while the last run is recalled; false if there is no room, or
 * the id or extension is taken (the first wins; see enum user_source).  True, and nothing is
 * changed, for a user of the database who was recalled already. */
bool core_put_user(struct core *core, const struct user_settings *user);

/* Replaces the digests of the user with this id, if there are any, as early as that. */
void core_set_password(struct core *core, const struct user_settings *user);

/* `out` must have room for STEP_ACTIONS actions and STEP_BYTES bytes. */
void core_step(struct core *core, const struct event *event, struct moment now,
               struct actions *out);

/* EVENT_DEADLINE is due at this instant; NEVER if nothing waits. */
instant core_deadline(const struct core *core);
