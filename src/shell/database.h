/*
 * The database: SQLite in the state directory, for what is looked up by administrators more than by
 * calls: users made by commands, passwords, and the records of calls.  Memory is the truth that is
 * read (core/location); the database is read whole at the start, and written before memory changes.
 *
 * The file belongs to the server that runs: it is locked as long as it is open.  It is in WAL mode,
 * so that what was committed survives kill -9 and power cuts, and is reached by prepared statements
 * only.  One thread at a time may use it: the main thread until the keeper (shell/keeper.h) has it.
 *
 * Passwords are apart from users: those of users whom the configuration names are here too.  They
 * are digests, good for the realm that they were made for and no other.
 */
#pragma once

#include "core/calls.h"
#include "core/limits.h"
#include "core/settings.h"
#include "shell/log.h"

#define DATABASE_NAME "sipwitch.db"
#define DATABASE_CALLS 1000000 /* call records that are kept; the oldest go */
#define DATABASE_FAULT 256u    /* bytes of what is said when something is refused */

struct database;

/* Opens the file in the state directory, makes it if it is not there, and brings an older one up to
 * date.  NULL, and it was logged why, if it is damaged, newer or not ours: then it was not touched.
 */
struct database *database_open(int folder, const char *path, struct log *log);
void database_close(struct database *database);

/* What the last refusal was: a sentence for the administrator. */
const char *database_fault(const struct database *database);

/* Reading everyone, one after another in the order of their ids. */

/* `count` is how many users there are.  False if it cannot be read. */
bool database_begin_users(struct database *database, struct slice realm, uint32_t *count);

/* The next user, or, if `is_password`, the id and digests of one who is not in it; texts until the
 * next call.  False at the end. */
bool database_next_user(struct database *database, struct user_settings *user, bool *is_password);

/* False if not all could be read. */
bool database_end_users(struct database *database);

/* One of them alone. */

enum database_key { DATABASE_ID, DATABASE_EXTENSION };
enum database_found { DATABASE_FOUND, DATABASE_NOT_FOUND, DATABASE_FAILED };

/* The user with this id or extension; texts until the next call.  While everyone is being read,
 * too.
 */
enum database_found database_find(struct database *database, enum database_key key,
                                  struct slice name, struct slice realm,
                                  struct user_settings *user);

/* The id and digests of a user who need not be in it. */
enum database_found database_find_password(struct database *database, struct slice id,
                                           struct slice realm, struct user_settings *user);

/* Everyone at once. */
struct database_users {
    struct user_settings *at; /* digests: those for the realm asked for */
    uint32_t count;
    struct user_settings *passwords; /* of ids that are not among them: id and digests only */
    uint32_t password_count;
    char *texts;
};

/* Whose digests are those of this id; NULL if it has none. */
const struct user_settings *database_password_of(const struct database_users *users,
                                                 struct slice id);

bool database_read_users(struct database *database, struct slice realm,
                         struct database_users *users);
void database_free_users(struct database_users *users);

/* Changes.  Each is whole and on the disk when it returns true; else nothing was changed. */

/* An id or extension that is taken is refused.  Digests are put if the user has any. */
bool database_add_user(struct database *database, struct slice realm,
                       const struct user_settings *user);
/* With the passwords. */
bool database_remove_user(struct database *database, struct slice id);
/* Of a user here or in the configuration; both digests are replaced. */
bool database_set_password(struct database *database, struct slice realm,
                           const struct user_settings *user);

/* Call records. */

/* The highest number of a call in it; 0 if there is none.  False if it cannot be read. */
bool database_last_call(struct database *database, uint64_t *last);

/* Puts records as call_write has them, one after another, together; those whose number is there
 * already change nothing. */
bool database_put_calls(struct database *database, struct slice records);

struct call_query {
    struct slice user;    /* as caller, dialed or callee; empty = everybody */
    struct slice number;  /* another name of the same; or empty */
    int64_t since, until; /* wall seconds of their beginning, until not included; 0 = any */
    uint64_t before;      /* only lower numbers, to go on with a list; 0 = from the newest */
    uint32_t most;        /* records */
};

/* The newest first, as call_write has them, one after another, in memory that the caller frees. */
bool database_read_calls(struct database *database, const struct call_query *query,
                         struct slice *records);
