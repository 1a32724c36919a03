#include "core/record.h"

#include "core/anchor.h"
#include "core/calls.h"
#include "core/dialog.h"
#include "core/fault.h"
#include "core/location.h"
#include "core/pending.h"
#include "core/policy.h"
#include "core/recall.h"

/* Where the record in progress begins: records are whole between begin and end, so the start is
 * kept in the bytes themselves. */
struct writer *record_begin(struct actions *out, enum record_type type, uint64_t id)
{
    actions_push(out, (struct action){
                          .kind = ACTION_PERSIST,
                          .bytes = slice_of(out->bytes.at + out->bytes.len, 0),
                      });
    write_u8(&out->bytes, (uint8_t)type);
    write_u64(&out->bytes, id);
    return &out->bytes;
}

void record_end(struct actions *out)
{
    struct action *persist = &out->at[out->count - 1];

    assert(!out->bytes.failed && persist->kind == ACTION_PERSIST && !persist->bytes.len);
    persist->bytes.len = (size_t)(out->bytes.at + out->bytes.len - persist->bytes.at);
}

void write_flow(struct writer *w, const struct flow *flow)
{
    write_u8(w, flow->transport);
    write_u8(w, flow->is_v6);
    write_u16(w, flow->port);
    write_u16(w, flow->socket);
    write_u32(w, flow->connection);
    write_bytes(w, flow->address, flow->is_v6 ? 16 : 4);
}

struct flow read_flow(struct reader *r)
{
    struct flow flow = {.transport = read_u8(r), .is_v6 = read_u8(r) != 0};
    struct slice address;

    flow.port = read_u16(r);
    flow.socket = read_u16(r);
    flow.connection = read_u32(r);
    address = read_bytes(r, flow.is_v6 ? 16 : 4);
    if (address.len)
        memcpy(flow.address, address.at, address.len);
    return flow;
}

void write_instant(struct writer *w, const struct core *core, instant at, struct moment now)
{
    uint64_t ahead =
        at > now.boot && at != NEVER ? (at - now.boot + SECONDS(1) - 1) / SECONDS(1) : 0;

    write_u64(w, core->boot);
    write_u64(w, at);
    write_u64(w, (uint64_t)now.wall + ahead);
}

instant read_instant(struct reader *r, const struct core *core, struct moment now, duration longest)
{
    uint64_t boot = read_u64(r);
    instant at = read_u64(r);
    int64_t wall = (int64_t)read_u64(r);

    if (at == NEVER)
        return NEVER;
    if (boot != core->boot || !boot)
        at =
            wall > now.wall
                ? now.boot + min_u64((uint64_t)(wall - now.wall), longest / SECONDS(1)) * SECONDS(1)
                : now.boot;
    return min_u64(at, now.boot + longest);
}

static void restore_call(struct core *core, struct reader *r)
{
    read_u64(r); /* the number, which the record has too */
    calls_restore(core, r);
}

static void restore_bind(struct core *core, struct reader *r, struct moment now,
                         struct actions *out)
{
    if (core->recall)
        recall_bind(core, r, now, out);
    else
        location_restore_bind(core, r, now, out);
}

static void restore_unbind(struct core *core, struct reader r)
{
    struct reader copy = r;
    uint64_t id = read_u64(&copy);

    if (core->recall && !copy.failed)
        recall_unbind(core, id);
    location_restore_unbind(core, &r);
}

void record_restore(struct core *core, struct slice payload, struct moment now, struct actions *out)
{
    struct reader r = reader_over(payload);
    uint8_t type = read_u8(&r);

    switch (type) {
    case RECORD_BIND: restore_bind(core, &r, now, out); break;
    case RECORD_UNBIND: restore_unbind(core, r); break;
    case RECORD_INVITE: pending_restore(core, &r, now, out); break;
    case RECORD_INVITE_ACCEPTED: pending_restore_accepted(core, &r, now); break;
    case RECORD_INVITE_FAILED: pending_restore_failed(core, &r, now); break;
    case RECORD_INVITE_END: pending_restore_end(core, &r); break;
    case RECORD_DIALOG: dialog_restore(core, &r, now); break;
    case RECORD_DIALOG_END: dialog_restore_end(core, &r); break;
    case RECORD_CALL: restore_call(core, &r); break;
    case RECORD_CALL_KEPT: calls_restore_kept(core, &r); break;
    case RECORD_PROVEN: policy_restore(core, &r); break;
    case RECORD_MEDIA: anchor_restore(core, &r, now); break;
    case RECORD_MEDIA_END: anchor_restore_end(core, &r); break;
    case RECORD_OUTSIDE: outside_restore(core, &r); break;
    default: break;
    }
}

/* The pools that a checkpoint walks, and how each live item is persisted. */
static void persist_binding(struct core *core, void *item, struct moment now, struct actions *out)
{
    location_persist(core, item, now, out);
}

static void persist_server(struct core *core, void *item, struct moment now, struct actions *out)
{
    (void)now;
    pending_persist(core, item, out);
}

static void persist_dialog(struct core *core, void *item, struct moment now, struct actions *out)
{
    dialog_persist(core, item, now, out);
}

static void persist_call(struct core *core, void *item, struct moment now, struct actions *out)
{
    (void)core;
    (void)now;
    if (!fault_is(FAULT_RECORD_FORGOTTEN))
        calls_persist_kept(item, out);
}

static void persist_proven(struct core *core, void *item, struct moment now, struct actions *out)
{
    (void)core;
    (void)now;
    policy_persist(item, out);
}

static void persist_anchor(struct core *core, void *item, struct moment now, struct actions *out)
{
    (void)now;
    anchor_persist(core, item, out);
}

static const struct {
    size_t pool; /* offset in struct core */
    void (*persist)(struct core *core, void *item, struct moment now, struct actions *out);
} walks[] = {
    {offsetof(struct core, bindings), persist_binding},
    {offsetof(struct core, servers), persist_server},
    {offsetof(struct core, dialogs), persist_dialog},
    {offsetof(struct core, calls), persist_call},
    {offsetof(struct core, proven), persist_proven},
    {offsetof(struct core, anchors), persist_anchor},
};

void record_checkpoint(struct core *core, struct moment now, struct actions *out)
{
    struct checkpoint *walk = &core->checkpoint;
    unsigned emitted = 0;
    unsigned looked_at = 0;

    while (walk->pool < COUNT_OF(walks)) {
        const struct pool *pool =
            (const struct pool *)(void *)((char *)core + walks[walk->pool].pool);
        while (walk->index < pool->used) {
            void *item = pool_live_at(pool, ++walk->index);
            uint32_t before = out->count;
            if (item)
                walks[walk->pool].persist(core, item, now, out);
            emitted += out->count > before;
            if (emitted == STEP_WORK || ++looked_at == 1024)
                return;
        }
        walk->pool++;
        walk->index = 0;
    }
    if (core->outside.has_address || core->outside.former_count)
        outside_persist(core, out);
    walk->is_running = false;
    core->is_recovering &= core->store_failed;
    actions_push(out, (struct action){.kind = ACTION_CHECKPOINTED});
}
