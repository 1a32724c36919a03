/*
 * Rows of the administrator's listings (core/admin.h): what the core holds, a line of JSON each.
 *
 * Each list_* writes rows until the part is full and moves the cursor; false when nothing is left.
 */
#pragma once

#include "core/admin.h"

struct heard_ends;

/* Members that say who calls whom, by From and To values. */
void write_parties(struct writer *w, struct slice from, struct slice to);
/* By what it is proven who calls (core/caller.h), where that is known. */
void write_proof(struct writer *w, unsigned proof);
/* By what `drop` names a call. */
void write_call_name(struct writer *w, const struct dialog *dialog);
/* Which way a call's media takes and why: enum media_path and media_reason. */
void write_media(struct writer *w, unsigned path, unsigned reason);
/* What is heard of its two ends by the relay, and of each of their m-lines, where anything is. */
void write_heard(struct writer *w, const struct heard_ends *ends);
void write_id(struct writer *w, uint64_t id);
/* The user is one of the two. */
bool parties_have(const struct core *core, struct slice from, struct slice to,
                  const struct user *user);
/* A flow's far end. */
void write_peer(struct writer *w, const struct flow *flow);

/* One row. */
void list_status(const struct core *core, struct writer *w);
/* A row for each kind of caller and callee, and one for all else. */
void list_stats(const struct core *core, struct writer *w);

/* Of all users if `user` is NULL. */
bool list_registry(const struct core *core, const struct user *user, uint64_t *cursor,
                   struct moment now, struct writer *w);
bool list_calls(const struct core *core, const struct user *user, uint64_t *cursor,
                struct moment now, struct writer *w);
/* Settings, then users. */
bool list_dump(const struct core *core, uint64_t *cursor, struct writer *w);
