#include "core/locate.h"

#include "core/connection.h"
#include "core/peer.h"
#include "core/penalty.h"
#include "core/policy.h"

#define HURRY MS(50)               /* for the other family of addresses (RFC 8305 3) */
#define ANSWER_PATIENCE SECONDS(5) /* for what DNS is asked at a time, */
#define NAPTR_PATIENCE SECONDS(2)  /* for what tells nothing that SRV would not, */
#define DEAF_PATIENCE SECONDS(3)   /* and once an answer has not come: a caller hears soon */
#define INVITE_PATIENCE SECONDS(2) /* a server that has not said a word to three copies is left */
#define PLACE_PATIENCE SECONDS(4)  /* to other requests it may, and a connection takes its time */
#define STAGGER MS(250)            /* before another address is tried beside it (RFC 8305 5) */
#define ASIDE_LIMIT 8u

/* What a server that was looked up must prove (resolve_demand). */
struct demand {
    uint8_t target;
    bool has_tlsa;
};

struct lookup {
    struct pool_item item;
    uint32_t client; /* index */
    bool is_awaited; /* its branch has no place, or wants another */
    bool is_hurrying;
    bool is_secluded; /* it led to where its caller may not be led */
    bool is_idle;     /* it was never begun: there is no way to such a host, */
    bool is_barred;   /* or none by that transport to who has to prove itself */
    bool is_dane;     /* only places with TLSA records will do, */
    bool is_unproven; /* and one had none */
    bool is_narrow;   /* none will do but `only` */
    bool is_deaf;     /* an answer was waited for in vain */
    uint8_t widest;   /* enum seclusion */
    uint16_t failed;  /* by what the place tried last did; 0 = none was */
    uint8_t aside_count, aside_given;
    uint8_t rival_count;
    instant due;
    instant patience; /* until then the server of the place tried last is not left for another */
    instant ends;     /* no new place is looked for */
    struct flow tried, only;
    struct flow aside[ASIDE_LIMIT];                    /* places with a penalty */
    struct demand demand, given, demands[ASIDE_LIMIT]; /* of that, the place given last, those */
    struct locate_rival rivals[RACE_LIMIT - 1];
    struct resolve resolve;
};

size_t locate_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct lookup), limits->lookups);
}

void locate_init(struct core *core, struct arena *from)
{
    uint32_t first = (uint32_t)random_next(&core->random);

    assert(core->limits.lookups < 1u << 23);
    pool_init(&core->lookups, from, sizeof(struct lookup), core->limits.lookups, first);
}

bool locate_has_room(const struct core *core, bool is_new)
{
    return core->lookups.live <
           core->lookups.limit - (is_new ? core->lookups.limit / RESERVED_PART : 0);
}

static struct lookup *lookup_of(const struct core *core, const struct client_transaction *client)
{
    assert(client->lookup);
    return pool_at(&core->lookups, client->lookup);
}

static void note(struct core *core, enum locate_sight sight)
{
    core->sights |= 1u << sight;
}

/* ---- beginning */

/* What we have sockets of. */
static void offer_sockets(const struct core *core, struct resolve_wish *wish)
{
    const struct settings *settings = core->settings;

    for (unsigned i = 0; i < settings->socket_count; i++) {
        const struct socket_settings *socket = &settings->sockets[i];
        if (socket->is_gone)
            continue;
        wish->offered |= (uint8_t)(1u << socket->transport);
        if (socket->host.at[0] == '[')
            wish->has_v6 = true;
        else
            wish->has_v4 = true;
    }
}

/* RFC 3263 4: what the URI says; and of whom something must be proven is only sought by TLS. */
static struct resolve_wish wish_of(const struct core *core, const struct locate_aim *aim)
{
    const struct uri *uri = aim->uri;
    struct resolve_wish wish = {
        .port = (uint16_t)uri->port,
        .is_sips = uri->scheme == SCHEME_SIPS || aim->is_secure ||
                   policy_of(core, uri->host, core->now.wall) != POLICY_OPPORTUNISTIC,
    };
    struct slice name;

    wish.is_elsewhere = uri_param(uri, S("maddr"), &wish.host);
    if (!wish.is_elsewhere)
        wish.host = uri->host;
    if (uri_param(uri, S("transport"), &name))
        wish.transport = (uint8_t)transport_of(name);
    offer_sockets(core, &wish);
    return wish;
}

bool locate_begin(struct core *core, struct client_transaction *client,
                  const struct locate_aim *aim, instant now)
{
    struct lookup *lookup = pool_take(&core->lookups);
    struct resolve_wish wish = wish_of(core, aim);

    if (!lookup)
        return false;
    client->lookup = pool_index(&core->lookups, lookup);
    lookup->client = pool_index(&core->clients, client);
    lookup->widest = (uint8_t)aim->widest;
    lookup->ends = now + 64 * T1;
    lookup->due = NEVER;
    if (aim->tried)
        lookup->tried = *aim->tried;
    if (aim->only)
        lookup->only = *aim->only;
    lookup->is_narrow = aim->only;
    lookup->is_dane =
        aim->is_dane || policy_of(core, aim->uri->host, core->now.wall) == POLICY_DANE;
    lookup->is_idle = !resolve_begin(&lookup->resolve, &wish);
    lookup->is_barred = lookup->is_idle && aim->uri->scheme == SCHEME_SIP && wish.is_sips;
    return true;
}

/* ---- questions and answers */

/* The lookup's place and generation, and what it calls its question. */
static uint64_t question_name(const struct core *core, const struct lookup *lookup, uint32_t id)
{
    return (uint64_t)pool_index(&core->lookups, lookup) << 40 |
           (uint64_t)(lookup->item.generation & 0xffffff) << 16 | id;
}

unsigned locate_ask(struct resolve *resolve, uint64_t name, struct actions *out)
{
    struct resolve_question question;
    unsigned last = 0;

    while (resolve_ask(resolve, &question)) {
        size_t start = out->bytes.len;
        assert(question.id <= 0xffff);
        write_slice(&out->bytes, question.name);
        actions_push(out, (struct action){
                              .kind = ACTION_ASK,
                              .ask = {name | question.id, question.type},
                              .bytes = slice_of(out->bytes.at + start, question.name.len),
                          });
        last = question.type;
    }
    return last;
}

static duration answer_patience(const struct lookup *lookup, unsigned type)
{
    return lookup->is_deaf ? DEAF_PATIENCE : type == DNS_NAPTR ? NAPTR_PATIENCE : ANSWER_PATIENCE;
}

static void ask(struct core *core, struct lookup *lookup, instant now, struct actions *out)
{
    unsigned last = locate_ask(&lookup->resolve, question_name(core, lookup, 0), out);

    if (!last)
        return;
    lookup->due = now + answer_patience(lookup, last);
    lookup->is_hurrying = false;
}

struct client_transaction *locate_tell(struct core *core, uint64_t question,
                                       const struct dns_answer *answer)
{
    uint32_t index = (uint32_t)(question >> 40);
    struct lookup *lookup =
        index <= core->lookups.used ? pool_live_at(&core->lookups, index) : NULL;
    uint32_t id = (uint32_t)question & 0xffff;

    if (!lookup || question_name(core, lookup, id) != question) {
        note(core, SIGHT_GONE);
        return NULL;
    }
    resolve_tell(&lookup->resolve, id, answer, &core->random);
    return lookup->is_awaited ? pool_at(&core->clients, lookup->client) : NULL;
}

/* ---- places */

static bool is_same_place(const struct flow *a, const struct flow *b)
{
    return a->transport == b->transport && a->is_v6 == b->is_v6 && a->port == b->port &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

static struct slice domain_of(const struct lookup *lookup)
{
    return slice_of(lookup->resolve.text + lookup->resolve.host.at, lookup->resolve.host.len);
}

struct slice locate_domain(const struct core *core, const struct client_transaction *client)
{
    return domain_of(lookup_of(core, client));
}

/* The domain may have proven itself since this lookup began, perhaps at its first place: from then
 * on nobody is asked in clear for it (core/policy). */
static bool is_too_open(const struct core *core, const struct lookup *lookup,
                        const struct flow *flow)
{
    return !flow_is_secure(flow) &&
           policy_of(core, domain_of(lookup), core->now.wall) != POLICY_OPPORTUNISTIC;
}

/* False for one that is not to be tried at all. */
static bool place_flow(struct core *core, struct lookup *lookup, const struct resolve_place *place,
                       struct flow *flow)
{
    *flow = (struct flow){
        .transport = place->transport,
        .is_v6 = place->address.is_v6,
        .port = place->port,
    };
    memcpy(flow->address, place->address.at, sizeof flow->address);
    if (!flow_choose_socket(core, flow, true) || is_same_place(flow, &lookup->tried) ||
        (lookup->is_narrow && !is_same_place(flow, &lookup->only)) ||
        address_is_many(&place->address) || is_too_open(core, lookup, flow))
        return false;
    if (lookup->is_dane && !place->has_tlsa) {
        lookup->is_unproven = true;
        return false;
    }
    if (address_seclusion(&place->address) <= (enum seclusion)lookup->widest)
        return true;
    lookup->is_secluded = true;
    note(core, SIGHT_SECLUDED);
    return false;
}

static bool put_aside(struct core *core, struct lookup *lookup, const struct flow *flow,
                      instant now)
{
    if (lookup->is_narrow || !penalty_has(core, flow, now) || lookup->aside_count == ASIDE_LIMIT)
        return false;
    lookup->demands[lookup->aside_count] = lookup->given;
    lookup->aside[lookup->aside_count++] = *flow;
    note(core, SIGHT_ASIDE);
    return true;
}

/* Of what DNS has said so far; those with a penalty once there are no others. */
static enum resolve_result next_place(struct core *core, struct lookup *lookup, struct flow *flow,
                                      instant now)
{
    struct resolve_place place;
    enum resolve_result result;

    while ((result = resolve_next(&lookup->resolve, &place)) == RESOLVE_PLACE) {
        lookup->given = (struct demand){place.target, place.has_tlsa};
        if (place_flow(core, lookup, &place, flow) && !put_aside(core, lookup, flow, now))
            return RESOLVE_PLACE;
    }
    while (result == RESOLVE_NONE && lookup->aside_given < lookup->aside_count) {
        unsigned at = lookup->aside_given++;
        lookup->given = lookup->demands[at];
        *flow = lookup->aside[at];
        if ((flow_is_secure(flow) || !lookup->resolve.is_bound) && !is_too_open(core, lookup, flow))
            return RESOLVE_PLACE;
    }
    return result;
}

static void note_end(struct core *core, const struct lookup *lookup)
{
    switch (lookup->resolve.worst) {
    case DNS_BOGUS: note(core, SIGHT_FORGED); break;
    case DNS_FAILED: note(core, SIGHT_FAILED); break;
    default: note(core, SIGHT_NOTHING);
    }
}

/* How long an answer is waited for: shorter, if what is known would do. */
static void set_due(struct lookup *lookup, instant now)
{
    if (lookup->due == NEVER)
        lookup->due = now + ANSWER_PATIENCE;
    if (resolve_may_hurry(&lookup->resolve) && !lookup->is_hurrying) {
        lookup->is_hurrying = true;
        lookup->due = now + HURRY;
    }
    lookup->due = min_u64(lookup->due, lookup->ends);
}

enum resolve_result locate_next(struct core *core, struct client_transaction *client,
                                struct flow *flow, instant now, struct actions *out)
{
    struct lookup *lookup = lookup_of(core, client);
    enum resolve_result result;

    if (lookup->is_idle || now >= lookup->ends)
        return RESOLVE_NONE;
    ask(core, lookup, now, out);
    result = next_place(core, lookup, flow, now);
    ask(core, lookup, now, out);
    lookup->is_awaited = result == RESOLVE_WAIT;
    if (result == RESOLVE_NONE && !lookup->tried.transport)
        note_end(core, lookup);
    else if (result == RESOLVE_WAIT)
        set_due(lookup, now);
    return result;
}

/* ---- other addresses of the same server */

static bool is_of_tried(const struct lookup *lookup, unsigned target)
{
    return lookup->tried.transport && target == lookup->demand.target;
}

/* With a penalty, too, if there are no others: then it is the next of those. */
static bool has_aside(const struct lookup *lookup)
{
    return lookup->resolve.at == lookup->resolve.target_count &&
           lookup->aside_given < lookup->aside_count &&
           is_of_tried(lookup, lookup->demands[lookup->aside_given].target);
}

bool locate_has_sibling(struct core *core, const struct client_transaction *client, instant now)
{
    struct lookup *lookup = lookup_of(core, client);
    struct demand given = lookup->given;
    struct resolve_place place;
    struct flow flow;

    if (lookup->is_narrow || lookup->is_idle || lookup->rival_count == COUNT_OF(lookup->rivals))
        return false;
    while (resolve_peek(&lookup->resolve, &place) && is_of_tried(lookup, place.target)) {
        bool is_fit = place_flow(core, lookup, &place, &flow);
        if (is_fit && !penalty_has(core, &flow, now))
            return true;
        lookup->given = (struct demand){place.target, place.has_tlsa};
        if (is_fit && !put_aside(core, lookup, &flow, now))
            return true;
        lookup->given = given;
        resolve_pass(&lookup->resolve);
    }
    return has_aside(lookup);
}

bool locate_may_race(struct core *core, const struct client_transaction *client, instant now)
{
    const struct lookup *lookup = lookup_of(core, client);

    return lookup->rival_count || locate_has_sibling(core, client, now) ||
           (!lookup->is_narrow && resolve_may_grow(&lookup->resolve));
}

void locate_stagger(struct core *core, const struct client_transaction *client, instant now)
{
    struct lookup *lookup = lookup_of(core, client);
    bool may_go_on = resolve_may_grow(&lookup->resolve) || locate_has_sibling(core, client, now);

    lookup->due = may_go_on ? min_u64(now + STAGGER, lookup->patience) : lookup->patience;
}

bool locate_is_patient(const struct core *core, const struct client_transaction *client,
                       instant now)
{
    return now < lookup_of(core, client)->patience;
}

void locate_add_rival(struct core *core, const struct client_transaction *client,
                      const struct client_transaction *rival)
{
    struct lookup *lookup = lookup_of(core, client);

    assert(lookup->rival_count < COUNT_OF(lookup->rivals));
    lookup->rivals[lookup->rival_count++] = (struct locate_rival){
        .client = pool_handle(&core->clients, rival),
        .place = lookup->tried,
        .target = lookup->demand.target,
        .has_tlsa = lookup->demand.has_tlsa,
    };
    note(core, SIGHT_RIVAL);
}

bool locate_take_rival(struct core *core, const struct client_transaction *client,
                       struct locate_rival *rival)
{
    struct lookup *lookup = lookup_of(core, client);

    if (!lookup->rival_count)
        return false;
    *rival = lookup->rivals[--lookup->rival_count];
    return true;
}

void locate_prefer(struct core *core, const struct client_transaction *client,
                   const struct locate_rival *rival)
{
    struct lookup *lookup = lookup_of(core, client);

    lookup->tried = rival->place;
    lookup->demand = lookup->given = (struct demand){rival->target, rival->has_tlsa};
    lookup->due = lookup->patience;
    note(core, SIGHT_PREFERRED);
}

bool locate_swap_rival(struct core *core, const struct client_transaction *client,
                       const struct client_transaction *rival)
{
    struct lookup *lookup = lookup_of(core, client);
    struct handle wanted = pool_handle(&core->clients, rival);

    for (unsigned i = 0; i < lookup->rival_count; i++) {
        struct locate_rival found = lookup->rivals[i];
        if (found.client.index != wanted.index || found.client.generation != wanted.generation)
            continue;
        lookup->rivals[i] = lookup->rivals[--lookup->rival_count];
        locate_add_rival(core, client, client);
        locate_prefer(core, client, &found);
        return true;
    }
    return false;
}

bool locate_is_narrow(const struct core *core, const struct client_transaction *client)
{
    return client->lookup && lookup_of(core, client)->is_narrow;
}

struct locate_server locate_given(const struct core *core, const struct client_transaction *client)
{
    const struct lookup *lookup = lookup_of(core, client);
    struct peer_plan plan;

    resolve_demand(&lookup->resolve, lookup->given.target, false, &plan);
    return (struct locate_server){plan.server, lookup->given.has_tlsa};
}

void locate_failed(struct core *core, const struct client_transaction *client, unsigned status)
{
    struct lookup *lookup = lookup_of(core, client);

    lookup->failed = (uint16_t)status;
    lookup->due = NEVER; /* the next answer has a patience of its own */
}

/* An INVITE is answered by 100 within 200 ms (RFC 3261 17.2.1), and who is left too early is taken
 * back (core/failover).  Another request is answered perhaps after 3.5 s (RFC 4320 4.1), and a
 * second server that gets it might do it a second time. */
static duration place_patience(const struct client_transaction *client, const struct flow *place)
{
    return client->method == METHOD_INVITE && !flow_is_reliable(place) ? INVITE_PATIENCE
                                                                       : PLACE_PATIENCE;
}

void locate_tried(struct core *core, const struct client_transaction *client,
                  const struct flow *place, instant now)
{
    struct lookup *lookup = lookup_of(core, client);

    note(core, lookup->tried.transport ? SIGHT_NEXT : SIGHT_PLACE);
    if (lookup->given.has_tlsa)
        note(core, SIGHT_BOUND);
    lookup->tried = *place;
    lookup->demand = lookup->given;
    lookup->is_hurrying = lookup->is_awaited = false;
    lookup->due = lookup->patience = now + place_patience(client, place);
}

void locate_sent(struct core *core, const struct client_transaction *client, instant now)
{
    struct lookup *lookup = lookup_of(core, client);

    lookup->is_hurrying = lookup->is_awaited = false; /* it is no longer the next that is wanted */
    lookup->due = lookup->patience = now + place_patience(client, &lookup->tried);
}

void locate_demand(const struct core *core, const struct client_transaction *client,
                   const struct flow *place, struct peer_plan *plan)
{
    const struct lookup *lookup = client->lookup ? lookup_of(core, client) : NULL;

    if (lookup && is_same_place(&lookup->tried, place))
        resolve_demand(&lookup->resolve, lookup->demand.target, lookup->demand.has_tlsa, plan);
}

void locate_calm(struct core *core, const struct client_transaction *client)
{
    lookup_of(core, client)->due = NEVER;
}

instant locate_due(const struct core *core, const struct client_transaction *client)
{
    return client->lookup ? lookup_of(core, client)->due : NEVER;
}

bool locate_expire(struct core *core, const struct client_transaction *client, instant now)
{
    struct lookup *lookup = lookup_of(core, client);

    if (now < lookup->due)
        return false;
    lookup->due = NEVER;
    if (lookup->is_hurrying) {
        lookup->is_hurrying = false;
        resolve_hurry(&lookup->resolve);
        note(core, SIGHT_HURRY);
    } else if (lookup->is_awaited) {
        resolve_give_up(&lookup->resolve, &core->random);
        lookup->is_deaf = true;
        note(core, SIGHT_LATE);
    }
    return true;
}

bool locate_is_withheld(const struct core *core, const struct client_transaction *client)
{
    const struct lookup *lookup = lookup_of(core, client);

    return !lookup->failed && !lookup->is_idle && !lookup->is_secluded && !lookup->is_narrow &&
           resolve_fault(&lookup->resolve).status == 404 &&
           policy_is_remembered(core, domain_of(lookup), core->now.wall);
}

struct fault locate_fault(const struct core *core, const struct client_transaction *client)
{
    const struct lookup *lookup = lookup_of(core, client);
    struct fault fault;

    if (lookup->failed == FAULT_UNPROVEN.status)
        return FAULT_UNPROVEN;
    if (lookup->failed)
        return (struct fault){lookup->failed, NULL};
    if (lookup->is_barred)
        return FAULT_BARRED;
    if (lookup->is_idle)
        return (struct fault){500, "Transport Not Supported"};
    if (lookup->is_secluded)
        return (struct fault){403, "That Domain Leads To A Private Address"};
    fault = resolve_fault(&lookup->resolve);
    if (lookup->is_unproven || (lookup->is_narrow && fault.status == 404)) /* none such place */
        return FAULT_UNPROVABLE;
    return locate_is_withheld(core, client) ? FAULT_WITHHELD : fault;
}

void locate_move(struct core *core, struct client_transaction *from, struct client_transaction *to)
{
    if (!from->lookup)
        return;
    to->lookup = from->lookup;
    from->lookup = 0;
    lookup_of(core, to)->client = pool_index(&core->clients, to);
}

void locate_end(struct core *core, struct client_transaction *client)
{
    if (!client->lookup)
        return;
    pool_give(&core->lookups, lookup_of(core, client));
    client->lookup = 0;
}
