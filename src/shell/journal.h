/*
 * The journal's files in the state directory: journal.N, N rising, each a segment (core/segment.h).
 *
 * Records are appended to the newest.  When it is full a new one is begun, all that lives is
 * written to it once more (a checkpoint), and then the older ones go; one of them is kept as
 * journal.spare, whose blocks the next segment need not ask the file system for.  A segment is full
 * at 16 MiB, or at twice what lives if that is more, so that checkpoints are at most half of what
 * is written, and a start reads little more than what lives.
 *
 * One thread appends, another syncs and retires; journal_append and journal_begin are the first's,
 * journal_sync the second's.
 */
#pragma once

#include "base/cursor.h"
#include "core/segment.h"
#include "shell/log.h"

#include <pthread.h>

#define SEGMENT_BYTES (UINT64_C(16) << 20)

struct journal {
    const char *path; /* of the folder; for messages */
    int folder;
    uint64_t found; /* order of the newest segment when it was opened */

    /* The appending thread's. */
    int file;
    uint64_t epoch;
    uint64_t order;
    uint64_t used;  /* bytes of the newest segment */
    uint64_t limit; /* it is full beyond */
    bool is_checkpointed;

    /* Shared: */
    pthread_mutex_t mutex;
    uint64_t newest;        /* order */
    uint64_t written;       /* bytes, since the start */
    uint64_t retire_before; /* segments of a lower order are no longer needed */
    bool has_spare;

    /* The syncing thread's. */
    uint64_t synced;        /* `written` at the last sync */
    uint64_t synced_before; /* segments of a lower order are safe */
    uint64_t oldest;
};

/* Finds the segments.  False if one is damaged or of a newer version; it was logged which. */
bool journal_open(struct journal *journal, int folder, const char *path, struct log *log);
void journal_close(struct journal *journal);

/* The segments that were found, one after another: the file as far as it has records, which the
 * caller frees; they begin at SEGMENT_HEADER.  Start with *order = 0; false at the end, or with
 * `error` set when one could not be read. */
bool journal_next(const struct journal *journal, uint64_t *order, struct slice *file,
                  uint64_t *epoch, int *error);

/* Begins a segment; -errno on failure, with the one before untouched. */
int journal_begin(struct journal *journal);

/* Room for records, and a checkpoint will not be wasted. */
bool journal_is_full(const struct journal *journal);

/* Appends records made by segment_append under journal->epoch.  -errno on failure: then nothing
 * more may be appended before a new segment was begun, since parts of these may be there. */
int journal_append(struct journal *journal, struct slice records);

/* All that lives is in the newest segment now. */
void journal_checkpointed(struct journal *journal);

/* Makes everything safe from a power cut, and retires segments that are no longer needed.  May
 * take seconds.  -errno on failure. */
int journal_sync(struct journal *journal);
