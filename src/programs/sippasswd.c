/*
 * sippasswd: sets a user's password.  What is kept is its digest for the realm of the server, in
 * the state directory's digests/REALM, lines of USER:DIGEST; a running server is told to read it.
 */
#include "programs/columns.h"
#include "programs/realm.h"
#include "programs/secret.h"
#include "shell/digests.h"
#include "shell/file.h"
#include "shell/place.h"
#include "sip/challenge.h"

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

#define FILE_BYTES (size_t)(64u << 20) /* a million users */

enum option_code { OPTION_SOCKET = 256, OPTION_PREFIXPATH, OPTION_STDIN, OPTION_REALM };

static const struct option_row option_rows[] = {
    {OPTION_STDIN, "stdin", NULL, "read the password from standard input, one line"},
    {OPTION_REALM, "realm", "REALM", "that of the server, where none runs that could say it"},
    {OPTION_SOCKET, "socket", "PATH", "the control socket of the server"},
    {OPTION_PREFIXPATH, "prefixpath", "DIR", "the server's state directory"},
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "sippasswd",
    .synopsis = "[USER]",
    .about = "Sets the SIP password of a user, or of the one who calls it.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

/* ---- the file */

/* The directory of digests, locked; -errno on failure. */
static int open_folder(const char *state, struct stat *owner)
{
    char path[PATH_MAX];

    if (stat(state, owner) < 0)
        return -errno;
    snprintf(path, sizeof path, "%s/digests", state);
    if (mkdir(path, 0700) == 0) {
        if (geteuid() == 0 && chown(path, owner->st_uid, owner->st_gid) < 0)
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    return flock(folder, LOCK_EX) < 0 ? -errno : folder;
}

static bool is_of(struct slice line, struct slice user)
{
    return line.len > user.len && slice_starts(line, user) && line.at[user.len] == ':';
}

/* The old lines but the user's, and then the new one. */
static struct slice compose(struct slice old, struct slice user, struct slice hex)
{
    size_t limit = old.len + user.len + hex.len + 4;
    char *at = malloc(limit);
    struct writer w = writer_over(at, at ? limit : 0);

    while (old.len) {
        size_t end = slice_find(old, '\n');
        struct slice line = slice_until(old, end);
        if (line.len && !is_of(line, user)) {
            write_slice(&w, line);
            write_char(&w, '\n');
        }
        old = slice_from(old, end < old.len ? end + 1 : end);
    }
    write_slice(&w, user);
    write_char(&w, ':');
    write_slice(&w, hex);
    write_char(&w, '\n');
    return w.failed ? NO_SLICE : writer_slice(&w);
}

static void wipe(struct slice bytes)
{
    if (bytes.at)
        explicit_bzero((void *)(uintptr_t)bytes.at, bytes.len);
    free((void *)(uintptr_t)bytes.at);
}

static int write_digest(const char *state, const char *realm, struct slice user, struct slice hex)
{
    struct slice old = NO_SLICE, fresh;
    struct stat owner;
    int folder = open_folder(state, &owner);

    if (folder < 0)
        return folder;
    int error = file_read(folder, realm, FILE_BYTES, &old);
    if (!error || error == -ENOENT) {
        fresh = compose(old, user, hex);
        error = fresh.at ? file_write(folder, realm, fresh) : -ENOMEM;
        wipe(fresh);
    }
    wipe(old);
    if (!error && geteuid() == 0 && fchownat(folder, realm, owner.st_uid, owner.st_gid, 0) < 0)
        error = -errno;
    close(folder);
    return error;
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

/* A running server knows who is a user of it. */
static enum client_status check_user(struct session *session, const char *user)
{
    struct client client;
    enum client_status status = client_open(&client, session->socket, session->patience);

    client_close(&client);
    if (status != CLIENT_FINE)
        return CLIENT_FINE;
    status = session_ask(session, "command", "registry", "user", user, NULL);
    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status keep(struct session *session, const char *user, const char *named,
                               const char *secret)
{
    char realm[REALM_LIMIT], hex[2 * DIGEST_LIMIT];
    struct writer w = writer_over(hex, sizeof hex);
    uint8_t ha1[DIGEST_LIMIT];
    enum client_status status = named ? CLIENT_FINE : realm_find(session, REALM_FILE, NULL, realm);

    if (named)
        snprintf(realm, sizeof realm, "%s", named);
    if (status != CLIENT_FINE)
        return status;
    if (realm[0] == '.' || strchr(realm, '/'))
        return session_fail(session, CLIENT_LOCAL, "no file can be named like the realm %s", realm);
    digest_ha1(&digests_openssl, ALGORITHM_MD5, slice_text(user), slice_text(realm),
               slice_text(secret), ha1);
    write_hex_bytes(&w, ha1, digest_size(ALGORITHM_MD5));
    int error = write_digest(session->state, realm, slice_text(user), writer_slice(&w));
    explicit_bzero(ha1, sizeof ha1);
    explicit_bzero(hex, sizeof hex);
    if (error)
        return session_fail(session, CLIENT_LOCAL, "%s/digests/%s cannot be written: %s%s",
                            session->state, realm, strerror(-error),
                            error == -EACCES ? "; become root, or the server's user" : "");
    if (!session->is_open)
        return CLIENT_FINE;
    status = session_ask(session, "command", "reload", NULL);
    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status run(struct session *session, const char *user, const char *realm,
                              bool from_stdin)
{
    char secret[SECRET_LIMIT];

    if (!is_user(user))
        return session_fail(session, CLIENT_USAGE, "%s is no user; write an id, like alice", user);
    enum client_status status = check_user(session, user);
    if (status != CLIENT_FINE)
        return status;
    const char *why = from_stdin ? secret_read(secret) : secret_ask(user, secret);
    if (why)
        return session_fail(session, CLIENT_LOCAL, "%s", why);
    status = keep(session, user, realm, secret);
    explicit_bzero(secret, sizeof secret);
    return status;
}

int main(int count, char **words)
{
    static char socket[PATH_MAX], state[PATH_MAX];
    struct session session = {
        .program = &program, .state = state, .patience = 10000, .command = "password"};
    const struct passwd *self = getpwuid(getuid());
    const char *realm = NULL;
    bool from_stdin = false;
    int code;

    place_state(state);
    while ((code = options_next(&program, count, words)) != -1) {
        switch (code) {
        case OPTION_STDIN: from_stdin = true; break;
        case OPTION_REALM: realm = optarg; break;
        case OPTION_SOCKET: session.socket = optarg; break;
        case OPTION_PREFIXPATH:
            snprintf(state, sizeof state, "%s", optarg);
            snprintf(socket, sizeof socket, "%s/control", optarg);
            session.socket = socket;
            break;
        default: return CLIENT_USAGE;
        }
    }
    if (count - optind > 1) {
        complain(&program, "too many words: a password is never one of them; see --help");
        return CLIENT_USAGE;
    }
    const char *user = count > optind ? words[optind] : self ? self->pw_name : "";
    enum client_status status = run(&session, user, realm, from_stdin);
    if (session.is_open)
        client_close(&session.client);
    return (int)status;
}
