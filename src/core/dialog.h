/*
 * The dialog observer: one record a call, beside the path.  Forwarding never needs it; lamps, call
 * records and the end of dead calls are derived from it.
 *
 * A record begins with the 2xx to an INVITE and ends with the answer to a BYE.  A call that is
 * older than settings.call_longest is hung up by us.  Its record is in the journal before the 2xx
 * is forwarded.
 */
#pragma once

#include "core/request.h"

size_t dialog_bytes(const struct limits *limits);
void dialog_init(struct core *core, struct arena *from);

/* The record of the dialog with these tags, in either order; NO_HANDLE if there is none. */
struct handle dialog_find(const struct core *core, struct slice call_id, struct slice tag,
                          struct slice other_tag);

/* The same by the hashes of Call-ID and tags under key_table. */
struct dialog *dialog_hashed(const struct core *core, uint64_t call, uint64_t tag,
                             uint64_t other_tag);

/* The URI of a message's first Contact, empty if there is none. */
struct slice dialog_contact(const struct message *m);

/* What a dialog would be that this 2xx makes, in no table: its parts lie in `text`, which has
 * DIALOG_SKETCH bytes.  False if they are too long. */
#define DIALOG_SKETCH 24576u
bool dialog_sketch(const struct message *response, char *text, struct dialog *dialog);

/* A request in a known dialog passes: req->dialog. */
void dialog_request(struct core *core, const struct request *req, struct actions *out);

/* A 2xx to an INVITE passes: opens the record, if its To tag is new, or notes new Contacts.  Late
 * ones come when the context has gone.  The first has the call that the context began. */
void dialog_accept(struct core *core, struct server_transaction *server,
                   const struct message *response, struct moment now, struct actions *out);

/* The final response to another request in a dialog passes, or, with NULL, none came: an UPDATE
 * refreshes the session, a BYE ends it. */
void dialog_answer(struct core *core, const struct context *context, const struct message *response,
                   struct moment now, struct actions *out);

/* Its media goes another way than it began (enum media_path, media_reason): its call's record says
 * so.  False if it did already. */
bool dialog_lead(struct core *core, struct dialog *dialog, uint8_t path, uint8_t reason,
                 struct actions *out);

/* Ends a call: sends BYE to both ends (core/hangup), with `reason` as Reason value (RFC 3326).  Its
 * record ends when both have answered or cannot; a crash before that sends them again. */
void dialog_drop(struct core *core, struct dialog *dialog, struct slice reason, struct moment now,
                 struct actions *out);

/* The same, for nothing is heard of its media; or, if it is broken, will be. */
void dialog_silence(struct core *core, struct dialog *dialog, bool is_broken, struct moment now,
                    struct actions *out);

#define BREAK_AFTER SECONDS(1) /* the answer: who gets a BYE has had its ACK */

/* The dialog that this 2xx has made cannot have sound: it ends once the ACK has had its time. */
void dialog_break(struct core *core, const struct message *response, struct moment now,
                  struct actions *out);

/* A BYE of dialog_drop was answered, or is given up: `tag` and `other_tag` in either order. */
void dialog_hung_up(struct core *core, struct slice call_id, struct slice tag,
                    struct slice other_tag, struct actions *out);

/* Timer: its session was not refreshed, or it is too old to be true. */
void dialog_expire(struct core *core, struct dialog *dialog, struct moment now,
                   struct actions *out);

void dialog_persist(struct core *core, const struct dialog *dialog, struct moment now,
                    struct actions *out);
void dialog_restore(struct core *core, struct reader *record, struct moment now);
void dialog_restore_end(struct core *core, struct reader *record);

/* Parts of its text, in this order. */
enum dialog_part {
    DIALOG_CALL_ID,
    DIALOG_CALLER_TAG,
    DIALOG_CALLEE_TAG,
    DIALOG_CALLER_CONTACT, /* URI */
    DIALOG_CALLEE_CONTACT,
    DIALOG_ROUTES, /* Record-Route of the 2xx: the callee's side, ours, the caller's side */
    DIALOG_FROM,   /* whole values of the INVITE's From and its answer's To, tags included */
    DIALOG_TO,
    DIALOG_CALL, /* the call's record so far (core/calls.h); empty if it has none */
    DIALOG_PART_COUNT,
};

struct slice dialog_part(const struct dialog *dialog, enum dialog_part part);
