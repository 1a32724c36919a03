#include "core/pending.h"

#include "core/anchor.h"
#include "core/calls.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/record.h"
#include "core/transaction.h"

#define NEXT_FLOW 0x8000u /* in a target's q, which is 1000 at most: see is_next_flow */
#define OURS 0x4000u      /* and is_ours, */
#define BOUND 0x2000u     /* and is_bound */

/* What is known of a server transaction, in one octet. */
#define IS_INITIAL 1u
#define SIGNS_ANSWERS 2u
#define CHECKS_ANSWERS 4u
#define IS_METERED 8u

#define METERED 0x8000u /* in the status of a failure: the same */

static struct writer *begin(const struct server_transaction *server, enum record_type type,
                            struct actions *out)
{
    struct writer *w = record_begin(out, type, server->key.low);

    write_u64(w, server->key.high);
    write_flow(w, &server->flow);
    write_u16(w, server->sent_by);
    return w;
}

static void write_targets(struct core *core, const struct context *context, struct writer *w)
{
    write_u8(w, context->target_count);
    for (unsigned i = 0; i < context->target_count; i++) {
        const struct target *target = &context_targets(context)[i];
        const struct client_transaction *client = pool_get(&core->clients, context->branches[i]);
        write_u64(w, target->binding);
        write_flow(w, &target->flow);
        write_u8(w, target->way);
        write_u16(w, (uint16_t)(target->q | (target->is_next_flow ? NEXT_FLOW : 0) |
                                (target->is_ours ? OURS : 0) | (target->is_bound ? BOUND : 0)));
        write_counted(w, context_target_uri(context, i));
        write_counted(w, context_target_path(context, i));
        write_u64(w, client ? client_branch(core, client) : 0);
    }
}

/* What the observer must not take for new, if it comes again. */
static void write_answers(const struct server_transaction *server, struct writer *w)
{
    write_u8(w, server->accepted_count);
    for (unsigned i = 0; i < server->accepted_count; i++)
        write_u64(w, server->accepted[i]);
    write_u8(w, (uint8_t)((server->is_initial ? IS_INITIAL : 0) |
                          (server->signs_answers ? SIGNS_ANSWERS : 0) |
                          (server->checks_answers ? CHECKS_ANSWERS : 0) |
                          (server->is_metered ? IS_METERED : 0)));
    write_u32(w, server->session);
    write_u8(w, server->answer_count);
    for (unsigned i = 0; i < server->answer_count; i++)
        write_u32(w, server->answers[i]);
}

/* How each target's media was decided on. */
static void write_media(const struct context *context, struct writer *w)
{
    for (unsigned i = 0; i < context->target_count; i++) {
        write_u8(w, context_targets(context)[i].media);
        write_u8(w, context_targets(context)[i].media_path);
    }
}

static void put_whole(struct core *core, const struct server_transaction *server,
                      const struct context *context, struct actions *out)
{
    struct writer *w = begin(server, RECORD_INVITE, out);

    write_flow(w, &context->flow);
    write_u64(w, context->caller);
    write_u8(w, context->proof);
    write_answers(server, w);
    write_u8(w, context->flags);
    write_u8(w, context->next_target);
    write_u16(w, context->best_status);
    write_counted(w, block_slice(&context->best));
    write_counted(w, block_slice(&context->reason));
    write_targets(core, context, w);
    write_counted(w, block_slice(&context->request));
    write_u64(w, context->call);
    write_u64(w, (uint64_t)context->began);
    write_media(context, w);
    record_end(out);
}

static void put_accepted(const struct server_transaction *server, struct actions *out)
{
    struct writer *w = begin(server, RECORD_INVITE_ACCEPTED, out);

    write_answers(server, w);
    record_end(out);
}

void pending_put(struct core *core, struct server_transaction *server, struct actions *out)
{
    const struct context *context =
        server->context ? pool_at(&core->contexts, server->context) : NULL;

    if (!record_wanted(core) || (context && context_is_held(context)))
        return; /* who is held was promised nothing */
    if (context && (context->open || !server->accepted_count))
        put_whole(core, server, context, out);
    else
        put_accepted(server, out);
    server->is_recorded = true;
}

void pending_put_failed(struct core *core, struct server_transaction *server, struct slice response,
                        const struct call_record *call, struct actions *out)
{
    struct writer *w;

    if (!record_wanted(core))
        return;
    w = begin(server, RECORD_INVITE_FAILED, out);
    write_u16(w, (uint16_t)(server->status | (server->is_metered ? METERED : 0)));
    write_counted(w, response);
    calls_write_end(w, call);
    record_end(out);
    server->is_recorded = true;
}

void pending_end(struct core *core, struct server_transaction *server, struct actions *out)
{
    (void)core;
    if (!server->is_recorded)
        return;
    record_begin(out, RECORD_INVITE_END, server->key.low);
    record_end(out);
    server->is_recorded = false;
}

void pending_persist(struct core *core, struct server_transaction *server, struct actions *out)
{
    switch (server->machine.state) {
    case STRANS_PROCEEDING:
    case STRANS_ACCEPTED: pending_put(core, server, out); break;
    case STRANS_COMPLETED:
    case STRANS_CONFIRMED: /* a copy of the request may be under way as long as that lasts */
        if (server->status && server->response.at)
            pending_put_failed(core, server, block_slice(&server->response), NULL, out);
        break;
    default: break;
    }
}

/* Drops all that hangs on a restored server transaction: a later image takes its place. */
static void drop(struct core *core, struct server_transaction *server)
{
    if (server->context) {
        struct context *context = pool_at(&core->contexts, server->context);
        for (unsigned i = 0; i < context->next_target; i++) {
            struct client_transaction *client = pool_get(&core->clients, context->branches[i]);
            if (client)
                client_close(core, client);
        }
        context_close(core, context);
    }
    for (unsigned i = 0; i < server->accepted_count; i++) {
        struct client_transaction *client = client_find(core, server->accepted[i]);
        if (client)
            client_close(core, client);
    }
    server_close(core, server);
}

static struct server_transaction *find(const struct core *core, uint64_t id)
{
    for (uint32_t i = table_first(&core->servers_by_key, (uint32_t)id); i;
         i = table_next(&core->servers_by_key, i)) {
        struct server_transaction *server = pool_at(&core->servers, i);
        if (server->key.low == id)
            return server;
    }
    return NULL;
}

/* A fresh server transaction in place of any earlier image. */
static struct server_transaction *read_server(struct core *core, struct reader *r)
{
    struct hash128 key = {.low = read_u64(r)};
    struct flow flow;
    uint16_t sent_by;
    struct server_transaction *server = find(core, key.low);

    key.high = read_u64(r);
    flow = read_flow(r);
    sent_by = read_u16(r);
    if (r->failed || !flow_find_socket(core, &flow)) /* the settings may be others by now */
        return NULL;
    if (server)
        drop(core, server);
    server = server_open(core, &key, true, &flow, sent_by);
    if (server)
        server->is_recorded = true;
    return server;
}

static void read_answers(struct server_transaction *server, struct reader *r)
{
    unsigned count, bits;

    count = read_u8(r);
    for (unsigned i = 0; i < count && i < ANSWER_LIMIT; i++)
        server->accepted[server->accepted_count++] = read_u64(r);
    bits = read_u8(r);
    server->is_initial = bits & IS_INITIAL;
    server->signs_answers = bits & SIGNS_ANSWERS;
    server->checks_answers = bits & CHECKS_ANSWERS;
    if (bits & IS_METERED)
        server_meter(server, 0);
    server->session = read_u32(r);
    count = read_u8(r);
    for (unsigned i = 0; i < count && i < ANSWER_LIMIT; i++)
        server->answers[server->answer_count++] = read_u32(r);
}

/* The client transaction whose late 2xx may still come. */
static void restore_accepted_client(struct core *core, struct server_transaction *server,
                                    uint64_t branch, instant now)
{
    struct client_transaction *client = client_open(core, METHOD_INVITE, &server->flow);

    if (!client)
        return;
    client->server = pool_handle(&core->servers, server);
    client->is_decided = client->is_remembered = true;
    client->is_signed = server->checks_answers;
    ctrans_init(&client->machine, true, flow_is_reliable(&server->flow), now);
    ctrans_step(&client->machine, CTRANS_SUCCESS, now, core->settings->timer_c);
    client_rename(core, client, branch);
}

static void restore_accepted_clients(struct core *core, struct server_transaction *server,
                                     instant now)
{
    for (unsigned i = 0; i < server->accepted_count; i++)
        restore_accepted_client(core, server, server->accepted[i], now);
}

void pending_restore_accepted(struct core *core, struct reader *r, struct moment now)
{
    struct server_transaction *server = read_server(core, r);

    if (!server)
        return;
    read_answers(server, r);
    if (r->failed) {
        server_close(core, server);
        return;
    }
    server->status = 200;
    strans_step(&server->machine, STRANS_SUCCESS, now.boot);
    restore_accepted_clients(core, server, now.boot);
}

static bool is_failure(unsigned status)
{
    return status >= 300 && status <= 699;
}

void pending_restore_failed(struct core *core, struct reader *r, struct moment now)
{
    struct server_transaction *server = read_server(core, r);
    uint16_t status = read_u16(r);
    struct slice response = read_counted(r);

    calls_restore_end(core, r);
    if (!server)
        return;
    if (status & METERED)
        server_meter(server, 0);
    status &= METERED - 1;
    if (r->failed || !is_failure(status)) {
        server_close(core, server);
        return;
    }
    server->status = status;
    slab_copy(&core->slab, response, &server->response);
    strans_step(&server->machine, STRANS_FAILURE, now.boot);
    server->machine.resend_at = now.boot;
}

/* Targets and what their branches said. */
static bool read_targets(struct core *core, struct context *context, struct reader *r,
                         uint64_t *branches)
{
    struct target targets[BRANCH_LIMIT] = {{0}};
    struct slice uris[BRANCH_LIMIT], paths[BRANCH_LIMIT];
    unsigned count = read_u8(r);
    size_t head = count * sizeof targets[0];
    size_t len = head;
    struct writer w;

    if (count > BRANCH_LIMIT)
        return false;
    for (unsigned i = 0; i < count; i++) {
        targets[i].binding = read_u64(r);
        targets[i].flow = read_flow(r);
        targets[i].way = read_u8(r);
        targets[i].q = read_u16(r);
        targets[i].is_next_flow = targets[i].q & NEXT_FLOW;
        targets[i].is_ours = targets[i].q & OURS;
        targets[i].is_bound = targets[i].q & BOUND;
        targets[i].q &= BOUND - 1;
        uris[i] = read_counted(r);
        paths[i] = read_counted(r);
        branches[i] = read_u64(r);
        targets[i].uri_at = (uint32_t)len;
        targets[i].uri_len = (uint16_t)uris[i].len;
        targets[i].path_len = (uint16_t)paths[i].len;
        len += uris[i].len + paths[i].len;
        if (targets[i].way == WAY_SOUGHT)
            targets[i].flow = (struct flow){0};
        else if (!r->failed &&
                 (targets[i].way > WAY_LAST || !flow_find_socket(core, &targets[i].flow)))
            return false;
    }
    if (r->failed || !slab_take(&core->slab, len, &context->targets))
        return false;
    w = writer_over(context->targets.at, len);
    write_bytes(&w, targets, head);
    for (unsigned i = 0; i < count; i++) {
        write_slice(&w, uris[i]);
        write_slice(&w, paths[i]);
    }
    context->target_count = (uint8_t)count;
    return true;
}

/* Older records have nothing of it: who wrote them had no relay, and has sent it so. */
static bool read_media(struct context *context, struct reader *r)
{
    bool is_older = !r->rest.len;

    for (unsigned i = 0; i < context->target_count; i++) {
        struct target *target = &context_targets(context)[i];
        target->media = is_older ? MEDIA_NO_RELAY : read_u8(r);
        target->media_path = is_older ? MEDIA_DIRECT : read_u8(r);
        if (target->media >= MEDIA_REASON_COUNT || target->media_path > MEDIA_RELAYED)
            return false;
    }
    return !r->failed;
}

/* The fields of a whole image, into a context that is not yet in any table. */
static bool read_context(struct core *core, struct context *context,
                         struct server_transaction *server, struct reader *r, uint64_t *branches)
{
    context->flow = read_flow(r);
    context->caller = server->caller = read_u64(r);
    context->proof = read_u8(r);
    read_answers(server, r);
    context->flags = read_u8(r);
    context->next_target = read_u8(r);
    context->best_status = read_u16(r);
    slab_copy(&core->slab, read_counted(r), &context->best);
    slab_copy(&core->slab, read_counted(r), &context->reason);
    if (!(context->flags & CONTEXT_INVITE) ||
        (context->flags & CONTEXT_ACCEPTED && !server->accepted_count) ||
        !read_targets(core, context, r, branches) || context->next_target > context->target_count)
        return false;
    if (!slab_copy(&core->slab, read_counted(r), &context->request))
        return false;
    if (server->is_metered)
        server_meter(server, context->request.len);
    context->call = read_u64(r);
    context->began = (int64_t)read_u64(r);
    if (r->failed || !read_media(context, r) || !flow_find_socket(core, &context->flow) ||
        (context->best_status && !is_failure(context->best_status)))
        return false;
    calls_passed(core, context->call);
    return true;
}

static void give_texts_back(struct core *core, struct context *context)
{
    slab_give(&core->slab, &context->request);
    slab_give(&core->slab, &context->targets);
    slab_give(&core->slab, &context->best);
    slab_give(&core->slab, &context->reason);
    slab_give(&core->slab, &context->signature);
    slab_give(&core->slab, &context->answer);
    pool_give(&core->contexts, context);
}

void pending_restore(struct core *core, struct reader *r, struct moment now, struct actions *out)
{
    struct server_transaction *server = read_server(core, r);
    uint64_t branches[BRANCH_LIMIT] = {0};
    struct context *context;

    if (!server)
        return;
    context = pool_take(&core->contexts);
    if (context) {
        context->server = pool_index(&core->servers, server);
        if (read_context(core, context, server, r, branches) &&
            context_restore(core, context, branches, now, out)) {
            server->context = pool_index(&core->contexts, context);
        } else {
            give_texts_back(core, context);
        }
    }
    if (!server->context) {
        server_close(core, server);
        return;
    }
    if (server->accepted_count) {
        strans_step(&server->machine, STRANS_SUCCESS, now.boot);
        restore_accepted_clients(core, server, now.boot);
    }
}

void pending_restore_end(struct core *core, struct reader *r)
{
    struct server_transaction *server = find(core, read_u64(r));

    if (server && !r->failed)
        drop(core, server);
}

/* It waited for a way, or the crash came between the INVITE's image and the anchor's: it goes out
 * for the first time. */
static bool is_unsent(const struct core *core, const struct client_transaction *client)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);
    const struct context *context =
        server && server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct message request;

    return context && !client->is_remembered && context->request.at &&
           !message_parse(block_slice(&context->request), &request).status &&
           anchor_is_due(core, context, client->branch, &request);
}

/* An image may have been written long before the crash: every clock starts anew. */
static void start_client(struct core *core, struct client_transaction *client, struct moment now)
{
    if (!ctrans_is_open(&client->machine)) {
        client->machine.end_at = now.boot + 64 * T1;
    } else if (!connection_stands(core, &client->flow) || is_unsent(core, client)) {
        /* As long as by UDP: the phone may be ringing, and come back to say so. */
        client_wait(core, client, now.boot + 64 * T1, now.boot);
        return;
    } else {
        ctrans_init(&client->machine, true, flow_is_reliable(&client->flow), now.boot);
        client->machine.resend_at = now.boot;
        connection_join(core, client);
    }
    core->ctrans_states |= 1u << client->machine.state;
    client_arm(core, client);
}

static void start_server(struct core *core, struct server_transaction *server, struct moment now,
                         struct actions *out)
{
    if (server->machine.end_at != NEVER)
        server->machine.end_at = now.boot + 64 * T1;
    if (server->machine.resend_at != NEVER)
        server->machine.resend_at = now.boot;
    core->strans_states |= 1u << server->machine.state;
    server_arm(core, server);
    if (server->context)
        context_resume(core, pool_at(&core->contexts, server->context), now, out);
}

void pending_start(struct core *core, struct moment now, struct actions *out)
{
    anchor_start(core, now, out);
    for (uint32_t i = 1; i <= core->clients.used; i++) {
        struct client_transaction *client = pool_live_at(&core->clients, i);
        if (client)
            start_client(core, client, now);
    }
    for (uint32_t i = 1; i <= core->servers.used; i++) {
        struct server_transaction *server = pool_live_at(&core->servers, i);
        if (server)
            start_server(core, server, now, out);
    }
}
