#include "programs/old.h"

#include "programs/columns.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT 256u

static const char *safe(const json_t *row, const char *name, char text[TEXT])
{
    const char *found = row_text(row, name);

    return plain_text(found ? found : "", text, TEXT);
}

/* The user part of a URI. */
static const char *user_of(const json_t *row, const char *name, char text[TEXT])
{
    char uri[TEXT];
    const char *at = safe(row, name, uri);
    const char *colon = strchr(at, ':');

    if (colon)
        at = colon + 1;
    snprintf(text, TEXT, "%.*s", (int)strcspn(at, "@;>"), at);
    return text;
}

/* A letter a call: r ringing, j joined, q ending. */
enum client_status old_status(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "calls", NULL);
    json_t *row;

    (void)words;
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        const char *state = row_text(row, "state");
        putchar(!state || state[0] == 'r' ? 'r' : state[0] == 'e' ? 'q' : 'j');
        json_decref(row);
    }
    if (status == CLIENT_FINE)
        putchar('\n');
    return status;
}

static void print_call(const json_t *row)
{
    const char *state = row_text(row, "state"), *id = row_text(row, "id");
    char from[TEXT], display[TEXT], to[TEXT];
    bool is_ringing = state && state[0] == 'r';

    printf("%.8s:0 %s %s \"%s\" -> %s; %lld %s\n", id ? id : "00000000",
           is_ringing                 ? "ringing"
           : state && state[0] == 'e' ? "bye"
                                      : "joined",
           user_of(row, "from", from), safe(row, "display", display),
           is_ringing ? "none" : user_of(row, "to", to), row_number(row, "seconds"),
           is_ringing ? "secs" : "sec(s)");
}

enum client_status old_calls(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "calls", NULL);
    json_t *row;

    (void)words;
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        print_call(row);
        json_decref(row);
    }
    return status;
}

/* "found N entries active of M" ends it: M is how many there may be. */
static enum client_status registry_limit(struct session *session, long long *limit)
{
    enum client_status status = session_ask(session, "command", "status", NULL);
    json_t *row;

    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        *limit = row_number(json_object_get(row, "limits"), "bindings");
        json_decref(row);
    }
    return status;
}

/* How often each name or number is an end of a call. */
static enum client_status count_ends(struct session *session, json_t *ends)
{
    static const char *const ways[] = {"from", "to"};
    enum client_status status = session_ask(session, "command", "calls", NULL);
    json_t *row;

    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        for (unsigned i = 0; i < COUNT_OF(ways); i++) {
            char name[TEXT];
            user_of(row, ways[i], name);
            json_object_set_new(ends, name, json_integer(row_number(ends, name) + 1));
        }
        json_decref(row);
    }
    return status;
}

static const char *type_of(const json_t *row)
{
    const char *kind = row_text(row, "kind");

    if (kind && strcmp(kind, "gateway") == 0)
        return "gw";
    return kind && strcmp(kind, "device") == 0 ? "svc" : "user";
}

static void print_binding(const json_t *row, const json_t *ends)
{
    char extension[TEXT], user[TEXT], profile[TEXT], address[TEXT], expires[24] = "-";
    long long use = row_number(ends, safe(row, "user", user));

    if (*safe(row, "extension", extension))
        use += row_number(ends, extension);
    if (json_is_integer(json_object_get(row, "expires")))
        snprintf(expires, sizeof expires, "%lld", row_number(row, "expires"));
    printf("%7s %-30s %-4s %-30s %4lld %7s %s\n", extension, user, type_of(row),
           safe(row, "profile", profile), use, expires, safe(row, "address", address));
}

enum client_status old_registry(struct session *session, char **words)
{
    long long limit = 0;
    enum client_status status = registry_limit(session, &limit);
    unsigned found = 0;
    json_t *row, *ends = json_object();

    (void)words;
    if (status == CLIENT_FINE)
        status = count_ends(session, ends);
    if (status == CLIENT_FINE)
        status = session_ask(session, "command", "registry", NULL);
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (!found++)
            printf("%7s %-30s type %-30s  use expires address\n", "ext", "user", "profile");
        print_binding(row, ends);
        json_decref(row);
    }
    json_decref(ends);
    if (status == CLIENT_FINE)
        printf("found %u entries active of %lld\n", found, limit);
    return status;
}

static void print_age(const json_t *row, long long current)
{
    long long last = row_number(row, "last_call");
    long long age = (long long)time(NULL) - last;

    if (current)
        printf(" 0s\n");
    else if (!last)
        printf(" -\n");
    else if (age > 99 * 3600)
        printf(" %lldd\n", age / 86400);
    else if (age > 120 * 60)
        printf(" %lldh\n", age / 3600);
    else if (age > 120)
        printf(" %lldm\n", age / 60);
    else
        printf(" %llds\n", age);
}

static void print_node(const json_t *row)
{
    const json_t *ways[] = {json_object_get(row, "from"), json_object_get(row, "to")};
    char node[TEXT];

    printf("%-12s -    ", safe(row, "node", node));
    for (unsigned i = 0; i < COUNT_OF(ways); i++)
        printf(" %09lld %05lld %05lld", row_number(ways[i], "total"),
               row_number(ways[i], "current"), row_number(ways[i], "peak"));
    print_age(row, row_number(ways[0], "current") + row_number(ways[1], "current"));
}

enum client_status old_stats(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "stats", NULL);
    json_t *row;

    (void)words;
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (row_text(row, "node"))
            print_node(row);
        json_decref(row);
    }
    return status;
}

const char *old_name(const char *word)
{
    static const struct {
        const char *old, *name;
    } names[] = {{"abort", "down"}, {"exit", "down"}, {"stop", "down"}, {"snapshot", "dump"}};

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (strcmp(word, names[i].old) == 0)
            return names[i].name;
    return word;
}

/* What had to be called now and then is fine without; what was to be answered is not. */
bool old_command(struct session *session, const char *word, enum client_status *status)
{
    static const struct {
        const char *word;
        bool is_fine;
        const char *why;
    } rows[] = {
        {"address", true, "public in <media> says where the relay is reached"},
        {"concurrency", true, "the server sizes itself by the machine"},
        {"contact", false, "status lists the addresses"},
        {"grant", true, "the members of the group sipadmin may"},
        {"history", false, "the log has it: what sipw writes to standard error"},
        {"ifdown", true, "sipw listens where it did at its start"},
        {"ifup", true, "sipw listens where it did at its start"},
        {"network", false, "access in the configuration names the networks"},
        {"peering", false, "access in the configuration names the networks"},
        {"period", true, "stats counts from the start on"},
        {"policy", false, "access in the configuration names the networks"},
        {"pstats", false, "stats counts from the start on"},
        {"restart", false,
         "end the server with down and start it again; calls and registrations stay"},
        {"uid", true, "users of the system are those of the group sipusers"},
        {"usercache", true, "users of other domains are not kept"},
        {"verbose", true, "all there is to say is said"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        if (strcmp(word, rows[i].word) != 0)
            continue;
        *status = rows[i].is_fine ? CLIENT_FINE : CLIENT_USAGE;
        session_fail(session, *status, "%s %s: %s", word,
                     rows[i].is_fine ? "has no effect" : "is not in this version", rows[i].why);
        return true;
    }
    return false;
}
