/* Looking into a core, for the simulator's judges, for tests and for `sipwitch status`. */
#pragma once

#include "core/core.h"

struct census {
    uint32_t server_transactions;
    uint32_t client_transactions;
    uint32_t contexts;
    uint32_t bindings;
    uint32_t dialogs;
    uint32_t calls; /* whose records the database does not have yet */
    uint32_t timers;
    size_t text_bytes;      /* in blocks of the slab, bindings and users included */
    uint32_t strans_states; /* bit n: state n of enum strans_state has been entered */
    uint32_t ctrans_states;
    uint32_t dialog_states;
    uint32_t legs_states;
    uint32_t lookups;
    uint32_t sights;      /* bit n: enum locate_sight n */
    uint32_t anchors;     /* branches and calls whose media is relayed */
    uint32_t relay_ports; /* pairs in use */
    uint32_t connections; /* that stand, or are being opened */
    uint32_t asked;       /* certificates and claims that are being asked for, */
    uint32_t held;        /* and requests that wait for them */
};

struct census core_census(const struct core *core);

struct binding_view {
    struct slice aor;     /* the user's id */
    struct slice contact; /* URI */
    struct slice call_id;
    uint32_t cseq;
    struct flow flow;
    instant expires;
    uint64_t id;
};

struct user_view {
    struct slice id;
    struct slice extension;
    enum user_source source;
    uint32_t bindings;
};

/* By id or extension; false if there is none. */
bool core_find_user(const struct core *core, struct slice name, struct user_view *view);
/* The same, or the user of that name at one of ours: alice@example.com. */
bool core_find_party(const struct core *core, struct slice name, struct user_view *view);

/* Walks: *cursor starts at 0; false at the end.  Slices are the core's, until its next step.
 * Bindings that are yet to be recalled are among them. */
bool core_next_binding(const struct core *core, uint32_t *cursor, struct binding_view *view);

struct dialog_view {
    struct slice call_id;
    struct slice caller_tag; /* of the one who sent the INVITE */
    struct slice callee_tag;
    struct slice from; /* values of the INVITE's From and its answer's To */
    struct slice to;
    uint32_t caller_cseq; /* the last seen */
    uint32_t callee_cseq;
    instant began;
};

bool core_next_dialog(const struct core *core, uint32_t *cursor, struct dialog_view *view);

struct transaction_view {
    uint64_t id; /* among the server or the client transactions of this run */
    bool is_client;
    uint8_t state; /* enum ctrans_state, else strans_state */
    bool is_reliable;
    bool is_hurried; /* a provisional response no longer prolongs it */
    bool is_seeking; /* its place is being looked for, or a stream to it */
};

bool core_next_transaction(const struct core *core, uint32_t *cursor,
                           struct transaction_view *view);
