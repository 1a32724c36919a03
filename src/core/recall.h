/*
 * Recall: how the users and bindings of the last run come into memory without keeping the first
 * call waiting until the last of them is there (doc/adr/0005).
 *
 * Of the journal's records that bind and unbind only their places are noted; the newest of each
 * binding counts.  Users who are not in memory are asked of a roster.  Who is looked for comes at
 * once, with all bindings; the others follow, a few in each EVENT_RECALL.  A user's bindings are
 * either all in memory or all noted, so whatever is asked is answered as if everything had been
 * read before.
 *
 * The memory, the roster and the journal's bytes are the shell's, until recall_goes_on says no.
 */
#pragma once

#include "core/core.h"
#include "core/inspect.h"

enum roster_key { ROSTER_ID, ROSTER_EXTENSION };

/* Who may be asked for users that are not in memory: constant, like the tables of digests. */
struct roster {
    /* False if nobody has this id or extension.  Texts are good until the next call. */
    bool (*find)(void *self, enum roster_key key, struct slice name, struct user_settings *user);
    void *self;
};

/* Bytes of memory for the notes of a journal of so many bytes. */
size_t recall_bytes(uint64_t journal_bytes);

/* Before the first user and the first record, in zeroed memory.  The bytes of the events that
 * restore must then last as long as the memory. */
void recall_begin(struct core *core, void *memory, uint64_t journal_bytes,
                  const struct roster *roster);
bool recall_goes_on(const struct core *core);

/* For the modules of src/core. */

/* Bindings at most that have not come into memory yet, and for which there must be room. */
uint32_t recall_owed(const struct core *core);

struct recall;
struct user;

/* Notes what a record binds, or does so at once where the user's bindings are in memory. */
void recall_bind(struct core *core, struct reader *record, struct moment now, struct actions *out);
/* A record says that this binding is gone. */
void recall_unbind(struct core *core, uint64_t id);

/* What a look into the tables found, or NULL, becomes the user with all bindings. */
struct user *recall_user(struct recall *recall, struct user *user, enum roster_key key,
                         struct slice name);
/* If this binding is noted, its user comes with all bindings. */
void recall_binding(struct recall *recall, uint64_t id);

/* EVENT_RECALL: a few more of those that are noted.  What is nobody's any more is taken back: `out`
 * gets the records of that. */
void recall_some(struct core *core, struct actions *out);

/* Walks what is noted and good: false at the end. */
bool recall_next(struct recall *recall, uint32_t *cursor, struct binding_view *view);
