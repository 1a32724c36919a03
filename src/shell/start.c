#include "shell/start.h"

#include "core/recall.h"
#include "shell/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    struct start_segment *segments;
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

static bool keep(struct start *start, struct slice file, uint64_t epoch)
{
    size_t size = (start->segment_count + 1) * sizeof *start->segments;
    struct start_segment *segments = realloc(start->segments, size);

    if (!segments)
        return false;
    start->segments = segments;
    start->segments[start->segment_count++] = (struct start_segment){file, epoch};
    return true;
}

/* Their bytes are counted, for the notes. */
static bool read_segments(struct start *start, const struct journal *journal, uint64_t *bytes)
{
    uint64_t order = 0, epoch;
    struct slice file;
    int error;

    for (*bytes = 0; journal_next(journal, &order, &file, &epoch, &error); *bytes += file.len)
        if (!keep(start, file, epoch)) {
            free((void *)(uintptr_t)file.at);
            error = -ENOMEM;
            break;
        }
    if (error)
        log_line(start->log, LOG_FAILURE, "%s/journal.%llu cannot be read: %s", journal->path,
                 (unsigned long long)max_u64(order + 1, journal->oldest), strerror(-error));
    return !error;
}

static bool begin_recall(struct start *start, struct core *core, uint64_t journal_bytes)
{
    start->size = recall_bytes(journal_bytes);
    start->memory = memory_take(start->size);
    if (!start->memory) {
        log_line(start->log, LOG_FAILURE, "no memory for what the last run left");
        return false;
    }
    recall_begin(core, start->memory, journal_bytes, &start->roster);
    return true;
}

struct start *start_begin(struct core *core, const struct config *config, struct database *database,
                          const struct journal *journal, struct log *log)
{
    struct start *start = calloc(1, sizeof *start);
    uint64_t bytes;

    if (!start) {
        log_line(log, LOG_FAILURE, "no memory for what the last run left");
        return NULL;
    }
    *start = (struct start){
        .database = database, .realm = config->settings.realm, .log = log, .roster = {find, start}};
    if (read_segments(start, journal, &bytes) && begin_recall(start, core, bytes) &&
        users_begin(&start->users, core, config, database, log))
        return start;
    start_end(start);
    return NULL;
}

void start_end(struct start *start)
{
    for (unsigned i = 0; i < start->segment_count; i++)
        free((void *)(uintptr_t)start->segments[i].file.at);
    free(start->segments);
    if (start->memory)
        memory_give(start->memory, start->size);
    free(start);
}

unsigned start_segment_count(const struct start *start)
{
    return start->segment_count;
}

const struct start_segment *start_segments(const struct start *start)
{
    return start->segments;
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
