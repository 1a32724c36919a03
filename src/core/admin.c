#include "core/admin.h"

#include "base/json.h"
#include "core/connection.h"
#include "core/drop.h"
#include "core/listing.h"
#include "core/location.h"
#include "core/pager.h"
#include "core/policy.h"
#include "core/rehearse.h"

/* What a command wrote, while its answer is made. */
struct reply_part {
    struct writer *w;
    size_t start; /* of its bytes */
    bool is_part;
    bool promises; /* it must not be told before it is in the journal */
    uint64_t cursor;
};

typedef void command(struct core *core, const struct admin_request *request, struct moment now,
                     struct reply_part *reply, struct actions *out);

/* The work is done, and what it wrote lies before: what follows tells of it. */
static void begin_reply(struct reply_part *reply)
{
    reply->start = reply->w->len;
}

static void end_row(struct writer *w)
{
    json_end(w);
    write_char(w, '\n');
}

static void say_done(struct reply_part *reply)
{
    json_begin(reply->w);
    json_bool(reply->w, S("done"), true);
    end_row(reply->w);
}

/* "WHY NAME REST", in a line that ends the answer. */
static void say_error(struct reply_part *reply, struct slice code, struct slice why,
                      struct slice name, struct slice rest)
{
    char text[NAME_LIMIT + 256];
    struct writer w = writer_over(text, sizeof text);

    write_slice(&w, why);
    write_slice(&w, slice_until(name, min_u64(name.len, NAME_LIMIT)));
    write_slice(&w, rest);
    json_begin(reply->w);
    json_text(reply->w, S("error"), code);
    json_text(reply->w, S("text"), writer_slice(&w));
    end_row(reply->w);
}

/* NULL, and it was said, if there is no such user. */
static struct user *find_user(const struct core *core, const struct admin_request *request,
                              struct reply_part *reply)
{
    struct user *user = location_find(core, request->user);

    if (!user)
        say_error(reply, S("not-found"), S("there is no user or extension "), request->user,
                  S("; `sipwitch dump` lists them"));
    return user;
}

/* Bindings can only be changed while the journal can promise it. */
static bool is_writable(const struct core *core, struct reply_part *reply)
{
    if (!core->is_recovering)
        return true;
    say_error(reply, S("failed"), S("the journal cannot be written"), NO_SLICE,
              S("; look after the state directory's disk and try again"));
    return false;
}

static void give_status(struct core *core, const struct admin_request *request, struct moment now,
                        struct reply_part *reply, struct actions *out)
{
    (void)request, (void)now, (void)out;
    list_status(core, reply->w);
    say_done(reply);
}

static void give_stats(struct core *core, const struct admin_request *request, struct moment now,
                       struct reply_part *reply, struct actions *out)
{
    (void)request, (void)now, (void)out;
    list_stats(core, reply->w);
    say_done(reply);
}

static void finish_part(struct reply_part *reply, bool has_more)
{
    reply->is_part = has_more;
    if (!has_more)
        say_done(reply);
}

static void give_registry(struct core *core, const struct admin_request *request, struct moment now,
                          struct reply_part *reply, struct actions *out)
{
    const struct user *user = NULL;

    (void)out;
    if (request->user.len && !(user = find_user(core, request, reply)))
        return;
    finish_part(reply, list_registry(core, user, &reply->cursor, now, reply->w));
}

static void give_calls(struct core *core, const struct admin_request *request, struct moment now,
                       struct reply_part *reply, struct actions *out)
{
    const struct user *user = NULL;

    (void)out;
    if (request->user.len && !(user = find_user(core, request, reply)))
        return;
    finish_part(reply, list_calls(core, user, &reply->cursor, now, reply->w));
}

static void give_dump(struct core *core, const struct admin_request *request, struct moment now,
                      struct reply_part *reply, struct actions *out)
{
    (void)request, (void)now, (void)out;
    finish_part(reply, list_dump(core, &reply->cursor, reply->w));
}

static void write_contact(struct writer *w, const struct user *user, const struct flow *flow)
{
    struct address_bytes address = {.is_v6 = flow->is_v6};

    memcpy(address.at, flow->address, sizeof address.at);
    write_slice(w, S("sip:"));
    uri_escape(w, user_id(user));
    write_char(w, '@');
    write_host(w, &address);
    write_char(w, ':');
    write_number(w, flow->port);
}

static void activate(struct core *core, const struct admin_request *request, struct moment now,
                     struct reply_part *reply, struct actions *out)
{
    struct user *user = find_user(core, request, reply);
    struct flow flow = request->target;
    char text[3 * NAME_LIMIT + 64];
    struct writer contact = writer_over(text, sizeof text);

    if (!user || !is_writable(core, reply))
        return;
    if (!flow_find_socket(core, &flow)) {
        say_error(reply, S("refused"), S("the server listens on no address of that family"),
                  NO_SLICE, S("; see `sipwitch status`"));
        return;
    }
    write_contact(&contact, user, &flow);
    if (!location_activate(core, user, writer_slice(&contact), &flow, now, out)) {
        say_error(reply, S("refused"), S("there is no room for another contact of "), request->user,
                  S("; release some first"));
        return;
    }
    begin_reply(reply);
    reply->promises = true;
    json_begin(reply->w);
    json_text(reply->w, S("user"), user_id(user));
    json_text(reply->w, S("contact"), writer_slice(&contact));
    end_row(reply->w);
    say_done(reply);
}

static void release(struct core *core, const struct admin_request *request, struct moment now,
                    struct reply_part *reply, struct actions *out)
{
    struct user *user = find_user(core, request, reply);
    struct binding *next;
    unsigned released = 0;

    (void)now;
    if (!user || !is_writable(core, reply))
        return;
    if (!user->binding_count) {
        say_error(reply, S("not-found"), S("no phone of "), request->user, S(" is registered"));
        return;
    }
    for (struct binding *b = location_first(core, user); b; b = next) {
        next = location_next(core, b);
        location_unbind(core, b, S("released"), out);
        released++;
    }
    begin_reply(reply);
    reply->promises = true;
    json_begin(reply->w);
    json_number(reply->w, S("released"), released);
    end_row(reply->w);
    say_done(reply);
}

static void message(struct core *core, const struct admin_request *request, struct moment now,
                    struct reply_part *reply, struct actions *out)
{
    const struct user *user = find_user(core, request, reply);

    if (!user)
        return;
    if (request->text.len > PAGER_TEXT) {
        say_error(reply, S("refused"), S("the text is longer than 1024 bytes"), NO_SLICE,
                  S("; send it in parts"));
        return;
    }
    unsigned sent = pager_send(core, user, request->text, now.boot, out);
    if (!sent) {
        say_error(reply, S("not-found"), S("no phone of "), request->user, S(" is registered"));
        return;
    }
    begin_reply(reply);
    json_begin(reply->w);
    json_number(reply->w, S("phones"), sent);
    end_row(reply->w);
    say_done(reply);
}

#define DROPPED_SOME (UINT64_C(1) << 63) /* in a cursor: an earlier part dropped one */

static void drop(struct core *core, const struct admin_request *request, struct moment now,
                 struct reply_part *reply, struct actions *out)
{
    struct drop_wish wish = {request->text, location_find(core, request->text)};
    uint64_t names[DROPS_PER_STEP], cursor = request->cursor & ~DROPPED_SOME;
    unsigned count;
    bool has_more = drop_calls(core, &wish, &cursor, now, names, &count, out);

    begin_reply(reply);
    for (unsigned i = 0; i < count; i++) {
        json_begin(reply->w);
        write_id(reply->w, names[i]);
        end_row(reply->w);
    }
    reply->cursor = cursor | (request->cursor & DROPPED_SOME) | (count ? DROPPED_SOME : 0);
    if (!has_more && !(reply->cursor & DROPPED_SOME))
        say_error(reply, S("not-found"), S("there is no call "), request->text,
                  S("; `sipwitch calls` lists them"));
    else
        finish_part(reply, has_more);
}

static void forget(struct core *core, const struct admin_request *request, struct moment now,
                   struct reply_part *reply, struct actions *out)
{
    (void)now;
    if (!is_writable(core, reply))
        return;
    if (!policy_forget(core, request->text, out)) {
        say_error(reply, S("not-found"), S("no server of "), request->text,
                  S(" has proven itself in thirty days"));
        return;
    }
    begin_reply(reply);
    reply->promises = true;
    say_done(reply);
}

#define ROUTE_ROWS 32768u /* bytes: each of sixteen targets has a row, and so has each step */

static void route(struct core *core, const struct admin_request *request, struct moment now,
                  struct reply_part *reply, struct actions *out)
{
    char text[ROUTE_ROWS];
    struct writer rows = writer_over(text, sizeof text);
    const char *fault;
    enum rehearsal_state state = rehearse(core, request, &reply->cursor, now, &rows, &fault, out);

    begin_reply(reply);
    if (rows.failed)
        say_error(reply, S("failed"), S("the answer is too long"), NO_SLICE, NO_SLICE);
    else if (state == REHEARSAL_NONE)
        say_error(reply, S("refused"), slice_text(fault), NO_SLICE, NO_SLICE);
    else if (state == REHEARSAL_FULL)
        say_error(reply, S("failed"), S("too many wait for DNS already"), NO_SLICE,
                  S("; try again"));
    if (rows.failed || state == REHEARSAL_NONE || state == REHEARSAL_FULL ||
        state == REHEARSAL_LATER)
        return;
    write_slice(reply->w, writer_slice(&rows));
    finish_part(reply, state == REHEARSAL_PART);
}

static void watch(struct core *core, const struct admin_request *request, struct moment now,
                  struct reply_part *reply, struct actions *out)
{
    (void)now, (void)reply, (void)out;
    core->is_watched = request->command == ADMIN_WATCH;
}

static command *const commands[ADMIN_COMMAND_COUNT] = {
    [ADMIN_STATUS] = give_status, [ADMIN_REGISTRY] = give_registry,
    [ADMIN_CALLS] = give_calls,   [ADMIN_STATS] = give_stats,
    [ADMIN_DUMP] = give_dump,     [ADMIN_ACTIVATE] = activate,
    [ADMIN_RELEASE] = release,    [ADMIN_MESSAGE] = message,
    [ADMIN_DROP] = drop,          [ADMIN_FORGET] = forget,
    [ADMIN_ROUTE] = route,        [ADMIN_WATCH] = watch,
    [ADMIN_UNWATCH] = watch,
};

void admin_request(struct core *core, const struct admin_request *request, struct moment now,
                   struct actions *out)
{
    struct reply_part reply = {
        .w = &out->bytes,
        .start = out->bytes.len,
        .cursor = request->cursor,
    };

    assert(request->command > ADMIN_NONE && request->command < ADMIN_COMMAND_COUNT);
    commands[request->command](core, request, now, &reply, out);
    if (out->bytes.len == reply.start && !reply.is_part)
        return;
    actions_push(out,
                 (struct action){
                     .kind = ACTION_ANSWER,
                     .promises = reply.promises,
                     .answer = {request->client, reply.is_part, reply.cursor},
                     .bytes = slice_of(out->bytes.at + reply.start, out->bytes.len - reply.start),
                 });
}
