/*
 * What an administrator may ask of the core, and its answers: lines of JSON, which the shell passes
 * on as they are (sipwitch-control(7)).
 *
 * An answer is rows, one line each, and then one line that ends it: {"done":true}, or
 * {"error":CODE,"text":WHY}.  A listing takes part after part, a step each, and keeps nothing in
 * the core between them: its cursor goes to and fro.  So a reader who is slow, or gone, costs the
 * core nothing.  What comes or goes meanwhile may be missed, but nothing is listed twice.
 */
#pragma once

#include "core/state.h"

enum admin_command {
    ADMIN_NONE,
    ADMIN_STATUS,   /* the server as a whole */
    ADMIN_REGISTRY, /* bindings, of `user` if it is given */
    ADMIN_CALLS,    /* calls, of `user` if it is given */
    ADMIN_STATS,    /* what was counted since the start */
    ADMIN_DUMP,     /* settings, and users without their digests */
    ADMIN_ACTIVATE, /* binds `user` to `target` until it is released */
    ADMIN_RELEASE,  /* removes the bindings of `user` */
    ADMIN_MESSAGE,  /* sends `text` to all phones of `user` */
    ADMIN_DROP,     /* ends calls: `text` is a call's id or Call-ID, or a user */
    ADMIN_ROUTE,    /* what would become of a call of `user` to `text` (core/rehearse) */
    ADMIN_FORGET,   /* a domain, `text`, need no longer prove itself because it once did */
    ADMIN_WATCH,    /* from now on what happens is told (core/tell.h) */
    ADMIN_UNWATCH,
    ADMIN_COMMAND_COUNT,
};

struct admin_request {
    enum admin_command command;
    uint32_t client;   /* whom the answer is for */
    uint64_t cursor;   /* of a listing: 0, or as the answer before had it */
    struct slice user; /* an id or an extension */
    struct slice text;
    uint64_t at;        /* wall seconds of a rehearsal; 0 = now */
    struct flow target; /* its socket is still to be chosen */
};

void admin_request(struct core *core, const struct admin_request *request, struct moment now,
                   struct actions *out);
