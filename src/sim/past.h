/*
 * The machine's past: what its core does not have in memory yet after a start (core/recall.h).
 *
 * Every other user is the database's.  They are put, and bindings are recalled, in random bits of
 * the first half second; whoever is asked for meanwhile must be found all the same.
 */
#pragma once

#include "base/random.h"
#include "core/recall.h"

struct sim;

struct past {
    struct roster roster;
    struct random dice; /* of its own, so that nothing else changes */
    void *memory;       /* NULL = nothing is recalled */
    size_t size;
    struct slice *records; /* copies that the core has noted */
    size_t count, room;
    unsigned next_user;
};

/* Before the first user is put into a new core, that reads this many bytes of journal. */
void past_begin(struct sim *sim, uint64_t journal_bytes);
/* Puts those users who are there from the start. */
void past_put_users(struct sim *sim);
/* What is restored lives as long as the past. */
struct slice past_keep(struct sim *sim, struct slice record);
/* The machine has started: it has time for its past now and then. */
void past_note(struct sim *sim);
/* The next user to be put; NULL when there are no more. */
const struct user_settings *past_next_user(struct sim *sim);
/* The core needs it no more, or is gone. */
void past_end(struct sim *sim);
