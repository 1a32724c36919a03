#include "core/calls.h"

#include "core/caller.h"
#include "core/context.h"
#include "core/location.h"
#include "core/record.h"
#include "core/request.h"
#include "sip/address.h"

size_t calls_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct kept_call), limits->calls) + table_bytes(limits->calls);
}

void calls_init(struct core *core, struct arena *from, uint64_t first)
{
    uint32_t n = core->limits.calls;

    pool_init(&core->calls, from, sizeof(struct kept_call), n, 1);
    table_init(&core->calls_by_id, from, n, core->calls.items, sizeof(struct kept_call),
               offsetof(struct kept_call, by_id));
    core->next_call = first ? first : 1;
}

uint64_t calls_number(struct core *core)
{
    return core->next_call++;
}

void calls_passed(struct core *core, uint64_t id)
{
    core->next_call = max_u64(core->next_call, id + 1);
}

/* ---- bytes */

void call_write(struct writer *w, const struct call_record *call)
{
    write_u64(w, call->id);
    write_u64(w, (uint64_t)call->began);
    write_u64(w, (uint64_t)call->answered);
    write_u64(w, (uint64_t)call->ended);
    write_u32(w, call->duration);
    write_u16(w, call->status);
    write_u8(w, call->ender);
    write_u8(w, call->proof);
    write_counted(w, call->network);
    write_counted(w, call->caller);
    write_counted(w, call->dialed);
    write_counted(w, call->callee);
    write_counted(w, call->display);
    write_counted(w, call->call_id);
    write_u8(w, call->media_path);
    write_u8(w, call->media);
    heard_write(w, &call->heard);
}

bool call_read(struct reader *r, struct call_record *call)
{
    bool is_older;

    call->id = read_u64(r);
    call->began = (int64_t)read_u64(r);
    call->answered = (int64_t)read_u64(r);
    call->ended = (int64_t)read_u64(r);
    call->duration = read_u32(r);
    call->status = read_u16(r);
    call->ender = read_u8(r);
    call->proof = read_u8(r);
    call->network = read_counted(r);
    call->caller = read_counted(r);
    call->dialed = read_counted(r);
    call->callee = read_counted(r);
    call->display = read_counted(r);
    call->call_id = read_counted(r);
    call->heard = (struct heard_ends){0};
    /* Older records end here, */
    is_older = !r->rest.len;
    call->media_path = is_older ? MEDIA_DIRECT : read_u8(r);
    call->media = is_older ? MEDIA_UNDECIDED : read_u8(r);
    if (r->rest.len && !heard_read(r, &call->heard)) /* or here */
        return false;
    return !r->failed && call->id && call->media_path <= MEDIA_RELAYED &&
           call->media < MEDIA_REASON_COUNT;
}

uint8_t call_proof(struct slice record)
{
    struct reader r = reader_over(record);
    struct call_record call;

    return record.len && call_read(&r, &call) ? call.proof : CALLER_UNTOLD;
}

void call_media(struct slice record, uint8_t *path, uint8_t *reason)
{
    struct reader r = reader_over(record);
    struct call_record call;
    bool is_call = record.len && call_read(&r, &call);

    *path = is_call ? call.media_path : MEDIA_DIRECT;
    *reason = is_call ? call.media : MEDIA_UNDECIDED;
}

struct slice call_reason(const struct call_record *call)
{
    switch (call->status) {
    case 408: return S("expired");
    case 486:
    case 600: return S("busy");
    case 487: return S("terminated");
    case 603: return S("declined");
    case 401:
    case 403:
    case 407:
    case 488:
    case 606:
    case 607:
    case 608: return S("rejected");
    default: break;
    }
    if (call->status / 100 == 3)
        return S("redirect");
    if (call->status / 100 != 2)
        return S("failed");
    if (call->ender == CALL_ENDED_BY_ADMIN)
        return S("dropped");
    if (call->ender == CALL_ENDED_BY_SILENCE)
        return S("silent");
    if (call->ender == CALL_ENDED_BY_RELAY)
        return S("unrelayed");
    return call->ender == CALL_ENDED_BY_NOBODY ? S("expired") : S("terminated");
}

/* ---- texts */

/* Bytes of the UTF-8 character at the start of `text` (RFC 3629 4), 0 if it is none. */
static size_t character_len(struct slice text)
{
    const unsigned char *at = (const unsigned char *)text.at;
    size_t len = at[0] < 0x80                    ? 1
                 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                 : 0;

    if (len > text.len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

/* What may stand in a list and on a terminal; the rest is cut, whole characters only. */
static void write_clean(struct writer *w, struct slice text, size_t limit)
{
    size_t end = w->len + limit;

    while (text.len) {
        unsigned char first = (unsigned char)text.at[0];
        size_t len = character_len(text);
        bool is_control = first < ' ' || first == 0x7f ||
                          (first == 0xc2 && len == 2 && (unsigned char)text.at[1] < 0xa0);

        if (w->len + (len ? len : 1) > end)
            return;
        if (is_control || !len)
            write_char(w, '?');
        else
            write_slice(w, slice_until(text, len));
        text = slice_from(text, len ? len : 1);
    }
}

static struct slice since(const struct writer *w, size_t start)
{
    return slice_of(w->at + start, w->len - start);
}

static struct slice clean(struct writer *texts, struct slice text)
{
    size_t start = texts->len;

    write_clean(texts, text, NAME_LIMIT);
    return since(texts, start);
}

/* A user part of ours, or user@host. */
static struct slice write_party(const struct core *core, struct writer *texts, struct slice text)
{
    char name[NAME_LIMIT];
    struct writer user = writer_over(name, sizeof name);
    size_t start = texts->len;
    struct uri uri;

    if (!uri_parse(text, &uri))
        return clean(texts, text);
    uri_unescape(&user, uri.user);
    write_clean(texts, user.failed ? uri.user : writer_slice(&user), NAME_LIMIT);
    if (uri_is_local(core, &uri) && uri.user.len)
        return since(texts, start);
    size_t used = texts->len - start;
    if (uri.user.len && used < NAME_LIMIT)
        write_char(texts, '@');
    write_clean(texts, uri.host, NAME_LIMIT - (texts->len - start));
    return since(texts, start);
}

static struct slice write_network(struct writer *texts, const struct flow *flow)
{
    size_t start = texts->len;

    struct address_bytes address = {.is_v6 = flow->is_v6};
    memcpy(address.at, flow->address, sizeof address.at);
    write_host(texts, &address);
    return since(texts, start);
}

static struct slice unquoted(struct slice display)
{
    bool is_quoted = display.len >= 2 && display.at[0] == '"';

    return is_quoted ? slice_of(display.at + 1, display.len - 2) : display;
}

static struct slice write_callee(const struct core *core, const struct context *context,
                                 unsigned branch, struct slice dialed, struct writer *texts)
{
    const struct binding *binding;
    struct slice uri;

    if (branch >= context->target_count)
        return NO_SLICE;
    binding = location_binding(core, context_targets(context)[branch].binding);
    if (binding)
        return clean(texts, user_id(location_user(core, binding)));
    uri = context_target_uri(context, branch);
    return write_party(core, texts, uri.len ? uri : dialed);
}

static struct slice part(const struct context *context, struct span span)
{
    return slice_of(context->request.at + span.at, span.len);
}

void calls_describe(const struct core *core, const struct context *context, unsigned branch,
                    struct writer *texts, struct call_record *call)
{
    struct slice dialed = part(context, context->uri), tag;
    struct address from = {0};

    if (!address_parse(part(context, context->from), &from, &tag))
        from = (struct address){0};
    *call = (struct call_record){
        .id = context->call,
        .began = context->began,
        .proof = context->proof,
    };
    if (branch < context->target_count) {
        call->media_path = context_targets(context)[branch].media_path;
        call->media = context_targets(context)[branch].media;
    }
    call->network = write_network(texts, &context->flow);
    call->caller = write_party(core, texts, from.uri);
    call->dialed = write_party(core, texts, dialed);
    call->callee = write_callee(core, context, branch, dialed, texts);
    call->display = clean(texts, unquoted(from.display));
    call->call_id = clean(texts, part(context, context->call_id));
}

/* ---- those that the database does not have yet */

static uint32_t id_hash(uint64_t id)
{
    return (uint32_t)(id ^ id >> 32); /* they rise one by one: no two fall together */
}

static struct kept_call *find(const struct core *core, uint64_t id)
{
    for (uint32_t i = table_first(&core->calls_by_id, id_hash(id)); i;
         i = table_next(&core->calls_by_id, i)) {
        struct kept_call *kept = pool_at(&core->calls, i);
        if (kept->id == id)
            return kept;
    }
    return NULL;
}

/* At the end of the line. */
static void keep(struct core *core, const struct call_record *call)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct kept_call *kept;
    uint32_t index;

    if (find(core, call->id))
        return;
    call_write(&w, call);
    kept = w.failed ? NULL : pool_take(&core->calls);
    if (kept && !slab_copy(&core->slab, writer_slice(&w), &kept->text)) {
        pool_give(&core->calls, kept);
        kept = NULL;
    }
    if (!kept) {
        core->calls_lost++;
        return;
    }
    index = pool_index(&core->calls, kept);
    kept->id = call->id;
    kept->before = core->last_call;
    if (core->last_call)
        ((struct kept_call *)pool_at(&core->calls, core->last_call))->next = index;
    core->last_call = index;
    if (!core->waiting_call)
        core->waiting_call = index;
    table_insert(&core->calls_by_id, index, id_hash(call->id));
}

static void drop(struct core *core, struct kept_call *kept)
{
    uint32_t index = pool_index(&core->calls, kept);

    if (kept->before)
        ((struct kept_call *)pool_at(&core->calls, kept->before))->next = kept->next;
    if (kept->next)
        ((struct kept_call *)pool_at(&core->calls, kept->next))->before = kept->before;
    if (core->last_call == index)
        core->last_call = kept->before;
    if (core->waiting_call == index)
        core->waiting_call = kept->next;
    core->calls_given -= kept->is_given;
    table_remove(&core->calls_by_id, index);
    slab_give(&core->slab, &kept->text);
    pool_give(&core->calls, kept);
}

bool calls_wait(const struct core *core)
{
    return core->waiting_call && core->calls_given < CALL_WINDOW && core->is_started;
}

static void give_one(struct core *core, struct actions *out)
{
    struct kept_call *kept = pool_at(&core->calls, core->waiting_call);
    size_t start = out->bytes.len;

    write_slice(&out->bytes, block_slice(&kept->text));
    actions_push(out, (struct action){
                          .kind = ACTION_CALL,
                          .bytes = slice_of(out->bytes.at + start, kept->text.len),
                      });
    kept->is_given = true;
    core->calls_given++;
    core->waiting_call = kept->next;
}

void calls_give(struct core *core, struct actions *out)
{
    for (unsigned n = 0; n < STEP_WORK && calls_wait(core); n++)
        give_one(core, out);
}

void calls_end(struct core *core, const struct call_record *call, struct actions *out)
{
    bool is_first = !core->waiting_call;

    keep(core, call);
    if (is_first && calls_wait(core))
        give_one(core, out);
}

static struct writer *begin(struct actions *out, enum record_type type, uint64_t id)
{
    return record_begin(out, type, id);
}

void calls_persist(const struct call_record *call, struct actions *out)
{
    call_write(begin(out, RECORD_CALL, call->id), call);
    record_end(out);
}

void calls_persist_kept(const struct kept_call *kept, struct actions *out)
{
    write_slice(begin(out, RECORD_CALL, kept->id), block_slice(&kept->text));
    record_end(out);
}

void calls_kept(struct core *core, struct slice numbers, struct actions *out)
{
    struct reader r = reader_over(numbers);

    for (unsigned n = 0; n < CALLS_KEPT_AT_ONCE && r.rest.len; n++) {
        struct kept_call *kept = find(core, read_u64(&r));

        if (!kept)
            continue;
        if (record_wanted(core)) {
            begin(out, RECORD_CALL_KEPT, kept->id);
            record_end(out);
        }
        drop(core, kept);
    }
}

void calls_restore(struct core *core, struct reader *r)
{
    struct call_record call;

    if (!call_read(r, &call))
        return;
    calls_passed(core, call.id);
    keep(core, &call);
}

void calls_write_end(struct writer *w, const struct call_record *call)
{
    write_u8(w, call != NULL);
    if (call)
        call_write(w, call);
}

void calls_restore_end(struct core *core, struct reader *r)
{
    if (read_u8(r))
        calls_restore(core, r);
}

void calls_restore_kept(struct core *core, struct reader *r)
{
    uint64_t id = read_u64(r);
    struct kept_call *kept = find(core, id);

    if (r->failed)
        return;
    calls_passed(core, id);
    if (kept)
        drop(core, kept);
}
