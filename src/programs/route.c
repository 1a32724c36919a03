#include "programs/route.h"

#include "programs/columns.h"
#include "programs/instant.h"

#include <stdio.h>
#include <string.h>

#define LINE 1400u

/* "carol@192.0.2.1, 404 Not Found" and the like: where it ends. */
static void print_result(const json_t *row)
{
    const char *result = row_text(row, "result"), *uri = row_text(row, "uri");
    char text[LINE];

    if (strcmp(result, "goes") == 0)
        printf("=> it goes there\n");
    else if (strcmp(result, "referred") == 0)
        printf("=> the caller is told to ask %s\n", plain_text(uri ? uri : "", text, sizeof text));
    else
        printf("=> it is refused: %lld %s\n", row_number(row, "status"),
               plain_text(row_text(row, "text"), text, sizeof text));
}

static void print_step(const json_t *row)
{
    const char *file = row_text(row, "file"), *uri = row_text(row, "uri");
    char text[LINE];

    printf("%-10s", row_text(row, "step"));
    printf("%s", plain_text(row_text(row, "text"), text, sizeof text));
    if (uri)
        printf(", as %s", plain_text(uri, text, sizeof text));
    if (file)
        printf("  (%s:%lld)", plain_text(file, text, sizeof text), row_number(row, "line"));
    putchar('\n');
}

static enum client_status print_all(struct session *session)
{
    enum client_status status, result = CLIENT_FINE;
    json_t *row;

    while ((status = session_row(session, &row)) == CLIENT_FINE && row) {
        const char *ends = row_text(row, "result");

        if (ends && strcmp(ends, "refused") == 0)
            result = CLIENT_FAULTY;
        if (session->is_json)
            print_json(row);
        else if (ends)
            print_result(row);
        else if (row_text(row, "step"))
            print_step(row);
        json_decref(row);
    }
    return status == CLIENT_FINE ? result : status;
}

enum client_status show_route(struct session *session, char **words)
{
    long long at = 0;
    char text[24];

    if (session->at && !instant_read_day(session->at, &at))
        return session_fail(session, CLIENT_USAGE,
                            "--at %s is no time; write a day, like 2026-11-26 or 2026-11-26T09:30",
                            session->at);
    snprintf(text, sizeof text, "%lld", at);
    enum client_status status = session_ask(session, "command", "route", "uri", words[0], "user",
                                            session->as, "at", session->at ? text : NULL, NULL);
    return status == CLIENT_FINE ? print_all(session) : status;
}
