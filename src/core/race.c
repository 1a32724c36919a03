#include "core/race.h"

#include "core/connection.h"
#include "core/context.h"
#include "core/locate.h"
#include "core/penalty.h"
#include "core/pending.h"
#include "core/transaction.h"

void race_abandon(struct core *core, struct client_transaction *client, struct actions *out)
{
    struct flow flow = client->flow;

    client_close(core, client);
    connection_spare(core, &flow, out);
}

static struct client_transaction *rival_of(const struct core *core,
                                           const struct locate_rival *rival)
{
    struct client_transaction *client = pool_get(&core->clients, rival->client);

    return client && client->is_left && client->is_held ? client : NULL;
}

void race_end(struct core *core, const struct client_transaction *client, instant now,
              struct actions *out)
{
    struct client_transaction *loser;
    struct locate_rival rival;

    while (locate_take_rival(core, client, &rival)) {
        penalty_put(core, &rival.place, PENALTY, now);
        loser = rival_of(core, &rival);
        if (loser)
            race_abandon(core, loser, out);
    }
}

bool race_holds(struct core *core, struct client_transaction *client, const struct flow *way,
                instant now, struct actions *out)
{
    if (!client->lookup || client->request.at) /* who got it may answer by any way */
        return false;
    if (flow_is_reliable(way) && !connection_has_opened(core, way) &&
        locate_may_race(core, client, now)) {
        locate_stagger(core, client, now);
        client_hold(core, client, way, now);
        return true;
    }
    race_end(core, client, now, out);
    return false;
}

bool race_goes_on(struct core *core, const struct client_transaction *client, instant now)
{
    return locate_is_patient(core, client, now) && locate_has_sibling(core, client, now);
}

void race_join(struct core *core, struct client_transaction *next,
               struct client_transaction *client)
{
    client->is_left = client->is_decided = true;
    locate_add_rival(core, next, client);
    client_arm(core, client);
}

/* The branch is this one's, and its target where it is to go; `other` has the lookup. */
static void take_branch(struct core *core, struct context *context,
                        struct client_transaction *other, struct client_transaction *client,
                        struct actions *out)
{
    struct target *target = &context_targets(context)[client->branch];

    locate_move(core, other, client);
    client->is_left = client->is_decided = false;
    context->branches[client->branch] = pool_handle(&core->clients, client);
    target->flow = client->flow;
    target->flow.connection = 0;
    target->way = WAY_CHOSEN;
    target->is_bound = locate_given(core, client).is_bound;
    if (context->flags & CONTEXT_INVITE)
        pending_put(core, pool_at(&core->servers, context->server), out);
}

bool race_resume(struct core *core, struct context *context, struct client_transaction *next,
                 struct moment now, struct actions *out)
{
    struct locate_rival rival;

    if (locate_has_sibling(core, next, now.boot))
        return false;
    while (locate_take_rival(core, next, &rival)) {
        struct client_transaction *client = rival_of(core, &rival);
        if (!client) {
            penalty_put(core, &rival.place, PENALTY, now.boot);
            continue;
        }
        locate_prefer(core, next, &rival);
        take_branch(core, context, next, client, out);
        if (connection_has_opened(core, &client->flow)) /* just now: it is about to be told */
            timer_set(&core->timers, &client->timer, now.boot);
        else
            client_arm(core, client);
        return true;
    }
    return false;
}

/* One that was left is the first after all: whoever has the branch has sent nothing yet.  False if
 * its branch is another's now. */
static bool overtake(struct core *core, struct context *context, struct client_transaction *client,
                     struct actions *out)
{
    struct client_transaction *other = pool_get(&core->clients, context->branches[client->branch]);

    if (!other || other->request.at || !other->lookup || !locate_swap_rival(core, other, client))
        return false;
    other->is_left = other->is_decided = true;
    take_branch(core, context, other, client, out);
    return true;
}

void race_stood(struct core *core, struct client_transaction *client, struct moment now,
                struct actions *out)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);
    struct context *context =
        server && server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct flow way = client->flow;
    struct request req;

    if (client->is_left && (!context || !overtake(core, context, client, out))) {
        race_abandon(core, client, out);
        return;
    }
    if (!context || context_is_over(context) || !context_read(core, context, now, &req)) {
        context_seek(core, client, now, out); /* which gives it up */
        return;
    }
    locate_sent(core, client, now.boot);
    context_send_by(core, context, client, &req, &way, out);
}
