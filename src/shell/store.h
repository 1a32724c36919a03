/*
 * The store: appends the records of batches to the journal on a thread of its own, and syncs on
 * another, so that no disk holds up a call (doc/adr/0002-journal-thread.md).
 *
 * Batches are filled by the main thread and given in turn; they come back in the same order with
 * `error` set.  All functions are the main thread's.
 */
#pragma once

#include "shell/batch.h"
#include "shell/journal.h"

#define STORE_BATCHES 4u /* one is being filled, the others may be with the store */

struct store;

/* Takes over the journal.  Where no segment could be begun, all that is given fails until
 * store_renew.  NULL when there is no memory or thread. */
struct store *store_start(struct journal *journal);

/* Writes what was given, syncs, and ends the threads. */
void store_stop(struct store *store);

/* Becomes readable when a batch has come back or the store works again while the main thread
 * sleeps. */
int store_descriptor(const struct store *store);
/* Before the main thread sleeps; false if there is already something to look after. */
bool store_sleep(struct store *store);
void store_awake(struct store *store); /* and after */

/* The batch to fill. */
struct batch *store_current(struct store *store);

bool store_has_given(const struct store *store); /* batches are out */
bool store_can_give(const struct store *store);  /* there is another batch to fill meanwhile */
void store_give(struct store *store);            /* the current one; the next becomes current */
/* The n-th batch that is out, from the oldest; NULL beyond the last. */
struct batch *store_given(struct store *store, uint32_t n);
/* The oldest that is out, if the store is done with it; NULL if not.  Then store_take_back. */
struct batch *store_finished(struct store *store);
void store_take_back(struct store *store);

/* After a failure, or when it was late: everything given from now on fails until a new segment was
 * begun, which is tried each second. */
void store_renew(struct store *store);
bool store_is_renewed(const struct store *store);

/* -errno if a sync has failed since the last call. */
int store_sync_error(struct store *store);

/* Order of the newest segment; when it has risen, a checkpoint is due. */
uint64_t store_order(const struct store *store);
