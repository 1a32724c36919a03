#include "shell/place.h"
#include "shell/relay_parts.h"
#include "shell/relay_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTENER "3" /* where the process finds its socket, as systemd has it */
#define PATIENCE 2   /* seconds, for an answer */
#define LINGER "5"   /* seconds that it stays without calls and server: another is started soon */

struct process {
    struct relay relay;
    int fd;
    pid_t pid;
    unsigned limit;
    struct relay_message message;
};

static struct process *process_of(struct relay *relay)
{
    return (struct process *)relay;
}

/* ---- questions */

/* One that does not answer is given up, and its end is seen on the descriptor. */
static int give_up(struct process *process, int error)
{
    shutdown(process->fd, SHUT_RDWR);
    return error == 0 || error == EAGAIN || error == EPIPE || error == ECONNRESET ? -ENOTCONN
                                                                                  : -error;
}

/* Sends the message with so many bytes behind its head; the answer takes its place, and has that
 * many of `size` bytes.  0, or -errno. */
static int ask(struct process *process, enum relay_question question, size_t len, size_t size)
{
    struct relay_message *m = &process->message;
    ssize_t got;

    m->version = RELAY_WIRE_VERSION;
    m->question = question;
    do
        got = send(process->fd, m, RELAY_MESSAGE_HEAD + len, MSG_NOSIGNAL);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return give_up(process, errno);
    do
        got = recv(process->fd, m, sizeof *m, 0);
    while (got < 0 && errno == EINTR);
    if (got < (ssize_t)RELAY_MESSAGE_HEAD)
        return give_up(process, got < 0 ? errno : 0);
    if (m->version != RELAY_WIRE_VERSION || m->question != question ||
        (size &&
         (m->count > RELAY_WIRE_BATCH || (size_t)got != RELAY_MESSAGE_HEAD + m->count * size)))
        return give_up(process, EPROTO);
    return 0;
}

static void close_process(struct relay *relay)
{
    close(process_of(relay)->fd);
    free(relay);
}

static unsigned limit(const struct relay *relay)
{
    return ((const struct process *)relay)->limit;
}

static int descriptor(const struct relay *relay)
{
    return ((const struct process *)relay)->fd;
}

static unsigned apply_some(struct process *process, const struct leg_change *changes,
                           unsigned count, int *errors)
{
    unsigned failed = 0;
    int error;

    process->message.count = count;
    memcpy(process->message.changes, changes, count * sizeof *changes);
    error = ask(process, RELAY_APPLY, count * sizeof *changes, sizeof(int32_t));
    if (!error && process->message.count != count)
        error = give_up(process, EPROTO);
    for (unsigned i = 0; i < count; i++) {
        int own = error ? error : process->message.errors[i];
        failed += own != 0;
        if (errors)
            errors[i] = own;
    }
    return failed;
}

static unsigned apply(struct relay *relay, const struct leg_change *changes, unsigned count,
                      int *errors)
{
    unsigned failed = 0, some;

    for (unsigned i = 0; i < count; i += some) {
        some = (unsigned)min_u64(count - i, RELAY_WIRE_BATCH);
        failed += apply_some(process_of(relay), changes + i, some, errors ? errors + i : NULL);
    }
    return failed;
}

static int read_legs(struct relay *relay, const struct leg_place *keys, unsigned count,
                     struct relay_leg *legs)
{
    struct process *process = process_of(relay);
    unsigned some;
    int error;

    for (unsigned i = 0; i < count; i += some) {
        some = (unsigned)min_u64(count - i, RELAY_WIRE_BATCH);
        process->message.count = some;
        memcpy(process->message.keys, keys + i, some * sizeof *keys);
        error = ask(process, RELAY_READ, some * sizeof *keys, sizeof *legs);
        if (!error && process->message.count != some)
            error = give_up(process, EPROTO);
        if (error)
            return error;
        memcpy(legs + i, process->message.legs, some * sizeof *legs);
    }
    return 0;
}

static int list(struct relay *relay, uint32_t *place, struct relay_leg *legs, unsigned room)
{
    struct process *process = process_of(relay);
    struct relay_message *m = &process->message;
    int error;

    m->count = (uint32_t)min_u64(room, RELAY_WIRE_BATCH);
    m->place = *place;
    error = ask(process, RELAY_LIST, 0, sizeof *legs);
    if (error)
        return error;
    if (m->count > room)
        return give_up(process, EPROTO);
    memcpy(legs, m->legs, m->count * sizeof *legs);
    *place = m->place;
    return (int)m->count;
}

static const struct relay_calls calls = {RELAY_PROCESS, close_process, limit, descriptor,
                                         apply,         read_legs,     list};

/* ---- the way to it */

/* The socket's address, however long the state directory's path is. */
static struct sockaddr_un socket_address(int state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" RELAY_SOCKET, state);
    return address;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

/* A connection to the process that is there, and its id; -errno. */
static int reach(int state, struct process *process)
{
    struct sockaddr_un address = socket_address(state);
    struct timeval patience = {.tv_sec = PATIENCE};
    int error;

    process->fd = new_socket();
    if (process->fd < 0)
        return -errno;
    setsockopt(process->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(process->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(process->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        error = -errno;
    } else {
        process->message.count = 0;
        error = ask(process, RELAY_HELLO, 0, 0);
        process->limit = process->message.count;
        process->pid = (pid_t)process->message.place;
    }
    if (error)
        close(process->fd);
    return error;
}

/* What is spawned leaves its child behind and ends: what ends the daemon does not reach that. */
static int start_process(const char *program, int listener)
{
    char *const words[] = {(char[]){"sipw-relay"},   (char[]){"serve"},
                           (char[]){"--background"}, (char[]){"--listener"},
                           (char[]){LISTENER},       (char[]){"--linger"},
                           (char[]){LINGER},         NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t child;
    int error, status = 0;

    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, listener, 3);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    error = posix_spawnp(&child, program, &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        return -error;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status ? -ECHILD : 0;
}

/* Its socket is made here, so that connections wait there for the process. */
static int start(const struct relay_setup *setup, const char *program)
{
    struct sockaddr_un address = socket_address(setup->state);
    int listener = new_socket(), error = 0;

    if (listener < 0)
        return -errno;
    unlinkat(setup->state, RELAY_SOCKET, 0);
    fchmod(listener, 0600); /* what bind makes has this mode */
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 8) < 0)
        error = -errno;
    if (!error)
        error = start_process(program, listener);
    close(listener);
    return error;
}

struct relay *relay_open_process(const struct relay_setup *setup, struct writer *words)
{
    struct process *process = calloc(1, sizeof *process);
    char path[PATH_MAX];
    const char *program = setup->program ? setup->program : place_program("sipw-relay", path);
    bool is_new = false;
    int error;

    if (!process)
        return NULL;
    process->relay.calls = &calls;
    error = reach(setup->state, process);
    if ((error == -ENOENT || error == -ECONNREFUSED || error == -ENOTCONN) && setup->may_start) {
        is_new = true;
        error = start(setup, program);
        if (!error)
            error = reach(setup->state, process);
    }
    if (!error) {
        relay_say(words, "media is relayed by a process of its own (%ssipw-relay, process %d)",
                  is_new ? "" : "found ", (int)process->pid);
        return &process->relay;
    }
    free(process);
    if (error == -EPROTO)
        relay_say(words, "the relay's process is of another version: it ends with its last call");
    else if (is_new)
        relay_say(words, "the relay's process (%s) does not start: %s", program,
                  error == -ENOTCONN || error == -ECHILD ? "it ended at once" : strerror(-error));
    else
        relay_say(words, "no relay's process is there: %s", strerror(-error));
    errno = -error;
    return NULL;
}
