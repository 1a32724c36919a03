#include "core/pager.h"

#include "core/branch.h"
#include "core/connection.h"
#include "core/location.h"
#include "core/outside.h"
#include "core/transaction.h"

static void write_line(struct writer *w, struct slice name, struct slice value)
{
    write_slice(w, name);
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

static void write_via(struct core *core, const struct client_transaction *client, struct writer *w)
{
    const struct socket_settings *socket = &core->settings->sockets[client->flow.socket];
    struct branch branch = {.transaction = client_branch(core, client)};
    struct slice outside = outside_name(core, &client->flow);

    write_slice(w, S("Via: SIP/2.0/"));
    write_slice(w, transport_name(client->flow.transport));
    write_char(w, ' ');
    write_slice(w, outside.len ? outside : socket->host);
    write_char(w, ':');
    write_number(w, socket->port);
    write_slice(w, S(";rport;branch="));
    branch_write(w, &core->key_branch, &branch);
    write_slice(w, S("\r\n"));
}

/* 8.1.1: unguessable tag and Call-ID. */
static void write_origin(struct core *core, const struct user *user, struct writer *w)
{
    struct slice domain = settings_domain(core->settings);

    write_slice(w, S("From: <sip:"));
    write_slice(w, domain);
    write_slice(w, S(">;tag="));
    write_hex(w, random_next(&core->random), 16);
    write_slice(w, S("\r\nTo: <sip:"));
    uri_escape(w, user_id(user));
    write_char(w, '@');
    write_line(w, domain, S(">"));
    write_slice(w, S("Call-ID: "));
    write_hex(w, random_next(&core->random), 16);
    write_char(w, '@');
    write_line(w, domain, S("\r\nCSeq: 1 MESSAGE"));
}

static struct slice compose(struct core *core, const struct client_transaction *client,
                            const struct binding *binding, const struct user *user,
                            struct slice text, struct writer *w)
{
    size_t start = w->len;

    write_slice(w, S("MESSAGE "));
    write_line(w, binding_contact(binding), S(" SIP/2.0"));
    write_via(core, client, w);
    write_slice(w, S("Max-Forwards: 70\r\n"));
    write_origin(core, user, w);
    if (core->settings->agent.len)
        write_line(w, S("User-Agent: "), core->settings->agent);
    write_slice(w, S("Content-Type: text/plain;charset=utf-8\r\nContent-Length: "));
    write_number(w, text.len);
    write_slice(w, S("\r\n\r\n"));
    write_slice(w, text);
    return slice_of(w->at + start, w->len - start);
}

static bool send_to(struct core *core, const struct binding *binding, const struct user *user,
                    struct slice text, instant now, struct actions *out)
{
    const struct target target = {.binding = binding->id, .flow = location_flow(core, binding)};
    struct client_transaction *client;
    bool may_dial = true;
    struct flow way;

    if (!connection_way(core, &target, NULL, &may_dial, &way, out))
        return false;
    client = client_open(core, METHOD_MESSAGE, &way);
    if (!client)
        return false;
    if (client_send(core, client, compose(core, client, binding, user, text, &out->bytes), now,
                    out))
        return true;
    client_close(core, client);
    return false;
}

unsigned pager_send(struct core *core, const struct user *user, struct slice text, instant now,
                    struct actions *out)
{
    unsigned sent = 0;

    for (const struct binding *b = location_first(core, user); b; b = location_next(core, b))
        sent += send_to(core, b, user, text, now, out);
    return sent;
}
