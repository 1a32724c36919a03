#include "shell/store.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RECORDS_LIMIT (BATCH_BYTES + BATCH_ACTIONS * SEGMENT_RECORD_OVERHEAD)

struct store {
    struct journal *journal;
    struct batch batches[STORE_BATCHES];
    uint32_t taken; /* batches taken back: the main thread's */

    _Atomic uint32_t given;
    _Atomic uint32_t finished;
    _Atomic uint32_t renewals_asked;
    _Atomic uint32_t renewals_done;
    _Atomic uint64_t order;
    _Atomic bool main_sleeps;
    _Atomic bool ends;
    _Atomic int sync_error;

    int wakes_main; /* eventfd */
    sem_t wakes_store;
    sem_t wakes_sync;
    pthread_t store_thread;
    pthread_t sync_thread;

    /* The store thread's. */
    bool is_broken; /* nothing is appended until a new segment was begun */
    struct writer records;
};

static void wake_main(struct store *store)
{
    if (atomic_load(&store->main_sleeps) && atomic_exchange(&store->main_sleeps, false))
        eventfd_write(store->wakes_main, 1);
}

static void publish_order(struct store *store)
{
    atomic_store(&store->order, store->journal->order);
}

/* The records of a batch, framed, in one run of bytes. */
static struct slice gather(struct store *store, const struct batch *batch)
{
    store->records.len = 0;
    for (uint32_t i = batch->done; i < batch->actions.count; i++)
        if (batch->actions.at[i].kind == ACTION_PERSIST)
            segment_append(&store->records, store->journal->epoch, batch->actions.at[i].bytes);
    assert(!store->records.failed);
    return writer_slice(&store->records);
}

static bool completes_checkpoint(const struct store *store, const struct batch *batch)
{
    if (batch->order != store->journal->order)
        return false; /* of an older segment */
    for (uint32_t i = batch->done; i < batch->actions.count; i++)
        if (batch->actions.at[i].kind == ACTION_CHECKPOINTED)
            return true;
    return false;
}

static int write_batch(struct store *store, const struct batch *batch)
{
    struct journal *journal = store->journal;

    if (store->is_broken)
        return -EIO;
    if (journal_is_full(journal)) {
        int error = journal_begin(journal);

        if (error)
            return error;
        publish_order(store);
    }
    int error = journal_append(journal, gather(store, batch));
    if (!error && completes_checkpoint(store, batch)) {
        journal_checkpointed(journal);
        sem_post(&store->wakes_sync);
    }
    return error;
}

static void renew(struct store *store)
{
    uint32_t asked = atomic_load(&store->renewals_asked);

    if (journal_begin(store->journal) < 0)
        return;
    store->is_broken = false;
    publish_order(store);
    atomic_store(&store->renewals_done, asked);
    wake_main(store);
}

static bool wants_renewal(const struct store *store)
{
    return atomic_load(&store->renewals_asked) != atomic_load(&store->renewals_done);
}

static void wait_a_second(sem_t *wakes)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (sem_timedwait(wakes, &until) < 0 && errno == EINTR)
        ;
}

static void *run_store(void *self)
{
    struct store *store = self;

    pthread_setname_np(pthread_self(), "store");
    for (;;) {
        uint32_t next = atomic_load(&store->finished);

        if (next != atomic_load(&store->given)) {
            struct batch *batch = &store->batches[next % STORE_BATCHES];

            batch->error = write_batch(store, batch);
            store->is_broken |= batch->error != 0;
            atomic_store(&store->finished, next + 1);
            wake_main(store);
        } else if (atomic_load(&store->ends)) {
            return NULL;
        } else if (wants_renewal(store)) {
            renew(store);
            if (wants_renewal(store))
                wait_a_second(&store->wakes_store);
        } else {
            while (sem_wait(&store->wakes_store) < 0 && errno == EINTR)
                ;
        }
    }
}

static void *run_sync(void *self)
{
    struct store *store = self;

    pthread_setname_np(pthread_self(), "sync");
    while (!atomic_load(&store->ends)) {
        int error = journal_sync(store->journal);

        if (error) {
            atomic_store(&store->sync_error, error);
            wake_main(store);
        }
        wait_a_second(&store->wakes_sync);
    }
    return NULL;
}

static bool create_parts(struct store *store)
{
    bool ok = true;
    char *records = malloc(RECORDS_LIMIT);

    for (unsigned i = 0; i < STORE_BATCHES; i++)
        ok &= batch_create(&store->batches[i]);
    store->records = writer_over(records, RECORDS_LIMIT);
    store->wakes_main = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sem_init(&store->wakes_store, 0, 0);
    sem_init(&store->wakes_sync, 0, 0);
    return ok && records && store->wakes_main >= 0;
}

static void destroy_parts(struct store *store)
{
    for (unsigned i = 0; i < STORE_BATCHES; i++)
        batch_destroy(&store->batches[i]);
    free(store->records.at);
    if (store->wakes_main >= 0)
        close(store->wakes_main);
    sem_destroy(&store->wakes_store);
    sem_destroy(&store->wakes_sync);
    free(store);
}

struct store *store_start(struct journal *journal)
{
    struct store *store = calloc(1, sizeof *store);

    if (!store)
        return NULL;
    store->journal = journal;
    store->is_broken = journal->file < 0;
    publish_order(store);
    if (!create_parts(store) || pthread_create(&store->store_thread, NULL, run_store, store) != 0) {
        destroy_parts(store);
        return NULL;
    }
    if (pthread_create(&store->sync_thread, NULL, run_sync, store) != 0) {
        atomic_store(&store->ends, true);
        sem_post(&store->wakes_store);
        pthread_join(store->store_thread, NULL);
        destroy_parts(store);
        return NULL;
    }
    return store;
}

void store_stop(struct store *store)
{
    atomic_store(&store->ends, true);
    sem_post(&store->wakes_store);
    sem_post(&store->wakes_sync);
    pthread_join(store->store_thread, NULL);
    pthread_join(store->sync_thread, NULL);
    journal_sync(store->journal);
    destroy_parts(store);
}

int store_descriptor(const struct store *store)
{
    return store->wakes_main;
}

bool store_sleep(struct store *store)
{
    atomic_store(&store->main_sleeps, true);
    return !store_finished(store) && !atomic_load(&store->sync_error);
}

void store_awake(struct store *store)
{
    eventfd_t count;

    if (!atomic_exchange(&store->main_sleeps, false))
        eventfd_read(store->wakes_main, &count); /* or it comes in a moment: one poll in vain */
}

struct batch *store_current(struct store *store)
{
    return &store->batches[atomic_load_explicit(&store->given, memory_order_relaxed) %
                           STORE_BATCHES];
}

static uint32_t count_given(const struct store *store)
{
    return atomic_load_explicit(&store->given, memory_order_relaxed) - store->taken;
}

bool store_has_given(const struct store *store)
{
    return count_given(store) > 0;
}

bool store_can_give(const struct store *store)
{
    return count_given(store) < STORE_BATCHES - 1;
}

void store_give(struct store *store)
{
    assert(store_can_give(store));
    atomic_fetch_add(&store->given, 1);
    sem_post(&store->wakes_store);
    batch_clear(store_current(store));
}

struct batch *store_given(struct store *store, uint32_t n)
{
    return n < count_given(store) ? &store->batches[(store->taken + n) % STORE_BATCHES] : NULL;
}

struct batch *store_finished(struct store *store)
{
    if (store->taken == atomic_load_explicit(&store->finished, memory_order_acquire))
        return NULL;
    return &store->batches[store->taken % STORE_BATCHES];
}

void store_take_back(struct store *store)
{
    assert(store_finished(store));
    store->taken++;
}

void store_renew(struct store *store)
{
    atomic_fetch_add(&store->renewals_asked, 1);
    sem_post(&store->wakes_store);
}

bool store_is_renewed(const struct store *store)
{
    return !wants_renewal(store);
}

int store_sync_error(struct store *store)
{
    if (!atomic_load_explicit(&store->sync_error, memory_order_relaxed))
        return 0;
    return atomic_exchange(&store->sync_error, 0);
}

uint64_t store_order(const struct store *store)
{
    return atomic_load_explicit(&store->order, memory_order_relaxed);
}
