/*
 * The state directory: everything that outlives a run lies in it.
 *
 *     lock          held while a server runs on it
 *     key           16 random bytes; all that we sign and index is keyed by it
 *     uuid          the realm, where the configuration names none
 *     journal.N     see journal.h
 *     sipwitch.db   see database.h
 */
#pragma once

#include "base/hash.h"
#include "shell/log.h"

#define UUID_LENGTH 36u

struct state {
    const char *path; /* the caller's */
    int folder;
    int lock;
    struct hash_key key;
    char uuid[UUID_LENGTH];
};

/* Makes the directory if need be, locks it and reads or makes key and uuid.  False when that is not
 * possible, or another server has it; it was logged why. */
bool state_open(struct state *state, const char *path, struct log *log);
void state_close(struct state *state);

/* Unpredictable bytes from the kernel. */
void random_fill(void *at, size_t len);
