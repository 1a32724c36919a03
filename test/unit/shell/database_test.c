#include "unit.h"

#include "core/caller.h"
#include "shell/database.h"
#include "shell/folder.h"

#include <sqlite3.h>
#include <sys/stat.h>

static struct log quiet;
static struct folder folder;
static struct database *database;
static struct database_users users;

static char *file_path(void)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/" DATABASE_NAME, folder.path);
    return path;
}

static int open_fresh(void **state)
{
    (void)state;
    folder = folder_make();
    database = database_open(folder.fd, folder.path, &quiet);
    return !database;
}

static int close_all(void **state)
{
    (void)state;
    if (database)
        database_close(database);
    database = NULL;
    database_free_users(&users);
    folder_remove(&folder);
    return 0;
}

static void open_again(void)
{
    database_close(database);
    database = database_open(folder.fd, folder.path, &quiet);
    assert_non_null(database);
}

static void read_users(const char *realm)
{
    database_free_users(&users);
    assert_true(database_read_users(database, slice_text(realm), &users));
}

static struct user_settings make_user(const char *id, const char *extension)
{
    struct user_settings user = {
        .id = slice_text(id),
        .extension = slice_text(extension),
        .display = S("A Name"),
        .has_ha1 = {[ALGORITHM_MD5] = true, [ALGORITHM_SHA256] = true},
        .level = 3,
    };

    memset(user.ha1[ALGORITHM_MD5], id[0], 16);
    memset(user.ha1[ALGORITHM_SHA256], id[0], 32);
    return user;
}

static void add(const char *id, const char *extension)
{
    struct user_settings user = make_user(id, extension);

    assert_true(database_add_user(database, S("here"), &user));
}

static void run_outside(const char *sql)
{
    sqlite3 *file;

    if (database)
        database_close(database);
    database = NULL;
    assert_int_equal(sqlite3_open(file_path(), &file), SQLITE_OK);
    assert_int_equal(sqlite3_exec(file, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(file), SQLITE_OK);
}

static void a_new_one_is_empty_and_private(void **state)
{
    struct stat about;

    (void)state;
    read_users("here");
    assert_int_equal(users.count, 0);
    assert_int_equal(users.password_count, 0);
    assert_int_equal(stat(file_path(), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void what_was_added_is_read_back_in_order(void **state)
{
    (void)state;
    add("zoe", "202");
    add("adam", "");
    open_again();
    read_users("here");
    assert_int_equal(users.count, 2);
    assert_slice(users.at[0].id, "adam");
    assert_slice(users.at[0].extension, "");
    assert_slice(users.at[1].id, "zoe");
    assert_slice(users.at[1].extension, "202");
    assert_slice(users.at[1].display, "A Name");
    assert_int_equal(users.at[1].level, 3);
    assert_true(users.at[1].has_ha1[ALGORITHM_SHA256]);
    assert_int_equal(users.at[1].ha1[ALGORITHM_MD5][15], 'z');
    assert_int_equal(users.at[1].ha1[ALGORITHM_SHA256][31], 'z');
}

static void a_taken_id_or_extension_is_refused_and_changes_nothing(void **state)
{
    struct user_settings again = make_user("alice", "300"), other = make_user("bob", "201");

    (void)state;
    add("alice", "201");
    assert_false(database_add_user(database, S("here"), &again));
    assert_non_null(strstr(database_fault(database), "alice"));
    assert_false(database_add_user(database, S("here"), &other));
    read_users("here");
    assert_int_equal(users.count, 1);
    assert_int_equal(users.password_count, 0);
    add("bob", "202"); /* and the next change finds nothing half done */
}

static void a_removed_user_is_gone_with_the_passwords(void **state)
{
    struct user_settings alice = make_user("alice", "201");

    (void)state;
    add("alice", "201");
    assert_true(database_set_password(database, S("there"), &alice));
    assert_true(database_remove_user(database, S("alice")));
    assert_false(database_remove_user(database, S("alice")));
    assert_non_null(strstr(database_fault(database), "no user alice"));
    open_again();
    read_users("here");
    assert_int_equal(users.count + users.password_count, 0);
    read_users("there");
    assert_int_equal(users.count + users.password_count, 0);
}

static void a_password_counts_in_its_realm_alone(void **state)
{
    (void)state;
    add("alice", "201");
    read_users("elsewhere");
    assert_int_equal(users.count, 1);
    assert_false(users.at[0].has_ha1[ALGORITHM_MD5]);
    assert_false(users.at[0].has_ha1[ALGORITHM_SHA256]);
}

static void a_password_replaces_the_one_before(void **state)
{
    struct user_settings alice = make_user("alice", "201");

    (void)state;
    add("alice", "201");
    memset(alice.ha1[ALGORITHM_MD5], 'n', 16);
    alice.has_ha1[ALGORITHM_SHA256] = false;
    assert_true(database_set_password(database, S("here"), &alice));
    read_users("here");
    assert_int_equal(users.at[0].ha1[ALGORITHM_MD5][0], 'n');
    assert_false(users.at[0].has_ha1[ALGORITHM_SHA256]);
}

static void passwords_of_others_come_apart(void **state)
{
    struct user_settings anna = make_user("anna", ""), yves = make_user("yves", "");

    (void)state;
    add("bob", "202");
    assert_true(database_set_password(database, S("here"), &anna));
    assert_true(database_set_password(database, S("here"), &yves));
    read_users("here");
    assert_int_equal(users.count, 1);
    assert_true(users.at[0].has_ha1[ALGORITHM_MD5]);
    assert_int_equal(users.password_count, 2);
    assert_slice(users.passwords[0].id, "anna");
    assert_slice(users.passwords[1].id, "yves");
    assert_int_equal(users.passwords[1].ha1[ALGORITHM_MD5][0], 'y');
}

static void many_users_are_read(void **state)
{
    char sql[400];

    (void)state;
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
             " INSERT INTO users SELECT 'user' || i, i, 'User ' || i, 1 FROM n;"
             "INSERT INTO passwords SELECT 'here', id, x'%032d', NULL FROM users",
             0);
    run_outside(sql);
    database = database_open(folder.fd, folder.path, &quiet);
    read_users("here");
    assert_int_equal(users.count, 5000);
    assert_int_equal(users.password_count, 0);
    for (uint32_t i = 0; i < users.count; i++)
        assert_true(users.at[i].has_ha1[ALGORITHM_MD5]);
}

static void put_calls(uint64_t first, unsigned count, const char *caller)
{
    static char bytes[64 * CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);

    for (unsigned i = 0; i < count; i++) {
        struct call_record call = {
            .id = first + i,
            .began = 1000 + (int64_t)(first + i),
            .answered = i & 1 ? 1010 : 0,
            .ended = 2000,
            .duration = 7,
            .status = 200,
            .ender = CALL_ENDED_BY_CALLEE,
            .proof = CALLER_TLS,
            .caller = slice_text(caller),
            .dialed = S("202"),
            .callee = S("bob"),
            .display = S("A \"Name\"; DROP TABLE calls"),
            .call_id = S("id"),
            .heard =
                {
                    .sides = {{i & 1 ? 0 : 700, 3, LEG_UNKNOWN}, {800, 0, 2500}},
                    .lines = {{{i & 1 ? 0 : 700, 3, LEG_UNKNOWN}},
                              {{300, 0, 100}, [LEGS_LINES - 1] = {500, 0, 2500}}},
                },
        };
        call_write(&w, &call);
    }
    assert_true(database_put_calls(database, writer_slice(&w)));
}

static void put_one(const struct call_record *call)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);

    call_write(&w, call);
    assert_true(database_put_calls(database, writer_slice(&w)));
}

/* How many a query finds, and the number of the first. */
static unsigned count_calls(const struct call_query *query, uint64_t *first)
{
    struct call_record call;
    struct slice records;
    unsigned count = 0;

    assert_true(database_read_calls(database, query, &records));
    for (struct reader r = reader_over(records); r.rest.len; count++) {
        assert_true(call_read(&r, &call));
        if (!count)
            *first = call.id;
    }
    free((void *)(uintptr_t)records.at);
    return count;
}

static void assert_heard(const struct leg_heard *heard, uint32_t expected, uint32_t lost,
                         uint32_t jitter)
{
    assert_int_equal(heard->expected, expected);
    assert_int_equal(heard->lost, lost);
    assert_int_equal(heard->jitter, jitter);
}

static void records_are_put_once_and_read_back(void **state)
{
    struct call_query one = {.before = 8, .most = 1};
    struct call_record call;
    struct slice records;
    uint64_t last;

    (void)state;
    assert_true(database_last_call(database, &last));
    assert_int_equal(last, 0);
    put_calls(5, 3, "alice");
    put_calls(7, 2, "someone else");
    put_one(&(struct call_record){.id = 7, .heard = {{{0}}, {{{0}, {9, 9, 9}}}}});
    open_again();
    assert_true(database_last_call(database, &last));
    assert_int_equal(last, 8);
    assert_true(database_read_calls(database, &one, &records));
    struct reader r = reader_over(records);
    assert_true(call_read(&r, &call));
    assert_int_equal(call.id, 7);
    assert_slice(call.caller, "alice"); /* the first stays */
    assert_slice(call.display, "A \"Name\"; DROP TABLE calls");
    assert_int_equal(call.began, 1007);
    assert_int_equal(call.answered, 0);
    assert_int_equal(call.duration, 7);
    assert_int_equal(call.ender, CALL_ENDED_BY_CALLEE);
    assert_int_equal(call.proof, CALLER_TLS);
    assert_heard(&call.heard.sides[LEGS_CALLER], 700, 3, LEG_UNKNOWN);
    assert_heard(&call.heard.sides[LEGS_CALLEE], 800, 0, 2500);
    assert_heard(&call.heard.lines[LEGS_CALLER][0], 700, 3, LEG_UNKNOWN);
    assert_heard(&call.heard.lines[LEGS_CALLER][1], 0, 0, 0);
    assert_heard(&call.heard.lines[LEGS_CALLEE][0], 300, 0, 100);
    assert_heard(&call.heard.lines[LEGS_CALLEE][1], 0, 0, 0);
    assert_heard(&call.heard.lines[LEGS_CALLEE][LEGS_LINES - 1], 500, 0, 2500);
    assert_int_equal(r.rest.len, 0);
    free((void *)(uintptr_t)records.at);
}

static void records_are_found_by_user_and_time(void **state)
{
    struct call_query all = {.most = 100}, some = {.most = 3, .before = 12};
    struct call_query timely = {.most = 100, .since = 1003, .until = 1006};
    static const struct {
        const char *user;
        unsigned count;
    } askers[] = {{"carol", 10}, {"bob", 20}, {"202", 20}, {"x' OR 1", 0}};
    uint64_t first = 0;

    (void)state;
    put_calls(1, 10, "alice");
    put_calls(11, 10, "carol");
    assert_int_equal(count_calls(&all, &first), 20);
    assert_int_equal(first, 20);
    assert_int_equal(count_calls(&some, &first), 3);
    assert_int_equal(first, 11);
    assert_int_equal(count_calls(&timely, &first), 3);
    assert_int_equal(first, 5);
    for (unsigned i = 0; i < COUNT_OF(askers); i++) {
        all.user = slice_text(askers[i].user);
        assert_int_equal(count_calls(&all, &first), askers[i].count);
    }
}

/* Of a table, while nobody has the file open. */
static int count_outside(const char *sql)
{
    sqlite3_stmt *statement;
    sqlite3 *file;
    int count;

    run_outside("");
    assert_int_equal(sqlite3_open(file_path(), &file), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(file, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(file), SQLITE_OK);
    return count;
}

/* With the legs that are known of them, which are three of each of these. */
static void the_oldest_records_go(void **state)
{
    struct call_query all = {.most = 100};
    uint64_t first = 0;

    (void)state;
    put_calls(1, 3, "alice");
    put_calls(DATABASE_CALLS + 2, 1, "alice");
    assert_int_equal(count_calls(&all, &first), 2);
    assert_int_equal(count_outside("SELECT count(*) FROM legs WHERE call = 3"), 3);
    assert_int_equal(count_outside("SELECT count(*) FROM legs"), 6);
}

/* It has no legs yet; the calls that it has stay as they were. */
static void legs_come_to_one_of_an_older_version(void **state)
{
    struct call_query all = {.most = 100};
    struct call_record calls[2];
    struct slice records;

    (void)state;
    put_calls(2, 1, "alice");
    run_outside("DROP TABLE legs; DROP TRIGGER call_removed; PRAGMA user_version = 6");
    database = database_open(folder.fd, folder.path, &quiet);
    assert_non_null(database);
    put_calls(2, 3, "alice");
    assert_true(database_read_calls(database, &all, &records));
    struct reader r = reader_over(records);
    for (unsigned i = 0; i < 3; i++)
        assert_true(call_read(&r, &calls[i / 2]));
    assert_int_equal(r.rest.len, 0);
    assert_heard(&calls[0].heard.lines[LEGS_CALLEE][0], 300, 0, 100);
    assert_heard(&calls[1].heard.sides[LEGS_CALLEE], 800, 0, 2500);
    assert_heard(&calls[1].heard.lines[LEGS_CALLEE][0], 0, 0, 0);
    free((void *)(uintptr_t)records.at);
}

/* The whole file, and it again after an attempt to open it. */
static void assert_refused_and_kept(void)
{
    static char before[1 << 18], after[1 << 18];
    FILE *file = fopen(file_path(), "rb");
    size_t len = fread(before, 1, sizeof before, file);

    fclose(file);
    assert_null(database_open(folder.fd, folder.path, &quiet));
    file = fopen(file_path(), "rb");
    assert_int_equal(fread(after, 1, sizeof after, file), len);
    fclose(file);
    assert_memory_equal(before, after, len);
}

static void a_newer_one_is_refused_and_kept(void **state)
{
    (void)state;
    add("alice", "201");
    run_outside("PRAGMA user_version = 1000");
    assert_refused_and_kept();
}

static void another_programs_is_refused_and_kept(void **state)
{
    (void)state;
    run_outside("PRAGMA application_id = 7");
    assert_refused_and_kept();
    run_outside("PRAGMA application_id = 0");
    assert_refused_and_kept();
}

static void a_damaged_one_is_refused_and_kept(void **state)
{
    (void)state;
    add("alice", "201");
    database_close(database);
    database = NULL;
    FILE *file = fopen(file_path(), "r+b");
    fputs("not a database", file);
    fclose(file);
    assert_refused_and_kept();
}

static void damaged_pages_are_no_users(void **state)
{
    (void)state;
    add("alice", "201");
    run_outside("PRAGMA journal_mode = DELETE");
    FILE *file = fopen(file_path(), "r+b");
    fseek(file, 4096, SEEK_SET);
    for (unsigned i = 0; i < 4 * 4096; i++)
        fputc(0xa5, file);
    fclose(file);
    database = database_open(folder.fd, folder.path, &quiet);
    assert_true(!database || !database_read_users(database, S("here"), &users));
}

static void expect_found(enum database_key key, const char *name, const char *id)
{
    struct user_settings user;

    assert_int_equal(database_find(database, key, slice_text(name), S("here"), &user),
                     id ? DATABASE_FOUND : DATABASE_NOT_FOUND);
    if (!id)
        return;
    assert_slice(user.id, id);
    assert_slice(user.display, "A Name");
    assert_int_equal(user.level, 3);
    assert_int_equal(user.source, SOURCE_DATABASE);
    assert_true(user.has_ha1[ALGORITHM_MD5] && user.has_ha1[ALGORITHM_SHA256]);
    assert_int_equal(user.ha1[ALGORITHM_SHA256][31], id[0]);
}

/* Also while everyone is read. */
static void one_is_found_alone(void **state)
{
    struct user_settings user;
    bool is_password;
    uint32_t count;

    (void)state;
    add("adam", "201");
    add("eve", "");
    add("zoe", "202");
    user = make_user("noah", "");
    assert_true(database_set_password(database, S("here"), &user));
    assert_true(database_begin_users(database, S("here"), &count));
    assert_int_equal(count, 3);
    for (const char *const *id = (const char *const[]){"adam", "eve", "noah", "zoe", NULL}; *id;
         id++) {
        assert_true(database_next_user(database, &user, &is_password));
        expect_found(DATABASE_ID, "zoe", "zoe");
        expect_found(DATABASE_EXTENSION, "201", "adam");
        expect_found(DATABASE_ID, "201", NULL);
        expect_found(DATABASE_EXTENSION, "", NULL);
        expect_found(DATABASE_ID, "noah", NULL);
        assert_slice(user.id, *id);
        assert_int_equal(is_password, strcmp(*id, "noah") == 0);
    }
    for (unsigned n = 0; n < 3; n++)
        assert_false(database_next_user(database, &user, &is_password));
    assert_true(database_end_users(database));
    assert_int_equal(database_find_password(database, S("noah"), S("here"), &user), DATABASE_FOUND);
    assert_int_equal(user.ha1[ALGORITHM_MD5][0], 'n');
    assert_int_equal(database_find_password(database, S("noah"), S("there"), &user),
                     DATABASE_NOT_FOUND);
}

static void users_are_counted_as_they_come_and_go(void **state)
{
    struct user_settings alice = make_user("alice", "207");
    uint32_t count;

    (void)state;
    add("alice", "201");
    add("bob", "202");
    assert_false(database_add_user(database, S("here"), &alice));
    assert_true(database_remove_user(database, S("bob")));
    assert_true(database_begin_users(database, S("here"), &count));
    assert_int_equal(count, 1);
}

static void two_do_not_share_it(void **state)
{
    (void)state;
    add("alice", "201");
    assert_null(database_open(folder.fd, folder.path, &quiet));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_fresh, close_all)
    RUN(CASE(a_new_one_is_empty_and_private), CASE(what_was_added_is_read_back_in_order),
        CASE(a_taken_id_or_extension_is_refused_and_changes_nothing),
        CASE(a_removed_user_is_gone_with_the_passwords), CASE(a_password_counts_in_its_realm_alone),
        CASE(a_password_replaces_the_one_before), CASE(passwords_of_others_come_apart),
        CASE(many_users_are_read), CASE(one_is_found_alone),
        CASE(users_are_counted_as_they_come_and_go), CASE(records_are_put_once_and_read_back),
        CASE(records_are_found_by_user_and_time), CASE(the_oldest_records_go),
        CASE(legs_come_to_one_of_an_older_version), CASE(a_newer_one_is_refused_and_kept),
        CASE(another_programs_is_refused_and_kept), CASE(a_damaged_one_is_refused_and_kept),
        CASE(damaged_pages_are_no_users), CASE(two_do_not_share_it));
}
