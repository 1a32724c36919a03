#include "shell/keeper.h"

#include "base/cursor.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CALLS_AT_ONCE (CALL_WINDOW / 2) /* so many are not waited for longer: more may not come */
#define CALLS_BYTES ((size_t)CALL_WINDOW * CALL_RECORD_LIMIT) /* address space; used as needed */

/* Jobs in order. */
struct queue {
    struct keeper_job *first;
    struct keeper_job **end;
    uint32_t count;
};

struct keeper {
    pthread_t thread;
    int wakes_main;        /* eventfd */
    struct writer writing; /* records being written: the thread's */

    pthread_mutex_t mutex;     /* for all that follows */
    struct database *database; /* NULL until it is given; then the thread's */
    pthread_cond_t wakes_keeper;
    struct queue asked;
    struct queue finished;
    struct writer given; /* records that came meanwhile */
    uint32_t given_count;
    struct timespec due; /* when records are to be written; 0 = there are none */
    uint64_t *kept;      /* numbers of CALL_WINDOW calls at most */
    uint32_t kept_count;
    bool is_failing; /* records cannot be written */
    bool has_news;   /* and that has changed */
    char fault[DATABASE_FAULT];
    bool ends;
};

static void push(struct queue *queue, struct keeper_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
    queue->count++;
}

static struct keeper_job *pop(struct queue *queue)
{
    struct keeper_job *job = queue->first;

    if (!job)
        return NULL;
    queue->first = job->next;
    if (!queue->first)
        queue->end = &queue->first;
    queue->count--;
    return job;
}

/* ---- jobs */

static struct slice keep(struct writer *w, struct slice text)
{
    size_t start = w->len;

    write_slice(w, text);
    return slice_of(w->at + start, w->len - start);
}

struct keeper_job *keeper_job_make(enum keeper_task task, struct slice realm,
                                   const struct user_settings *user)
{
    struct keeper_job *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    struct writer w = writer_over(job->texts, sizeof job->texts);
    job->task = task;
    job->user = *user;
    job->user.source = SOURCE_DATABASE;
    job->realm = keep(&w, realm);
    job->user.id = keep(&w, user->id);
    job->user.extension = keep(&w, user->extension);
    job->user.display = keep(&w, user->display);
    if (!w.failed)
        return job;
    keeper_job_free(job);
    return NULL;
}

struct keeper_job *keeper_query_make(const struct call_query *query)
{
    struct user_settings names = {.id = query->user, .extension = query->number};
    struct keeper_job *job = keeper_job_make(KEEPER_READ_CALLS, NO_SLICE, &names);

    if (!job)
        return NULL;
    job->query = *query;
    job->query.user = job->user.id;
    job->query.number = job->user.extension;
    return job;
}

void keeper_job_free(struct keeper_job *job)
{
    database_free_users(&job->users);
    free((void *)(uintptr_t)job->calls.at);
    explicit_bzero(job, sizeof *job);
    free(job);
}

static void do_job(struct keeper *keeper, struct keeper_job *job)
{
    struct database *database = keeper->database;

    switch (job->task) {
    case KEEPER_ADD_USER: job->is_done = database_add_user(database, job->realm, &job->user); break;
    case KEEPER_REMOVE_USER: job->is_done = database_remove_user(database, job->user.id); break;
    case KEEPER_SET_PASSWORD:
        job->is_done = database_set_password(database, job->realm, &job->user);
        break;
    case KEEPER_READ_USERS:
        job->is_done = database_read_users(database, job->realm, &job->users);
        break;
    case KEEPER_READ_CALLS:
        job->is_done = database_read_calls(database, &job->query, &job->calls);
        break;
    }
    if (!job->is_done)
        memcpy(job->fault, database_fault(database), sizeof job->fault);
}

/* ---- the thread; the mutex is held, but not while the database is at work */

static void finish_job(struct keeper *keeper, struct keeper_job *job)
{
    pthread_mutex_unlock(&keeper->mutex);
    do_job(keeper, job);
    pthread_mutex_lock(&keeper->mutex);
    push(&keeper->finished, job);
    eventfd_write(keeper->wakes_main, 1);
}

/* What came meanwhile joins what could not be written. */
static void take_given(struct keeper *keeper)
{
    write_slice(&keeper->writing, writer_slice(&keeper->given));
    assert(!keeper->writing.failed);
    keeper->given.len = 0;
    keeper->given_count = 0;
}

static void note_kept(struct keeper *keeper)
{
    struct reader r = reader_over(writer_slice(&keeper->writing));
    struct call_record call;

    while (r.rest.len && call_read(&r, &call)) {
        assert(keeper->kept_count < CALL_WINDOW);
        keeper->kept[keeper->kept_count++] = call.id;
    }
    keeper->writing.len = 0;
}

static bool has_calls(const struct keeper *keeper)
{
    return keeper->given.len || keeper->writing.len;
}

static struct timespec in_a_second(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec++;
    return at;
}

static const struct timespec at_once = {.tv_sec = 1}; /* long ago */

/* Records wait for a second, so that many are written at once; no longer, however many jobs come,
 * and less where many have come already.
 */
static bool are_calls_due(const struct keeper *keeper)
{
    const struct timespec *due = &keeper->due;
    struct timespec now;

    if (!due->tv_sec)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec >= due->tv_nsec);
}

/* Those that cannot be written are tried again. */
static void write_calls(struct keeper *keeper)
{
    take_given(keeper);
    pthread_mutex_unlock(&keeper->mutex);
    bool ok = database_put_calls(keeper->database, writer_slice(&keeper->writing));
    pthread_mutex_lock(&keeper->mutex);
    if (ok)
        note_kept(keeper);
    keeper->has_news |= ok == keeper->is_failing;
    keeper->is_failing = !ok;
    keeper->due = !has_calls(keeper)                           ? (struct timespec){0}
                  : ok && keeper->given_count >= CALLS_AT_ONCE ? at_once
                                                               : in_a_second();
    memcpy(keeper->fault, ok ? "" : database_fault(keeper->database), ok ? 1 : DATABASE_FAULT);
    eventfd_write(keeper->wakes_main, 1);
}

static void *run_keeper(void *self)
{
    struct keeper *keeper = self;
    struct keeper_job *job;

    pthread_setname_np(pthread_self(), "keeper");
    pthread_mutex_lock(&keeper->mutex);
    while (!keeper->database && !keeper->ends)
        pthread_cond_wait(&keeper->wakes_keeper, &keeper->mutex);
    while (keeper->database) {
        if (are_calls_due(keeper))
            write_calls(keeper);
        else if ((job = pop(&keeper->asked)))
            finish_job(keeper, job);
        else if (keeper->ends)
            break;
        else if (has_calls(keeper))
            pthread_cond_timedwait(&keeper->wakes_keeper, &keeper->mutex, &keeper->due);
        else
            pthread_cond_wait(&keeper->wakes_keeper, &keeper->mutex);
    }
    if (has_calls(keeper) && keeper->database)
        write_calls(keeper); /* or the journal has them at the next start */
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

/* ---- the main thread's side */

static void destroy(struct keeper *keeper)
{
    if (keeper->wakes_main >= 0)
        close(keeper->wakes_main);
    pthread_cond_destroy(&keeper->wakes_keeper);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper->writing.at);
    free(keeper->given.at);
    free(keeper->kept);
    free(keeper);
}

static bool create_parts(struct keeper *keeper)
{
    pthread_condattr_t attributes;

    keeper->asked.end = &keeper->asked.first;
    keeper->finished.end = &keeper->finished.first;
    pthread_mutex_init(&keeper->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->wakes_keeper, &attributes);
    pthread_condattr_destroy(&attributes);
    keeper->writing = writer_over(malloc(CALLS_BYTES), CALLS_BYTES);
    keeper->given = writer_over(malloc(CALLS_BYTES), CALLS_BYTES);
    keeper->kept = calloc(CALL_WINDOW, sizeof *keeper->kept);
    keeper->wakes_main = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return keeper->writing.at && keeper->given.at && keeper->kept && keeper->wakes_main >= 0;
}

struct keeper *keeper_start(void)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);

    if (!keeper)
        return NULL;
    if (create_parts(keeper) && pthread_create(&keeper->thread, NULL, run_keeper, keeper) == 0)
        return keeper;
    destroy(keeper);
    return NULL;
}

void keeper_give(struct keeper *keeper, struct database *database)
{
    pthread_mutex_lock(&keeper->mutex);
    keeper->database = database;
    pthread_cond_signal(&keeper->wakes_keeper);
    pthread_mutex_unlock(&keeper->mutex);
}

void keeper_stop(struct keeper *keeper)
{
    struct keeper_job *job;

    pthread_mutex_lock(&keeper->mutex);
    keeper->ends = true;
    pthread_cond_signal(&keeper->wakes_keeper);
    pthread_mutex_unlock(&keeper->mutex);
    pthread_join(keeper->thread, NULL);
    while ((job = pop(&keeper->finished)))
        keeper_job_free(job);
    while ((job = pop(&keeper->asked)))
        keeper_job_free(job);
    if (keeper->database)
        database_close(keeper->database);
    destroy(keeper);
}

int keeper_descriptor(const struct keeper *keeper)
{
    return keeper->wakes_main;
}

bool keeper_ask(struct keeper *keeper, struct keeper_job *job)
{
    pthread_mutex_lock(&keeper->mutex);
    bool has_room = keeper->asked.count < KEEPER_JOBS;
    if (has_room)
        push(&keeper->asked, job);
    pthread_cond_signal(&keeper->wakes_keeper);
    pthread_mutex_unlock(&keeper->mutex);
    return has_room;
}

struct keeper_job *keeper_take(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->mutex);
    struct keeper_job *job = pop(&keeper->finished);
    pthread_mutex_unlock(&keeper->mutex);
    return job;
}

void keeper_awake(struct keeper *keeper)
{
    eventfd_t count;

    eventfd_read(keeper->wakes_main, &count);
}

void keeper_put_call(struct keeper *keeper, struct slice record)
{
    pthread_mutex_lock(&keeper->mutex);
    bool is_first = !keeper->given.len;
    write_slice(&keeper->given, record);
    assert(!keeper->given.failed);
    keeper->given_count++;
    if (is_first && !keeper->due.tv_sec)
        keeper->due = in_a_second();
    if (keeper->given_count == CALLS_AT_ONCE)
        keeper->due = at_once;
    if (is_first || keeper->given_count == CALLS_AT_ONCE)
        pthread_cond_signal(&keeper->wakes_keeper);
    pthread_mutex_unlock(&keeper->mutex);
}

unsigned keeper_take_kept(struct keeper *keeper, uint64_t *numbers, unsigned limit)
{
    pthread_mutex_lock(&keeper->mutex);
    uint32_t count = keeper->kept_count < limit ? keeper->kept_count : limit;
    memcpy(numbers, keeper->kept, count * sizeof *numbers);
    memmove(keeper->kept, keeper->kept + count,
            (keeper->kept_count - count) * sizeof *keeper->kept);
    keeper->kept_count -= count;
    pthread_mutex_unlock(&keeper->mutex);
    return count;
}

bool keeper_take_news(struct keeper *keeper, char fault[DATABASE_FAULT])
{
    pthread_mutex_lock(&keeper->mutex);
    bool has_news = keeper->has_news;
    keeper->has_news = false;
    memcpy(fault, keeper->fault, DATABASE_FAULT);
    pthread_mutex_unlock(&keeper->mutex);
    return has_news;
}
