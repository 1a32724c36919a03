/* Ledger: finds the numbers that were noted under a key, the latest first. */
#pragma once

#include "base/hash.h"

struct ledger_entry {
    uint64_t key;
    uint32_t next;
    uint32_t value;
};

struct ledger {
    struct ledger_entry *entries; /* the first is never used */
    uint32_t count, room;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
};

void ledger_note(struct ledger *l, uint64_t key, uint32_t value);

/* The place of the latest entry of a key, then of the one before; 0 when there are no more. */
uint32_t ledger_first(const struct ledger *l, uint64_t key);
uint32_t ledger_next(const struct ledger *l, uint32_t place);

static inline uint32_t ledger_value(const struct ledger *l, uint32_t place)
{
    return l->entries[place].value;
}

void ledger_free(struct ledger *l);

/* A key from its parts. */
uint64_t ledger_key(const char *kind, struct slice a, struct slice b, uint64_t number);
