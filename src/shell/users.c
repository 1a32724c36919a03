#include "shell/users.h"

#include "core/inspect.h"

#include <stdio.h>

#define LEFT_OUT_NAMED 10u /* users that are named in the log; of the rest the number */

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

struct putting {
    struct core *core;
    struct log *log;
    uint32_t left_out;
    uint32_t without_password;
};

static void put(struct putting *p, const struct user_settings *user)
{
    p->without_password += user->source == SOURCE_DATABASE && !has_password(user);
    if (core_put_user(p->core, user))
        return;
    if (p->left_out++ < LEFT_OUT_NAMED)
        log_line(p->log, LOG_WARNING,
                 "user %.*s is left out: there is no room, or another has its id or extension",
                 (int)user->id.len, user->id.at);
    core_set_password(p->core, user); /* of the other, if it has this id */
}

bool users_put(struct core *core, const struct config *config, struct database *database,
               struct log *log)
{
    struct putting p = {.core = core, .log = log};
    struct slice realm = config->settings.realm;
    struct user_settings user;
    bool is_password;

    for (uint32_t n = 0; n < config->user_count; n++)
        put(&p, &config->users[n]);
    while (database_next_user(database, &user, &is_password))
        if (is_password)
            core_set_password(core, &user);
        else
            put(&p, &user);
    if (p.left_out > LEFT_OUT_NAMED)
        log_line(log, LOG_WARNING, "and so are %u users more", p.left_out - LEFT_OUT_NAMED);
    if (p.without_password)
        log_line(log, LOG_WARNING,
                 "%u users of the database have no password for the realm %.*s; set one with "
                 "sippasswd",
                 p.without_password, (int)realm.len, realm.at);
    if (database_end_users(database))
        return true;
    log_line(log, LOG_FAILURE, "%s", database_fault(database));
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
