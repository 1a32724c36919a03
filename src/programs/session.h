/*
 * What the commands of sipwitch share: how they were called, and the server they speak with.
 */
#pragma once

#include "programs/client.h"
#include "programs/options.h"

#include <limits.h>

/* Options by which a server is found. */
enum { OPTION_SOCKET = 1040, OPTION_PREFIXPATH };

#define OPTIONS_SERVER                                                                             \
    {OPTION_SOCKET, "socket", "PATH", "the control socket of the server"},                         \
    {                                                                                              \
        OPTION_PREFIXPATH, "prefixpath", "DIR", "the server's state directory"                     \
    }

struct session {
    const struct program *program;
    const char *socket;    /* NULL = the default */
    char state[PATH_MAX];  /* the state directory */
    char beside[PATH_MAX]; /* the socket in it, where --prefixpath names it */
    bool is_json;
    bool is_old; /* called as sipcontrol or sipwitchctl: GNU SIP Witch's layouts */
    int patience;
    const char *command;
    bool has_stdin;                                   /* the password comes from there */
    const char *extension, *display, *since;          /* NULL = not given */
    const char *as, *at;                              /* as well */
    const char *resolver, *anchor, *key, *dns_server; /* as well */
    bool has_tlsa;
    bool is_open;
    struct client client;
};

typedef enum client_status command_function(struct session *session, char **words);

/* A command and what it is for. */
struct command_row {
    const char *name;
    const char *operands;
    unsigned least, most; /* operands */
    command_function *run;
    const char *meaning;
};

/* Not yet connected, to the default server. */
void session_begin(struct session *session, const struct program *program, const char *command);

/* One of OPTIONS_SERVER, with its value in optarg; false if it is none of them. */
bool session_option(struct session *session, int code);

/* Hangs up; the program's exit status. */
int session_end(struct session *session, enum client_status status);

/* Connects, if it is not, and asks; a text that is NULL is left out, names end with NULL.  What
 * fails is said on standard error. */
enum client_status session_ask(struct session *session, ...);

/* The next row; NULL with CLIENT_FINE at the end.  What fails is said. */
enum client_status session_row(struct session *session, json_t **row);

/* What the server says of itself, which is the caller's; NULL without an answer. */
json_t *session_status(struct session *session, enum client_status *status);

/* Asks, and expects no rows but prints those that come as JSON if --json was given. */
enum client_status session_finish(struct session *session);

/* Says why on standard error and returns the status. */
enum client_status session_fail(const struct session *session, enum client_status status,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A member of a row: NULL, 0. */
const char *row_text(const json_t *row, const char *name);
long long row_number(const json_t *row, const char *name);

/* A row as a line of JSON. */
void print_json(const json_t *row);

/* "42s", "59m58s", "2h05m", "3d04h" into `to`, which has 24 bytes. */
const char *spell_seconds(long long seconds, char *to);
