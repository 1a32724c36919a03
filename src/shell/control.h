/*
 * The control socket: administrators' requests for the core, and its answers (sipwitch-control(7)).
 *
 * A client is served as fast as it reads and no faster: its next request, and the next part of a
 * listing, wait until it has read most of what it was sent, and of events it cannot take in time it
 * loses some, and is told so.  Nothing here blocks.  All of it stands behind one descriptor, so
 * that the loop's sockets for calls do not notice.
 *
 * Who may: root, the user that the server runs as, and the members of the group sipadmin; the
 * kernel says who it is (SO_PEERCRED, SO_PEERGROUPS).
 */
#pragma once

#include "core/action.h"
#include "shell/log.h"

#define CONTROL_VERSION 1u  /* of the protocol */
#define CONTROL_CLIENTS 32u /* at once; then the one that was idle for longest has to go */

struct control;
struct order;

/* What a client is told of the server first; the texts must outlive the control. */
struct control_facts {
    const char *version;
    const char *config;
    const char *state;
};

/* NULL, and it was logged why, if the socket cannot be made. */
struct control *control_open(const char *path, const struct control_facts *facts, struct log *log);
void control_close(struct control *control);

/* Readable when there is something to look at. */
int control_descriptor(const struct control *control);

/* Accepts, reads and writes what can be. */
void control_look(struct control *control);

/* The next order, for the core or for the loop; NULL if there is none now.  It is valid until it is
 * answered. */
const struct order *control_next(struct control *control);
/* control_next would find one. */
bool control_is_busy(const struct control *control);

/* The core's answer. */
void control_answer(struct control *control, const struct admin_answer *to, struct slice lines);
/* A request that is not the core's is done; or, with a fault, it is not. */
void control_finish(struct control *control, uint32_t client, const char *fault);
/* And this one was not allowed. */
void control_refuse(struct control *control, uint32_t client, const char *fault);

/* What the answer promises could not be written to the journal. */
void control_lose(struct control *control, const struct admin_answer *to);

/* Messages are kept from now on, as an administrator may ask for; false if there is no memory. */
bool control_record(struct control *control);

/* Messages are wanted: control_trace is to be called for each. */
bool control_traces(const struct control *control);
void control_trace(struct control *control, bool is_sent, const struct flow *flow,
                   struct slice bytes, struct moment now);

/* Somebody asked for the server's end. */
bool control_wants_end(const struct control *control);
