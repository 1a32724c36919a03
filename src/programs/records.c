#include "programs/records.h"

#include "programs/columns.h"
#include "programs/heard.h"
#include "programs/instant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT 256u

static void spell_time(const json_t *row, char to[32])
{
    time_t at = (time_t)row_number(row, "began");
    struct tm local;

    to[0] = '\0';
    if (localtime_r(&at, &local))
        strftime(to, 32, "%Y-%m-%d %H:%M:%S", &local);
}

static void add_cells(const json_t *row, struct columns *columns)
{
    char began[32], lasts[24], status[24], lost[HEARD_TEXT], jitter[HEARD_TEXT];

    spell_time(row, began);
    snprintf(status, sizeof status, "%lld", row_number(row, "status"));
    columns_add(columns,
                (const char *const[]){began, row_text(row, "caller"), row_text(row, "proof"),
                                      row_text(row, "dialed"), row_text(row, "callee"),
                                      spell_seconds(row_number(row, "duration"), lasts),
                                      row_text(row, "reason"), status, row_text(row, "media"),
                                      spell_lost(row, lost), spell_jitter(row, jitter)});
}

static const char *safe(const json_t *row, const char *name, char text[TEXT])
{
    const char *found = row_text(row, name);

    return plain_text(found ? found : "", text, TEXT);
}

/* A line of GNU SIP Witch's file sipwitch.calls; its durations begin with the INVITE. */
static void print_old(const json_t *row)
{
    char began[32], texts[6][TEXT];

    spell_time(row, began);
    printf("%08llx:0 %s %s %s %lld %s %s %s %s\n", (unsigned long long)row_number(row, "id"),
           safe(row, "network", texts[0]), safe(row, "reason", texts[1]), began,
           row_number(row, "ended") - row_number(row, "began"), safe(row, "caller", texts[2]),
           safe(row, "dialed", texts[3]), safe(row, "callee", texts[4]),
           safe(row, "display", texts[5]));
}

/* As in that file: the oldest first. */
static enum client_status print_all_old(struct session *session)
{
    json_t *rows = json_array(), *row;
    enum client_status status;

    while ((status = session_row(session, &row)) == CLIENT_FINE && row)
        json_array_append_new(rows, row);
    for (size_t n = json_array_size(rows); status == CLIENT_FINE && n > 0; n--)
        print_old(json_array_get(rows, n - 1));
    json_decref(rows);
    return status;
}

static enum client_status print_all(struct session *session)
{
    static const char *const titles[] = {"BEGAN", "FROM",    "PROOF", "DIALED", "TO",     ">FOR",
                                         "WHY",   ">STATUS", "MEDIA", ">LOST",  ">JITTER"};
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    enum client_status status;
    json_t *row;

    while ((status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (session->is_json)
            print_json(row);
        else
            add_cells(row, &columns);
        json_decref(row);
    }
    if (status == CLIENT_FINE && !session->is_json)
        columns_print(&columns, "no calls");
    return status;
}

enum client_status show_records(struct session *session, char **words)
{
    long long since = 0;
    char text[24];

    if (session->since && !instant_read_ago(session->since, &since) &&
        !instant_read_day(session->since, &since))
        return session_fail(session, CLIENT_USAGE,
                            "--since %s is no time; write a day, like 2026-11-26 or "
                            "2026-11-26T09:30, or how long ago, like 90s, 15m, 2h or 7d",
                            session->since);
    snprintf(text, sizeof text, "%lld", since);
    enum client_status status = session_ask(session, "command", "records", "user", words[0],
                                            "since", session->since ? text : NULL, NULL);
    if (status != CLIENT_FINE)
        return status;
    return session->is_old && !session->is_json ? print_all_old(session) : print_all(session);
}
