/*
 * A client of the control socket (sipwitch-control(7)): requests as objects, answers as rows.
 *
 * The statuses are GNU SIP Witch's, so that scripts that look at them still work.
 */
#pragma once

#include "base/base.h"

#include <jansson.h>

enum client_status {
    CLIENT_FINE = 0,
    CLIENT_USAGE = 1,
    CLIENT_LOCAL = 2,    /* something on this side failed */
    CLIENT_FAULTY = 3,   /* what was looked at has faults, which were said */
    CLIENT_OFFLINE = 10, /* no server is there */
    CLIENT_LOST = 11,    /* it went away, or speaks another language */
    CLIENT_TIMED_OUT = 12,
    CLIENT_REFUSED = 20,
};

struct client {
    int fd;
    int patience; /* ms that an answer may take; -1 = for ever */
    json_t *greeting;
    size_t start, len; /* of what was read and not yet used */
    size_t room;
    char *bytes;
    char why[512]; /* the last failure: a sentence, with what to do */
};

/* Connects to `path`, or, if it is NULL, to where a server of this user or of the machine would be.
 */
enum client_status client_connect(struct client *client, const char *path, int patience);
void client_leave(struct client *client);

/* Sends a request; takes over the reference. */
enum client_status client_ask(struct client *client, json_t *request);

/* The next row, which the caller gives back with json_decref; NULL with CLIENT_FINE when the answer
 * has ended well. */
enum client_status client_row(struct client *client, json_t **row);
