/*
 * The machine's database of calls, and the judge of it (rule: each call has one record).
 *
 * Records that the core gave wait a moment, are written together, and then the core is told.  A
 * kill loses those that wait; what was written stays, also where the core was not told.  A full
 * disk makes all wait.
 */
#pragma once

#include "base/slice.h"

struct sim;
struct call;

struct archive_row {
    uint64_t id;
    struct slice record; /* as the core wrote it; owned */
};

struct archive {
    struct archive_row *rows;
    unsigned row_count, row_room;
    struct archive_row *waiting;
    unsigned waiting_count, waiting_room;
};

/* ACTION_CALL */
void archive_take(struct sim *sim, struct slice record);

/* DUE_ARCHIVE: writes what waits, if the core that gave it still runs. */
void archive_write(struct sim *sim, uint32_t start);

void archive_kill(struct sim *sim);

/* Above all numbers that are in it. */
uint64_t archive_first(const struct sim *sim);

/* Looks at all calls, when they are over. */
void archive_judge(struct sim *sim);

void archive_free(struct archive *archive);
