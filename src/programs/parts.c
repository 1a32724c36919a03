#include "programs/parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AVAILABLE "/etc/sipwitch.d"
#define STATE_LINK "state.xml"

/* A link of the state directory, and what it was before. */
struct part {
    char path[PATH_MAX];
    char before[PATH_MAX]; /* empty: it was not there */
};

struct parts {
    struct session *session;
    const char *folder; /* the state directory */
    bool is_running;
    struct part at[PARTS_LIMIT];
    unsigned count; /* that were changed */
};

/* The server says where its state is; where none runs it is where it would be. */
static enum client_status begin(struct session *session, struct parts *parts)
{
    enum client_status status =
        client_connect(&session->client, session->socket, session->patience);

    session->is_open = true;
    *parts = (struct parts){
        .session = session, .folder = session->state, .is_running = status == CLIENT_FINE};
    if (parts->is_running && row_text(session->client.greeting, "state"))
        parts->folder = row_text(session->client.greeting, "state");
    return status == CLIENT_FINE || status == CLIENT_OFFLINE
               ? CLIENT_FINE
               : session_fail(session, status, "%s", session->client.why);
}

static enum client_status fail(const struct parts *parts, const char *path, int error)
{
    return session_fail(parts->session, CLIENT_LOCAL, "%s: %s%s", path, strerror(error),
                        error == EACCES ? "; become root" : "");
}

static int set_link(const char *path, const char *target)
{
    char fresh[PATH_MAX + 8];

    if (!target[0])
        return unlink(path) < 0 && errno != ENOENT ? errno : 0;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
    return symlink(target, fresh) < 0 || rename(fresh, path) < 0 ? errno : 0;
}

/* A new target, or none if it is empty; a file that is no link is nobody's to change. */
static enum client_status change(struct parts *parts, const char *name, const char *target)
{
    struct part *part = &parts->at[parts->count];
    struct stat found;

    if ((size_t)snprintf(part->path, PATH_MAX, "%s/%s", parts->folder, name) >= PATH_MAX)
        return fail(parts, name, ENAMETOOLONG);
    part->before[0] = '\0';
    if (lstat(part->path, &found) == 0) {
        ssize_t len = readlink(part->path, part->before, PATH_MAX - 1);
        if (len < 0)
            return session_fail(parts->session, CLIENT_LOCAL,
                                "%s is a file of its own, no link; move it away", part->path);
        part->before[len] = '\0';
    } else if (errno != ENOENT) {
        return fail(parts, part->path, errno);
    }
    int error = set_link(part->path, target);
    if (error)
        return fail(parts, part->path, error);
    parts->count++;
    return CLIENT_FINE;
}

/* The server reads them; or, if anything went wrong, all is as it was. */
static enum client_status conclude(struct parts *parts, enum client_status status)
{
    if (status == CLIENT_FINE && parts->is_running)
        status = session_ask(parts->session, "command", "reload", NULL);
    if (status == CLIENT_FINE && parts->is_running)
        status = session_finish(parts->session);
    while (status != CLIENT_FINE && parts->count > 0) {
        const struct part *part = &parts->at[--parts->count];
        set_link(part->path, part->before);
    }
    return status;
}

/* NAME or NAME.xml becomes NAME.xml; false if it is no name of a file. */
static bool file_name(const char *word, char name[NAME_MAX])
{
    size_t len = strlen(word);
    bool has_end = len > 4 && strcmp(word + len - 4, ".xml") == 0;

    return len && word[0] != '.' && !strchr(word, '/') &&
           (size_t)snprintf(name, NAME_MAX, "%s%s", word, has_end ? "" : ".xml") < NAME_MAX;
}

/* The name of a link, by the last part of a path. */
static enum client_status part_name(const struct session *session, const char *word,
                                    char name[NAME_MAX])
{
    const char *slash = strrchr(word, '/');

    if (file_name(slash ? slash + 1 : word, name) && strcmp(name, STATE_LINK) != 0)
        return CLIENT_FINE;
    return session_fail(session, CLIENT_USAGE,
                        "%s is no part; write the name of a file in " AVAILABLE
                        ", or a path that ends with .xml",
                        word);
}

static enum client_status enable(struct parts *parts, const char *word)
{
    char name[NAME_MAX], path[PATH_MAX], target[PATH_MAX];
    enum client_status status = part_name(parts->session, word, name);

    if (status != CLIENT_FINE)
        return status;
    if (strchr(word, '/'))
        snprintf(path, sizeof path, "%s", word);
    else
        snprintf(path, sizeof path, AVAILABLE "/%s", name);
    return realpath(path, target) ? change(parts, name, target) : fail(parts, path, errno);
}

static enum client_status disable(struct parts *parts, const char *word)
{
    char name[NAME_MAX];
    enum client_status status = part_name(parts->session, word, name);

    if (status == CLIENT_FINE)
        status = change(parts, name, "");
    if (status == CLIENT_FINE && !parts->at[parts->count - 1].before[0])
        status = session_fail(parts->session, CLIENT_USAGE, "%s is not enabled", word);
    return status;
}

static enum client_status each(struct session *session, char **words,
                               enum client_status (*one)(struct parts *parts, const char *word))
{
    struct parts parts;
    enum client_status status = begin(session, &parts);

    for (unsigned i = 0; words[i] && status == CLIENT_FINE; i++)
        status = one(&parts, words[i]);
    return conclude(&parts, status);
}

enum client_status parts_enable(struct session *session, char **words)
{
    return each(session, words, enable);
}

enum client_status parts_disable(struct session *session, char **words)
{
    return each(session, words, disable);
}

/* states/NAME.xml of the link. */
static void print_state(const struct parts *parts)
{
    char path[PATH_MAX], target[PATH_MAX];
    ssize_t len = -1;

    if ((size_t)snprintf(path, sizeof path, "%s/" STATE_LINK, parts->folder) < sizeof path)
        len = readlink(path, target, sizeof target - 1);
    target[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    name[strcspn(name, ".")] = '\0';
    if (parts->session->is_json) {
        json_t *row = json_pack("{s:s?}", "state", *name ? name : NULL);
        print_json(row);
        json_decref(row);
    } else {
        puts(*name ? name : "none");
    }
}

enum client_status parts_state(struct session *session, char **words)
{
    char name[NAME_MAX], target[NAME_MAX + 8], path[PATH_MAX];
    struct parts parts;
    enum client_status status = begin(session, &parts);

    if (status != CLIENT_FINE)
        return status;
    if (!words[0]) {
        print_state(&parts);
        return CLIENT_FINE;
    }
    if (strcmp(words[0], "none") == 0)
        return conclude(&parts, change(&parts, STATE_LINK, ""));
    if (!file_name(words[0], name))
        return session_fail(session, CLIENT_USAGE, "%s is no name of a state", words[0]);
    snprintf(target, sizeof target, "states/%s", name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", parts.folder, target) >= sizeof path)
        return fail(&parts, target, ENAMETOOLONG);
    if (access(path, R_OK) < 0)
        return fail(&parts, path, errno);
    return conclude(&parts, change(&parts, STATE_LINK, target));
}
