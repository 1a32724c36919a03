/*
 * Anchored media: calls that go through the relay, and what becomes of their descriptions.
 *
 * For each branch of an INVITE it is decided once, when the session is offered, whether the relay
 * is needed (core/media).  If it is, the branch has an anchor: the legs of the call (core/legs),
 * whose offers and answers are read as they pass, and rewritten.  It lives as long as the dialogs
 * that its answers made, and its record stands in the journal before a port of it is told to
 * anyone.
 *
 * A call that goes directly may need the relay later, when a phone of ours goes into another
 * network: then the next offer of either is decided on anew, and has an anchor from there on
 * (doc/adr/0013).
 *
 * Nothing here is done for calls that need no relay, but the decision; where there is no relay, or
 * it is switched off, no description is read at all.
 */
#pragma once

#include "core/forward.h"
#include "core/heard.h"
#include "core/legs.h"
#include "core/state.h"

struct anchor {
    struct pool_item item;
    struct table_link by_call, by_id, by_payer;
    uint64_t id;               /* its record's; it begins legs.call, too */
    uint64_t call, caller_tag; /* hashes of Call-ID and the caller's tag */
    uint64_t invite;           /* low half of the key of the INVITE's server transaction, */
    uint8_t branch;            /* and which target of it this is */
    struct handle server;      /* that transaction, while it is there */
    uint8_t path, reason;      /* enum media_path, media_reason */
    uint8_t ice;               /* enum sdp_ice */
    bool is_answered;
    bool is_settled; /* no more answers will come */
    bool has_ice;    /* both ends may have found another way: silence means nothing, */
    bool is_carried; /* unless they found none and speak by us */
    bool is_mended[2];
    bool is_late;           /* the call went directly before, */
    uint8_t raised;         /* and this side's descriptions (enum legs_side) have higher versions */
    bool is_offered;        /* at the start: by a request that goes on */
    bool is_broken;         /* it has no port, or not all of them: it ends once it is answered */
    uint64_t open_seen;     /* bit n: the n-th of its legs is in the relay's table, by its list */
    instant answered_at;    /* or when it was read from the journal */
    instant agreed_at;      /* when its legs last changed */
    uint64_t payer;         /* hash of the id of the user whose limit it counts for; 0 = nobody's */
    struct leg_sum counted; /* of its legs, in the core's tally */
    bool has_closed;        /* legs, since it was counted */
    bool was_sprayed;       /* by the last look strangers, or a flood, came to it */
    bool is_alarmed;        /* it was told that strangers, or a flood, come to it */
    bool is_taken_over;     /* from another run, whose packets its legs have counted, too */
    struct heard_call heard;
    struct timer timer;
    struct legs legs;
};

size_t anchor_bytes(const struct limits *limits);
void anchor_init(struct core *core, struct arena *from);

/* Decides for target `index` of an INVITE, or of another offer in a dialog, which is about to go by
 * `way`, unless that was done before; NULL, the way is not known yet: then only what does not
 * depend on it.  True if the INVITE's image has to be put before it is sent: the decision is a part
 * of it, so that a restart knows what the phone was told.  What the image calls relayed, and has no
 * anchor in the journal, was not sent. */
bool anchor_decide(struct core *core, struct context *context, unsigned index,
                   const struct flow *way, const struct request *req);

/* The offer in this INVITE, as restored, was not sent to that target: nothing was decided yet. */
bool anchor_is_due(const struct core *core, const struct context *context, unsigned index,
                   const struct message *request);

/* The request of a context is about to be composed for target `index`, and goes by `way`: what
 * becomes of its description.  Called each time that it is composed, always with the same result.
 * False: the relay is full. */
bool anchor_request(struct core *core, struct context *context, unsigned index,
                    const struct flow *way, const struct request *req,
                    struct description *description, struct actions *out);

/* An ACK passes; and a response, before anything else is done with it.  False: it accepts what the
 * relay has no room for.  Nobody can refuse it, but its dialog is to end (dialog_break). */
void anchor_ack(struct core *core, const struct request *req, struct description *description,
                struct actions *out);
bool anchor_response(struct core *core, const struct server_transaction *server,
                     struct context *context, const struct client_transaction *client,
                     const struct message *response, struct description *description,
                     struct actions *out);

/* A branch has failed; and a request with an offer in a dialog. */
void anchor_fail(struct core *core, struct context *context, unsigned index, struct actions *out);
void anchor_refuse(struct core *core, struct context *context, struct actions *out);

/* A dialog ends. */
void anchor_leave(struct core *core, const struct dialog *dialog, struct actions *out);

/* The anchor with this id, as it begins legs.call. */
struct anchor *anchor_find(const struct core *core, const uint8_t call[16]);

/* The anchor that a dialog is of; NULL if its media goes directly. */
struct anchor *anchor_of(const struct core *core, const struct dialog *dialog);

/* The dialog of one of its exchanges; NULL if the observer has none. */
struct dialog *anchor_dialog(const struct core *core, const struct anchor *anchor, unsigned index);

/* The legs have changed so: puts the record into the journal, and then changes the relay. */
void anchor_apply(struct core *core, struct anchor *anchor, const struct legs_output *output,
                  struct actions *out);
void anchor_close(struct core *core, struct anchor *anchor, struct actions *out);

/* Changes the relay alone. */
void anchor_change(const struct legs_output *output, struct actions *out);

void anchor_persist(struct core *core, const struct anchor *anchor, struct actions *out);
void anchor_restore(struct core *core, struct reader *record, struct moment now);
void anchor_restore_end(struct core *core, struct reader *record);

/* After the journal is read: ports are taken, and branches that are still open get theirs again. */
void anchor_start(struct core *core, struct moment now, struct actions *out);
