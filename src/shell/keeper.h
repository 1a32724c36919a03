/*
 * The keeper: works on the database on a thread of its own, so that no disk holds up a call.
 *
 * Records of calls are written a second after they came, together; until they are written they wait
 * here, as they do in the journal.
 *
 * What administrators change comes to it as jobs.  A job that is done is on the disk; only then may
 * the core be told, and then the administrator.  All functions are the main thread's.
 */
#pragma once

#include "shell/database.h"

#define KEEPER_JOBS 64u /* that wait: administrators are few, and more than these may ask again */

enum keeper_task {
    KEEPER_ADD_USER,
    KEEPER_REMOVE_USER,  /* user.id */
    KEEPER_SET_PASSWORD, /* user.id and digests */
    KEEPER_READ_USERS,   /* all of them: users */
    KEEPER_READ_CALLS,   /* those that query asks for: calls */
};

struct keeper_job;

/* The job is the keeper's asker's again after this. */
typedef void keeper_told(void *self, const struct keeper_job *job);

/* One change; its texts are its own. */
struct keeper_job {
    struct keeper_job *next; /* the keeper's */
    enum keeper_task task;
    keeper_told *tell; /* NULL, or who is told what became of it, */
    void *self;        /* and what that is given */
    struct slice realm;
    struct user_settings user;
    struct call_query query;     /* its text is the job's own, too */
    struct database_users users; /* those that were read */
    struct slice calls;          /* and these, as call_write has them */
    bool is_done;                /* else it was refused, and nothing was changed */
    char fault[DATABASE_FAULT];
    char texts[4 * NAME_LIMIT];
};

/* NULL if there is no memory or a text is too long. */
struct keeper_job *keeper_job_make(enum keeper_task task, struct slice realm,
                                   const struct user_settings *user);
/* A job that reads call records. */
struct keeper_job *keeper_query_make(const struct call_query *query);
void keeper_job_free(struct keeper_job *job);

struct keeper;

/* NULL if there is no memory or thread. */
struct keeper *keeper_start(void);
/* Takes the database over.  Until it has it, what it is asked waits. */
void keeper_give(struct keeper *keeper, struct database *database);
/* Does what was asked, ends the thread and closes the database. */
void keeper_stop(struct keeper *keeper);

/* Readable when there is something to take, until keeper_awake: first that, then take all. */
int keeper_descriptor(const struct keeper *keeper);
void keeper_awake(struct keeper *keeper);

/* False if too many jobs wait: then the job stays the caller's. */
bool keeper_ask(struct keeper *keeper, struct keeper_job *job);

/* The next job that is done or refused, in the order they were asked; NULL if there is none.  It is
 * the caller's again. */
struct keeper_job *keeper_take(struct keeper *keeper);

/* A record (ACTION_CALL).  No more than CALL_WINDOW may be out that keeper_take_kept has not said.
 */
void keeper_put_call(struct keeper *keeper, struct slice record);

/* Numbers of calls that were written, each once: how many of at most `limit`. */
unsigned keeper_take_kept(struct keeper *keeper, uint64_t *numbers, unsigned limit);

/* Whether records can be written has changed since the last call: then `fault` is what stands in
 * the way, or empty. */
bool keeper_take_news(struct keeper *keeper, char fault[DATABASE_FAULT]);
