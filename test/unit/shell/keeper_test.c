#include "unit.h"

#include "shell/folder.h"
#include "shell/keeper.h"

#include <poll.h>

static struct log quiet;
static struct folder folder;
static struct keeper *keeper;

static int start_keeper(void **state)
{
    (void)state;
    folder = folder_make();
    struct database *database = database_open(folder.fd, folder.path, &quiet);
    keeper = database ? keeper_start() : NULL;
    if (keeper)
        keeper_give(keeper, database);
    return !keeper;
}

static int stop_keeper(void **state)
{
    (void)state;
    if (keeper)
        keeper_stop(keeper);
    folder_remove(&folder);
    return 0;
}

static struct keeper_job *make_job(enum keeper_task task, const char *id)
{
    struct user_settings user = {.id = slice_text(id)};
    struct keeper_job *job = keeper_job_make(task, S("here"), &user);

    assert_non_null(job);
    return job;
}

static struct keeper_job *await_job(void)
{
    struct pollfd woken = {.fd = keeper_descriptor(keeper), .events = POLLIN};
    struct keeper_job *job;

    while (!(job = keeper_take(keeper)))
        assert_int_equal(poll(&woken, 1, 10000), 1);
    return job;
}

static void jobs_come_back_in_order_with_what_became_of_them(void **state)
{
    struct keeper_job *job;

    (void)state;
    assert_true(keeper_ask(keeper, make_job(KEEPER_ADD_USER, "alice")));
    assert_true(keeper_ask(keeper, make_job(KEEPER_ADD_USER, "alice")));
    assert_true(keeper_ask(keeper, make_job(KEEPER_REMOVE_USER, "alice")));
    for (unsigned n = 1; n <= 3; n++) {
        job = await_job();
        assert_int_equal(job->task, n < 3 ? KEEPER_ADD_USER : KEEPER_REMOVE_USER);
        assert_int_equal(job->is_done, n != 2);
        if (n == 2)
            assert_non_null(strstr(job->fault, "alice"));
        keeper_job_free(job);
    }
    assert_null(keeper_take(keeper));
}

static void what_was_asked_is_done_before_it_stops(void **state)
{
    struct database_users users;
    char id[16];

    (void)state;
    for (unsigned i = 0; i < KEEPER_JOBS; i++) {
        snprintf(id, sizeof id, "user%u", i);
        struct keeper_job *job = make_job(KEEPER_ADD_USER, id);
        while (!keeper_ask(keeper, job))
            keeper_job_free(await_job());
    }
    keeper_stop(keeper);
    keeper = NULL;
    struct database *database = database_open(folder.fd, folder.path, &quiet);
    assert_non_null(database);
    assert_true(database_read_users(database, S("here"), &users));
    assert_int_equal(users.count, KEEPER_JOBS);
    database_free_users(&users);
    database_close(database);
}

static void what_is_asked_waits_for_the_database(void **state)
{
    struct keeper *later = keeper_start();
    struct keeper_job *job;

    (void)state;
    keeper_stop(keeper);
    keeper = later;
    assert_non_null(later);
    assert_true(keeper_ask(keeper, make_job(KEEPER_ADD_USER, "alice")));
    assert_null(keeper_take(keeper));
    keeper_give(keeper, database_open(folder.fd, folder.path, &quiet));
    job = await_job();
    assert_true(job->is_done);
    keeper_job_free(job);
}

static void without_a_database_it_stops_all_the_same(void **state)
{
    struct keeper *later = keeper_start();

    (void)state;
    assert_non_null(later);
    keeper_stop(keeper);
    keeper = later;
    assert_true(keeper_ask(keeper, make_job(KEEPER_ADD_USER, "alice")));
}

static void put_call(uint64_t id)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct call_record call = {.id = id, .call_id = S("call")};

    call_write(&w, &call);
    keeper_put_call(keeper, writer_slice(&w));
}

static void records_are_kept_in_their_order(void **state)
{
    struct pollfd woken = {.fd = keeper_descriptor(keeper), .events = POLLIN};
    uint64_t numbers[7], next = 1;
    unsigned count;

    (void)state;
    for (uint64_t id = 1; id <= 100; id++)
        put_call(id);
    while (next <= 100) {
        assert_int_equal(poll(&woken, 1, 10000), 1);
        keeper_awake(keeper);
        while ((count = keeper_take_kept(keeper, numbers, COUNT_OF(numbers))))
            for (unsigned i = 0; i < count; i++)
                assert_int_equal(numbers[i], next++);
    }
}

static void records_are_read_by_a_job(void **state)
{
    struct pollfd woken = {.fd = keeper_descriptor(keeper), .events = POLLIN};
    struct keeper_job *job = keeper_query_make(&(struct call_query){.most = 10});
    struct call_record call;
    uint64_t number;

    (void)state;
    put_call(3);
    assert_int_equal(poll(&woken, 1, 10000), 1);
    assert_int_equal(keeper_take_kept(keeper, &number, 1), 1);
    assert_true(keeper_ask(keeper, job));
    job = await_job();
    struct reader r = reader_over(job->calls);
    assert_true(job->is_done && call_read(&r, &call));
    assert_int_equal(call.id, 3);
    keeper_job_free(job);
}

static void a_text_that_is_too_long_makes_no_job(void **state)
{
    char text[5 * NAME_LIMIT + 1];
    struct user_settings user = {.id = S("alice")};

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    user.display = slice_text(text);
    assert_null(keeper_job_make(KEEPER_ADD_USER, S("here"), &user));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start_keeper, stop_keeper)
    RUN(CASE(records_are_kept_in_their_order), CASE(records_are_read_by_a_job),
        CASE(jobs_come_back_in_order_with_what_became_of_them),
        CASE(what_was_asked_is_done_before_it_stops), CASE(what_is_asked_waits_for_the_database),
        CASE(without_a_database_it_stops_all_the_same), CASE(a_text_that_is_too_long_makes_no_job));
}
