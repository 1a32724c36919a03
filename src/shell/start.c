#include "shell/start.h"

#include "core/recall.h"
#include "shell/memory.h"

#include <stdlib.h>

#define USERS_AT_ONCE 64u

struct start {
    struct database *database;
    struct slice realm;
    struct log *log;
    struct roster roster;
    struct users_reading users;
    bool has_users; /* all of them were read */
    bool has_failed;
    void *memory; /* the core's notes */
    size_t size;
    struct slice *segments;
    unsigned segment_count;
};

static bool find(void *self, enum roster_key key, struct slice name, struct user_settings *user)
{
    struct start *start = self;
    enum database_key by = key == ROSTER_ID ? DATABASE_ID : DATABASE_EXTENSION;
    enum database_found found = database_find(start->database, by, name, start->realm, user);

    if (found == DATABASE_FAILED && !start->has_failed)
        log_line(start->log, LOG_FAILURE, "%s", database_fault(start->database));
    start->has_failed |= found == DATABASE_FAILED;
    return found == DATABASE_FOUND;
}

struct start *start_begin(struct core *core, const struct config *config, struct database *database,
                          const struct journal *journal, struct log *log)
{
    struct start *start = calloc(1, sizeof *start);
    size_t size = recall_bytes(journal->found_bytes);

    if (start)
        *start = (struct start){.database = database,
                                .realm = config->settings.realm,
                                .log = log,
                                .roster = {find, start},
                                .memory = memory_take(size),
                                .size = size};
    if (!start || !start->memory) {
        free(start);
        log_line(log, LOG_FAILURE, "no memory for what the last run left");
        return NULL;
    }
    recall_begin(core, start->memory, journal->found_bytes, &start->roster);
    if (users_begin(&start->users, core, config, database, log))
        return start;
    start_end(start);
    return NULL;
}

void start_end(struct start *start)
{
    for (unsigned i = 0; i < start->segment_count; i++)
        free((void *)(uintptr_t)start->segments[i].at);
    free(start->segments);
    memory_give(start->memory, start->size);
    free(start);
}

bool start_keep(struct start *start, struct slice segment)
{
    size_t size = (start->segment_count + 1) * sizeof *start->segments;
    struct slice *segments = realloc(start->segments, size);

    if (!segments)
        return false;
    start->segments = segments;
    start->segments[start->segment_count++] = segment;
    return true;
}

bool start_put_users(struct start *start)
{
    if (start->has_users || start->has_failed)
        return false;
    if (users_go_on(&start->users, USERS_AT_ONCE))
        return true;
    start->has_users = true;
    start->has_failed |= !users_end(&start->users);
    return false;
}

bool start_has_failed(const struct start *start)
{
    return start->has_failed;
}
