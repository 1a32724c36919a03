#include "shell/users.h"

#include "core/inspect.h"

#include <stdio.h>

#define LEFT_OUT_NAMED 10u /* users that are named in the log; of the rest the number */
#define ASKED_SINGLY 1000u /* of more in the configuration, reading everyone costs less */

uint32_t users_count(const struct config *config, const struct database_users *users)
{
    return config->user_count + users->count;
}

const struct user_settings *users_at(const struct config *config,
                                     const struct database_users *users, uint32_t n,
                                     struct user_settings *copy)
{
    const struct user_settings *password;

    if (n >= config->user_count)
        return &users->at[n - config->user_count];
    password = database_password_of(users, config->users[n].id);
    if (!password)
        return &config->users[n];
    *copy = config->users[n];
    memcpy(copy->ha1, password->ha1, sizeof copy->ha1);
    memcpy(copy->has_ha1, password->has_ha1, sizeof copy->has_ha1);
    return copy;
}

static bool has_password(const struct user_settings *user)
{
    return user->has_ha1[ALGORITHM_MD5] || user->has_ha1[ALGORITHM_SHA256];
}

static void put(struct users_reading *reading, const struct user_settings *user)
{
    if (core_put_user(reading->core, user))
        return;
    if (reading->left_out++ < LEFT_OUT_NAMED)
        log_line(reading->log, LOG_WARNING,
                 "user %.*s is left out: there is no room, or another has its id or extension",
                 (int)user->id.len, user->id.at);
    core_set_password(reading->core, user); /* of the other, if it has this id */
}

/* One of the configuration may be in the database: with a password, or as a user who counts more.
 */
static bool complete(struct users_reading *reading, struct slice id)
{
    struct slice realm = reading->config->settings.realm;
    struct user_settings user;
    enum database_found found = database_find(reading->database, DATABASE_ID, id, realm, &user);

    if (found == DATABASE_FOUND && core_put_user(reading->core, &user))
        return true;
    if (found == DATABASE_NOT_FOUND)
        found = database_find_password(reading->database, id, realm, &user);
    if (found == DATABASE_FOUND)
        core_set_password(reading->core, &user);
    return found != DATABASE_FAILED;
}

bool users_begin(struct users_reading *reading, struct core *core, const struct config *config,
                 struct database *database, struct log *log)
{
    *reading = (struct users_reading){core, config, database, log, 0, 0};
    for (uint32_t n = 0; n < config->user_count; n++)
        put(reading, &config->users[n]);
    if (config->user_count > ASKED_SINGLY) {
        while (users_go_on(reading, UINT32_MAX))
            continue;
        return true;
    }
    for (uint32_t n = 0; n < config->user_count; n++)
        if (!complete(reading, config->users[n].id)) {
            log_line(log, LOG_FAILURE, "%s", database_fault(database));
            return false;
        }
    return true;
}

bool users_go_on(struct users_reading *reading, unsigned count)
{
    struct user_settings user;
    bool is_password;

    for (; count; count--) {
        if (!database_next_user(reading->database, &user, &is_password))
            return false;
        if (is_password) {
            core_set_password(reading->core, &user);
            continue;
        }
        reading->without_password += !has_password(&user);
        put(reading, &user);
    }
    return true;
}

bool users_end(struct users_reading *reading)
{
    struct slice realm = reading->config->settings.realm;

    if (reading->left_out > LEFT_OUT_NAMED)
        log_line(reading->log, LOG_WARNING, "and so are %u users more",
                 reading->left_out - LEFT_OUT_NAMED);
    if (reading->without_password)
        log_line(reading->log, LOG_WARNING,
                 "%u users of the database have no password for the realm %.*s; set one with "
                 "sippasswd",
                 reading->without_password, (int)realm.len, realm.at);
    if (database_end_users(reading->database))
        return true;
    log_line(reading->log, LOG_FAILURE, "%s", database_fault(reading->database));
    return false;
}

/* ---- changes */

static bool refuse(struct keeper_job *job, const char *format)
{
    struct slice id = job->user.id;

    snprintf(job->fault, sizeof job->fault, format, (int)id.len, id.at);
    return false;
}

/* The same as in the configuration (config/config.c). */
static bool is_id(struct slice id)
{
    if (id.len == 0 || id.len > NAME_LIMIT)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.at[i] <= ' ' || id.at[i] == 0x7f || strchr("@:", id.at[i]))
            return false;
    return true;
}

static bool allow_new(const struct core *core, struct keeper_job *job)
{
    struct user_view found;
    uint64_t number;

    if (!is_id(job->user.id))
        return refuse(job, "\"%.*s\" is no id: write 1 to 255 characters without blanks, @ and :");
    if (job->user.extension.len && !slice_number(job->user.extension, UINT64_MAX, &number))
        return refuse(job, "the extension of %.*s must be digits");
    if (core_find_user(core, job->user.id, &found))
        return refuse(job, "there is a user %.*s already");
    if (job->user.extension.len && core_find_user(core, job->user.extension, &found))
        return refuse(job, "the extension of %.*s is taken");
    return true;
}

bool users_allow(const struct core *core, struct keeper_job *job)
{
    struct user_view found;

    if (job->task == KEEPER_ADD_USER)
        return allow_new(core, job);
    if (!core_find_user(core, job->user.id, &found) || !slice_equal(found.id, job->user.id))
        return refuse(job, "there is no user %.*s");
    if (job->task == KEEPER_REMOVE_USER && found.source == SOURCE_FILE)
        return refuse(job, "%.*s is in the configuration: remove it there, and reload");
    if (job->task == KEEPER_REMOVE_USER && found.source == SOURCE_ACCOUNT)
        return refuse(job, "%.*s is an account of the system, and goes with it");
    return true;
}

struct event users_event(const struct core *core, const struct keeper_job *job)
{
    struct user_view found;

    switch (job->task) {
    case KEEPER_ADD_USER: return (struct event){.kind = EVENT_USER, .user = &job->user};
    case KEEPER_SET_PASSWORD: return (struct event){.kind = EVENT_PASSWORD, .user = &job->user};
    case KEEPER_REMOVE_USER:
        /* A reload may have put another in its place meanwhile. */
        if (core_find_user(core, job->user.id, &found) && found.source == SOURCE_DATABASE)
            return (struct event){.kind = EVENT_USER_GONE, .bytes = job->user.id};
        break;
    case KEEPER_READ_USERS:
    case KEEPER_READ_CALLS: break;
    }
    return (struct event){0};
}

void users_check(const struct core *core, struct keeper_job *job)
{
    struct user_view found;

    if (job->task == KEEPER_ADD_USER && job->is_done && !core_find_user(core, job->user.id, &found))
        job->is_done = refuse(job, "%.*s is in the database, but there is no room for more users: "
                                   "remove others, and start sipw again");
}
