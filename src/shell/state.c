#include "shell/state.h"

#include "base/cursor.h"
#include "shell/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

void random_fill(void *at, size_t len)
{
    char *next = at;

    while (len) {
        ssize_t got = getrandom(next, len, 0);

        if (got < 0) {
            assert(errno == EINTR);
            continue;
        }
        next += got;
        len -= (size_t)got;
    }
}

/* Like mkdir -p; parents that exist are left as they are. */
static int make_folder(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        part[i] = '/';
    }
    if (mkdir(part, geteuid() == 0 ? 0750 : 0700) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

static bool lock_state(struct state *state, struct log *log)
{
    state->lock = openat(state->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state->lock < 0) {
        log_line(log, LOG_FAILURE, "%s/lock cannot be opened: %s", state->path, strerror(errno));
        return false;
    }
    if (flock(state->lock, LOCK_EX | LOCK_NB) < 0) {
        log_line(log, LOG_FAILURE,
                 "%s is in use by another sipw: stop it or choose another directory with "
                 "--prefixpath",
                 state->path);
        return false;
    }
    return true;
}

/* Reads a file of exactly `len` bytes, or makes it from those given. */
static bool read_or_make(struct state *state, const char *name, struct slice fresh, void *at,
                         struct log *log)
{
    struct slice found;
    int error = file_read(state->folder, name, 4096, &found);

    if (error == -ENOENT) {
        memcpy(at, fresh.at, fresh.len);
        error = file_write(state->folder, name, fresh);
    } else if (!error) {
        if (found.len < fresh.len)
            error = -EBADMSG;
        else
            memcpy(at, found.at, fresh.len);
        free((void *)(uintptr_t)found.at);
    }
    if (error == -EBADMSG)
        log_line(log, LOG_FAILURE,
                 "%s/%s is damaged: put it back from a backup, or remove it (phones then register "
                 "anew)",
                 state->path, name);
    else if (error)
        log_line(log, LOG_FAILURE, "%s/%s cannot be read or made: %s", state->path, name,
                 strerror(-error));
    return !error;
}

static bool read_key(struct state *state, struct log *log)
{
    struct hash_key fresh;

    random_fill(&fresh, sizeof fresh);
    bool ok =
        read_or_make(state, "key", slice_of((const char *)&fresh, sizeof fresh), &state->key, log);
    explicit_bzero(&fresh, sizeof fresh);
    return ok;
}

/* A random UUID, RFC 4122 4.4. */
static bool read_uuid(struct state *state, struct log *log)
{
    uint8_t bytes[16];
    char text[UUID_LENGTH + 1];
    struct writer w = writer_over(text, sizeof text);

    random_fill(bytes, sizeof bytes);
    bytes[6] = (uint8_t)(0x40 | (bytes[6] & 0x0f));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    for (unsigned i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            write_char(&w, '-');
        write_hex_bytes(&w, bytes + i, 1);
    }
    return read_or_make(state, "uuid", writer_slice(&w), state->uuid, log);
}

bool state_open(struct state *state, const char *path, struct log *log)
{
    *state = (struct state){.path = path, .folder = -1, .lock = -1};
    int error = make_folder(path);
    if (!error) {
        state->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (state->folder < 0)
            error = -errno;
    }
    if (error) {
        log_line(log, LOG_FAILURE,
                 "%s cannot be used: %s; choose another directory with --prefixpath", path,
                 strerror(-error));
        return false;
    }
    return lock_state(state, log) && read_key(state, log) && read_uuid(state, log);
}

void state_close(struct state *state)
{
    if (state->lock >= 0)
        close(state->lock);
    if (state->folder >= 0)
        close(state->folder);
    explicit_bzero(&state->key, sizeof state->key);
}
