/*
 * Who there is: the users of the configuration and those of the database, put together; and the
 * rules of changing the database's while the server runs.
 *
 * Where two have the same id or extension, a file's counts before the database's, and that before
 * an account's (enum user_source).  A password of the database counts before a file's, whoever the
 * user is: it was set later, by sippasswd.  Where the id of one in the database is the extension of
 * another there, the id counts.
 */
#pragma once

#include "config/config.h"
#include "core/core.h"
#include "shell/keeper.h"

uint32_t users_count(const struct config *config, const struct database_users *users);

/* The n-th of them all, files' first; `copy` is where it may be put together. */
const struct user_settings *users_at(const struct config *config,
                                     const struct database_users *users, uint32_t n,
                                     struct user_settings *copy);

/* Putting all of them into a core that has none yet. */
struct users_reading {
    struct core *core;
    const struct config *config;
    struct database *database;
    struct log *log;
    uint32_t left_out;
    uint32_t without_password;
};

/* Those of the configuration, with what the database has of them; it has been told to read everyone
 * (database_begin_users).  False, and it was logged why, if it cannot be read. */
bool users_begin(struct users_reading *reading, struct core *core, const struct config *config,
                 struct database *database, struct log *log);
/* The next so many of the database; false when there are no more.  Who finds no room is logged. */
bool users_go_on(struct users_reading *reading, unsigned count);
/* False, and it was logged why, if not all could be read. */
bool users_end(struct users_reading *reading);

/* False, with job->fault, if what memory knows of the users forbids the change. */
bool users_allow(const struct core *core, struct keeper_job *job);

/* What the core is to be told of a change that is done. */
struct event users_event(const struct core *core, const struct keeper_job *job);

/* After that: a user for whom the core had no room is a fault. */
void users_check(const struct core *core, struct keeper_job *job);
