#include "programs/realm.h"

#include "shell/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Asks without complaint: that no server runs is no fault here. */
static bool ask_server(struct session *session, char realm[REALM_LIMIT])
{
    struct client client;
    json_t *row = NULL;
    bool is_found = false;

    if (client_connect(&client, session->socket, session->patience) == CLIENT_FINE &&
        client_ask(&client, json_pack("{s:s}", "command", "status")) == CLIENT_FINE &&
        client_row(&client, &row) == CLIENT_FINE && row_text(row, "realm")) {
        snprintf(realm, REALM_LIMIT, "%s", row_text(row, "realm"));
        is_found = true;
    }
    json_decref(row);
    client_leave(&client);
    return is_found;
}

/* The first line up to a colon. */
static bool read_file(const char *path, char realm[REALM_LIMIT])
{
    struct slice bytes;

    if (file_read(AT_FDCWD, path, 4096, &bytes))
        return false;
    struct slice line = slice_trim(slice_until(bytes, slice_find(bytes, '\n')));
    line = slice_until(line, slice_find(line, ':'));
    bool is_found = line.len > 0 && line.len < REALM_LIMIT;
    if (is_found)
        snprintf(realm, REALM_LIMIT, "%.*s", (int)line.len, line.at);
    free((void *)(uintptr_t)bytes.at);
    return is_found;
}

enum client_status realm_find(struct session *session, const char *file, const char *state,
                              char realm[REALM_LIMIT])
{
    char uuid[4096];

    if (ask_server(session, realm) || read_file(file, realm))
        return CLIENT_FINE;
    if (!state)
        return session_fail(session, CLIENT_LOCAL,
                            "no server runs that could say its realm: start it, or name the realm "
                            "with --realm");
    snprintf(uuid, sizeof uuid, "%s/uuid", state);
    if (read_file(uuid, realm))
        return CLIENT_FINE;
    return session_fail(session, CLIENT_USAGE,
                        "no realm is known: no server runs, and neither %s nor %s says one", file,
                        uuid);
}

/* Whole or not at all. */
static int write_file(const char *path, const char *realm, const char *type)
{
    char fresh[4096], text[REALM_LIMIT + 32];
    int len = snprintf(text, sizeof text, type ? "%s:%s\n" : "%s\n", realm, type);

    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int error = file_write_at(fd, slice_of(text, (size_t)len), 0);
    if (!error && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        error = -errno;
    close(fd);
    if (!error && rename(fresh, path) < 0)
        error = -errno;
    if (error)
        unlink(fresh);
    return error;
}

static const char *type_of(const char *type)
{
    return !type || strcasecmp(type, "md5") == 0 ? NULL : type;
}

static bool is_realm(const char *realm)
{
    size_t len = strlen(realm);

    if (!len || len >= REALM_LIMIT)
        return false;
    for (const char *c = realm; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == ':' || *c == '"' || *c == '\\' || *c == 0x7f)
            return false;
    return true;
}

enum client_status realm_set(struct session *session, const char *file, const char *realm,
                             const char *type)
{
    struct client client;

    if (!is_realm(realm))
        return session_fail(session, CLIENT_USAGE,
                            "%s is no realm; write the name of your domain, like example.org",
                            realm);
    if (type && strcasecmp(type, "md5") != 0 && strcasecmp(type, "sha-256") != 0 &&
        strcasecmp(type, "sha256") != 0)
        return session_fail(session, CLIENT_USAGE,
                            "%s is no digest that phones use; write md5 or sha-256", type);
    int error = write_file(file, realm, type_of(type));
    if (error)
        return session_fail(session, CLIENT_LOCAL, "%s cannot be written: %s%s", file,
                            strerror(-error), error == -EACCES ? "; become root" : "");
    enum client_status status = client_connect(&client, session->socket, session->patience);
    bool is_running = status == CLIENT_FINE;
    client_leave(&client);
    if (is_running)
        status = session_ask(session, "command", "reload", NULL);
    else
        return CLIENT_FINE;
    return status == CLIENT_FINE ? session_finish(session) : status;
}
