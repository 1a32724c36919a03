#include "core/dialog.h"

#include "core/anchor.h"
#include "core/calls.h"
#include "core/fault.h"
#include "core/hangup.h"
#include "core/heard.h"
#include "core/record.h"
#include "core/session.h"
#include "core/silence.h"
#include "core/tally.h"
#include "core/tell.h"
#include "sip/address.h"

#define NO_RELAY S("SIP;cause=503;text=\"No relay\"")
#define ROUTES_TEXT 8192u /* of all Record-Route fields; more hops than that are not kept */

size_t dialog_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct dialog), limits->dialogs) + table_bytes(limits->dialogs);
}

void dialog_init(struct core *core, struct arena *from)
{
    uint32_t n = core->limits.dialogs;

    pool_init(&core->dialogs, from, sizeof(struct dialog), n, 1);
    table_init(&core->dialogs_by_key, from, n, core->dialogs.items, sizeof(struct dialog),
               offsetof(struct dialog, by_key));
}

struct slice dialog_part(const struct dialog *dialog, enum dialog_part part)
{
    size_t at = 0;

    for (unsigned i = 0; i < part; i++)
        at += dialog->lens[i];
    return slice_of(dialog->text.at + at, dialog->lens[part]);
}

/* The same whichever side sends: the tags in order. */
static struct hash128 key_of_hashes(const struct core *core, uint64_t call, uint64_t tag,
                                    uint64_t other_tag)
{
    uint64_t words[3] = {call, min_u64(tag, other_tag), max_u64(tag, other_tag)};

    return hash_bytes_wide(&core->key_table, slice_of((const char *)words, sizeof words));
}

static struct hash128 key_of(const struct core *core, struct slice call_id, struct slice tag,
                             struct slice other_tag)
{
    return key_of_hashes(core, hash_bytes(&core->key_table, call_id),
                         hash_bytes(&core->key_table, tag),
                         hash_bytes(&core->key_table, other_tag));
}

static struct dialog *find_key(const struct core *core, const struct hash128 *key)
{
    for (uint32_t i = table_first(&core->dialogs_by_key, (uint32_t)key->low); i;
         i = table_next(&core->dialogs_by_key, i)) {
        struct dialog *dialog = pool_at(&core->dialogs, i);
        if (dialog->key.low == key->low && dialog->key.high == key->high)
            return dialog;
    }
    return NULL;
}

struct handle dialog_find(const struct core *core, struct slice call_id, struct slice tag,
                          struct slice other_tag)
{
    struct hash128 key = key_of(core, call_id, tag, other_tag);
    const struct dialog *dialog = core->dialogs.live ? find_key(core, &key) : NULL;

    return dialog ? pool_handle(&core->dialogs, dialog) : NO_HANDLE;
}

struct dialog *dialog_hashed(const struct core *core, uint64_t call, uint64_t tag,
                             uint64_t other_tag)
{
    struct hash128 key = key_of_hashes(core, call, tag, other_tag);

    return core->dialogs.live ? find_key(core, &key) : NULL;
}

static void enter(struct core *core, struct dialog *dialog, enum dialog_state state)
{
    dialog->state = (uint8_t)state;
    core->dialog_states |= 1u << state;
}

static void close_dialog(struct core *core, struct dialog *dialog)
{
    enter(core, dialog, DIALOG_ENDED);
    tally_end(core, dialog);
    timer_clear(&core->timers, &dialog->timer);
    table_remove(&core->dialogs_by_key, pool_index(&core->dialogs, dialog));
    slab_give(&core->slab, &dialog->text);
    pool_give(&core->dialogs, dialog);
}

/* What is to be said of the call, now that it has ended; false if this dialog is none. */
static bool conclude_call(const struct dialog *dialog, enum call_ender ender, struct moment now,
                          struct call_record *call)
{
    struct reader r = reader_over(dialog_part(dialog, DIALOG_CALL));

    if (!r.rest.len || !call_read(&r, call))
        return false;
    call->ended = now.wall;
    call->duration = (uint32_t)((now.boot - dialog->began_at) / SECONDS(1));
    call->ender = (uint8_t)ender;
    return true;
}

static void end(struct core *core, struct dialog *dialog, enum call_ender ender, struct slice why,
                struct moment now, struct actions *out)
{
    struct call_record call;
    bool is_call = conclude_call(dialog, ender, now, &call);

    if (fault_is(FAULT_OBSERVER_BLIND))
        return;
    if (is_call)
        heard_of(core, dialog, &call.heard);
    record_begin(out, RECORD_DIALOG_END, dialog->key.low);
    write_u64(&out->bytes, dialog->key.high);
    calls_write_end(&out->bytes, is_call && !fault_is(FAULT_RECORD_APART) ? &call : NULL);
    record_end(out);
    if (is_call && fault_is(FAULT_RECORD_APART))
        calls_persist(&call, out);
    if (is_call)
        calls_end(core, &call, out);
    if (is_call)
        silence_note_end(core, &call, now.boot);
    tell_ended(core, dialog, why, out);
    anchor_leave(core, dialog, out);
    close_dialog(core, dialog);
}

/* It ends soon: what is heard of it until now is for its record. */
static void look(const struct core *core, const struct dialog *dialog, struct actions *out)
{
    const struct anchor *anchor = anchor_of(core, dialog);

    if (anchor)
        silence_look(core, anchor, out);
}

void dialog_request(struct core *core, const struct request *req, struct actions *out)
{
    struct dialog *dialog = pool_get(&core->dialogs, req->dialog);
    uint32_t *cseq;

    if (!dialog)
        return;
    cseq = req->direction == COOKIE_TO_CALLEE ? &dialog->caller_cseq : &dialog->callee_cseq;
    if (req->cseq.number > *cseq)
        *cseq = req->cseq.number;
    if (req->message.method != METHOD_BYE)
        return;
    dialog->ender =
        req->direction == COOKIE_TO_CALLEE ? CALL_ENDED_BY_CALLER : CALL_ENDED_BY_CALLEE;
    enter(core, dialog, DIALOG_ENDING);
    look(core, dialog, out);
}

struct slice dialog_contact(const struct message *m)
{
    struct slice value = message_first(m, HEADER_CONTACT);
    struct address contact;

    return value.len && address_next(&value, &contact) ? contact.uri : NO_SLICE;
}

/* The parts may lie in the text that is replaced. */
static bool set_text(struct core *core, struct dialog *dialog, const struct slice *parts)
{
    struct block text;
    struct writer w;
    size_t len = 0;

    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++)
        len += parts[i].len;
    if (!slab_take(&core->slab, len, &text))
        return false;
    w = writer_over(text.at, len);
    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++) {
        dialog->lens[i] = (uint16_t)parts[i].len;
        write_slice(&w, parts[i]);
    }
    slab_give(&core->slab, &dialog->text);
    dialog->text = text;
    return true;
}

static struct dialog *open_dialog(struct core *core, const struct hash128 *key, instant now)
{
    struct dialog *dialog = pool_take(&core->dialogs);

    if (!dialog)
        return NULL;
    dialog->key = *key;
    dialog->timer.kind = TIMER_DIALOG;
    dialog->began_at = now;
    table_insert(&core->dialogs_by_key, pool_index(&core->dialogs, dialog), (uint32_t)key->low);
    dialog->ends = now + core->settings->call_longest;
    timer_set(&core->timers, &dialog->timer, dialog->ends);
    enter(core, dialog, DIALOG_CONFIRMED);
    return dialog;
}

void dialog_persist(struct core *core, const struct dialog *dialog, struct moment now,
                    struct actions *out)
{
    struct writer *w;

    if (!record_wanted(core))
        return;
    w = record_begin(out, RECORD_DIALOG, dialog->key.low);
    write_u64(w, dialog->key.high);
    write_u64(w, (uint64_t)dialog->began);
    write_instant(w, core, dialog->began_at + CALL_AGE_LIMIT, now);
    write_instant(w, core, dialog->ends, now);
    write_u32(w, dialog->caller_cseq);
    write_u32(w, dialog->callee_cseq);
    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++)
        write_counted(w, dialog_part(dialog, i));
    write_u8(w, dialog->dropped);
    record_end(out);
}

/* The session goes on for `interval` seconds, or, with 0, as long as a call may (RFC 4028 8.2). */
static bool renew(struct core *core, struct dialog *dialog, uint32_t interval, instant now)
{
    instant oldest = dialog->began_at + core->settings->call_longest;
    instant ends = interval ? min_u64(oldest, now + SECONDS((uint64_t)interval)) : oldest;

    if (dialog->byes || dialog->dropped || ends == dialog->ends)
        return false;
    if (fault_is(FAULT_REFRESH_IGNORED) && dialog->ends != oldest)
        return false;
    dialog->ends = ends;
    timer_set(&core->timers, &dialog->timer, ends);
    return true;
}

/* A dialog that stands: a re-INVITE was accepted, and may have moved either Contact (12.2.1.2). */
static void refresh(struct core *core, struct dialog *dialog, struct slice ours,
                    const struct message *response, uint32_t interval, bool is_callers,
                    struct moment now, struct actions *out)
{
    bool is_renewed = renew(core, dialog, interval, now.boot);
    struct slice parts[DIALOG_PART_COUNT];
    struct slice theirs = dialog_contact(response);

    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++)
        parts[i] = dialog_part(dialog, i);
    unsigned sender = is_callers ? DIALOG_CALLER_CONTACT : DIALOG_CALLEE_CONTACT;
    unsigned answerer = is_callers ? DIALOG_CALLEE_CONTACT : DIALOG_CALLER_CONTACT;
    bool is_same = (!ours.len || slice_equal(ours, parts[sender])) &&
                   (!theirs.len || slice_equal(theirs, parts[answerer]));
    if (is_same && !is_renewed)
        return;
    if (ours.len)
        parts[sender] = ours;
    if (theirs.len)
        parts[answerer] = theirs;
    if (set_text(core, dialog, parts))
        dialog_persist(core, dialog, now, out);
}

bool dialog_lead(struct core *core, struct dialog *dialog, uint8_t path, uint8_t reason,
                 struct actions *out)
{
    struct reader r = reader_over(dialog_part(dialog, DIALOG_CALL));
    struct slice parts[DIALOG_PART_COUNT];
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct call_record call;

    if (!r.rest.len || !call_read(&r, &call) || (call.media_path == path && call.media == reason))
        return false;
    call.media_path = path;
    call.media = reason;
    call_write(&w, &call);
    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++)
        parts[i] = dialog_part(dialog, i);
    parts[DIALOG_CALL] = writer_slice(&w);
    if (set_text(core, dialog, parts))
        dialog_persist(core, dialog, core->now, out);
    return true;
}

/* The server ended it. */
static void end_ours(struct core *core, struct dialog *dialog, struct moment now,
                     struct actions *out)
{
    if (dialog->dropped == DROP_WISHED)
        end(core, dialog, CALL_ENDED_BY_ADMIN, S("dropped"), now, out);
    else if (dialog->dropped == DROP_SILENT)
        end(core, dialog, CALL_ENDED_BY_SILENCE, S("silent"), now, out);
    else if (dialog->dropped == DROP_BROKEN)
        end(core, dialog, CALL_ENDED_BY_RELAY, S("unrelayed"), now, out);
    else
        end(core, dialog, CALL_ENDED_BY_NOBODY, S("expired"), now, out);
}

void dialog_drop(struct core *core, struct dialog *dialog, struct slice reason, struct moment now,
                 struct actions *out)
{
    if (dialog->byes)
        return; /* it is on its way */
    if (!dialog->dropped && now.boot < dialog->ends)
        dialog->dropped = DROP_WISHED;
    dialog->ends = now.boot;
    look(core, dialog, out);
    dialog_persist(core, dialog, now, out);
    dialog->byes = (uint8_t)hangup_send(core, dialog, reason, now, out);
    if (!dialog->byes) {
        end_ours(core, dialog, now, out);
        return;
    }
    enter(core, dialog, DIALOG_ENDING);
    timer_set(&core->timers, &dialog->timer, now.boot + HANGUP_LONGEST);
}

void dialog_silence(struct core *core, struct dialog *dialog, bool is_broken, struct moment now,
                    struct actions *out)
{
    if (dialog->byes)
        return;
    dialog->dropped = is_broken ? DROP_BROKEN : DROP_SILENT;
    dialog_drop(core, dialog, is_broken ? NO_RELAY : S("SIP;cause=408;text=\"No media\""), now,
                out);
}

void dialog_break(struct core *core, const struct message *response, struct moment now,
                  struct actions *out)
{
    struct slice call_id = message_first(response, HEADER_CALL_ID);
    struct slice from_tag = address_tag(message_first(response, HEADER_FROM));
    struct slice to_tag = address_tag(message_first(response, HEADER_TO));
    struct dialog *dialog = pool_get(&core->dialogs, dialog_find(core, call_id, from_tag, to_tag));

    if (!dialog || dialog->byes || dialog->dropped)
        return;
    dialog->dropped = DROP_BROKEN;
    dialog->ends = now.boot + BREAK_AFTER;
    timer_set(&core->timers, &dialog->timer, dialog->ends);
    dialog_persist(core, dialog, now, out);
}

void dialog_hung_up(struct core *core, struct slice call_id, struct slice tag,
                    struct slice other_tag, struct actions *out)
{
    struct dialog *dialog = pool_get(&core->dialogs, dialog_find(core, call_id, tag, other_tag));

    if (dialog && dialog->byes && !--dialog->byes)
        end_ours(core, dialog, core->now, out);
}

void dialog_expire(struct core *core, struct dialog *dialog, struct moment now, struct actions *out)
{
    if (dialog->byes)
        end_ours(core, dialog, now, out); /* some could not even be given up */
    else if (dialog->dropped == DROP_BROKEN)
        dialog_drop(core, dialog, NO_RELAY, now, out);
    else
        dialog_drop(core, dialog,
                    now.boot < dialog->began_at + core->settings->call_longest
                        ? S("SIP;cause=408;text=\"Session not refreshed\"")
                        : S("SIP;cause=408;text=\"Call too long\""),
                    now, out);
}

/* A part of the request that is being answered; empty for a late answer, when it has gone. */
static struct slice request_part(const struct context *context, struct span part)
{
    return context && context->request.at ? slice_of(context->request.at + part.at, part.len)
                                          : NO_SLICE;
}

/* All Record-Route values of a message: its first field's, or copied together. */
static struct slice all_routes(const struct message *m, struct writer *w)
{
    unsigned first = m->first[HEADER_RECORD_ROUTE];

    if (!first || !m->fields[first].next)
        return message_first(m, HEADER_RECORD_ROUTE);
    for (unsigned i = first; i; i = m->fields[i].next) {
        if (i != first)
            write_slice(w, S(", "));
        write_slice(w, message_value(m, i));
    }
    return w->failed ? NO_SLICE : writer_slice(w);
}

/* The record of the call that this answer begins; empty if an earlier one did. */
static struct slice describe_call(const struct core *core, const struct context *context,
                                  const struct message *response, struct moment now,
                                  struct writer *w)
{
    char text[CALL_RECORD_LIMIT];
    struct writer texts = writer_over(text, sizeof text);
    struct call_record call;

    if (!context || !context->call)
        return NO_SLICE;
    calls_describe(core, context, context->answerer, &texts, &call);
    call.answered = now.wall;
    call.status = response->status;
    call_write(w, &call);
    return writer_slice(w);
}

/* Record-Route below us is the callee's side, above us the caller's. */
static void read_parts(const struct message *response, struct writer *routes, struct slice *parts)
{
    parts[DIALOG_CALL_ID] = message_first(response, HEADER_CALL_ID);
    parts[DIALOG_CALLER_TAG] = address_tag(message_first(response, HEADER_FROM));
    parts[DIALOG_CALLEE_TAG] = address_tag(message_first(response, HEADER_TO));
    parts[DIALOG_CALLEE_CONTACT] = dialog_contact(response);
    parts[DIALOG_ROUTES] = all_routes(response, routes);
    parts[DIALOG_FROM] = message_first(response, HEADER_FROM);
    parts[DIALOG_TO] = message_first(response, HEADER_TO);
}

bool dialog_sketch(const struct message *response, char *text, struct dialog *dialog)
{
    struct writer w = writer_over(text, DIALOG_SKETCH);
    struct slice parts[DIALOG_PART_COUNT] = {{NULL, 0}};
    char joined[ROUTES_TEXT];
    struct writer routes = writer_over(joined, sizeof joined);

    *dialog = (struct dialog){.caller_cseq = response->cseq.number};
    read_parts(response, &routes, parts);
    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++) {
        dialog->lens[i] = (uint16_t)parts[i].len;
        write_slice(&w, parts[i]);
    }
    dialog->text = (struct block){.at = text, .len = (uint32_t)w.len};
    return !w.failed;
}

static void open_accepted(struct core *core, const struct hash128 *key, struct context *context,
                          const struct message *response, uint32_t interval, struct moment now,
                          struct actions *out)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    const struct span none = {0, 0};
    struct dialog *dialog = open_dialog(core, key, now.boot);
    char joined[ROUTES_TEXT];
    struct writer routes = writer_over(joined, sizeof joined);
    struct slice parts[DIALOG_PART_COUNT] = {
        [DIALOG_CALLER_CONTACT] = request_part(context, context ? context->contact : none),
        [DIALOG_CALL] = describe_call(core, context, response, now, &w),
    };

    if (!dialog)
        return;
    read_parts(response, &routes, parts);
    if (!set_text(core, dialog, parts)) {
        close_dialog(core, dialog);
        return;
    }
    dialog->began = now.wall;
    dialog->caller_cseq = response->cseq.number;
    if (context)
        context->call = 0;
    tally_begin(core, dialog);
    renew(core, dialog, interval, now.boot);
    dialog_persist(core, dialog, now, out);
    tell_answered(core, dialog, out);
}

/* True the first time.  A repeated 2xx must not bring back a call that has ended. */
static bool note_answer(const struct core *core, struct server_transaction *server,
                        struct slice to_tag)
{
    uint32_t hash = (uint32_t)hash_bytes(&core->key_table, to_tag);

    for (unsigned i = 0; i < server->answer_count; i++)
        if (server->answers[i] == hash)
            return false;
    if (server->answer_count == ANSWER_LIMIT)
        return false;
    server->answers[server->answer_count++] = hash;
    return true;
}

void dialog_accept(struct core *core, struct server_transaction *server,
                   const struct message *response, struct moment now, struct actions *out)
{
    struct context *context = server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct slice from_tag = address_tag(message_first(response, HEADER_FROM));
    struct slice to_tag = address_tag(message_first(response, HEADER_TO));
    struct hash128 key = key_of(core, message_first(response, HEADER_CALL_ID), from_tag, to_tag);
    struct dialog *dialog = find_key(core, &key);
    bool is_new = server->is_initial && note_answer(core, server, to_tag);
    uint32_t interval = session_agreed(core, response, server->session);

    if (dialog && context)
        context->call = 0; /* it was recorded before a crash */
    if (dialog && context)
        refresh(core, dialog, request_part(context, context->contact), response, interval,
                slice_equal(from_tag, dialog_part(dialog, DIALOG_CALLER_TAG)), now, out);
    else if (!dialog && is_new)
        open_accepted(core, &key, context, response, interval, now, out);
}

/* What ends a dialog in the eyes of who sent the BYE (15.1.1): success, 481, 408 or silence. */
static bool is_end(const struct message *response)
{
    return !response || response->status < 300 || response->status == 408 ||
           response->status == 481;
}

void dialog_answer(struct core *core, const struct context *context, const struct message *response,
                   struct moment now, struct actions *out)
{
    const struct server_transaction *server = pool_at(&core->servers, context->server);
    struct dialog *dialog;
    uint32_t interval;

    if (context->method != METHOD_BYE && context->method != METHOD_UPDATE)
        return;
    dialog = pool_get(&core->dialogs, context->dialog);
    if (!dialog)
        return;
    if (context->method == METHOD_BYE) {
        if (is_end(response))
            end(core, dialog, dialog->ender, S("bye"), now, out);
    } else if (response && response->status < 300) {
        interval = session_agreed(core, response, server->session);
        if (interval && renew(core, dialog, interval, now.boot))
            dialog_persist(core, dialog, now, out);
    }
}

/* The next call must not have the number of one that goes on. */
static void note_number(struct core *core, struct slice text)
{
    struct reader r = reader_over(text);
    struct call_record call;

    if (text.len && call_read(&r, &call))
        calls_passed(core, call.id);
}

void dialog_restore(struct core *core, struct reader *r, struct moment now)
{
    struct hash128 key = {.low = read_u64(r), .high = read_u64(r)};
    int64_t began = (int64_t)read_u64(r);
    instant oldest = read_instant(r, core, now, CALL_AGE_LIMIT);
    instant ends = read_instant(r, core, now, core->settings->call_longest);
    uint32_t caller_cseq = read_u32(r);
    uint32_t callee_cseq = read_u32(r);
    struct slice parts[DIALOG_PART_COUNT];
    struct dialog *dialog = find_key(core, &key);

    for (unsigned i = 0; i < DIALOG_PART_COUNT; i++)
        parts[i] = read_counted(r);
    uint8_t dropped = r->rest.len ? read_u8(r) : 0; /* older records have no such byte */
    if (r->failed || dropped >= DROP_COUNT)
        return;
    note_number(core, parts[DIALOG_CALL]);
    bool is_new = !dialog;
    if (is_new)
        dialog = open_dialog(core, &key, now.boot);
    if (!dialog)
        return;
    if (!set_text(core, dialog, parts)) {
        close_dialog(core, dialog);
        return;
    }
    dialog->began = began;
    dialog->dropped = dropped;
    if (is_new)
        tally_begin(core, dialog);
    dialog->caller_cseq = caller_cseq;
    dialog->callee_cseq = callee_cseq;
    dialog->began_at = oldest > CALL_AGE_LIMIT ? oldest - CALL_AGE_LIMIT : 0;
    dialog->ends = ends;
    timer_set(&core->timers, &dialog->timer, ends);
}

void dialog_restore_end(struct core *core, struct reader *r)
{
    struct hash128 key = {.low = read_u64(r), .high = read_u64(r)};
    struct dialog *dialog = find_key(core, &key);

    calls_restore_end(core, r);
    if (dialog && !r->failed)
        close_dialog(core, dialog);
}
