#include "core/listing.h"

#include "base/json.h"
#include "core/caller.h"
#include "core/calls.h"
#include "core/context.h"
#include "core/dialog.h"
#include "core/heard.h"
#include "core/location.h"
#include "core/outside.h"
#include "core/realm.h"
#include "core/why.h"
#include "sip/address.h"

#define PART_BYTES 16384u /* of rows in one step: 0.1 ms of it */
#define PART_LOOKS 1024u  /* items looked at in one step */

/* ---- members */

/* A display name without the quotes around it and the backslashes in it. */
static void write_display(struct writer *w, struct slice name, struct slice quoted)
{
    char text[JSON_TEXT];
    struct writer plain = writer_over(text, sizeof text);

    if (quoted.len >= 2 && quoted.at[0] == '"') {
        quoted_unescape(&plain, slice_of(quoted.at + 1, quoted.len - 2));
        quoted = writer_slice(&plain);
    }
    if (quoted.len)
        json_text(w, name, quoted);
}

static void write_party(struct writer *w, struct slice name, struct slice display_name,
                        struct slice value)
{
    struct address address;

    if (!value.len || !address_next(&value, &address))
        return;
    json_text(w, name, address.uri);
    write_display(w, display_name, address.display);
}

void write_parties(struct writer *w, struct slice from, struct slice to)
{
    write_party(w, S("from"), S("display"), from);
    write_party(w, S("to"), S("to_display"), to);
}

void write_proof(struct writer *w, unsigned proof)
{
    char text[CALLER_TEXT];
    struct writer names = writer_over(text, sizeof text);

    caller_write(&names, proof);
    if (names.len)
        json_text(w, S("proof"), writer_slice(&names));
}

void write_media(struct writer *w, unsigned path, unsigned reason)
{
    if (reason == MEDIA_UNDECIDED)
        return;
    json_text(w, S("media"), media_path_text((enum media_path)path));
    json_text(w, S("media_reason"), media_reason_text((enum media_reason)reason));
}

static void write_stream(struct writer *w, const struct leg_heard *heard)
{
    json_number(w, S("expected"), heard->expected);
    json_number(w, S("lost"), heard->lost);
    if (heard->jitter != LEG_UNKNOWN)
        json_number(w, S("jitter_us"), heard->jitter);
    json_end(w);
}

static void write_lines(struct writer *w, const struct heard_ends *ends)
{
    static const struct slice names[] = {[LEGS_CALLER] = S("caller"), [LEGS_CALLEE] = S("callee")};
    bool is_begun = false;

    for (unsigned i = 0; i < 2 * LEGS_LINES; i++) {
        unsigned side = i / LEGS_LINES, line = i % LEGS_LINES;
        if (!ends->lines[side][line].expected)
            continue;
        if (!is_begun)
            json_list(w, S("legs"));
        is_begun = true;
        json_next(w);
        json_text(w, S("from"), names[side]);
        json_number(w, S("media"), line + 1);
        write_stream(w, &ends->lines[side][line]);
    }
    if (is_begun)
        json_list_end(w);
}

void write_heard(struct writer *w, const struct heard_ends *ends)
{
    static const struct slice names[] = {
        [LEGS_CALLER] = S("from_caller"),
        [LEGS_CALLEE] = S("from_callee"),
    };

    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        if (!ends->sides[i].expected)
            continue;
        json_open(w, names[i]);
        write_stream(w, &ends->sides[i]);
    }
    write_lines(w, ends);
}

void write_id(struct writer *w, uint64_t id)
{
    char text[16];
    struct writer hex = writer_over(text, sizeof text);

    write_hex(&hex, id, 16);
    json_text(w, S("id"), writer_slice(&hex));
}

void write_call_name(struct writer *w, const struct dialog *dialog)
{
    write_id(w, dialog->key.low);
}

void write_peer(struct writer *w, const struct flow *flow)
{
    struct address_bytes address = {.is_v6 = flow->is_v6};
    char text[64];
    struct writer peer = writer_over(text, sizeof text);

    memcpy(address.at, flow->address, sizeof address.at);
    write_host(&peer, &address);
    write_char(&peer, ':');
    write_number(&peer, flow->port);
    json_text(w, S("address"), writer_slice(&peer));
    json_text(w, S("transport"), transport_name(flow->transport));
}

static uint64_t seconds_since(instant then, struct moment now)
{
    return now.boot > then ? (now.boot - then) / SECONDS(1) : 0;
}

static void row_end(struct writer *w)
{
    json_end(w);
    write_char(w, '\n');
}

/* ---- status */

static void write_sockets(const struct core *core, struct writer *w)
{
    json_list(w, S("listening"));
    for (unsigned i = 0; i < core->settings->socket_count; i++) {
        const struct socket_settings *socket = &core->settings->sockets[i];
        char text[NAME_LIMIT + 16];
        struct writer at = writer_over(text, sizeof text);

        if (socket->is_gone)
            continue;
        write_slice(&at, transport_name(socket->transport));
        write_char(&at, ' ');
        write_slice(&at, socket->host);
        write_char(&at, ':');
        write_number(&at, socket->port);
        json_item(w, writer_slice(&at));
    }
    json_list_end(w);
}

/* The address that those outside know the server by, and who says so. */
static void write_outside(const struct core *core, struct writer *w)
{
    const struct media_settings *media = &core->settings->media;
    const struct outside *outside = &core->outside;
    struct address_bytes address = outside_media(core, false);
    bool is_written = !outside->has_address && media->has[0] && !address_is_unspecified(&address) &&
                      !address_equal(&address, &media->own[0]);
    char text[64];
    struct writer at = writer_over(text, sizeof text);

    if (!outside->is_sought && !is_written)
        return;
    json_open(w, S("outside"));
    write_host(&at, &address);
    if (outside->has_address || is_written)
        json_text(w, S("address"), writer_slice(&at));
    if (outside->has_address)
        json_text(w, S("by"), outside_source_text((enum outside_source)outside->by));
    else if (is_written)
        json_text(w, S("by"), S("the configuration"));
    if (outside->first_port) {
        json_number(w, S("first_port"), outside->first_port);
        json_number(w, S("last_port"), outside->last_port);
    }
    if (outside->fault_len)
        json_text(w, S("fault"), slice_of(outside->fault, outside->fault_len));
    json_end(w);
}

void list_status(const struct core *core, struct writer *w)
{
    json_begin(w);
    json_text(w, S("realm"), core->settings->realm);
    json_bool(w, S("public"), core->settings->is_public);
    write_sockets(core, w);
    write_outside(core, w);
    json_text(w, S("journal"),
              core->store_failed    ? S("failing")
              : core->is_recovering ? S("recovering")
                                    : S("works"));
    json_number(w, S("users"), core->users.live);
    json_number(w, S("bindings"), core->bindings.live);
    json_number(w, S("pending"), core->contexts.live);
    json_number(w, S("calls"), core->dialogs.live);
    json_number(w, S("relayed"), core->anchors.live);
    json_number(w, S("transactions"), core->servers.live);
    json_number(w, S("text_bytes"), core->slab.live);
    json_open(w, S("limits"));
    json_number(w, S("users"), core->limits.users);
    json_number(w, S("bindings"), core->limits.registered);
    json_number(w, S("calls"), core->limits.dialogs);
    json_number(w, S("transactions"), core->limits.transactions);
    json_number(w, S("text_bytes"), core->limits.text);
    json_end(w);
    row_end(w);
}

/* ---- stats */

static void write_count(struct writer *w, struct slice name, const struct node_count *count)
{
    json_open(w, name);
    json_number(w, S("total"), count->total);
    json_number(w, S("current"), count->current);
    json_number(w, S("peak"), count->peak);
    json_end(w);
}

static void write_relayed(const struct core *core, struct writer *w)
{
    static const struct slice causes[LEG_DROP_COUNT] = {
        [LEG_STRANGER] = S("dropped_stranger"),
        [LEG_EARLY] = S("dropped_early"),
        [LEG_FLOOD] = S("dropped_flood"),
        [LEG_LOST] = S("dropped_lost"),
    };
    const struct tally *tally = &core->tally;

    json_number(w, S("relayed"), tally->relayed);
    json_number(w, S("relayed_now"), core->anchors.live);
    json_number(w, S("relayed_peak"), tally->relayed_peak);
    json_number(w, S("relay_refused"), tally->unrelayed);
    json_number(w, S("relay_broken"), tally->broken);
    json_number(w, S("relay_packets"), tally->legs.packets);
    json_number(w, S("relay_bytes"), tally->legs.bytes);
    for (unsigned i = 0; i < LEG_DROP_COUNT; i++)
        json_number(w, causes[i], tally->legs.drops[i]);
    json_number(w, S("rtp_expected"), tally->legs.expected);
    json_number(w, S("rtp_lost"), tally->legs.lost);
}

void list_stats(const struct core *core, struct writer *w)
{
    static const struct slice names[NODE_COUNT] = {
        {"system", 6},
        {"extension", 9},
        {"external", 8},
    };
    const struct tally *tally = &core->tally;

    for (unsigned node = 0; node < NODE_COUNT; node++) {
        json_begin(w);
        json_text(w, S("node"), names[node]);
        write_count(w, S("from"), &tally->from[node]);
        write_count(w, S("to"), &tally->to[node]);
        if (tally->last[node] > 0)
            json_number(w, S("last_call"), (uint64_t)tally->last[node]);
        row_end(w);
    }
    json_begin(w);
    json_number(w, S("requests"), tally->requests);
    json_number(w, S("responses"), tally->responses);
    json_number(w, S("unreadable"), tally->unreadable);
    json_number(w, S("refused"), tally->shed);
    json_number(w, S("bound"), tally->bound);
    json_number(w, S("unbound"), tally->unbound);
    write_relayed(core, w);
    row_end(w);
}

/* ---- registry */

/* Room for more rows in this part. */
struct part {
    size_t start;
    unsigned looks;
};

static bool part_is_full(struct part *part, const struct writer *w)
{
    return w->len - part->start >= PART_BYTES || part->looks++ == PART_LOOKS;
}

/* What it was provisioned as, and the profile that says what it may do. */
static void write_kind(const struct core *core, const struct user *user, struct writer *w)
{
    struct written nowhere;

    json_text(w, S("kind"),
              user->kind == USER_GATEWAY  ? S("gateway")
              : user->kind == USER_DEVICE ? S("device")
                                          : S("user"));
    json_text(w, S("profile"), why_profile(core->settings, user, &nowhere));
}

static void row_binding(const struct core *core, const struct binding *binding, struct moment now,
                        struct writer *w)
{
    const struct user *user = location_user(core, binding);

    json_begin(w);
    json_text(w, S("user"), user_id(user));
    if (user->extension_len)
        json_text(w, S("extension"), user_extension(user));
    json_text(w, S("contact"), binding_contact(binding));
    write_peer(w, &binding->flow);
    if (binding->expires == NEVER)
        json_null(w, S("expires"));
    else
        json_number(w, S("expires"),
                    binding->expires > now.boot ? (binding->expires - now.boot) / SECONDS(1) : 0);
    json_text(w, S("call_id"), binding_call_id(binding));
    write_kind(core, user, w);
    row_end(w);
}

static void list_users_bindings(const struct core *core, const struct user *user, struct moment now,
                                struct writer *w)
{
    for (const struct binding *b = location_first(core, user); b; b = location_next(core, b))
        row_binding(core, b, now, w);
}

bool list_registry(const struct core *core, const struct user *user, uint64_t *cursor,
                   struct moment now, struct writer *w)
{
    struct part part = {.start = w->len};

    if (user) {
        list_users_bindings(core, user, now, w);
        return false;
    }
    while (*cursor < core->bindings.used) {
        const struct binding *binding;
        if (part_is_full(&part, w))
            return true;
        binding = pool_live_at(&core->bindings, (uint32_t)++ * cursor);
        if (binding)
            row_binding(core, binding, now, w);
    }
    return false;
}

/* ---- calls */

static bool party_is(const struct core *core, struct slice value, const struct user *user)
{
    struct address address;

    return value.len && address_next(&value, &address) && realm_names(core, &address, user);
}

bool parties_have(const struct core *core, struct slice from, struct slice to,
                  const struct user *user)
{
    return !user || party_is(core, from, user) || party_is(core, to, user);
}

static void row_ringing(const struct core *core, const struct context *context,
                        const struct user *user, struct moment now, struct writer *w)
{
    struct message m;

    if (!context_is_ringing(core, context) ||
        message_parse(block_slice(&context->request), &m).status)
        return;
    struct slice from = message_first(&m, HEADER_FROM), to = message_first(&m, HEADER_TO);
    if (!parties_have(core, from, to, user))
        return;
    json_begin(w);
    write_id(w, context->merge.low);
    json_text(w, S("state"), S("ringing"));
    write_parties(w, from, to);
    write_proof(w, context->proof);
    json_text(w, S("call_id"), message_first(&m, HEADER_CALL_ID));
    json_number(w, S("seconds"), seconds_since(context->opened_at, now));
    row_end(w);
}

static void row_call(const struct core *core, const struct dialog *dialog, const struct user *user,
                     struct moment now, struct writer *w)
{
    struct slice from = dialog_part(dialog, DIALOG_FROM), to = dialog_part(dialog, DIALOG_TO);
    struct heard_ends heard;
    uint8_t path, reason;

    if (!parties_have(core, from, to, user))
        return;
    json_begin(w);
    write_call_name(w, dialog);
    json_text(w, S("state"), dialog->state == DIALOG_ENDING ? S("ending") : S("answered"));
    write_parties(w, from, to);
    write_proof(w, call_proof(dialog_part(dialog, DIALOG_CALL)));
    json_text(w, S("call_id"), dialog_part(dialog, DIALOG_CALL_ID));
    json_number(w, S("began"), dialog->began > 0 ? (uint64_t)dialog->began : 0);
    json_number(w, S("seconds"), seconds_since(dialog->began_at, now));
    call_media(dialog_part(dialog, DIALOG_CALL), &path, &reason);
    write_media(w, path, reason);
    heard_of(core, dialog, &heard);
    write_heard(w, &heard);
    row_end(w);
}

/* The cursor counts through contexts, then through dialogs. */
bool list_calls(const struct core *core, const struct user *user, uint64_t *cursor,
                struct moment now, struct writer *w)
{
    const uint64_t contexts = core->contexts.limit;
    struct part part = {.start = w->len};

    if (*cursor < contexts && *cursor >= core->contexts.used)
        *cursor = contexts;
    while (*cursor < contexts + core->dialogs.used) {
        if (part_is_full(&part, w))
            return true;
        uint64_t index = ++*cursor;
        const void *item = index <= contexts
                               ? pool_live_at(&core->contexts, (uint32_t)index)
                               : pool_live_at(&core->dialogs, (uint32_t)(index - contexts));
        if (item && index <= contexts)
            row_ringing(core, item, user, now, w);
        else if (item)
            row_call(core, item, user, now, w);
        if (index == core->contexts.used)
            *cursor = contexts;
    }
    return false;
}

/* ---- dump */

static void row_settings(const struct core *core, struct writer *w)
{
    const struct settings *settings = core->settings;

    json_begin(w);
    json_open(w, S("settings"));
    json_text(w, S("realm"), settings->realm);
    json_list(w, S("localnames"));
    for (unsigned i = 0; i < settings->localname_count; i++)
        json_item(w, settings->localnames[i]);
    json_list_end(w);
    write_sockets(core, w);
    json_bool(w, S("public"), settings->is_public);
    json_bool(w, S("sha256_first"), settings->sha256_first);
    json_number(w, S("expires"), settings->expires);
    json_number(w, S("expires_shortest"), settings->expires_shortest);
    json_number(w, S("expires_longest"), settings->expires_longest);
    json_number(w, S("timer_c"), settings->timer_c / SECONDS(1));
    json_number(w, S("nonce_life"), settings->nonce_life / SECONDS(1));
    json_number(w, S("call_longest"), settings->call_longest / SECONDS(1));
    json_text(w, S("agent"), settings->agent);
    json_end(w);
    row_end(w);
}

static void row_user(const struct user *user, struct writer *w)
{
    static const enum algorithm algorithms[] = {ALGORITHM_MD5, ALGORITHM_SHA256};
    static const char *const sources[] = {
        [SOURCE_FILE] = "configuration",
        [SOURCE_DATABASE] = "database",
        [SOURCE_ACCOUNT] = "account",
    };

    json_begin(w);
    json_text(w, S("user"), user_id(user));
    if (user->extension_len)
        json_text(w, S("extension"), user_extension(user));
    if (user->display_len)
        json_text(w, S("display"), user_display(user));
    json_text(w, S("source"), slice_text(sources[user->source]));
    json_list(w, S("digests"));
    for (unsigned i = 0; i < COUNT_OF(algorithms); i++)
        if (user->has_ha1 >> algorithms[i] & 1)
            json_item(w, algorithm_name(algorithms[i]));
    json_list_end(w);
    json_number(w, S("bindings"), user->binding_count);
    row_end(w);
}

bool list_dump(const struct core *core, uint64_t *cursor, struct writer *w)
{
    struct part part = {.start = w->len};

    if (!*cursor)
        row_settings(core, w);
    while (*cursor < core->users.used) {
        if (part_is_full(&part, w))
            return true;
        const struct user *user = pool_live_at(&core->users, (uint32_t)++ * cursor);
        if (user)
            row_user(user, w);
    }
    return false;
}
