/*
 * The loop: turns what the sockets, the clock and the store say into events, steps the core, and
 * carries out what it asks for, in order.
 *
 * A round takes a batch of datagrams from each socket that has any, one read from each stream, and
 * what is due; then all its sends go out together.  Under load rounds follow one another without
 * waiting in between.
 */
#pragma once

#include "base/hash.h"
#include "core/inspect.h"
#include "shell/addresses.h"
#include "shell/control.h"
#include "shell/dns.h"
#include "shell/fetch.h"
#include "shell/journal.h"
#include "shell/keeper.h"
#include "shell/legwork.h"
#include "shell/log.h"
#include "shell/reload.h"
#include "shell/router.h"
#include "shell/start.h"
#include "shell/store.h"
#include "shell/stream.h"
#include "shell/udp.h"

/* Borrowed; they must outlive the loop. */
struct loop_parts {
    struct core *core;
    struct addresses *addresses;
    struct udp *udp;
    struct streams *streams;
    struct tls *tls;
    struct store *store;
    int store_error; /* -errno where the journal cannot be written from the start */
    struct keeper *keeper;
    struct dns *dns;
    struct fetch *fetch;
    struct legwork *legwork;
    struct router *router;
    struct database **database; /* becomes the keeper's when the last run was recalled */
    struct log *log;
    struct control *control;
    struct reload *reload;
    struct epoch **epoch; /* the configuration in force; a reload replaces it */
};

struct loop;

/* Blocks SIGTERM, SIGINT and SIGHUP for itself; before any thread is started. */
void loop_block_signals(void);

/* NULL, and it was logged why, if the kernel does not let us. */
struct loop *loop_create(const struct loop_parts *parts);
void loop_destroy(struct loop *loop);

/* Gives the core the records of the segments, and takes the start over, which keeps them. */
void loop_restore(struct loop *loop, struct start *start);

/* The world may speak from now on: calls are served.  Returns when all of the last run is in memory
 * too; false, and it was logged why, if it cannot be read. */
bool loop_start(struct loop *loop);

/* Until SIGTERM, SIGINT, or an administrator's word. */
void loop_run(struct loop *loop);

/* Reads the configuration anew, as SIGHUP does: calls, transactions and registrations go on, and a
 * bad one changes nothing.  `tell`, if it is not NULL, is told how it went; false if it cannot be,
 * because too many wait already. */
bool loop_reload(struct loop *loop, reload_told *tell, void *self);

/* Has a user of the database added, changed or removed.  When that is on the disk the core is told,
 * then job->tell is called, and the job freed.  False, with job->fault, if it is refused at once:
 * then the job stays the caller's. */
bool loop_change_user(struct loop *loop, struct keeper_job *job);

/* The user of ours whom an administrator's word names; false if there is none. */
bool loop_find_party(const struct loop *loop, struct slice name, struct user_view *view);

/* Has call records read: job is one of keeper_query_make. */
bool loop_ask_calls(struct loop *loop, struct keeper_job *job);

/* Writes the warnings and the fault of a report to the log. */
void log_report(struct log *log, const struct report *report);
