/*
 * Pending INVITEs in the journal, so that a crash leaves a ringing call whole.
 *
 * A record is an image of the INVITE's server transaction and what hangs on it, put anew at each
 * change that a restart must know of, and before anything is sent that tells the change.  On
 * restart its branches are rebuilt as if the INVITE had just been sent: the callee's transaction
 * absorbs the repetition and repeats its last response, and one that never heard of the call now
 * does.
 */
#pragma once

#include "core/state.h"

/* Emits the image; nothing while the store fails: an INVITE then goes out unrecorded. */
void pending_put(struct core *core, struct server_transaction *server, struct actions *out);

struct call_record;

/* The image of one that is about to be refused with this response; with the record of the call that
 * ends by it, or NULL. */
void pending_put_failed(struct core *core, struct server_transaction *server, struct slice response,
                        const struct call_record *call, struct actions *out);

/* The server transaction ended: its image too. */
void pending_end(struct core *core, struct server_transaction *server, struct actions *out);

/* For a checkpoint: the image again, if there is one. */
void pending_persist(struct core *core, struct server_transaction *server, struct actions *out);

void pending_restore(struct core *core, struct reader *record, struct moment now,
                     struct actions *out);
void pending_restore_accepted(struct core *core, struct reader *record, struct moment now);
void pending_restore_failed(struct core *core, struct reader *record, struct moment now);
void pending_restore_end(struct core *core, struct reader *record);

/* The journal is read: the timers of what was restored begin to run. */
void pending_start(struct core *core, struct moment now, struct actions *out);
