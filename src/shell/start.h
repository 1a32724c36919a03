/*
 * The start: what of the last run is not in memory yet when the first message is answered, and how
 * it comes there (core/recall.h).  Users are in the database, bindings in the journal's segments;
 * who is asked for is looked up there, the others follow between messages.
 *
 * Until that is done nobody else may use the database: it stays as it was when it was opened.  The
 * main thread's.
 */
#pragma once

#include "shell/journal.h"
#include "shell/keeper.h"
#include "shell/users.h"

struct start;

/* Reads the journal's segments, puts the users of the configuration into a core that has none, and
 * begins to read those of the database: database_begin_users was called.  NULL, and it was logged
 * why, if it cannot. */
struct start *start_begin(struct core *core, const struct config *config, struct database *database,
                          const struct journal *journal, struct log *log);
/* Gives back what it needed; the database stays open. */
void start_end(struct start *start);

/* Segments as they were read, oldest first; they last as long as the start. */
struct start_segment {
    struct slice file;
    uint64_t epoch;
};

unsigned start_segment_count(const struct start *start);
const struct start_segment *start_segments(const struct start *start);

/* Puts a few more users; false when there are no more. */
bool start_put_users(struct start *start);

/* The database cannot be read, which was logged: who was not found may be there all the same. */
bool start_has_failed(const struct start *start);
