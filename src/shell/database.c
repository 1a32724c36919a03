#include "shell/database.h"

#include "core/caller.h"
#include "core/legs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x53495057 /* "SIPW", in the file's header */

/* A step brings the schema from the version that is its index to the next. */
static const char *const migrations[] = {
    "CREATE TABLE users (id TEXT NOT NULL PRIMARY KEY, extension TEXT UNIQUE,"
    " display TEXT NOT NULL, level INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE passwords (realm TEXT NOT NULL, id TEXT NOT NULL, md5 BLOB, sha256 BLOB,"
    " PRIMARY KEY (realm, id)) STRICT, WITHOUT ROWID;",
    /* Times are seconds of the wall clock; duration is counted from the answer. */
    "CREATE TABLE calls (id INTEGER PRIMARY KEY, began INTEGER NOT NULL, answered INTEGER,"
    " ended INTEGER NOT NULL, duration INTEGER NOT NULL, status INTEGER NOT NULL,"
    " reason TEXT NOT NULL, ended_by TEXT, network TEXT NOT NULL, caller TEXT NOT NULL,"
    " dialed TEXT NOT NULL, callee TEXT NOT NULL, display TEXT NOT NULL,"
    " call_id TEXT NOT NULL) STRICT;",
    /* How many users there are: counting them at the start would cost as much as all else of it. */
    "CREATE TABLE counts (users INTEGER NOT NULL) STRICT;"
    "INSERT INTO counts SELECT count(*) FROM users;"
    "CREATE TRIGGER user_added AFTER INSERT ON users BEGIN"
    " UPDATE counts SET users = users + 1; END;"
    "CREATE TRIGGER user_removed AFTER DELETE ON users BEGIN"
    " UPDATE counts SET users = users - 1; END;",
    /* By what it was proven who called: bits of enum caller_proof; none where nobody noted it. */
    "ALTER TABLE calls ADD COLUMN proof INTEGER;",
    /* Which way its media took and why: enum media_path and media_reason; none where nobody noted
     * it. */
    ("ALTER TABLE calls ADD COLUMN media INTEGER;"
     "ALTER TABLE calls ADD COLUMN media_reason INTEGER;"),
    /* What the relay heard of its two ends: packets of RTP, and microseconds; none of a call that
     * was not relayed. */
    ("ALTER TABLE calls ADD COLUMN caller_expected INTEGER;"
     "ALTER TABLE calls ADD COLUMN caller_lost INTEGER;"
     "ALTER TABLE calls ADD COLUMN caller_jitter INTEGER;"
     "ALTER TABLE calls ADD COLUMN callee_expected INTEGER;"
     "ALTER TABLE calls ADD COLUMN callee_lost INTEGER;"
     "ALTER TABLE calls ADD COLUMN callee_jitter INTEGER;"),
    /* The same of each m-line, counted from 1; those columns are its sum. */
    ("CREATE TABLE legs (call INTEGER NOT NULL, side TEXT NOT NULL, line INTEGER NOT NULL,"
     " expected INTEGER NOT NULL, lost INTEGER NOT NULL, jitter INTEGER,"
     " PRIMARY KEY (call, side, line)) STRICT, WITHOUT ROWID;"
     "CREATE TRIGGER call_removed AFTER DELETE ON calls BEGIN"
     " DELETE FROM legs WHERE call = OLD.id; END;"),
};

#define HEARD                                                                                      \
    " caller_expected, caller_lost, caller_jitter, callee_expected, callee_lost, callee_jitter"

enum statement {
    COUNT_USERS,
    READ_USERS,
    READ_PASSWORDS,
    FIND_ID,
    FIND_EXTENSION,
    FIND_PASSWORD,
    ADD_USER,
    REMOVE_USER,
    REMOVE_PASSWORDS,
    SET_PASSWORD,
    LAST_CALL,
    PUT_CALL,
    PUT_LEG,
    FORGET_CALLS,
    READ_CALLS,
    READ_LEGS,
    BEGIN,
    COMMIT,
    ROLLBACK,
    STATEMENT_COUNT,
};

#define FIND_USER                                                                                  \
    "SELECT users.id, md5, sha256, extension, display, level FROM users"                           \
    " LEFT JOIN passwords ON passwords.realm = ?2 AND passwords.id = users.id "

static const char *const statement_texts[STATEMENT_COUNT] = {
    [COUNT_USERS] = "SELECT coalesce(max(users), 0) FROM counts",
    [READ_USERS] = "SELECT id, extension, display, level FROM users ORDER BY id",
    [READ_PASSWORDS] = "SELECT id, md5, sha256 FROM passwords WHERE realm = ?1 ORDER BY id",
    [FIND_ID] = FIND_USER "WHERE users.id = ?1",
    [FIND_EXTENSION] = FIND_USER "WHERE users.extension = ?1",
    [FIND_PASSWORD] = "SELECT id, md5, sha256 FROM passwords WHERE id = ?1 AND realm = ?2",
    [ADD_USER] = "INSERT INTO users (id, extension, display, level) VALUES (?1, ?2, ?3, ?4)",
    [REMOVE_USER] = "DELETE FROM users WHERE id = ?1",
    [REMOVE_PASSWORDS] = "DELETE FROM passwords WHERE id = ?1",
    [SET_PASSWORD] =
        ("INSERT OR REPLACE INTO passwords (realm, id, md5, sha256) VALUES (?1, ?2, ?3, ?4)"),
    [LAST_CALL] = "SELECT coalesce(max(id), 0) FROM calls",
    [PUT_CALL] = ("INSERT OR IGNORE INTO calls (id, began, answered, ended, duration, status,"
                  " reason, ended_by, network, caller, dialed, callee, display, call_id, proof,"
                  " media, media_reason," HEARD ") VALUES"
                  " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
                  " ?18, ?19, ?20, ?21, ?22, ?23)"),
    [PUT_LEG] = ("INSERT OR REPLACE INTO legs (call, side, line, expected, lost, jitter) VALUES"
                 " (?1, ?2, ?3, ?4, ?5, ?6)"),
    [FORGET_CALLS] = "DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?1",
    [READ_CALLS] = ("SELECT id, began, answered, ended, duration, status, ended_by, network,"
                    " caller, dialed, callee, display, call_id, proof, media, media_reason," HEARD
                    " FROM calls"
                    " WHERE (?1 IS NULL OR caller IN (?1, ?6) OR dialed IN (?1, ?6)"
                    " OR callee IN (?1, ?6))"
                    " AND began >= ?2 AND began < ?3 AND id < ?4 ORDER BY id DESC LIMIT ?5"),
    [READ_LEGS] = "SELECT side, line, expected, lost, jitter FROM legs WHERE call = ?1",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
};

struct database {
    sqlite3 *file;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int user_row, password_row; /* what the last steps of reading everyone said */
    unsigned is_used;           /* which of them was given out */
    sqlite3_stmt *found;        /* whose row was given out, or NULL */
    char path[PATH_MAX];
    char fault[DATABASE_FAULT];
};

const char *database_fault(const struct database *database)
{
    return database->fault;
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct database *database,
                                                         const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(database->fault, sizeof database->fault, format, arguments);
    va_end(arguments);
    return false;
}

/* What SQLite's last error means to the administrator. */
static bool refuse_failure(struct database *database)
{
    int code = sqlite3_errcode(database->file);

    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return refuse(database,
                      "%s is damaged: put it back from a backup, or move it away to start without "
                      "what it holds; the file is kept",
                      database->path);
    if (code == SQLITE_BUSY)
        return refuse(database, "%s is open in another program: close that", database->path);
    return refuse(database, "%s cannot be used: %s", database->path,
                  sqlite3_errmsg(database->file));
}

/* ---- opening */

static bool run(struct database *database, const char *sql)
{
    return sqlite3_exec(database->file, sql, NULL, NULL, NULL) == SQLITE_OK ||
           refuse_failure(database);
}

static bool read_pragma(struct database *database, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(database->file, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;

    *value = ok ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return ok || refuse_failure(database);
}

/* Closing checkpoints the WAL into the file: not into one that we refuse. */
static void keep_untouched(struct database *database, bool is_kept)
{
    sqlite3_db_config(database->file, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, (int)is_kept, NULL);
}

static bool check_version(struct database *database, int64_t *version)
{
    int64_t application, objects;

    if (!read_pragma(database, "SELECT count(*) FROM sqlite_schema", &objects) ||
        !read_pragma(database, "PRAGMA application_id", &application) ||
        !read_pragma(database, "PRAGMA user_version", version))
        return false;
    if (application != APPLICATION_ID && (application || objects || *version))
        return refuse(database, "%s is not ours: move it away; the file is kept", database->path);
    if (*version > (int64_t)COUNT_OF(migrations))
        return refuse(database, "%s was written by a newer sipw: start that one; the file is kept",
                      database->path);
    return true;
}

static bool migrate(struct database *database, int64_t version)
{
    char end[128];

    if (version == (int64_t)COUNT_OF(migrations))
        return true;
    snprintf(end, sizeof end, "PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT;",
             APPLICATION_ID, COUNT_OF(migrations));
    bool ok = run(database, "BEGIN IMMEDIATE");
    for (size_t i = (size_t)version; ok && i < COUNT_OF(migrations); i++)
        ok = run(database, migrations[i]);
    ok = ok && run(database, end);
    if (!ok)
        sqlite3_exec(database->file, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

static bool prepare(struct database *database)
{
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(database->file, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &database->statements[i], NULL) != SQLITE_OK)
            return refuse_failure(database);
    return true;
}

/* SQLite gives its other files the mode of this one. */
static bool make_private(struct database *database, int folder)
{
    int fd = openat(folder, DATABASE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return refuse(database, "%s cannot be opened: %s", database->path, strerror(errno));
    close(fd);
    return true;
}

/* Locked before the first look into it: then no file of shared memory is needed, which a full disk
 * would not give. */
static bool open_file(struct database *database, int folder)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    int64_t version;

    if (!make_private(database, folder))
        return false;
    if (sqlite3_open_v2(database->path, &database->file, flags, NULL) != SQLITE_OK)
        return refuse_failure(database);
    keep_untouched(database, true);
    sqlite3_db_config(database->file, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!run(database, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF") ||
        !check_version(database, &version))
        return false;
    keep_untouched(database, false);
    return run(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                         "PRAGMA journal_size_limit = 16777216") &&
           migrate(database, version) && prepare(database);
}

struct database *database_open(int folder, const char *path, struct log *log)
{
    struct database *database = calloc(1, sizeof *database);
    char resolved[PATH_MAX];

    if (!database) {
        log_line(log, LOG_FAILURE, "no memory for the database");
        return NULL;
    }
    /* SQLite follows no link, and says so of a link on the way, too. */
    snprintf(database->path, sizeof database->path, "%.*s/" DATABASE_NAME, PATH_MAX - 32,
             realpath(path, resolved) ? resolved : path);
    if (open_file(database, folder))
        return database;
    log_line(log, LOG_FAILURE, "%s", database->fault);
    database_close(database);
    return NULL;
}

void database_close(struct database *database)
{
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(database->statements[i]);
    sqlite3_close(database->file);
    free(database);
}

/* ---- statements */

static void bind_text(struct database *database, enum statement which, int place, struct slice text)
{
    sqlite3_bind_text(database->statements[which], place, text.len ? text.at : "", (int)text.len,
                      SQLITE_STATIC);
}

static void bind_digest(struct database *database, int place, const struct user_settings *user,
                        enum algorithm algorithm, int len)
{
    sqlite3_stmt *statement = database->statements[SET_PASSWORD];

    if (user->has_ha1[algorithm])
        sqlite3_bind_blob(statement, place, user->ha1[algorithm], len, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, place);
}

/* Runs a statement that has no rows. */
static int finish(struct database *database, enum statement which)
{
    sqlite3_stmt *statement = database->statements[which];
    int code = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

static bool done(struct database *database, enum statement which)
{
    return finish(database, which) == SQLITE_DONE || refuse_failure(database);
}

/* Ends what BEGIN began; false if it was, or must be, taken back. */
static bool conclude(struct database *database, bool ok)
{
    ok = ok && done(database, COMMIT);
    if (!ok && !sqlite3_get_autocommit(database->file))
        finish(database, ROLLBACK);
    return ok;
}

static struct slice column_text(sqlite3_stmt *statement, int place)
{
    const void *at = sqlite3_column_text(statement, place);
    int len = sqlite3_column_bytes(statement, place);

    return slice_of(at, at ? (size_t)len : 0);
}

/* The texts of the last row are good until here. */
static void forget_found(struct database *database)
{
    if (!database->found)
        return;
    sqlite3_reset(database->found);
    sqlite3_clear_bindings(database->found);
    database->found = NULL;
}

/* ---- reading users */

static void read_digest(sqlite3_stmt *row, int place, struct user_settings *user,
                        enum algorithm algorithm, int len)
{
    const void *digest = sqlite3_column_blob(row, place);

    user->has_ha1[algorithm] = digest && sqlite3_column_bytes(row, place) == len;
    if (user->has_ha1[algorithm])
        memcpy(user->ha1[algorithm], digest, (size_t)len);
}

static void read_digests(sqlite3_stmt *row, struct user_settings *user)
{
    read_digest(row, 1, user, ALGORITHM_MD5, 16);
    read_digest(row, 2, user, ALGORITHM_SHA256, 32);
}

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.at, b.at, min_u64(a.len, b.len));

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static void advance(struct database *database, enum statement which, int *code)
{
    *code = sqlite3_step(database->statements[which]);
}

bool database_begin_users(struct database *database, struct slice realm, uint32_t *count)
{
    sqlite3_stmt *row = database->statements[COUNT_USERS];
    bool ok = sqlite3_step(row) == SQLITE_ROW;

    *count = ok ? (uint32_t)sqlite3_column_int64(row, 0) : 0;
    sqlite3_reset(row);
    if (!ok)
        return refuse_failure(database);
    bind_text(database, READ_PASSWORDS, 1, realm);
    advance(database, READ_USERS, &database->user_row);
    advance(database, READ_PASSWORDS, &database->password_row);
    database->is_used = 0;
    return true;
}

/* The rows that the last call gave out. */
enum { USED_USER = 1, USED_PASSWORD = 2 };

static void pass_used(struct database *database)
{
    if (database->is_used & USED_USER)
        advance(database, READ_USERS, &database->user_row);
    if (database->is_used & USED_PASSWORD)
        advance(database, READ_PASSWORDS, &database->password_row);
    database->is_used = 0;
}

bool database_next_user(struct database *database, struct user_settings *user, bool *is_password)
{
    sqlite3_stmt *row = database->statements[READ_USERS];
    sqlite3_stmt *password = database->statements[READ_PASSWORDS];
    int order;

    pass_used(database);
    *user = (struct user_settings){.source = SOURCE_DATABASE};
    if (database->user_row == SQLITE_ROW) {
        user->id = column_text(row, 0);
        user->extension = column_text(row, 1);
        user->display = column_text(row, 2);
        user->level = (uint8_t)sqlite3_column_int(row, 3);
    } else if (database->user_row != SQLITE_DONE) {
        return false;
    }
    if (database->password_row != SQLITE_ROW) {
        bool is_user = database->password_row == SQLITE_DONE && database->user_row == SQLITE_ROW;
        *is_password = false;
        database->is_used = is_user ? USED_USER : 0;
        return is_user;
    }
    order = database->user_row == SQLITE_ROW ? compare(column_text(password, 0), user->id) : -1;
    *is_password = order < 0;
    database->is_used = order < 0   ? USED_PASSWORD
                        : order > 0 ? USED_USER
                                    : USED_USER | USED_PASSWORD;
    if (order < 0)
        *user = (struct user_settings){.source = SOURCE_DATABASE, .id = column_text(password, 0)};
    if (order <= 0)
        read_digests(password, user);
    return true;
}

bool database_end_users(struct database *database)
{
    bool ok = database->user_row == SQLITE_DONE && database->password_row == SQLITE_DONE;

    if (!ok)
        refuse_failure(database);
    sqlite3_reset(database->statements[READ_USERS]);
    sqlite3_reset(database->statements[READ_PASSWORDS]);
    sqlite3_clear_bindings(database->statements[READ_PASSWORDS]);
    forget_found(database);
    return ok;
}

/* ---- one alone */

static enum database_found find_row(struct database *database, enum statement which,
                                    struct slice name, struct slice realm,
                                    struct user_settings *user)
{
    sqlite3_stmt *row = database->statements[which];

    forget_found(database);
    database->found = row;
    bind_text(database, which, 1, name);
    bind_text(database, which, 2, realm);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        *user = (struct user_settings){.source = SOURCE_DATABASE, .id = column_text(row, 0)};
        read_digests(row, user);
        return DATABASE_FOUND;
    }
    if (code != SQLITE_DONE)
        refuse_failure(database);
    forget_found(database);
    return code == SQLITE_DONE ? DATABASE_NOT_FOUND : DATABASE_FAILED;
}

enum database_found database_find(struct database *database, enum database_key key,
                                  struct slice name, struct slice realm, struct user_settings *user)
{
    enum statement which = key == DATABASE_ID ? FIND_ID : FIND_EXTENSION;
    enum database_found found = find_row(database, which, name, realm, user);
    sqlite3_stmt *row = database->found;

    if (found != DATABASE_FOUND)
        return found;
    user->extension = column_text(row, 3);
    user->display = column_text(row, 4);
    user->level = (uint8_t)sqlite3_column_int(row, 5);
    return found;
}

enum database_found database_find_password(struct database *database, struct slice id,
                                           struct slice realm, struct user_settings *user)
{
    return find_row(database, FIND_PASSWORD, id, realm, user);
}

/* ---- everyone at once */

static const struct user_settings *find(const struct user_settings *at, uint32_t count,
                                        struct slice id)
{
    uint32_t from = 0;

    while (from < count) {
        uint32_t middle = from + (count - from) / 2;
        int order = compare(at[middle].id, id);

        if (order == 0)
            return &at[middle];
        if (order < 0)
            from = middle + 1;
        else
            count = middle;
    }
    return NULL;
}

const struct user_settings *database_password_of(const struct database_users *users,
                                                 struct slice id)
{
    const struct user_settings *user = find(users->passwords, users->password_count, id);

    if (!user)
        user = find(users->at, users->count, id);
    return user && (user->has_ha1[ALGORITHM_MD5] || user->has_ha1[ALGORITHM_SHA256]) ? user : NULL;
}

/* Memory for users and their texts, which grows: texts are offsets until all are there. */
struct reading {
    char *texts;
    size_t text_len, text_limit;
    struct user_settings *users;
    uint32_t count, limit;
    struct user_settings *passwords;
    uint32_t password_count, password_limit;
};

static bool keep_text(struct reading *reading, struct slice text, struct slice *kept)
{
    if (reading->text_limit - reading->text_len < text.len) {
        size_t limit = 2 * (reading->text_limit + text.len) + 4096;
        char *texts = realloc(reading->texts, limit);

        if (!texts)
            return false;
        reading->texts = texts;
        reading->text_limit = limit;
    }
    if (text.len)
        memcpy(reading->texts + reading->text_len, text.at, text.len);
    *kept = slice_of((const char *)(uintptr_t)reading->text_len, text.len);
    reading->text_len += text.len;
    return true;
}

static bool grow(void **at, uint32_t count, uint32_t *limit, size_t size)
{
    if (count < *limit)
        return true;
    uint32_t more = *limit ? 2 * *limit : 64;
    void *moved = realloc(*at, more * size);

    if (!moved)
        return false;
    *at = moved;
    *limit = more;
    return true;
}

static bool keep_user(struct reading *reading, const struct user_settings *user, bool is_password)
{
    struct user_settings kept = *user;
    void **list = is_password ? (void **)&reading->passwords : (void **)&reading->users;
    uint32_t *count = is_password ? &reading->password_count : &reading->count;

    if (!grow(list, *count, is_password ? &reading->password_limit : &reading->limit,
              sizeof kept) ||
        !keep_text(reading, user->id, &kept.id) ||
        !keep_text(reading, user->extension, &kept.extension) ||
        !keep_text(reading, user->display, &kept.display))
        return false;
    ((struct user_settings *)*list)[(*count)++] = kept;
    return true;
}

static bool read_everyone(struct database *database, struct slice realm, struct reading *reading)
{
    struct user_settings user;
    bool is_password, ok = true;
    uint32_t count;

    if (!database_begin_users(database, realm, &count))
        return false;
    while (ok && database_next_user(database, &user, &is_password))
        ok = keep_user(reading, &user, is_password);
    if (ok)
        return database_end_users(database);
    database_end_users(database);
    return refuse(database, "no memory for %u users", count);
}

static void settle_text(const char *texts, struct slice *text)
{
    text->at = texts + (uintptr_t)text->at;
}

bool database_read_users(struct database *database, struct slice realm,
                         struct database_users *users)
{
    struct reading reading = {0};
    bool ok = read_everyone(database, realm, &reading);

    for (uint32_t i = 0; i < reading.count; i++) {
        settle_text(reading.texts, &reading.users[i].id);
        settle_text(reading.texts, &reading.users[i].extension);
        settle_text(reading.texts, &reading.users[i].display);
    }
    for (uint32_t i = 0; i < reading.password_count; i++)
        settle_text(reading.texts, &reading.passwords[i].id);
    *users = (struct database_users){
        .at = reading.users,
        .count = reading.count,
        .passwords = reading.passwords,
        .password_count = reading.password_count,
        .texts = reading.texts,
    };
    if (!ok)
        database_free_users(users);
    return ok;
}

void database_free_users(struct database_users *users)
{
    if (users->count)
        explicit_bzero(users->at, users->count * sizeof *users->at);
    if (users->password_count)
        explicit_bzero(users->passwords, users->password_count * sizeof *users->passwords);
    free(users->at);
    free(users->passwords);
    free(users->texts);
    *users = (struct database_users){0};
}

/* ---- changing users */

static bool put_password(struct database *database, struct slice realm,
                         const struct user_settings *user)
{
    bind_text(database, SET_PASSWORD, 1, realm);
    bind_text(database, SET_PASSWORD, 2, user->id);
    bind_digest(database, 3, user, ALGORITHM_MD5, 16);
    bind_digest(database, 4, user, ALGORITHM_SHA256, 32);
    return done(database, SET_PASSWORD);
}

static bool add_row(struct database *database, const struct user_settings *user)
{
    bind_text(database, ADD_USER, 1, user->id);
    if (user->extension.len)
        bind_text(database, ADD_USER, 2, user->extension);
    bind_text(database, ADD_USER, 3, user->display);
    sqlite3_bind_int(database->statements[ADD_USER], 4, user->level);
    int code = finish(database, ADD_USER);
    if (code == SQLITE_CONSTRAINT)
        return refuse(database, "user %.*s or the extension %.*s is there already",
                      (int)user->id.len, user->id.at, (int)user->extension.len, user->extension.at);
    return code == SQLITE_DONE || refuse_failure(database);
}

bool database_add_user(struct database *database, struct slice realm,
                       const struct user_settings *user)
{
    bool has_password = user->has_ha1[ALGORITHM_MD5] || user->has_ha1[ALGORITHM_SHA256];

    return done(database, BEGIN) &&
           conclude(database, add_row(database, user) &&
                                  (!has_password || put_password(database, realm, user)));
}

static bool remove_rows(struct database *database, struct slice id)
{
    bind_text(database, REMOVE_USER, 1, id);
    if (!done(database, REMOVE_USER))
        return false;
    if (!sqlite3_changes(database->file))
        return refuse(database, "the database has no user %.*s", (int)id.len, id.at);
    bind_text(database, REMOVE_PASSWORDS, 1, id);
    return done(database, REMOVE_PASSWORDS);
}

bool database_remove_user(struct database *database, struct slice id)
{
    return done(database, BEGIN) && conclude(database, remove_rows(database, id));
}

bool database_set_password(struct database *database, struct slice realm,
                           const struct user_settings *user)
{
    return put_password(database, realm, user);
}

/* ---- calls */

bool database_last_call(struct database *database, uint64_t *last)
{
    sqlite3_stmt *row = database->statements[LAST_CALL];
    bool ok = sqlite3_step(row) == SQLITE_ROW;

    if (ok)
        *last = (uint64_t)sqlite3_column_int64(row, 0);
    sqlite3_reset(row);
    return ok || refuse_failure(database);
}

static const char *const enders[] = {
    [CALL_ENDED_BY_NOBODY] = NULL,       [CALL_ENDED_BY_CALLER] = "caller",
    [CALL_ENDED_BY_CALLEE] = "callee",   [CALL_ENDED_BY_ADMIN] = "admin",
    [CALL_ENDED_BY_SILENCE] = "silence", [CALL_ENDED_BY_RELAY] = "relay",
};

static const char *const sides[] = {[LEGS_CALLER] = "caller", [LEGS_CALLEE] = "callee"};

static void bind_heard(sqlite3_stmt *row, int at, const struct leg_heard *heard)
{
    if (!heard->expected)
        return;
    sqlite3_bind_int64(row, at, heard->expected);
    sqlite3_bind_int64(row, at + 1, heard->lost);
    if (heard->jitter != LEG_UNKNOWN)
        sqlite3_bind_int64(row, at + 2, heard->jitter);
}

static bool put_legs(struct database *database, const struct call_record *call)
{
    sqlite3_stmt *row = database->statements[PUT_LEG];

    for (unsigned i = 0; i < 2 * LEGS_LINES; i++) {
        unsigned side = i / LEGS_LINES, line = i % LEGS_LINES;
        if (!call->heard.lines[side][line].expected)
            continue;
        sqlite3_bind_int64(row, 1, (int64_t)call->id);
        sqlite3_bind_text(row, 2, sides[side], -1, SQLITE_STATIC);
        sqlite3_bind_int64(row, 3, line + 1);
        bind_heard(row, 4, &call->heard.lines[side][line]);
        if (!done(database, PUT_LEG))
            return false;
    }
    return true;
}

static bool put_row(struct database *database, const struct call_record *call)
{
    sqlite3_stmt *row = database->statements[PUT_CALL];
    const char *ender = call->ender < COUNT_OF(enders) ? enders[call->ender] : NULL;

    sqlite3_bind_int64(row, 1, (int64_t)call->id);
    sqlite3_bind_int64(row, 2, call->began);
    if (call->answered)
        sqlite3_bind_int64(row, 3, call->answered);
    sqlite3_bind_int64(row, 4, call->ended);
    sqlite3_bind_int64(row, 5, call->duration);
    sqlite3_bind_int(row, 6, call->status);
    bind_text(database, PUT_CALL, 7, call_reason(call));
    if (ender)
        sqlite3_bind_text(row, 8, ender, -1, SQLITE_STATIC);
    bind_text(database, PUT_CALL, 9, call->network);
    bind_text(database, PUT_CALL, 10, call->caller);
    bind_text(database, PUT_CALL, 11, call->dialed);
    bind_text(database, PUT_CALL, 12, call->callee);
    bind_text(database, PUT_CALL, 13, call->display);
    bind_text(database, PUT_CALL, 14, call->call_id);
    if (!(call->proof & CALLER_UNTOLD))
        sqlite3_bind_int(row, 15, call->proof);
    if (call->media) {
        sqlite3_bind_int(row, 16, call->media_path);
        sqlite3_bind_int(row, 17, call->media);
    }
    bind_heard(row, 18, &call->heard.sides[LEGS_CALLER]);
    bind_heard(row, 21, &call->heard.sides[LEGS_CALLEE]);
    return done(database, PUT_CALL);
}

/* One that is there already stays as it is. */
static bool put_call(struct database *database, const struct call_record *call)
{
    return put_row(database, call) &&
           (!sqlite3_changes(database->file) || put_legs(database, call));
}

static bool put_all_calls(struct database *database, struct slice records)
{
    struct reader r = reader_over(records);
    struct call_record call;

    while (r.rest.len && call_read(&r, &call))
        if (!put_call(database, &call))
            return false;
    sqlite3_bind_int64(database->statements[FORGET_CALLS], 1, DATABASE_CALLS);
    return done(database, FORGET_CALLS);
}

bool database_put_calls(struct database *database, struct slice records)
{
    return done(database, BEGIN) && conclude(database, put_all_calls(database, records));
}

static uint8_t ender_of(struct slice name)
{
    for (unsigned i = 0; i < COUNT_OF(enders); i++)
        if (enders[i] && slice_equal(name, slice_text(enders[i])))
            return (uint8_t)i;
    return CALL_ENDED_BY_NOBODY;
}

/* A number below `limit`, else 0: NULL, too. */
static uint8_t column_below(sqlite3_stmt *row, int column, int limit)
{
    int number = sqlite3_column_int(row, column);

    return number >= 0 && number < limit ? (uint8_t)number : 0;
}

static uint32_t column_u32(sqlite3_stmt *row, int column)
{
    int64_t number = sqlite3_column_int64(row, column);

    return number > 0 && number < UINT32_MAX ? (uint32_t)number : 0;
}

static struct leg_heard read_heard(sqlite3_stmt *row, int column)
{
    bool has_jitter = sqlite3_column_type(row, column + 2) != SQLITE_NULL;

    return (struct leg_heard){
        .expected = column_u32(row, column),
        .lost = column_u32(row, column + 1),
        .jitter = has_jitter ? column_u32(row, column + 2) : LEG_UNKNOWN,
    };
}

static bool read_legs(struct database *database, struct call_record *call)
{
    sqlite3_stmt *row = database->statements[READ_LEGS];
    int code;

    sqlite3_bind_int64(row, 1, (int64_t)call->id);
    while ((code = sqlite3_step(row)) == SQLITE_ROW) {
        bool is_callee = slice_equal(column_text(row, 0), slice_text(sides[LEGS_CALLEE]));
        int64_t line = sqlite3_column_int64(row, 1);
        if (line > 0 && line <= LEGS_LINES)
            call->heard.lines[is_callee][line - 1] = read_heard(row, 2);
    }
    sqlite3_reset(row);
    return code == SQLITE_DONE || refuse_failure(database);
}

static void read_call(sqlite3_stmt *row, struct call_record *call)
{

    *call = (struct call_record){
        .id = (uint64_t)sqlite3_column_int64(row, 0),
        .began = sqlite3_column_int64(row, 1),
        .answered = sqlite3_column_int64(row, 2),
        .ended = sqlite3_column_int64(row, 3),
        .duration = (uint32_t)sqlite3_column_int64(row, 4),
        .status = (uint16_t)sqlite3_column_int(row, 5),
        .ender = ender_of(column_text(row, 6)),
        .network = column_text(row, 7),
        .caller = column_text(row, 8),
        .dialed = column_text(row, 9),
        .callee = column_text(row, 10),
        .display = column_text(row, 11),
        .call_id = column_text(row, 12),
        .proof = sqlite3_column_type(row, 13) == SQLITE_NULL ? CALLER_UNTOLD
                                                             : (uint8_t)sqlite3_column_int(row, 13),
        .media_path = column_below(row, 14, MEDIA_RELAYED + 1),
        .media = column_below(row, 15, MEDIA_REASON_COUNT),
        .heard.sides = {[LEGS_CALLER] = read_heard(row, 16), [LEGS_CALLEE] = read_heard(row, 19)},
    };
}

static bool append_call(struct database *database, struct writer *w, const struct call_record *call)
{
    struct writer before = *w;

    call_write(w, call);
    if (!w->failed)
        return true;
    size_t limit = 2 * w->limit + 64 * (size_t)1024;
    char *at = realloc(w->at, limit);
    if (at) {
        *w = (struct writer){.at = at, .len = before.len, .limit = limit};
        call_write(w, call); /* texts of a foreign hand may be longer than any of ours */
    }
    return (at && !w->failed) || refuse(database, "no memory for so many records");
}

static void bind_query(struct database *database, const struct call_query *query)
{
    sqlite3_stmt *rows = database->statements[READ_CALLS];

    if (query->user.len)
        bind_text(database, READ_CALLS, 1, query->user);
    if (query->number.len)
        bind_text(database, READ_CALLS, 6, query->number);
    sqlite3_bind_int64(rows, 2, query->since);
    sqlite3_bind_int64(rows, 3, query->until ? query->until : INT64_MAX);
    sqlite3_bind_int64(rows, 4, query->before ? (int64_t)query->before : INT64_MAX);
    sqlite3_bind_int64(rows, 5, query->most);
}

bool database_read_calls(struct database *database, const struct call_query *query,
                         struct slice *records)
{
    sqlite3_stmt *rows = database->statements[READ_CALLS];
    struct writer w = {0};
    struct call_record call;
    int code = SQLITE_DONE;
    bool ok = true;

    bind_query(database, query);
    while (ok && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        read_call(rows, &call);
        ok = read_legs(database, &call) && append_call(database, &w, &call);
    }
    ok = ok && (code == SQLITE_DONE || refuse_failure(database));
    sqlite3_reset(rows);
    sqlite3_clear_bindings(rows);
    *records = writer_slice(&w);
    if (!ok) {
        free(w.at);
        *records = NO_SLICE;
    }
    return ok;
}
