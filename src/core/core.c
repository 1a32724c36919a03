#include "core/core.h"

#include "core/abuse.h"
#include "core/admin.h"
#include "core/admission.h"
#include "core/adopt.h"
#include "core/anchor.h"
#include "core/branch.h"
#include "core/calls.h"
#include "core/certificates.h"
#include "core/claims.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/dialog.h"
#include "core/failover.h"
#include "core/fault.h"
#include "core/inspect.h"
#include "core/keepalive.h"
#include "core/load.h"
#include "core/locate.h"
#include "core/location.h"
#include "core/penalty.h"
#include "core/pending.h"
#include "core/policy.h"
#include "core/proxy.h"
#include "core/realm.h"
#include "core/recall.h"
#include "core/record.h"
#include "core/rehearse.h"
#include "core/reply.h"
#include "core/silence.h"
#include "core/transaction.h"

struct settings settings_default(void)
{
    return (struct settings){
        .expires = 3600,
        .expires_shortest = 60,
        .expires_longest = 7200,
        .timer_c = SECONDS(185), /* 16.6 step 11: more than 3 minutes */
        .nonce_life = SECONDS(3600),
        .call_longest = SECONDS(12 * 3600),
        .agent = S("SIP Witch"),
        .system = S("system"),
        .anonymous = S("anonymous"),
        .unregistered = 480,
        .session_expires = 1800,
        .session_shortest = 90, /* RFC 4028 5: no lower minimum */
        .guesses_per_account = 10,
        .guesses_per_source = 30,
        .guess_window = SECONDS(15 * 60),
        .media = {.first_port = 16384, .last_port = 32767, .rate = 2000, .silence = SECONDS(60)},
    };
}

size_t core_bytes(const struct limits *limits)
{
    return sizeof(struct core) + location_bytes(limits) + transaction_bytes(limits) +
           context_bytes(limits) + dialog_bytes(limits) + calls_bytes(limits) +
           realm_bytes(limits) + abuse_bytes() + load_bytes() + policy_bytes() +
           connection_bytes(limits) + locate_bytes(limits) + penalty_bytes() + admission_bytes() +
           rehearse_bytes() + certificates_bytes() + claims_bytes() + anchor_bytes(limits) +
           limits->text + 16 * 64;
}

static int64_t wall_zero(struct moment now)
{
    return now.wall - (int64_t)(now.boot / SECONDS(1));
}

struct core *core_create(void *memory, const struct core_origin *origin, struct moment now)
{
    const struct limits *limits = &origin->limits;
    struct arena arena = arena_over(memory, core_bytes(limits));
    struct core *core = arena_take(&arena, sizeof *core);

    core->limits = *limits;
    if (!limits->registered)
        core->limits.registered = limits->bindings;
    core->settings = origin->settings;
    core->digests = origin->digests;
    core->es256 = origin->es256;
    core->boot = origin->boot;
    core->random = random_seeded(origin->seed);
    core->key_table = hash_derive(&origin->secret, S("table"));
    core->key_binding = hash_derive(&origin->secret, S("binding"));
    core->key_loop = hash_derive(&origin->secret, S("loop"));
    core->key_branch = hash_derive(&origin->secret, S("branch"));
    core->key_cookie = hash_derive(&origin->secret, S("cookie"));
    core->key_tag = hash_derive(&origin->secret, S("tag"));
    core->key_nonce = hash_derive(&origin->secret, S("nonce"));
    core->key_gruu = hash_derive(&origin->secret, S("gruu"));
    core->run = (uint32_t)random_next(&core->random);
    core->wall_zero = wall_zero(now);
    core->now = now;
    timers_init(&core->timers, now.boot);
    location_init(core, &arena);
    transaction_init(core, &arena, (uint32_t)random_next(&core->random));
    context_init(core, &arena);
    dialog_init(core, &arena);
    calls_init(core, &arena, origin->first_call);
    realm_init(core, &arena);
    connection_init(core, &arena);
    abuse_init(core, &arena);
    load_init(core, &arena);
    policy_init(core, &arena);
    locate_init(core, &arena);
    admission_init(core, &arena);
    rehearse_init(core, &arena);
    penalty_init(core, &arena);
    certificates_init(core, &arena);
    claims_init(core, &arena);
    anchor_init(core, &arena);
    outside_obey(core);
    slab_init(&core->slab, &arena, limits->text);
    return core;
}

static bool is_recalled(const struct core *core, const struct user_settings *settings)
{
    const struct user *user = core->recall ? location_known(core, settings->id) : NULL;

    return user && user->source == SOURCE_DATABASE && settings->source == SOURCE_DATABASE;
}

bool core_put_user(struct core *core, const struct user_settings *user)
{
    return is_recalled(core, user) || location_put_user(core, user, false, NULL);
}

void core_set_password(struct core *core, const struct user_settings *user)
{
    if (user->has_ha1[ALGORITHM_MD5] || user->has_ha1[ALGORITHM_SHA256])
        location_set_password(core, user);
}

static void close_stream(const struct flow *flow, struct actions *out)
{
    actions_push(out, (struct action){.kind = ACTION_CLOSE, .flow = *flow});
}

/* What cannot even be answered is no message but the middle of one, or another protocol. */
static bool is_out_of_step(const struct message *m, struct fault fault)
{
    return !m->bytes.len || (fault.status && !m->first[HEADER_VIA]);
}

static void take_message(struct core *core, const struct event *event, struct moment now,
                         struct actions *out)
{
    struct request req;
    struct fault fault;

    if (event->bytes.len && !event->bytes.at[0] && !flow_is_reliable(&event->flow) &&
        keepalive_answer(&event->flow, event->bytes, out))
        return;
    fault = message_parse(event->bytes, &req.message);
    if (flow_is_reliable(&event->flow) && is_out_of_step(&req.message, fault)) {
        close_stream(&event->flow, out);
        return;
    }
    if (!req.message.bytes.len) { /* a keep-alive, or nothing of SIP */
        core->tally.unreadable++;
        return;
    }
    if (!req.message.is_request) {
        core->tally.responses++;
        if (!fault.status)
            client_receive(core, &req.message, &event->flow, now, out);
        return;
    }
    core->tally.requests++;
    request_read(&req, &event->flow);
    req.now = now;
    if (!fault.status && !req.via.text.at)
        fault = (struct fault){400, "Bad Via"};
    if (!fault.status && flow_is_secure(&event->flow))
        connection_alias(core, &event->flow, &req.via);
    if (fault.status && req.message.first[HEADER_VIA])
        reply_because(core, &req, fault, out); /* without a Via nobody could take it */
    else if (!fault.status)
        proxy_request(core, &req, out);
}

/* Where one message ends and the next begins cannot be told any more (18.3): the sender hears why,
 * if it is a request, and the stream ends. */
static void take_broken(struct core *core, const struct event *event, struct moment now,
                        struct actions *out)
{
    struct request req;

    message_parse(event->bytes, &req.message);
    if (req.message.bytes.len && req.message.is_request && req.message.first[HEADER_VIA]) {
        request_read(&req, &event->flow);
        req.now = now;
        reply_because(core, &req, event->fault, out);
    }
    close_stream(&event->flow, out);
}

static void fire(struct core *core, struct timer *timer, struct moment now, struct actions *out)
{
    switch (timer->kind) {
    case TIMER_SERVER:
        server_expire(core, CONTAINER(timer, struct server_transaction, timer), now.boot, out);
        break;
    case TIMER_CLIENT:
        client_expire(core, CONTAINER(timer, struct client_transaction, timer), now, out);
        break;
    case TIMER_BINDING:
        location_expire(core, CONTAINER(timer, struct binding, timer), now.boot, out);
        break;
    case TIMER_DIALOG: dialog_expire(core, CONTAINER(timer, struct dialog, timer), now, out); break;
    case TIMER_CERTIFICATE:
        certificates_expire(core, CONTAINER(timer, struct kept_certificate, awaited.timer), now,
                            out);
        break;
    case TIMER_CLAIM:
        claims_expire(core, CONTAINER(timer, struct kept_claim, awaited.timer), now, out);
        break;
    case TIMER_ANCHOR:
        silence_expire(core, CONTAINER(timer, struct anchor, timer), now, out);
        break;
    default: assert(false);
    }
}

/* What is not in memory yet would be missing in the newest segment, and escape a sweep. */
static bool may_walk(const struct core *core)
{
    return !core->recall || fault_is(FAULT_CHECKPOINT_EARLY);
}

static void take_deadline(struct core *core, struct moment now, struct actions *out)
{
    struct timer *timer;
    uint32_t count = out->count + STEP_ACTIONS / 2;
    size_t bytes = out->bytes.len + STEP_BYTES / 2;

    for (unsigned i = 0; i < STEP_WORK && out->count < count && out->bytes.len < bytes; i++) {
        timer = timers_expire(&core->timers, now.boot);
        if (!timer)
            break;
        fire(core, timer, now, out);
    }
    if (core->checkpoint.is_running && may_walk(core) && out->count < count &&
        out->bytes.len < bytes)
        record_checkpoint(core, now, out);
    if (out->count < count && out->bytes.len < bytes)
        calls_give(core, out);
    if (core->sweep && may_walk(core) && out->count < count && out->bytes.len < bytes)
        location_sweep(core, out);
    if (adopt_waits(core) && out->count < count && out->bytes.len < bytes)
        adopt_some(core, out);
    load_meet(core, now.boot, out);
}

static void put_user(struct core *core, const struct user_settings *user, struct actions *out)
{
    size_t start = out->bytes.len;

    location_find_id(core, user->id); /* with its phones: what it becomes may not have any */
    if (location_put_user(core, user, true, out))
        return;
    write_slice(&out->bytes, S("user "));
    write_slice(&out->bytes, user->id);
    write_slice(&out->bytes,
                S(" is left out: there is no room, or another has its id or extension"));
    actions_push(out, (struct action){
                          .kind = ACTION_LOG,
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
}

static void replace_settings(struct core *core, const struct settings *settings)
{
    core->settings = settings;
    core->epoch++;
    core->sweep = 0;
    outside_obey(core);
}

static void remove_user(struct core *core, struct slice id, struct actions *out)
{
    struct user *user = location_find_id(core, id);

    if (user)
        location_remove_user(core, user, out);
}

/* An answer to one of our questions wakes the branch that waits for it, or the claim. */
static void take_dns(struct core *core, const struct event *event, struct moment now,
                     struct actions *out)
{
    struct client_transaction *client;

    if (claims_asked(event->question)) {
        claims_tell(core, event->question, event->dns, now, out);
        return;
    }
    client = locate_tell(core, event->question, event->dns);
    if (client)
        failover_look(core, client, now, out);
}

/* The wall clock was set: what is stored by it is stored anew. */
static void watch_wall(struct core *core, struct moment now)
{
    int64_t zero = wall_zero(now);

    if (zero - core->wall_zero <= WALL_DRIFT && core->wall_zero - zero <= WALL_DRIFT)
        return;
    core->wall_zero = zero;
    if (core->is_started)
        core->checkpoint = (struct checkpoint){.is_running = true};
}

void core_step(struct core *core, const struct event *event, struct moment now, struct actions *out)
{
    assert(out->limit - out->count >= STEP_ACTIONS);
    assert(out->bytes.limit - out->bytes.len >= STEP_BYTES);

    watch_wall(core, now);
    core->now = now;
    switch (event->kind) {
    case EVENT_RECEIVED: take_message(core, event, now, out); break;
    case EVENT_BROKEN: take_broken(core, event, now, out); break;
    case EVENT_OPENED: connection_opened(core, event, now, out); break;
    case EVENT_CLOSED: connection_closed(core, event, now.boot); break;
    case EVENT_DEADLINE: take_deadline(core, now, out); break;
    case EVENT_RESTORED: record_restore(core, event->bytes, now, out); break;
    case EVENT_STARTED:
        core->is_started = true;
        core->started_at = now.boot;
        pending_start(core, now, out);
        break;
    case EVENT_RECALL:
        if (core->recall)
            recall_some(core, out);
        break;
    case EVENT_CALLS_KEPT: calls_kept(core, event->bytes, out); break;
    case EVENT_STORE_FAILED: core->store_failed = core->is_recovering = true; break;
    case EVENT_STORE_WORKS: core->store_failed = false; /* fall through */
    case EVENT_CHECKPOINT: core->checkpoint = (struct checkpoint){.is_running = true}; break;
    case EVENT_SETTINGS: replace_settings(core, event->settings); break;
    case EVENT_USER: put_user(core, event->user, out); break;
    case EVENT_USER_GONE: remove_user(core, event->bytes, out); break;
    case EVENT_USERS_PUT: core->sweep = 1; break;
    case EVENT_LOAD: load_weigh(core, event->fill, now.boot, out); break;
    case EVENT_ADMIN: admin_request(core, event->request, now, out); break;
    case EVENT_UNREACHED: failover_unreached(core, &event->flow, event->bytes, now, out); break;
    case EVENT_DNS: take_dns(core, event, now, out); break;
    case EVENT_CERTIFICATE:
        certificates_tell(core, event->question, event->certificate, now, out);
        break;
    case EVENT_UNOPENED:
        silence_miss(core, event->legs, event->leg_count, event->is_taken, now.boot);
        break;
    case EVENT_OUTSIDE: outside_learn(core, event->outside, out); break;
    case EVENT_RELAY: adopt_begin(core, event->has_relay, event->leg_limit); break;
    case EVENT_LEGS:
        if (event->is_list)
            adopt_legs(core, event, out);
        else
            silence_hear(core, event->legs, event->leg_count, now, out);
        break;
    case EVENT_PASSWORD: location_set_password(core, event->user); break;
    }
    assert(!out->bytes.failed);
}

instant core_deadline(const struct core *core)
{
    return ((core->checkpoint.is_running || core->sweep) && may_walk(core)) || calls_wait(core) ||
                   adopt_waits(core)
               ? 0
               : min_u64(timers_deadline(&core->timers), load_deadline(core));
}

struct census core_census(const struct core *core)
{
    return (struct census){
        .server_transactions = core->servers.live,
        .client_transactions = core->clients.live,
        .contexts = core->contexts.live,
        .bindings = core->bindings.live,
        .dialogs = core->dialogs.live,
        .calls = core->calls.live,
        .timers = core->timers.count,
        .text_bytes = core->slab.live,
        .strans_states = core->strans_states,
        .ctrans_states = core->ctrans_states,
        .dialog_states = core->dialog_states,
        .legs_states = core->legs_states,
        .lookups = core->lookups.live,
        .sights = core->sights,
        .anchors = core->anchors.live,
        .relay_ports = core->ports.taken,
        .connections = core->connections_by_peer.count,
        .asked = core->fetches + claims_under_way(core),
        .held = core->held,
    };
}

bool core_find_user(const struct core *core, struct slice name, struct user_view *view)
{
    const struct user *user = location_find(core, name);

    if (!user)
        return false;
    *view = (struct user_view){
        .id = user_id(user),
        .extension = user_extension(user),
        .source = user->source,
        .bindings = user->binding_count,
    };
    return true;
}

bool core_find_party(const struct core *core, struct slice name, struct user_view *view)
{
    size_t at = slice_find(name, '@');

    if (core_find_user(core, name, view))
        return true;
    return at < name.len && host_is_local(core, slice_from(name, at + 1), 0) &&
           core_find_user(core, slice_until(name, at), view);
}

static bool next_noted(const struct core *core, uint32_t *cursor, struct binding_view *view)
{
    uint32_t note = *cursor - core->bindings.used;
    bool is_there = recall_next(core->recall, &note, view);

    *cursor = core->bindings.used + note;
    return is_there;
}

bool core_next_binding(const struct core *core, uint32_t *cursor, struct binding_view *view)
{
    while (*cursor < core->bindings.used) {
        const struct binding *binding = pool_live_at(&core->bindings, ++*cursor);
        if (!binding)
            continue;
        *view = (struct binding_view){
            .aor = user_id(location_user(core, binding)),
            .contact = binding_contact(binding),
            .call_id = binding_call_id(binding),
            .cseq = binding->cseq,
            .flow = binding->flow,
            .expires = binding->expires,
            .id = binding->id,
        };
        return true;
    }
    return core->recall && next_noted(core, cursor, view);
}

bool core_next_dialog(const struct core *core, uint32_t *cursor, struct dialog_view *view)
{
    while (*cursor < core->dialogs.used) {
        const struct dialog *dialog = pool_live_at(&core->dialogs, ++*cursor);
        if (!dialog)
            continue;
        *view = (struct dialog_view){
            .call_id = dialog_part(dialog, DIALOG_CALL_ID),
            .caller_tag = dialog_part(dialog, DIALOG_CALLER_TAG),
            .callee_tag = dialog_part(dialog, DIALOG_CALLEE_TAG),
            .from = dialog_part(dialog, DIALOG_FROM),
            .to = dialog_part(dialog, DIALOG_TO),
            .caller_cseq = dialog->caller_cseq,
            .callee_cseq = dialog->callee_cseq,
            .began = dialog->began_at,
        };
        return true;
    }
    return false;
}

static uint64_t handle_number(struct handle handle)
{
    return (uint64_t)handle.index << 32 | handle.generation;
}

static void view_server(const struct core *core, const struct server_transaction *server,
                        struct transaction_view *view)
{
    *view = (struct transaction_view){
        .id = handle_number(pool_handle(&core->servers, server)),
        .state = server->machine.state,
        .is_reliable = flow_is_reliable(&server->flow),
    };
}

static void view_client(const struct core *core, const struct client_transaction *client,
                        struct transaction_view *view)
{
    *view = (struct transaction_view){
        .id = handle_number(pool_handle(&core->clients, client)),
        .is_client = true,
        .state = client->machine.state,
        .is_reliable = flow_is_reliable(&client->flow),
        .is_hurried = client->machine.is_hurried,
        .is_seeking = client->lacks_flow || client->is_held || client->lookup,
    };
}

bool core_next_transaction(const struct core *core, uint32_t *cursor, struct transaction_view *view)
{
    const uint32_t servers = core->servers.used;

    while (*cursor < servers + core->clients.used) {
        uint32_t at = ++*cursor;
        const void *item = at <= servers ? pool_live_at(&core->servers, at)
                                         : pool_live_at(&core->clients, at - servers);
        if (!item)
            continue;
        if (at <= servers)
            view_server(core, item, view);
        else
            view_client(core, item, view);
        return true;
    }
    return false;
}
