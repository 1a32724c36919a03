/*
 * sippasswd: sets a user's password.  What is kept are its digests for the realm of the server, in
 * the server's database: a running server puts them there and uses them at once; where none runs
 * they are written here.
 */
#include "programs/password.h"
#include "shell/database.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum option_code { OPTION_STDIN = 256, OPTION_REALM };

static const struct option_row option_rows[] = {
    {OPTION_STDIN, "stdin", NULL, "read the password from standard input, one line"},
    {OPTION_REALM, "realm", "REALM", "that of the server, where none runs that could say it"},
    OPTIONS_SERVER,
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "sippasswd",
    .synopsis = "[USER]",
    .about = "Sets the SIP password of a user, or of the one who calls it.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

/* ---- without a server */

/* A file of the state directory; -errno on failure.  One that is made here is the directory's
 * owner's.  One that is there keeps its owner: it may be a link to what is none of theirs. */
static int open_own(int folder, const char *name)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    struct stat owner;
    int fd = openat(folder, name, flags);
    bool is_new = fd < 0 && errno == ENOENT;

    if (is_new)
        fd = openat(folder, name, flags | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return -errno;
    if (!is_new || geteuid() != 0 ||
        (fstat(folder, &owner) == 0 && fchown(fd, owner.st_uid, owner.st_gid) == 0))
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static enum client_status fail_to_write(const struct session *session, int error)
{
    return session_fail(session, CLIENT_LOCAL, "%s/" DATABASE_NAME " cannot be written: %s%s",
                        session->state, strerror(-error),
                        error == -EACCES ? "; become root, or the server's user" : "");
}

static enum client_status write_database(const struct session *session, int folder,
                                         const char *realm, const struct user_settings *user)
{
    enum client_status status = CLIENT_LOCAL;
    struct log log = log_open();
    int fd = open_own(folder, DATABASE_NAME);

    if (fd < 0)
        return fail_to_write(session, fd);
    close(fd);
    struct database *database = database_open(folder, session->state, &log);
    if (!database)
        return status; /* it was said why */
    if (database_set_password(database, slice_text(realm), user))
        status = CLIENT_FINE;
    else
        session_fail(session, status, "%s", database_fault(database));
    database_close(database);
    return status;
}

/* Holds the lock meanwhile, as a server does. */
static enum client_status write_locked(const struct session *session, int folder, const char *realm,
                                       const struct user_settings *user)
{
    int lock = open_own(folder, "lock");

    if (lock < 0)
        return fail_to_write(session, lock);
    enum client_status status =
        flock(lock, LOCK_EX | LOCK_NB) == 0
            ? write_database(session, folder, realm, user)
            : session_fail(session, CLIENT_LOCAL,
                           "%s is in use by a server that cannot be reached: name its control "
                           "socket with --socket",
                           session->state);
    close(lock);
    return status;
}

static enum client_status write_password(const struct session *session, const char *realm,
                                         const struct user_settings *user)
{
    int folder = open(session->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        return fail_to_write(session, -errno);
    enum client_status status = write_locked(session, folder, realm, user);
    close(folder);
    return status;
}

/* ---- the whole */

static bool is_user(const char *user)
{
    if (!*user || strlen(user) > 255)
        return false;
    for (const char *c = user; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("@:", *c))
            return false;
    return true;
}

/* A running server knows who is a user of it, and is asked before a password is. */
static enum client_status check_user(struct session *session, const char *user, bool *is_offline)
{
    struct client client;
    enum client_status status = client_connect(&client, session->socket, session->patience);

    client_leave(&client);
    *is_offline = status == CLIENT_OFFLINE;
    if (*is_offline)
        return CLIENT_FINE;
    status = session_ask(session, "command", "registry", "user", user, NULL);
    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status run(struct session *session, const char *user, const char *named)
{
    char realm[REALM_LIMIT];
    struct user_settings digests;
    bool is_offline;

    if (!is_user(user))
        return session_fail(session, CLIENT_USAGE, "%s is no user; write an id, like alice", user);
    enum client_status status = check_user(session, user, &is_offline);
    if (status == CLIENT_FINE && named)
        snprintf(realm, sizeof realm, "%s", named);
    else if (status == CLIENT_FINE)
        status = realm_find(session, REALM_FILE, NULL, realm);
    if (status == CLIENT_FINE)
        status = password_digests(session, user, realm, &digests);
    if (status != CLIENT_FINE)
        return status;
    if (!is_offline)
        return password_put(session, "user-password", realm, &digests);
    status = write_password(session, realm, &digests);
    explicit_bzero(&digests, sizeof digests);
    return status;
}

int main(int count, char **words)
{
    const struct passwd *self = getpwuid(getuid());
    const char *realm = NULL;
    struct session session;
    int code;

    session_begin(&session, &program, "password");
    while ((code = options_next(&program, count, words)) != -1) {
        if (code == OPTION_STDIN)
            session.has_stdin = true;
        else if (code == OPTION_REALM)
            realm = optarg;
        else if (!session_option(&session, code))
            return CLIENT_USAGE;
    }
    if (count - optind > 1) {
        complain(&program, "too many words: a password is never one of them; see --help");
        return CLIENT_USAGE;
    }
    const char *user = count > optind ? words[optind] : self ? self->pw_name : "";
    return session_end(&session, run(&session, user, realm));
}
