#include "programs/users.h"

#include "programs/columns.h"
#include "programs/password.h"

#include <stdio.h>
#include <string.h>

static void add_cells(const json_t *row, struct columns *columns)
{
    const json_t *digests = json_object_get(row, "digests"), *digest;
    char names[64] = "", bindings[24];
    size_t i, len = 0;

    json_array_foreach(digests, i, digest) if (len < sizeof names) len += (size_t)snprintf(
        names + len, sizeof names - len, "%s%s", i ? ", " : "", json_string_value(digest));
    snprintf(bindings, sizeof bindings, "%lld", row_number(row, "bindings"));
    columns_add(columns, (const char *const[]){row_text(row, "extension"), row_text(row, "user"),
                                               row_text(row, "display"), row_text(row, "source"),
                                               bindings, names[0] ? names : "none"});
}

static enum client_status list(struct session *session)
{
    static const char *const titles[] = {">EXT", "USER", "NAME", "FROM", ">PHONES", "DIGESTS"};
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    enum client_status status = session_ask(session, "command", "dump", NULL);
    json_t *row;

    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (row_text(row, "user") && session->is_json)
            print_json(row);
        else if (row_text(row, "user"))
            add_cells(row, &columns);
        json_decref(row);
    }
    if (status == CLIENT_FINE && !session->is_json)
        columns_print(&columns, "there are no users");
    return status;
}

/* Before a password is asked for that nobody would take. */
static enum client_status check(struct session *session)
{
    enum client_status status = session_ask(session, "command", "check", NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status add(struct session *session, const char *id)
{
    struct user_settings user;
    char realm[REALM_LIMIT];
    enum client_status status = check(session);

    if (status == CLIENT_FINE)
        status = realm_find(session, REALM_FILE, NULL, realm);
    if (status == CLIENT_FINE)
        status = password_digests(session, id, realm, &user);
    return status == CLIENT_FINE ? password_put(session, "user-add", realm, &user) : status;
}

static enum client_status remove_user(struct session *session, const char *id)
{
    enum client_status status = session_ask(session, "command", "user-remove", "user", id, NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

enum client_status change_users(struct session *session, char **words)
{
    const char *action = words[0] ? words[0] : "list", *id = words[0] ? words[1] : NULL;
    bool is_add = strcmp(action, "add") == 0;

    if ((session->extension || session->display) && !is_add)
        return session_fail(session, CLIENT_USAGE, "--extension and --display are for user add");
    if (strcmp(action, "list") == 0 && !id)
        return list(session);
    if (is_add && id)
        return add(session, id);
    if (strcmp(action, "remove") == 0 && id)
        return remove_user(session, id);
    return session_fail(session, CLIENT_USAGE,
                        "write user list, user add ID or user remove ID; a password is set by "
                        "sippasswd");
}
