#include "core/anchor.h"

#include "core/caller.h"
#include "core/context.h"
#include "core/dialog.h"
#include "core/fault.h"
#include "core/inside.h"
#include "core/legs_record.h"
#include "core/location.h"
#include "core/oddity.h"
#include "core/record.h"
#include "core/silence.h"
#include "core/transaction.h"
#include "sdp/ice.h"
#include "sip/body.h"

#define GROWTH_RESERVE 1024u /* what forwarding adds beside: as in core/context */

size_t anchor_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct anchor), limits->anchors) + 3 * table_bytes(limits->anchors) +
           MESSAGE_LIMIT + silence_bytes() + 64;
}

void anchor_init(struct core *core, struct arena *from)
{
    const struct media_settings *media = &core->settings->media;
    uint32_t n = core->limits.anchors;

    pool_init(&core->anchors, from, sizeof(struct anchor), n, 1);
    table_init(&core->anchors_by_call, from, n, core->anchors.items, sizeof(struct anchor),
               offsetof(struct anchor, by_call));
    table_init(&core->anchors_by_id, from, n, core->anchors.items, sizeof(struct anchor),
               offsetof(struct anchor, by_id));
    table_init(&core->anchors_by_payer, from, n, core->anchors.items, sizeof(struct anchor),
               offsetof(struct anchor, by_payer));
    core->description = arena_take(from, MESSAGE_LIMIT);
    ports_init(&core->ports, media->first_port, media->last_port, PORT_PAIRS);
    silence_init(core, from);
}

/* ---- finding */

static uint64_t hash_of(const struct core *core, struct slice text)
{
    return hash_bytes(&core->key_table, text);
}

static uint32_t call_hash(uint64_t call, uint64_t caller_tag)
{
    return (uint32_t)(call ^ caller_tag >> 32);
}

struct anchor *anchor_find(const struct core *core, const uint8_t call[16])
{
    uint64_t id;

    memcpy(&id, call, sizeof id);
    for (uint32_t i = table_first(&core->anchors_by_id, (uint32_t)id); i;
         i = table_next(&core->anchors_by_id, i)) {
        struct anchor *anchor = pool_at(&core->anchors, i);
        if (memcmp(anchor->legs.call, call, sizeof anchor->legs.call) == 0)
            return anchor;
    }
    return NULL;
}

static struct anchor *find_dialog(const struct core *core, uint64_t call, uint64_t caller_tag,
                                  uint64_t tag)
{
    for (uint32_t i = table_first(&core->anchors_by_call, call_hash(call, caller_tag)); i;
         i = table_next(&core->anchors_by_call, i)) {
        struct anchor *anchor = pool_at(&core->anchors, i);
        if (anchor->call == call && anchor->caller_tag == caller_tag &&
            legs_have(&anchor->legs, tag))
            return anchor;
    }
    return NULL;
}

/* What a message in a dialog is to the legs. */
struct passage {
    struct anchor *anchor;
    struct legs_message message;
};

/* Of a request in a dialog, or its response, by Call-ID and tags; false if its media is not
 * anchored. */
static bool find_passage(const struct core *core, struct slice call_id, struct slice from_tag,
                         struct slice to_tag, struct passage *p)
{
    uint64_t call, from, to;

    if (!core->anchors.live)
        return false;
    call = hash_of(core, call_id);
    from = hash_of(core, from_tag);
    to = hash_of(core, to_tag);
    p->message = (struct legs_message){.from = LEGS_CALLER, .tag = to};
    p->anchor = find_dialog(core, call, from, to);
    if (!p->anchor) {
        p->message = (struct legs_message){.from = LEGS_CALLEE, .tag = from};
        p->anchor = find_dialog(core, call, to, from);
    }
    return p->anchor != NULL;
}

static bool find_of(const struct core *core, const struct dialog *dialog, struct passage *p)
{
    return find_passage(core, dialog_part(dialog, DIALOG_CALL_ID),
                        dialog_part(dialog, DIALOG_CALLER_TAG),
                        dialog_part(dialog, DIALOG_CALLEE_TAG), p);
}

struct anchor *anchor_of(const struct core *core, const struct dialog *dialog)
{
    struct passage p;

    return find_of(core, dialog, &p) ? p.anchor : NULL;
}

struct dialog *anchor_dialog(const struct core *core, const struct anchor *anchor, unsigned index)
{
    const struct legs_exchange *e = &anchor->legs.with[index];

    return e->is_used ? dialog_hashed(core, anchor->call, anchor->caller_tag, e->tag) : NULL;
}

/* ---- the record */

void anchor_persist(struct core *core, const struct anchor *anchor, struct actions *out)
{
    struct writer *w;

    if (!record_wanted(core))
        return;
    w = record_begin(out, RECORD_MEDIA, anchor->id);
    write_u64(w, anchor->call);
    write_u64(w, anchor->caller_tag);
    write_u64(w, anchor->invite);
    write_u8(w, anchor->branch);
    write_u8(w, anchor->path);
    write_u8(w, anchor->reason);
    write_u8(w, anchor->ice);
    write_u8(w, (uint8_t)(anchor->is_answered | anchor->is_settled << 1 | anchor->has_ice << 2 |
                          anchor->is_late << 3 | anchor->raised << 4 | anchor->is_carried << 5));
    legs_write(w, &anchor->legs);
    write_u64(w, anchor->payer);
    legs_write_clocks(w, &anchor->legs);
    heard_write(w, &anchor->heard.before);
    record_end(out);
}

static void insert(struct core *core, struct anchor *anchor)
{
    uint32_t index = pool_index(&core->anchors, anchor);

    table_insert(&core->anchors_by_call, index, call_hash(anchor->call, anchor->caller_tag));
    table_insert(&core->anchors_by_id, index, (uint32_t)anchor->id);
    if (anchor->payer)
        table_insert(&core->anchors_by_payer, index, (uint32_t)anchor->payer);
    anchor->timer.kind = TIMER_ANCHOR;
}

static void forget(struct core *core, struct anchor *anchor)
{
    uint32_t index = pool_index(&core->anchors, anchor);

    if (anchor->payer)
        table_remove(&core->anchors_by_payer, index);
    timer_clear(&core->timers, &anchor->timer);
    table_remove(&core->anchors_by_call, index);
    table_remove(&core->anchors_by_id, index);
    pool_give(&core->anchors, anchor);
}

static struct anchor *find_id(const struct core *core, uint64_t id)
{
    for (uint32_t i = table_first(&core->anchors_by_id, (uint32_t)id); i;
         i = table_next(&core->anchors_by_id, i)) {
        struct anchor *anchor = pool_at(&core->anchors, i);
        if (anchor->id == id)
            return anchor;
    }
    return NULL;
}

static bool read_anchor(struct reader *r, struct anchor *anchor)
{
    uint8_t flags;

    anchor->call = read_u64(r);
    anchor->caller_tag = read_u64(r);
    anchor->invite = read_u64(r);
    anchor->branch = read_u8(r);
    anchor->path = read_u8(r);
    anchor->reason = read_u8(r);
    anchor->ice = read_u8(r);
    flags = read_u8(r);
    anchor->is_answered = flags & 1;
    anchor->is_settled = flags & 2;
    anchor->has_ice = flags & 4;
    anchor->is_late = flags & 8;
    anchor->raised = flags >> 4 & 1;
    anchor->is_carried = flags & 32; /* older records do not know it */
    if (!legs_read(r, &anchor->legs))
        return false;
    anchor->payer = r->rest.len ? read_u64(r) : 0; /* older records have none, */
    if (r->rest.len)                               /* nor this, */
        legs_read_clocks(r, &anchor->legs);
    if (r->rest.len && !heard_read(r, &anchor->heard.before)) /* nor this */
        return false;
    return !r->failed && anchor->path <= MEDIA_RELAYED && anchor->reason < MEDIA_REASON_COUNT &&
           anchor->ice <= SDP_ICE_STRIPPED && anchor->branch < BRANCH_LIMIT;
}

void anchor_restore(struct core *core, struct reader *r, struct moment now)
{
    uint64_t id = read_u64(r);
    struct anchor *anchor = find_id(core, id);

    if (anchor)
        forget(core, anchor);
    anchor = pool_take(&core->anchors);
    if (!anchor)
        return;
    anchor->id = id;
    if (!read_anchor(r, anchor)) {
        pool_give(&core->anchors, anchor);
        return;
    }
    anchor->answered_at = anchor->agreed_at = now.boot;
    anchor->is_taken_over = true;
    insert(core, anchor);
}

void anchor_restore_end(struct core *core, struct reader *r)
{
    struct anchor *anchor = find_id(core, read_u64(r));

    if (anchor && !r->failed)
        forget(core, anchor);
}

/* ---- changes */

void anchor_change(const struct legs_output *output, struct actions *out)
{
    struct slice changes = {(const char *)output->changes, output->count * sizeof *output->changes};
    size_t start = out->bytes.len;

    if (!output->count)
        return;
    write_slice(&out->bytes, changes);
    actions_push(out, (struct action){
                          .kind = ACTION_LEG,
                          .bytes = slice_of(out->bytes.at + start, changes.len),
                      });
}

/* What was heard of legs that are closed goes into the record that says so. */
static void note_closed(struct anchor *anchor, const struct legs_output *output)
{
    for (unsigned i = 0; i < output->count; i++) {
        if (output->changes[i].kind != LEG_CLOSE)
            continue;
        anchor->has_closed = true;
        heard_close(&anchor->heard, &output->changes[i].key);
    }
}

void anchor_apply(struct core *core, struct anchor *anchor, const struct legs_output *output,
                  struct actions *out)
{
    core->legs_states |= legs_states(&anchor->legs);
    note_closed(anchor, output);
    if (!fault_is(FAULT_LEGS_UNRECORDED))
        anchor_persist(core, anchor, out);
    anchor_change(output, out);
    if (!output->count)
        return;
    anchor->agreed_at = core->now.boot;
    anchor->open_seen = 0;
    silence_watch(core, anchor, core->now.boot);
}

void anchor_close(struct core *core, struct anchor *anchor, struct actions *out)
{
    struct legs_output output;

    legs_end(&anchor->legs, &core->ports, &output);
    if (record_wanted(core)) {
        record_begin(out, RECORD_MEDIA_END, anchor->id);
        record_end(out);
    }
    if (!fault_is(FAULT_LEGS_LEFT))
        anchor_change(&output, out);
    forget(core, anchor);
}

/* ---- the decision */

/* One end, for the decision and for its legs. */
struct party {
    struct address_bytes source;
    struct slice host;  /* what it calls itself by, */
    struct slice other; /* and that as well */
    const struct binding *binding;
    bool is_outside; /* of another domain */
    bool is_written; /* a gateway, or a phone whose address the administrator wrote down */
    bool is_unproven;
    bool is_web;
};

static uint8_t skill_of(const struct party *party)
{
    if (party->is_web)
        return MEDIA_WITH_ICE; /* RFC 8835 3.4: browsers have it, all of them */
    return party->binding ? party->binding->ice : MEDIA_UNSURE;
}

static struct media_end end_of(const struct core *core, const struct party *party)
{
    const struct settings *settings = core->settings;
    const struct subnet *network = access_find(settings->networks, settings->network_count,
                                               party->source.is_v6, party->source.at);

    return (struct media_end){
        .source = party->source,
        .is_translated = media_is_translated(&party->source, party->host) ||
                         media_is_translated(&party->source, party->other),
        .is_outside = party->is_outside,
        .is_web = party->is_web,
        .ice = skill_of(party),
        .site = network ? network->site : 0,
    };
}

static struct slice host_of(struct slice text)
{
    struct uri uri;

    return text.len && uri_parse(text, &uri) ? uri.host : NO_SLICE;
}

static bool is_written(const struct core *core, const struct binding *binding)
{
    return binding && user_is_written(location_user(core, binding));
}

static struct party caller_of(const struct core *core, const struct context *context,
                              const struct request *req)
{
    return (struct party){
        .source = flow_address(&req->flow),
        .host = req->via.host,
        .other = host_of(dialog_contact(&req->message)),
        .binding = context->caller ? location_binding(core, context->caller) : NULL,
        .is_outside = !(context->proof & CALLER_OWN),
        .is_written = context->flags & CONTEXT_WRITTEN,
        .is_unproven = !(context->proof & CALLER_OWN) && !flow_is_reliable(&req->flow),
        .is_web = flow_is_web(&req->flow),
    };
}

static struct party callee_of(const struct core *core, const struct context *context,
                              unsigned index, const struct flow *way)
{
    const struct target *target = &context_targets(context)[index];
    const struct binding *binding =
        target->binding ? location_binding(core, target->binding) : NULL;

    return (struct party){
        .source = flow_address(way),
        .host = binding ? host_of(binding_contact(binding)) : NO_SLICE,
        .binding = binding,
        .is_outside = !target->binding && !target->is_ours,
        .is_written = target->is_ours || is_written(core, binding),
        .is_web = flow_is_web(way),
    };
}

/* Both ends of a branch, and who of them offers. */
struct branch_ends {
    struct party parties[2]; /* by enum legs_side */
    enum legs_side offerer;
    struct slice call_id, caller_tag;
};

static struct media_decision decide(const struct core *core, const struct branch_ends *ends,
                                    const struct sdp *offer, bool is_suspect)
{
    const struct media_settings *media = &core->settings->media;
    const struct media_case c = {
        .offer = offer,
        .offerer = end_of(core, &ends->parties[ends->offerer]),
        .answerer = end_of(core, &ends->parties[!ends->offerer]),
        .mode = media->mode,
        .has_v4 = media->has[0],
        .has_v6 = media->has[1],
        .is_suspect = is_suspect,
    };

    return media_decide(&c);
}

/* The reason why no description need be read; MEDIA_UNDECIDED if there is none. */
static enum media_reason foregone(const struct core *core)
{
    if (core->settings->media.mode == MEDIA_NEVER)
        return MEDIA_SWITCHED_OFF;
    return core->has_relay ? MEDIA_UNDECIDED : MEDIA_NO_RELAY;
}

/* ---- beginning */

/* Whose limit a call counts for: the caller's, or else the callee's. */
static uint64_t payer_of(const struct core *core, const struct branch_ends *ends)
{
    const struct binding *binding = ends->parties[LEGS_CALLER].binding;
    const struct user *user;

    if (!binding)
        binding = ends->parties[LEGS_CALLEE].binding;
    user = binding ? location_user(core, binding) : NULL;
    if (!user || user->kind == USER_GATEWAY || !core->settings->media.user_calls)
        return 0;
    return max_u64(hash_of(core, user_id(user)), 1);
}

/* Calls that count for a payer, those of the last run as well; up to its limit. */
static uint32_t count_paid(const struct core *core, uint64_t payer)
{
    uint32_t count = 0;

    for (uint32_t i = table_first(&core->anchors_by_payer, (uint32_t)payer);
         i && count < core->settings->media.user_calls;
         i = table_next(&core->anchors_by_payer, i)) {
        const struct anchor *anchor = pool_at(&core->anchors, i);
        count += anchor->payer == payer;
    }
    return count;
}

static bool has_room(const struct core *core, uint64_t payer)
{
    const struct media_settings *media = &core->settings->media;

    return (!media->calls || core->anchors.live < media->calls) &&
           (!payer || count_paid(core, payer) < media->user_calls);
}

static struct legs_end legs_end_of(const struct core *core, const struct party *party, bool is_v6)
{
    const struct media_end end = end_of(core, party);

    return (struct legs_end){
        .source = party->source,
        .is_hidden = end.is_translated && !party->is_outside,
        .is_known = !party->is_outside,
        .may_wait = party->is_written,
        .is_unproven = party->is_unproven,
        .is_v6 = is_v6,
    };
}

/* The router may have another address than it had. */
static void learn_outside(const struct core *core, struct legs_relay *relay)
{
    for (unsigned i = 0; i < 2; i++)
        relay->outside[i] = outside_media(core, i);
}

static void begin_legs(struct core *core, struct anchor *anchor, const struct branch_ends *ends,
                       const struct media_decision *decision)
{
    const struct media_settings *media = &core->settings->media;
    bool is_v6[2];
    struct legs_relay relay = {.rate = media->rate};
    struct legs_end legs_ends[2];
    uint64_t call[2] = {anchor->id, random_next(&core->random)};

    is_v6[ends->offerer] = decision->offerer_v6;
    is_v6[!ends->offerer] = decision->answerer_v6;
    for (unsigned i = 0; i < 2; i++) {
        relay.has[i] = media->has[i];
        relay.at[i] = media->own[i];
        legs_ends[i] = legs_end_of(core, &ends->parties[i], is_v6[i]);
    }
    learn_outside(core, &relay);
    legs_begin(&anchor->legs, (const uint8_t *)call, &relay, legs_ends);
}

static struct anchor *open_anchor(struct core *core, const struct context *context, unsigned index,
                                  const struct branch_ends *ends,
                                  const struct media_decision *decision)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    uint64_t payer = payer_of(core, ends);
    struct anchor *anchor = has_room(core, payer) ? pool_take(&core->anchors) : NULL;

    if (!anchor)
        return NULL;
    anchor->id = random_next(&core->random);
    anchor->call = hash_of(core, ends->call_id);
    anchor->caller_tag = hash_of(core, ends->caller_tag);
    anchor->invite = server->key.low;
    anchor->server = pool_handle(&core->servers, server);
    anchor->branch = (uint8_t)index;
    anchor->path = (uint8_t)decision->path;
    anchor->reason = (uint8_t)decision->reason;
    anchor->ice = (uint8_t)decision->ice;
    anchor->has_ice = decision->path == MEDIA_OFFERED;
    core->tally.relayed_peak = (uint32_t)max_u64(core->tally.relayed_peak, core->anchors.live);
    anchor->payer = payer;
    begin_legs(core, anchor, ends, decision);
    insert(core, anchor);
    silence_watch(core, anchor, core->now.boot);
    return anchor;
}

/* ---- descriptions */

/* The description of a message; false if it has none that can be read. */
static bool read_description(const struct message *m, struct sdp *sdp)
{
    struct slice text;

    return m->first[HEADER_CONTENT_TYPE] && body_find_sdp(m, &text) == BODY_SDP &&
           sdp_parse(text, sdp).fault == SDP_FINE;
}

static bool has_ice(const struct sdp *sdp)
{
    for (unsigned i = 0; i < sdp->media_count; i++)
        if (sdp->media[i].has_ice)
            return true;
    return false;
}

/* Where the description goes by, another; false if it would not fit. */
static bool rewrite(struct core *core, const struct anchor *anchor, const struct message *m,
                    const struct legs_message *heard, const struct legs_output *output,
                    struct description *description)
{
    struct writer w = writer_over(core->description, MESSAGE_LIMIT);
    const struct sdp *sdp = heard->sdp;

    if (anchor->is_late && heard->from == anchor->raised)
        sdp_rewrite_raised(&w, sdp, output->places, (enum sdp_ice)anchor->ice);
    else
        sdp_rewrite(&w, sdp, output->places, (enum sdp_ice)anchor->ice);
    if (w.failed || m->bytes.len - sdp->bytes.len + w.len + GROWTH_RESERVE > MESSAGE_LIMIT)
        return false;
    description->at =
        (struct span){(uint16_t)(sdp->bytes.at - m->bytes.at), (uint16_t)sdp->bytes.len};
    description->text = writer_slice(&w);
    return true;
}

/* Takes a description in.  LEGS_CROSSED: it passes as it is. */
static enum legs_verdict hear(struct core *core, struct anchor *anchor, const struct message *m,
                              const struct legs_message *heard, struct description *description,
                              struct actions *out)
{
    struct legs before = anchor->legs;
    struct legs_output output;
    enum legs_verdict verdict;

    ports_wake(&core->ports, core->now.boot);
    verdict = legs_hear(&anchor->legs, &core->ports, &core->random, heard, &output);
    if (memcmp(&before, &anchor->legs, sizeof before) != 0)
        anchor_apply(core, anchor, &output, out);
    if (heard->carrier != LEGS_RESPONSE) /* the answer may close legs */
        silence_look(core, anchor, out);
    if (verdict == LEGS_REWRITE && !rewrite(core, anchor, m, heard, &output, description))
        return LEGS_FULL;
    return verdict;
}

/* What cannot be refused has no place in the relay: its calls end, and are none without sound. */
static void break_anchor(struct core *core, struct anchor *anchor)
{
    if (anchor->is_broken)
        return;
    anchor->is_broken = true;
    core->tally.broken++;
    if (anchor->is_answered)
        timer_set(&core->timers, &anchor->timer, core->now.boot + BREAK_AFTER);
}

/* ---- an INVITE that begins a call */

static void note_skill(const struct party *party, const struct core *core, const struct sdp *sdp)
{
    struct binding *binding = party->binding ? location_binding(core, party->binding->id) : NULL;

    if (binding)
        binding->ice = has_ice(sdp) ? MEDIA_WITH_ICE : MEDIA_WITHOUT_ICE;
}

/* Decides for a branch whose session is offered by this message; NULL if it needs no anchor, or
 * cannot have one. */
static struct anchor *decide_branch(struct core *core, struct context *context, unsigned index,
                                    const struct branch_ends *ends, const struct sdp *offer,
                                    bool is_suspect)
{
    struct target *target = &context_targets(context)[index];
    struct media_decision decision = decide(core, ends, offer, is_suspect);
    struct anchor *anchor;

    target->media = (uint8_t)decision.reason;
    target->media_path = (uint8_t)decision.path;
    note_skill(&ends->parties[ends->offerer], core, offer);
    if (decision.path == MEDIA_DIRECT)
        return NULL;
    anchor = open_anchor(core, context, index, ends, &decision);
    if (anchor)
        target->anchor = pool_handle(&core->anchors, anchor);
    return anchor;
}

/* It may be another server of the same domain than was asked before (core/failover): as long as
 * nobody has answered, it is told of the relay by the family that it has. */
static void aim_at(struct anchor *anchor, const struct flow *way)
{
    if (legs_count(&anchor->legs))
        return;
    anchor->legs.ends[LEGS_CALLEE].source = flow_address(way);
    anchor->legs.ends[LEGS_CALLEE].is_v6 = anchor->legs.ends[LEGS_CALLEE].source.is_v6;
}

/* What the branch goes by was decided; but where a crash came before its anchor was in the journal,
 * it was not sent either. */
static bool is_decided(const struct core *core, const struct target *target)
{
    return pool_get(&core->anchors, target->anchor) ||
           (target->media && target->media_path == MEDIA_DIRECT);
}

bool anchor_is_due(const struct core *core, const struct context *context, unsigned index,
                   const struct message *request)
{
    const struct target *target = &context_targets(context)[index];
    bool is_in_dialog = address_tag(message_first(request, HEADER_TO)).len > 0;

    return !is_decided(core, target) && request->first[HEADER_CONTENT_TYPE] &&
           (!is_in_dialog || target->media_path != MEDIA_DIRECT);
}

static void decide_initial(struct core *core, struct context *context, unsigned index,
                           const struct flow *way, const struct request *req)
{
    struct target *target = &context_targets(context)[index];
    const struct branch_ends ends = {
        {caller_of(core, context, req), callee_of(core, context, index, way)},
        LEGS_CALLER,
        req->call_id,
        req->from_tag};
    struct sdp sdp;

    context->flags |= CONTEXT_OFFERED;
    if (read_description(&req->message, &sdp)) {
        decide_branch(core, context, index, &ends, &sdp, silence_suspects(core, context, index));
    } else {
        target->media = MEDIA_UNREADABLE;
        target->media_path = MEDIA_DIRECT;
    }
}

/* A phone of ours whose signalling comes from another network than when the dialog began.  One with
 * several flows may have its media where it was, or of the other family. */
static bool has_moved(const struct end *end, const struct address_bytes *now,
                      const struct sdp *offer)
{
    struct address_bytes then = flow_address(&end->flow);
    const struct sdp_connection *c;

    if (!end->binding || !offer->media_count)
        return false;
    c = sdp_connection(offer, 0);
    if (address_equal(&c->address, &then))
        return false;
    return then.is_v6 == now->is_v6 || c->address.is_v6 == now->is_v6;
}

static enum legs_side sender_of(const struct request *req)
{
    return req->direction == COOKIE_TO_CALLEE ? LEGS_CALLER : LEGS_CALLEE;
}

/* Both ends of a dialog, as this request shows them. */
static struct branch_ends ends_in_dialog(const struct core *core, const struct request *req,
                                         const struct flow *way)
{
    const struct end *from = inside_from(req), *to = inside_to(req);
    const struct binding *here = from->binding ? location_binding(core, from->binding) : NULL;
    const struct binding *there = to->binding ? location_binding(core, to->binding) : NULL;
    enum legs_side sender = sender_of(req);
    struct branch_ends ends = {
        .offerer = sender,
        .call_id = req->call_id,
        .caller_tag = sender == LEGS_CALLER ? req->from_tag : req->to_tag,
    };

    ends.parties[sender] = (struct party){
        .source = flow_address(&req->flow),
        .host = req->via.host,
        .other = host_of(dialog_contact(&req->message)),
        .binding = here,
        .is_outside = !from->binding,
        .is_written = is_written(core, here),
        .is_web = flow_is_web(&req->flow),
    };
    ends.parties[!sender] = (struct party){
        .source = flow_address(way),
        .host = there ? host_of(binding_contact(there)) : NO_SLICE,
        .binding = there,
        .is_outside = !to->binding,
        .is_written = is_written(core, there),
        .is_web = flow_is_web(way),
    };
    return ends;
}

/* The offer comes in a dialog without an anchor, from elsewhere than at its beginning. */
static bool is_new_case(const struct core *core, const struct request *req, struct sdp *sdp)
{
    const struct end *from = inside_from(req);
    const struct address_bytes now = flow_address(&req->flow), then = flow_address(&from->flow);
    struct passage p;

    return !address_equal(&now, &then) &&
           dialog_find(core, req->call_id, req->from_tag, req->to_tag).index &&
           !find_passage(core, req->call_id, req->from_tag, req->to_tag, &p) &&
           read_description(&req->message, sdp) && !sdp_ice_is_concluded(sdp) &&
           has_moved(from, &now, sdp);
}

/* Of all other offers in dialogs nothing is decided, and nothing recorded: what went directly goes
 * on so. */
static bool decide_in_dialog(struct core *core, struct context *context, unsigned index,
                             const struct flow *way, const struct request *req)
{
    struct target *target = &context_targets(context)[index];
    struct branch_ends ends;
    struct anchor *anchor;
    struct sdp sdp;

    if (!way || req->direction == COOKIE_INVALID || !req->message.first[HEADER_CONTENT_TYPE])
        return false;
    if (foregone(core) || !is_new_case(core, req, &sdp)) {
        target->media_path = MEDIA_DIRECT; /* whatever it was before a crash */
        return false;
    }
    ends = ends_in_dialog(core, req, way);
    anchor = decide_branch(core, context, index, &ends, &sdp, false);
    if (anchor) {
        anchor->is_answered = anchor->is_settled = anchor->is_late = true;
        anchor->answered_at = core->now.boot;
        anchor->raised = !ends.offerer;
    }
    return req->message.method == METHOD_INVITE;
}

/* It begins a session, or may change one (RFC 3261 14, RFC 3311). */
static bool may_offer(const struct request *req)
{
    return req->message.method == METHOD_INVITE ||
           (req->message.method == METHOD_UPDATE && req->to_tag.len);
}

bool anchor_decide(struct core *core, struct context *context, unsigned index,
                   const struct flow *way, const struct request *req)
{
    struct target *target = &context_targets(context)[index];
    uint8_t media = target->media, path = target->media_path;
    enum media_reason reason;

    if (!may_offer(req) || is_decided(core, target))
        return false;
    if (req->to_tag.len)
        return decide_in_dialog(core, context, index, way, req);
    reason = foregone(core);
    if (reason) {
        target->media = (uint8_t)reason;
        target->media_path = MEDIA_DIRECT;
        if (req->message.first[HEADER_CONTENT_TYPE])
            context->flags |= CONTEXT_OFFERED;
    } else if (way && req->message.first[HEADER_CONTENT_TYPE]) {
        decide_initial(core, context, index, way, req);
    }
    return target->media != media || target->media_path != path;
}

static bool request_initial(struct core *core, struct context *context, unsigned index,
                            const struct flow *way, const struct request *req,
                            struct description *description, struct actions *out)
{
    const struct target *target = &context_targets(context)[index];
    struct anchor *anchor = pool_get(&core->anchors, target->anchor);
    struct legs_message heard = {.from = LEGS_CALLER, .number = req->cseq.number};
    struct sdp sdp;

    if (!req->message.first[HEADER_CONTENT_TYPE])
        return true;
    if (!anchor) {
        core->tally.unrelayed += target->media_path != MEDIA_DIRECT;
        return target->media_path == MEDIA_DIRECT;
    }
    context->flags |= CONTEXT_OFFERED;
    if (!read_description(&req->message, &sdp))
        return true;
    aim_at(anchor, way);
    heard.sdp = &sdp;
    if (hear(core, anchor, &req->message, &heard, description, out) != LEGS_FULL)
        return true;
    core->tally.unrelayed++;
    anchor_close(core, anchor, out);
    return false;
}

/* ---- in a dialog */

/* Who sends in a dialog knows its tags, which were sent to where it came from; a domain may have
 * several servers that do. */
static void prove(struct core *core, const struct passage *p, struct actions *out)
{
    struct legs_output output;

    if (!p->anchor->legs.ends[p->message.from].is_unproven)
        return;
    legs_prove(&p->anchor->legs, p->message.from, &output);
    anchor_apply(core, p->anchor, &output, out);
}

/* Signalling comes from elsewhere: so will packets.  A server of another domain may have several
 * addresses. */
static void meet(struct core *core, const struct passage *p, const struct flow *flow,
                 struct actions *out)
{
    struct address_bytes source = flow_address(flow);
    struct legs_output output;

    prove(core, p, out);
    if (!p->anchor->legs.ends[p->message.from].is_known)
        return;
    legs_meet(&p->anchor->legs, p->message.from, &source, &output);
    if (output.count)
        anchor_apply(core, p->anchor, &output, out);
}

/* The offer that it began with was refused: a call that went directly goes on so. */
static bool end_refused(struct core *core, struct anchor *anchor, struct actions *out)
{
    if (!anchor->is_late || !legs_are_idle(&anchor->legs))
        return false;
    anchor_close(core, anchor, out);
    return true;
}

/* ICE looks for a way again, and may find another than by us. */
static void doubt_way(struct core *core, struct anchor *anchor, struct actions *out)
{
    bool was_carried = anchor->is_carried;

    if (!anchor->has_ice)
        return;
    anchor->is_carried = false;
    anchor->agreed_at = core->now.boot;
    if (was_carried)
        anchor_persist(core, anchor, out);
}

/* ICE has found the way, by us or by another, and the description says which: there it stays.  Its
 * answer passes as well. */
static bool is_found(const struct anchor *anchor, const struct sdp *sdp)
{
    return anchor->ice == SDP_ICE_KEPT && anchor->has_ice && sdp_ice_is_concluded(sdp);
}

/* The anchor that begins with this request; false if there is none. */
static bool find_begun(const struct core *core, const struct target *target,
                       const struct request *req, struct passage *p)
{
    enum legs_side sender = sender_of(req);
    struct slice callee_tag = sender == LEGS_CALLER ? req->to_tag : req->from_tag;

    *p = (struct passage){
        .anchor = pool_get(&core->anchors, target->anchor),
        .message = {.from = sender, .tag = hash_of(core, callee_tag), .is_final = true},
    };
    return p->anchor != NULL;
}

static bool request_in_dialog(struct core *core, struct context *context, unsigned index,
                              const struct request *req, struct description *description,
                              struct actions *out)
{
    const struct target *target = &context_targets(context)[index];
    struct passage p;
    struct sdp sdp;

    if (!find_passage(core, req->call_id, req->from_tag, req->to_tag, &p) &&
        !find_begun(core, target, req, &p)) {
        core->tally.unrelayed += target->media_path != MEDIA_DIRECT;
        return target->media_path == MEDIA_DIRECT;
    }
    meet(core, &p, &req->flow, out);
    if (!req->message.first[HEADER_CONTENT_TYPE])
        return true;
    context->flags |= CONTEXT_OFFERED;
    if (!read_description(&req->message, &sdp))
        return true;
    doubt_way(core, p.anchor, out);
    if (is_found(p.anchor, &sdp))
        return true;
    p.message.carrier = req->message.method == METHOD_PRACK ? LEGS_COMPLETION : LEGS_REQUEST;
    p.message.number = req->cseq.number;
    p.message.sdp = &sdp;
    context->anchor = pool_handle(&core->anchors, p.anchor);
    context->offer_tag = p.message.tag;
    context->offer_number = req->cseq.number;
    context->offer_side = (uint8_t)p.message.from;
    if (!legs_have_offer(&p.anchor->legs, &p.message))
        learn_outside(core, &p.anchor->legs.relay);
    if (hear(core, p.anchor, &req->message, &p.message, description, out) != LEGS_FULL)
        return true;
    end_refused(core, p.anchor, out);
    return false;
}

bool anchor_request(struct core *core, struct context *context, unsigned index,
                    const struct flow *way, const struct request *req,
                    struct description *description, struct actions *out)
{
    enum method method = req->message.method;

    if (method != METHOD_INVITE && method != METHOD_UPDATE && method != METHOD_PRACK)
        return true;
    if (req->to_tag.len)
        return request_in_dialog(core, context, index, req, description, out);
    return method != METHOD_INVITE ||
           request_initial(core, context, index, way, req, description, out);
}

void anchor_ack(struct core *core, const struct request *req, struct description *description,
                struct actions *out)
{
    struct passage p;
    struct sdp sdp;

    if (!find_passage(core, req->call_id, req->from_tag, req->to_tag, &p))
        return;
    prove(core, &p, out);
    if (!req->message.first[HEADER_CONTENT_TYPE] || !read_description(&req->message, &sdp))
        return;
    doubt_way(core, p.anchor, out);
    p.message.carrier = LEGS_COMPLETION;
    p.message.sdp = &sdp;
    if (hear(core, p.anchor, &req->message, &p.message, description, out) == LEGS_FULL)
        break_anchor(core, p.anchor);
}

/* ---- responses */

/* A late offer: the answer to an INVITE that had none.  After a restart that is decided for the
 * first time, or as before. */
static struct anchor *decide_late(struct core *core, struct context *context, unsigned index,
                                  const struct flow *way, const struct message *response)
{
    struct target *target = &context_targets(context)[index];
    struct anchor *anchor;
    struct request req;
    struct sdp sdp;

    if (context->flags & CONTEXT_OFFERED || target->media || !context->request.at ||
        !context_read(core, context, core->now, &req) || req.message.first[HEADER_CONTENT_TYPE])
        return NULL;
    target->media = (uint8_t)foregone(core);
    if (target->media || !read_description(response, &sdp))
        return NULL;
    const struct branch_ends ends = {
        {caller_of(core, context, &req), callee_of(core, context, index, way)},
        LEGS_CALLEE,
        req.call_id,
        req.from_tag};
    anchor =
        decide_branch(core, context, index, &ends, &sdp, silence_suspects(core, context, index));
    if (!anchor && target->media_path != MEDIA_DIRECT) {
        target->media = MEDIA_RELAY_FULL;
        target->media_path = MEDIA_DIRECT;
        core->tally.broken++;
    }
    return anchor;
}

/* That found no room. */
static bool is_turned_away(const struct server_transaction *server, const struct context *context,
                           const struct client_transaction *client)
{
    return server->is_initial && context && !client->is_remembered &&
           context_targets(context)[client->branch].media == MEDIA_RELAY_FULL;
}

/* The anchor of an INVITE's branch whose context has gone: a 2xx again, or a late one. */
static struct anchor *find_branch(const struct core *core, const struct server_transaction *server,
                                  unsigned index, uint64_t call, uint64_t caller_tag)
{
    for (uint32_t i = table_first(&core->anchors_by_call, call_hash(call, caller_tag)); i;
         i = table_next(&core->anchors_by_call, i)) {
        struct anchor *anchor = pool_at(&core->anchors, i);
        if (anchor->call == call && anchor->caller_tag == caller_tag &&
            anchor->invite == server->key.low && anchor->branch == index)
            return anchor;
    }
    return NULL;
}

/* The same, where it is not known which branch that was: the one with this To tag, or else one that
 * was answered. */
static struct anchor *find_remembered(const struct core *core,
                                      const struct server_transaction *server, uint64_t call,
                                      uint64_t caller_tag, uint64_t tag)
{
    struct anchor *anchor = find_dialog(core, call, caller_tag, tag);

    for (unsigned i = 0; !anchor && i < BRANCH_LIMIT; i++) {
        anchor = find_branch(core, server, i, call, caller_tag);
        if (anchor && !anchor->is_answered)
            anchor = NULL;
    }
    return anchor;
}

static bool find_answered(struct core *core, const struct server_transaction *server,
                          struct context *context, const struct client_transaction *client,
                          const struct message *response, struct passage *p)
{
    struct slice call_id = message_first(response, HEADER_CALL_ID);
    struct slice from_tag = address_tag(message_first(response, HEADER_FROM));
    struct slice to_tag = address_tag(message_first(response, HEADER_TO));

    if (!server->is_initial) {
        if (!find_passage(core, call_id, from_tag, to_tag, p))
            return false;
        p->message.from = p->message.from == LEGS_CALLER ? LEGS_CALLEE : LEGS_CALLER;
        return true;
    }
    *p = (struct passage){.message = {.from = LEGS_CALLEE, .tag = hash_of(core, to_tag)}};
    if (context && !client->is_remembered) {
        p->anchor = pool_get(&core->anchors, context_targets(context)[client->branch].anchor);
        if (!p->anchor)
            p->anchor = decide_late(core, context, client->branch, &client->flow, response);
    } else if (core->anchors.live) {
        uint64_t call = hash_of(core, call_id), caller = hash_of(core, from_tag);
        p->anchor = client->is_remembered
                        ? find_remembered(core, server, call, caller, p->message.tag)
                        : find_branch(core, server, client->branch, call, caller);
    }
    return p->anchor && to_tag.len;
}

/* The first 2xx: from now on its silence counts. */
static void note_answered(struct core *core, struct anchor *anchor)
{
    if (anchor->is_answered)
        return;
    anchor->is_answered = true;
    core->tally.relayed++;
    anchor->answered_at = core->now.boot;
    silence_watch(core, anchor, core->now.boot);
}

/* Who answers may be another server than was asked first (core/failover). */
static void meet_answerer(struct core *core, struct anchor *anchor, const struct flow *flow,
                          struct actions *out)
{
    struct address_bytes source = flow_address(flow);
    struct legs_output output;

    legs_meet(&anchor->legs, LEGS_CALLEE, &source, &output);
    if (output.count)
        anchor_apply(core, anchor, &output, out);
}

/* The call's record says by which way it goes from now on. */
static void note_late(struct core *core, const struct passage *p, struct actions *out)
{
    struct dialog *dialog =
        dialog_hashed(core, p->anchor->call, p->anchor->caller_tag, p->message.tag);

    core->tally.relayed +=
        dialog && dialog_lead(core, dialog, p->anchor->path, p->anchor->reason, out);
}

static void accept_silently(struct core *core, const struct passage *p, struct actions *out)
{
    struct legs_output output;

    legs_accept(&p->anchor->legs, p->message.tag, &output);
    anchor_apply(core, p->anchor, &output, out);
}

bool anchor_response(struct core *core, const struct server_transaction *server,
                     struct context *context, const struct client_transaction *client,
                     const struct message *response, struct description *description,
                     struct actions *out)
{
    bool is_final = client->method == METHOD_INVITE && response->status >= 200;
    struct passage p;
    struct sdp sdp;

    if ((client->is_left && client->is_direct) ||
        (client->method != METHOD_INVITE && client->method != METHOD_UPDATE &&
         client->method != METHOD_PRACK) ||
        response->status >= 300 || (!response->first[HEADER_CONTENT_TYPE] && !is_final))
        return true;
    if (!find_answered(core, server, context, client, response, &p))
        return !is_final || !is_turned_away(server, context, client);
    if (context && context->flags & CONTEXT_OFFERED && !server->is_initial &&
        !pool_get(&core->anchors, context->anchor))
        return true; /* the answer to an offer that passed as it was */
    p.message.is_final = is_final;
    p.message.number = response->cseq.number;
    p.message.carrier = context && !(context->flags & CONTEXT_OFFERED) ? LEGS_LATE : LEGS_RESPONSE;
    if (context && server->is_initial && !client->is_remembered)
        meet_answerer(core, p.anchor, &client->flow, out);
    if (is_final)
        note_answered(core, p.anchor);
    if (!read_description(response, &sdp)) {
        if (is_final)
            accept_silently(core, &p, out);
        return !is_final || !p.anchor->is_broken;
    }
    p.message.sdp = &sdp;
    if (!has_ice(&sdp))
        p.anchor->has_ice = false;
    doubt_way(core, p.anchor, out);
    if (p.message.carrier == LEGS_LATE && !legs_have_offer(&p.anchor->legs, &p.message))
        learn_outside(core, &p.anchor->legs.relay);
    if (hear(core, p.anchor, response, &p.message, description, out) == LEGS_FULL &&
        response->status >= 200) /* who only rings may not be the one who answers */
        break_anchor(core, p.anchor);
    if (p.anchor->is_late && legs_are_agreed(&p.anchor->legs))
        note_late(core, &p, out);
    return !is_final || !p.anchor->is_broken;
}

/* ---- ends */

void anchor_fail(struct core *core, struct context *context, unsigned index, struct actions *out)
{
    struct anchor *anchor = pool_get(&core->anchors, context_targets(context)[index].anchor);

    if (anchor && !anchor->is_answered)
        anchor_close(core, anchor, out);
}

/* By which its offer is known, m->sdp aside. */
static struct legs_message offer_of(const struct context *context)
{
    return (struct legs_message){
        .from = (enum legs_side)context->offer_side,
        .tag = context->offer_tag,
        .number = context->offer_number,
    };
}

void anchor_refuse(struct core *core, struct context *context, struct actions *out)
{
    struct anchor *anchor = pool_get(&core->anchors, context->anchor);
    const struct legs_message m = offer_of(context);
    struct legs_output output;

    if (!anchor)
        return;
    legs_refuse(&anchor->legs, &core->ports, &m, &output);
    if (!end_refused(core, anchor, out))
        anchor_apply(core, anchor, &output, out);
}

void anchor_leave(struct core *core, const struct dialog *dialog, struct actions *out)
{
    struct legs_output output;
    struct passage p;

    if (!find_of(core, dialog, &p))
        return;
    if (legs_count(&p.anchor->legs) == 1) { /* who else might answer yet is on its own */
        anchor_close(core, p.anchor, out);
        return;
    }
    legs_leave(&p.anchor->legs, &core->ports, p.message.tag, &output);
    anchor_apply(core, p.anchor, &output, out);
}

/* ---- the start */

/* The branch of a restored INVITE that an anchor belongs to. */
static struct context *context_of(struct core *core, struct anchor *anchor)
{
    for (uint32_t i = table_first(&core->servers_by_key, (uint32_t)anchor->invite); i;
         i = table_next(&core->servers_by_key, i)) {
        struct server_transaction *server = pool_at(&core->servers, i);
        if (server->key.low != anchor->invite)
            continue;
        anchor->server = pool_handle(&core->servers, server);
        return server->context ? pool_at(&core->contexts, server->context) : NULL;
    }
    return NULL;
}

/* An UPDATE has no image: what one offered just before the crash must not stand in the way of later
 * offers. */
static void forget_offers(struct core *core)
{
    for (uint32_t i = 1; i <= core->contexts.used; i++) {
        const struct context *context = pool_live_at(&core->contexts, i);
        struct anchor *anchor = context ? pool_get(&core->anchors, context->anchor) : NULL;
        struct legs_message offer;
        if (!anchor)
            continue;
        offer = offer_of(context);
        anchor->is_offered |=
            legs_have_offer(&anchor->legs, &offer); /* it may have crossed another */
    }
    for (uint32_t i = 1; i <= core->anchors.used; i++) {
        struct anchor *anchor = pool_live_at(&core->anchors, i);
        if (anchor && !anchor->is_offered)
            legs_forget_offers(&anchor->legs, &core->ports);
    }
}

void anchor_start(struct core *core, struct moment now, struct actions *out)
{
    for (uint32_t i = 1; i <= core->anchors.used; i++) {
        struct anchor *anchor = pool_live_at(&core->anchors, i);
        struct context *context = anchor ? context_of(core, anchor) : NULL;
        if (!anchor)
            continue;
        legs_claim(&anchor->legs, &core->ports);
        if (anchor->is_late && !context && !legs_are_agreed(&anchor->legs)) {
            anchor_close(core, anchor, out); /* it began with an UPDATE, which has no image */
            continue;
        }
        if (context && anchor->branch < context->target_count)
            context_targets(context)[anchor->branch].anchor = pool_handle(&core->anchors, anchor);
        silence_watch(core, anchor, now.boot);
    }
    if (!core->anchors.live)
        return;
    context_compose_again(core, now, out);
    forget_offers(core);
}
