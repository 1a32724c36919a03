#include "unit.h"

#include "shell/folder.h"
#include "shell/store.h"

#include <errno.h>
#include <poll.h>

static struct log quiet;
static struct folder folder;
static struct journal journal;
static struct store *store;

static int start_store(void **state)
{
    (void)state;
    folder = folder_make();
    if (folder.fd < 0 || !journal_open(&journal, folder.fd, folder.path, &quiet) ||
        journal_begin(&journal) < 0)
        return 1;
    store = store_start(&journal);
    return !store;
}

static int stop_store(void **state)
{
    (void)state;
    store_stop(store);
    journal_close(&journal);
    folder_remove(&folder);
    return 0;
}

static void fill(enum action_kind kind, const char *text)
{
    struct actions *out = &store_current(store)->actions;
    size_t start = out->bytes.len;

    write_slice(&out->bytes, slice_text(text));
    actions_push(
        out, (struct action){.kind = kind, .bytes = slice_of(out->bytes.at + start, strlen(text))});
}

/* Waits as the loop does. */
static struct batch *await_finished(void)
{
    struct pollfd woken = {.fd = store_descriptor(store), .events = POLLIN};

    while (!store_finished(store)) {
        if (store_sleep(store))
            poll(&woken, 1, 1000);
        store_awake(store);
    }
    return store_finished(store);
}

static void give_and_await(int error)
{
    store_current(store)->order = store_order(store);
    store_give(store);
    assert_int_equal(await_finished()->error, error);
    store_take_back(store);
}

static void assert_records(uint64_t order, const char *wanted)
{
    char name[128], text[1024];
    struct writer w = writer_over(text, sizeof text);
    static char bytes[65536];
    uint64_t epoch, found;
    struct slice payload;

    snprintf(name, sizeof name, "%s/journal.%llu", folder.path, (unsigned long long)order);
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    struct slice all = slice_of(bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    assert_true(segment_open(all, &epoch, &found));
    all = slice_from(all, SEGMENT_HEADER);
    while (segment_next(&all, epoch, &payload))
        write_slice(&w, payload);
    assert_slice(writer_slice(&w), wanted);
}

static void records_are_in_the_file_when_a_batch_comes_back(void **state)
{
    (void)state;
    fill(ACTION_PERSIST, "a");
    fill(ACTION_SEND, "x");
    fill(ACTION_PERSIST, "b");
    give_and_await(0);
    fill(ACTION_PERSIST, "c");
    give_and_await(0);
    assert_records(1, "abc");
    assert_false(store_has_given(store));
}

static void batches_come_back_in_the_order_they_were_given(void **state)
{
    struct batch *given[STORE_BATCHES - 1];

    (void)state;
    for (unsigned i = 0; i < STORE_BATCHES - 1; i++) {
        assert_true(store_can_give(store));
        given[i] = store_current(store);
        fill(ACTION_PERSIST, i == 0 ? "a" : i == 1 ? "b" : "c");
        store_give(store);
    }
    assert_false(store_can_give(store));
    for (unsigned i = 0; i < STORE_BATCHES - 1; i++) {
        assert_ptr_equal(await_finished(), given[i]);
        store_take_back(store);
    }
    assert_records(1, "abc");
}

static void after_a_failure_nothing_is_written_until_a_new_segment_was_begun(void **state)
{
    struct pollfd woken = {.fd = store_descriptor(store), .events = POLLIN};
    int good = journal.file;

    (void)state;
    journal.file = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(journal.file >= 0);
    fill(ACTION_PERSIST, "lost");
    give_and_await(-ENOSPC);
    fill(ACTION_PERSIST, "lost too");
    give_and_await(-EIO);
    close(good);
    store_renew(store);
    while (!store_is_renewed(store)) {
        if (store_sleep(store) && !store_is_renewed(store))
            poll(&woken, 1, 1000);
        store_awake(store);
    }
    assert_int_equal(store_order(store), 2);
    fill(ACTION_PERSIST, "kept");
    give_and_await(0);
    assert_records(2, "kept");
}

static void a_checkpoint_of_an_older_segment_retires_nothing(void **state)
{
    (void)state;
    fill(ACTION_CHECKPOINTED, "");
    store_current(store)->order = 0;
    store_give(store);
    assert_int_equal(await_finished()->error, 0);
    store_take_back(store);
    assert_false(journal.is_checkpointed);
    fill(ACTION_CHECKPOINTED, "");
    give_and_await(0);
    assert_true(journal.is_checkpointed);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, start_store, stop_store)
        WITH_STORE(records_are_in_the_file_when_a_batch_comes_back),
        WITH_STORE(batches_come_back_in_the_order_they_were_given),
        WITH_STORE(after_a_failure_nothing_is_written_until_a_new_segment_was_begun),
        WITH_STORE(a_checkpoint_of_an_older_segment_retires_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
