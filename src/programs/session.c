#include "programs/session.h"

#include "programs/columns.h"
#include "shell/place.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE 10000 /* ms */

void session_begin(struct session *session, const struct program *program, const char *command)
{
    *session = (struct session){.program = program, .patience = PATIENCE, .command = command};
    place_state(session->state);
}

bool session_option(struct session *session, int code)
{
    if (code == OPTION_SOCKET) {
        session->socket = optarg;
        return true;
    }
    if (code != OPTION_PREFIXPATH)
        return false;
    snprintf(session->state, sizeof session->state, "%s", optarg);
    place_control(optarg, session->beside);
    session->socket = session->beside;
    return true;
}

int session_end(struct session *session, enum client_status status)
{
    if (session->is_open)
        client_leave(&session->client);
    return (int)(fflush(stdout) != 0 && status == CLIENT_FINE ? CLIENT_LOCAL : status);
}

enum client_status session_fail(const struct session *session, enum client_status status,
                                const char *format, ...)
{
    char why[1024], text[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(why, sizeof why, format, values);
    va_end(values);
    plain_text(why, text, sizeof text);
    fflush(stdout);
    if (session->is_old)
        fprintf(stderr, "*** %s: %s: %s\n", session->program->name, session->command,
                status == CLIENT_OFFLINE ? "offline" : text);
    else
        complain(session->program, "%s", text);
    return status;
}

static enum client_status said(const struct session *session, enum client_status status)
{
    return status == CLIENT_FINE ? status
                                 : session_fail(session, status, "%s", session->client.why);
}

static enum client_status open_session(struct session *session)
{
    if (session->is_open)
        return CLIENT_FINE;
    session->is_open = true;
    return said(session, client_connect(&session->client, session->socket, session->patience));
}

enum client_status session_ask(struct session *session, ...)
{
    enum client_status status = open_session(session);
    json_t *request;
    const char *name;
    va_list members;

    if (status != CLIENT_FINE)
        return status;
    request = json_object();
    va_start(members, session);
    while ((name = va_arg(members, const char *))) {
        const char *text = va_arg(members, const char *);
        json_t *value = text ? json_string(text) : NULL;
        if (text && (!value || json_object_set_new(request, name, value) < 0)) {
            va_end(members);
            json_decref(request);
            return session_fail(session, CLIENT_USAGE, "the %s is no UTF-8 text", name);
        }
    }
    va_end(members);
    return said(session, client_ask(&session->client, request));
}

enum client_status session_row(struct session *session, json_t **row)
{
    return said(session, client_row(&session->client, row));
}

json_t *session_status(struct session *session, enum client_status *status)
{
    json_t *row = NULL, *rest = NULL;

    *status = session_ask(session, "command", "status", NULL);
    if (*status == CLIENT_FINE)
        *status = session_row(session, &row);
    if (*status == CLIENT_FINE && row)
        *status = session_row(session, &rest);
    json_decref(rest);
    return row;
}

enum client_status session_finish(struct session *session)
{
    enum client_status status;
    json_t *row;

    while ((status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (session->is_json)
            print_json(row);
        json_decref(row);
    }
    return status;
}

const char *row_text(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

long long row_number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

void print_json(const json_t *row)
{
    json_dumpf(row, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
}

const char *spell_seconds(long long seconds, char *to)
{
    if (seconds < 60)
        snprintf(to, 24, "%llds", seconds);
    else if (seconds < 3600)
        snprintf(to, 24, "%lldm%02llds", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(to, 24, "%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(to, 24, "%lldd%02lldh", seconds / 86400, seconds / 3600 % 24);
    return to;
}
