#include "core/registrar.h"

#include "core/fault.h"
#include "core/gruu.h"
#include "core/location.h"
#include "core/realm.h"
#include "core/recall.h"
#include "core/reply.h"
#include "core/wishes.h"
#include "sip/date.h"

static bool is_same_flow(const struct binding *binding, const struct wish *wish)
{
    return binding->reg_id == wish->reg_id &&
           slice_equal_nocase(binding_instance(binding), wish->instance);
}

static bool is_same_contact(const struct binding *binding, const struct wish *wish)
{
    struct uri bound;

    return uri_parse(binding_contact(binding), &bound) && uri_equal(&bound, &wish->uri);
}

/* The binding that a Contact names: by instance and reg-id (RFC 5626 6), whatever its URI; without
 * them by URI (10.3 step 7), and so too one that was made before the phone gave its instance. */
static struct binding *find_binding(struct core *core, const struct user *user,
                                    const struct wish *wish)
{
    if (wish->reg_id)
        for (struct binding *b = location_first(core, user); b; b = location_next(core, b))
            if (is_same_flow(b, wish))
                return b;
    for (struct binding *b = location_first(core, user); b; b = location_next(core, b))
        if ((!wish->reg_id || !b->reg_id) && is_same_contact(b, wish))
            return b;
    return NULL;
}

/* The same REGISTER again: what it asks for has been done, but it may come from where the phone is
 * now. */
static bool is_copy(const struct request *req, const struct binding *binding)
{
    return slice_equal(binding_call_id(binding), req->call_id) && req->cseq.number == binding->cseq;
}

/* What the binding says already. */
static bool is_identical(const struct wish *wish, const struct wishes *wishes,
                         const struct binding *binding)
{
    return wish->expires && wish->q == binding->q && is_same_flow(binding, wish) &&
           slice_equal(binding_contact(binding), wish->uri_text) &&
           slice_equal(binding_path(binding), wishes->path);
}

/* 10.3 step 7: of one Call-ID, a lower CSeq comes too late, and so does the same, unless it is a
 * copy of what was already done. */
static bool is_late(const struct request *req, const struct binding *binding)
{
    return slice_equal(binding_call_id(binding), req->call_id) && req->cseq.number < binding->cseq;
}

/* A removal is a promise without an end: it cannot be made while the journal may still hold what
 * was removed. */
static bool has_removal(const struct wishes *wishes)
{
    for (unsigned i = 0; i < wishes->count; i++)
        if (!wishes->at[i].expires)
            return true;
    return wishes->all;
}

/* All changes are made or none (10.3 step 7): there must be room for all of their texts; for those
 * of new bindings without the part that is kept for calls that stand. */
static bool has_room(const struct core *core, const struct request *req,
                     const struct wishes *wishes, bool is_new)
{
    const struct arena *text = &core->slab.arena;
    size_t all = 0;

    for (unsigned i = 0; i < wishes->count; i++)
        all += wishes->at[i].uri_text.len + wishes->at[i].instance.len + req->call_id.len +
               wishes->path.len;
    if (is_new && core->slab.live + all > text->limit - text->limit / RESERVED_PART)
        return false;
    return wishes->count <= 1 ? slab_has_room(&core->slab, all)
                              : text->limit - text->used > 2 * all;
}

/* Where fewer are allowed than at the last start, those that were made then stay, and may be
 * refreshed. */
static bool are_too_many(const struct core *core, unsigned added)
{
    uint64_t most = min_u64(core->limits.registered, core->limits.bindings);

    return added && (uint64_t)core->bindings.live + recall_owed(core) + added > most;
}

static struct fault check_order(struct core *core, const struct request *req,
                                const struct wishes *wishes)
{
    const struct fault late = {500, "Out Of Order"};
    unsigned added = 0;

    if (core->is_recovering && has_removal(wishes))
        return (struct fault){503, NULL};
    if (wishes->all)
        for (struct binding *b = location_first(core, req->sender); b; b = location_next(core, b))
            if (is_late(req, b) || is_copy(req, b))
                return late;
    for (unsigned i = 0; i < wishes->count; i++) {
        const struct wish *wish = &wishes->at[i];
        const struct binding *binding = find_binding(core, req->sender, wish);
        if (binding && (is_late(req, binding) ||
                        (is_copy(req, binding) && !is_identical(wish, wishes, binding))))
            return late;
        added += !binding && wish->expires;
    }
    if (req->sender->binding_count + added > BINDINGS_PER_AOR)
        return wishes_too_many;
    if (are_too_many(core, added) || !has_room(core, req, wishes, added))
        return (struct fault){503, NULL};
    return NO_FAULT;
}

/* A copy of a request may be done again if the bindings say that it was not yet, or that it changes
 * nothing.  Where they do not, it may have been done and undone since. */
static bool is_safe_again(struct core *core, const struct request *req, const struct wishes *wishes)
{
    if (wishes->all)
        return !req->sender->binding_count;
    for (unsigned i = 0; i < wishes->count; i++) {
        const struct binding *binding = find_binding(core, req->sender, &wishes->at[i]);
        bool is_next = binding && slice_equal(binding_call_id(binding), req->call_id);
        if (!is_next && (binding || wishes->at[i].expires))
            return false;
    }
    return true;
}

static void unbind_all(struct core *core, const struct request *req, struct actions *out)
{
    struct binding *next;

    for (struct binding *b = location_first(core, req->sender); b; b = next) {
        next = location_next(core, b);
        location_unbind(core, b, S("removed"), out);
    }
}

/* What the phone wrote into its Via is not where it came from: NAT lies between. */
static bool via_is_elsewhere(const struct request *req)
{
    struct address_bytes address;

    return !host_numeric(req->via.host, &address) || address.is_v6 != req->flow.is_v6 ||
           memcmp(address.at, req->flow.address, sizeof address.at) != 0 ||
           (req->via.port ? req->via.port : transport_port(req->via.transport)) != req->flow.port;
}

static bool apply(struct core *core, const struct request *req, const struct wishes *wishes,
                  const struct wish *wish, struct actions *out)
{
    /* Looked up anew: two Contacts of one request may be the same URI. */
    struct binding *binding = find_binding(core, req->sender, wish);

    if (!wish->expires) {
        if (binding)
            location_unbind(core, binding, S("removed"), out);
        return true;
    }
    if (binding && is_copy(req, binding) && flow_equal(&binding->flow, &req->flow))
        return true;
    return location_bind(core, req->sender, binding,
                         &(struct binding_request){
                             .contact = wish->uri_text,
                             .call_id = req->call_id,
                             .cseq = req->cseq.number,
                             .q = wish->q,
                             .path = wishes->path,
                             .instance = wish->instance,
                             .reg_id = wish->reg_id,
                             .flow = req->flow,
                             .expires = wish->expires,
                             .is_behind_nat = via_is_elsewhere(req),
                             .keeps_itself = wish->reg_id > 0,
                         },
                         req->now, out);
}

/* RFC 5626 6, RFC 5627 5.3 */
static void write_instance(struct core *core, const struct binding *binding, const struct uri *aor,
                           struct writer *w)
{
    if (!binding->instance_len)
        return;
    write_slice(w, S(";+sip.instance="));
    write_slice(w, binding_instance(binding));
    if (binding->reg_id) {
        write_slice(w, S(";reg-id="));
        write_number(w, binding->reg_id);
    }
    if (aor)
        gruu_write(w, core, binding, aor);
}

static void write_contacts(struct core *core, const struct request *req, struct writer *w)
{
    bool knows_gruus = message_has_option(&req->message, HEADER_SUPPORTED, S("gruu")) ||
                       message_has_option(&req->message, HEADER_REQUIRE, S("gruu"));
    struct uri aor;

    knows_gruus = knows_gruus && uri_parse(req->to.uri, &aor);
    for (const struct binding *b = location_first(core, req->sender); b;
         b = location_next(core, b)) {
        duration left = b->expires > req->now.boot ? b->expires - req->now.boot : 0;
        if (core->store_failed) /* it may live longer, but not more is promised */
            left = min_u64(left, SECONDS(PROMISE_SHORT));
        write_slice(w, S("Contact: <"));
        write_slice(w, binding_contact(b));
        write_slice(w, S(">;expires="));
        write_number(w, min_u64((left + SECONDS(1) - 1) / SECONDS(1), UINT32_MAX));
        write_instance(core, b, knows_gruus ? &aor : NULL, w);
        if (b->q != 1000) {
            write_slice(w, S(";q=0."));
            write_number(w, b->q / 100u);
            write_number(w, b->q / 10u % 10);
            write_number(w, b->q % 10u);
        }
        write_slice(w, S("\r\n"));
    }
}

static void refuse(struct core *core, const struct request *req, struct fault fault,
                   struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w;

    w = reply_begin(core, req, fault.status, slice_text(fault.reason), out);
    if (fault.status == 423) {
        write_slice(w, S("Min-Expires: "));
        write_number(w, core->settings->expires_shortest);
        write_slice(w, S("\r\n"));
    } else if (fault.status == 420) {
        write_slice(w, S("Unsupported: path\r\n"));
    } else if (fault.status == 503) {
        write_slice(w, S("Retry-After: 10\r\n"));
    }
    reply_send(req, reply_end(out, w, start), out);
}

static void write_line(struct writer *w, const char *name, struct slice value)
{
    if (!value.len)
        return;
    write_slice(w, slice_text(name));
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

/* RFC 5626 4.4: a phone keeps a stream alive by itself.  A WebSocket's server does (RFC 7118 6),
 * and a datagram's flow ends where nobody sees it. */
static bool is_expected(const struct request *req, const struct wishes *wishes)
{
    return wishes->is_flow && flow_is_reliable(&req->flow) && !flow_is_web(&req->flow) &&
           !wishes->path.len;
}

static void accept(struct core *core, const struct request *req, const struct wishes *wishes,
                   struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 200, NO_SLICE, out);

    write_contacts(core, req, w);
    if (wishes->is_flow)
        write_slice(w, S("Require: outbound\r\n"));
    if (is_expected(req, wishes)) {
        write_slice(w, S("Flow-Timer: "));
        write_number(w, FLOW_TIMER);
        write_slice(w, S("\r\n"));
    }
    write_line(w, "Path: ", wishes->path);
    write_line(w, "Service-Route: ", core->settings->service_route);
    write_slice(w, S("Date: "));
    date_write(w, req->now.wall);
    write_slice(w, S("\r\n"));
    reply_send(req, reply_end(out, w, start), out);
    out->at[out->count - 1].promises = true;
    if (is_expected(req, wishes))
        actions_push(out, (struct action){.kind = ACTION_EXPECT, .flow = req->flow});
}

/* The fault for the simulator: the answer overtakes what it promises. */
static void send_first(struct actions *out, uint32_t from)
{
    uint32_t last = out->count - 1;
    struct action answer;

    while (out->at[last].kind != ACTION_SEND)
        last--;
    answer = out->at[last];
    memmove(&out->at[from + 1], &out->at[from], (last - from) * sizeof answer);
    out->at[from] = answer;
}

/* A sips: Contact is reached by TLS only, and so it must be from here (RFC 5630 3.1.1). */
static struct fault check_schemes(const struct request *req, const struct wishes *wishes)
{
    for (unsigned i = 0; i < wishes->count; i++)
        if (wishes->at[i].expires && wishes->at[i].uri.scheme == SCHEME_SIPS &&
            !flow_is_secure(&req->flow))
            return (struct fault){403, "SIPS Without TLS"};
    return NO_FAULT;
}

void registrar_register(struct core *core, struct request *req, struct actions *out)
{
    uint32_t from = out->count;
    struct wishes wishes;
    struct fault fault;
    struct uri to;

    if (!realm_names(core, &req->to, req->sender)) {
        bool is_sip = uri_parse(req->to.uri, &to) && to.scheme <= SCHEME_SIPS;
        refuse(core, req, is_sip ? (struct fault){403, NULL} : (struct fault){400, "Bad To"}, out);
        return;
    }
    fault = wishes_read(core, req, &wishes);
    if (!fault.status)
        fault = check_schemes(req, &wishes);
    if (!fault.status)
        fault = check_order(core, req, &wishes);
    if (fault.status) {
        refuse(core, req, fault, out);
        return;
    }
    if (req->is_repeated && !is_safe_again(core, req, &wishes)) {
        realm_challenge(core, req, HEADER_AUTHORIZATION, true, out);
        return;
    }
    if (wishes.all)
        unbind_all(core, req, out);
    for (unsigned i = 0; i < wishes.count; i++)
        if (!apply(core, req, &wishes, &wishes.at[i], out)) {
            refuse(core, req, (struct fault){503, NULL}, out);
            return;
        }
    accept(core, req, &wishes, out);
    if (fault_is(FAULT_SEND_BEFORE_PERSIST))
        send_first(out, from);
}
