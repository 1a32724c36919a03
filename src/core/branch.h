/*
 * The branch parameter of our Via (RFC 3261 8.1.1.7, 16.6 step 8).
 *
 * It carries a shard, the handle of the client transaction and the hash of what routing depends
 * on, under a MAC: a response whose branch we did not make is dropped before anything is looked
 * up, and a loop is told from a spiral (RFC 5393).
 */
#pragma once

#include "base/cursor.h"
#include "base/hash.h"
#include "sip/via.h"

#define BRANCH_TEXT 49u /* characters */

struct branch {
    uint8_t shard;
    uint64_t transaction; /* pool index and generation; 0: stateless */
    uint32_t loop;
};

void branch_write(struct writer *w, const struct hash_key *key, const struct branch *branch);

/* False unless we made it. */
bool branch_read(struct slice text, const struct hash_key *key, struct branch *branch);
