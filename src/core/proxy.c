#include "core/proxy.h"

#include "core/admission.h"
#include "core/anchor.h"
#include "core/branch.h"
#include "core/caller.h"
#include "core/certificates.h"
#include "core/claims.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/courier.h"
#include "core/dial.h"
#include "core/dialog.h"
#include "core/failover.h"
#include "core/fellow.h"
#include "core/forward.h"
#include "core/gruu.h"
#include "core/hangup.h"
#include "core/hearing.h"
#include "core/inside.h"
#include "core/instance.h"
#include "core/load.h"
#include "core/locate.h"
#include "core/location.h"
#include "core/peer.h"
#include "core/penalty.h"
#include "core/pending.h"
#include "core/policy.h"
#include "core/realm.h"
#include "core/registrar.h"
#include "core/reply.h"
#include "core/session.h"
#include "core/target.h"
#include "core/transaction.h"
#include "core/why.h"

enum verdict {
    PASS,   /* go on to the next stage */
    FINISH, /* a response was sent, or the request needs nothing more */
};

typedef enum verdict stage(struct core *core, struct request *req, struct actions *out);

static enum verdict refuse(struct core *core, const struct request *req, unsigned status,
                           const char *reason, struct actions *out)
{
    reply_because(core, req, (struct fault){(uint16_t)status, reason}, out);
    return FINISH;
}

#define RETRY_SOON 5u /* seconds */

/* What cannot be served now, and may be asked again then. */
static enum verdict refuse_for_now(struct core *core, const struct request *req, unsigned seconds,
                                   struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w;

    if (req->message.method == METHOD_ACK)
        return FINISH;
    w = reply_begin(core, req, 503, NO_SLICE, out);
    write_slice(w, S("Retry-After: "));
    write_number(w, seconds);
    write_slice(w, S("\r\n"));
    reply_finish(core, req, 503, start, out);
    return FINISH;
}

/* A request that the server itself answers, and that says nothing of anyone. */
static bool is_for_server(const struct core *core, const struct request *req)
{
    return req->uri_is_valid && !req->uri.user.len && request_is_ours(core, req);
}

/* Requests answered without a transaction: the same request gets the same answer. */
static bool is_answered_statelessly(const struct core *core, const struct request *req)
{
    enum method method = req->message.method;

    return (method == METHOD_OPTIONS || method == METHOD_REGISTER) && is_for_server(core, req);
}

/* 9.2: only from where the INVITE came. */
static enum verdict take_cancel(struct core *core, struct request *req,
                                struct server_transaction *server, struct actions *out)
{
    bool is_same = server && memcmp(server->flow.address, req->flow.address, 16) == 0 &&
                   server->flow.socket == req->flow.socket;

    if (!is_same)
        return refuse(core, req, 481, NULL, out);
    context_cancel(core, server, request_header(req, HEADER_REASON), req->now, out);
    return refuse(core, req, 200, NULL, out);
}

/* 17.2.3: a known transaction answers for itself.  An ACK that has the branch of an accepted INVITE
 * is for the callee all the same (RFC 6026 7.1). */
static enum verdict absorb_retransmission(struct core *core, struct request *req,
                                          struct actions *out)
{
    struct server_transaction *server;
    enum method method = req->message.method;

    if (is_answered_statelessly(core, req))
        return PASS;
    request_key(core, req);
    server = server_find(core, &req->key);
    if (method == METHOD_CANCEL)
        return take_cancel(core, req, server, out);
    if (!server || (method == METHOD_ACK && server->machine.state == STRANS_ACCEPTED))
        return PASS;
    server_step(core, server, method == METHOD_ACK ? STRANS_ACK : STRANS_REQUEST, req->now.boot,
                out);
    return FINISH;
}

/* Before anything is spent on what cannot be served. */
static enum verdict shed_load(struct core *core, struct request *req, struct actions *out)
{
    if (!load_refuses(core, req))
        return PASS;
    realm_spend(core, req, HEADER_PROXY_AUTHORIZATION);
    return refuse_for_now(core, req, RETRY_SOON, out);
}

/* 16.3 step 4: our own Via with the same loop hash means that nothing changed since we forwarded
 * it; with another, a spiral. */
static enum verdict check_loop(struct core *core, struct request *req, bool *is_spiral,
                               struct actions *out)
{
    const struct message *m = &req->message;
    struct via via = req->via;
    struct slice rest = req->via_rest;
    unsigned looked_at = 0;

    for (unsigned i = m->first[HEADER_VIA];;) {
        struct branch branch;
        if (++looked_at > VIA_LIMIT)
            return refuse(core, req, 483, NULL, out);
        if (branch_read(via.branch, &core->key_branch, &branch)) {
            *is_spiral = true;
            if (branch.loop == forward_loop(core, req))
                return refuse(core, req, 482, NULL, out);
        }
        while (!rest.len || !via_next(&rest, &via)) { /* a broken one hides those behind it */
            i = m->fields[i].next;
            if (!i)
                return PASS;
            rest = message_value(m, i);
        }
    }
}

/* What a request to a proxy may demand, and one to the server itself. */
static const struct slice no_options[3] = {{NULL, 0}};
static const struct slice own_options[3] = {S("path"), S("outbound"), S("gruu")};

/* Writes an Unsupported field with the options of a field that are not `known` (8.2.2.3). */
static unsigned write_unsupported(struct writer *w, const struct request *req, enum header header,
                                  const struct slice known[3])
{
    const struct message *m = &req->message;
    unsigned count = 0;

    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct slice option;
        while (list_next(&rest, &option)) {
            if (!option.len || slice_equal_nocase(option, known[0]) ||
                slice_equal_nocase(option, known[1]) || slice_equal_nocase(option, known[2]))
                continue;
            write_slice(w, count++ ? S(", ") : S("Unsupported: "));
            write_slice(w, option);
        }
    }
    if (count)
        write_slice(w, S("\r\n"));
    return count;
}

/* 420, if the request demands an option other than these. */
static enum verdict refuse_extensions(struct core *core, const struct request *req,
                                      enum header header, const struct slice known[3],
                                      struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 420, NO_SLICE, out);

    if (!write_unsupported(w, req, header, known)) {
        w->len = start;
        return PASS;
    }
    if (req->message.method == METHOD_ACK)
        w->len = start;
    else
        reply_finish(core, req, 420, start, out);
    return FINISH;
}

static enum verdict refuse_session(struct core *core, const struct request *req,
                                   struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 422, NO_SLICE, out);

    write_slice(w, S("Min-SE: "));
    write_number(w, core->settings->session_shortest);
    write_slice(w, S("\r\n"));
    reply_finish(core, req, 422, start, out);
    return FINISH;
}

struct fault proxy_check_uri(const struct request *req)
{
    if (!req->uri_is_valid)
        return (struct fault){400, "Bad Request-URI"};
    if (req->uri.scheme > SCHEME_SIPS)
        return (struct fault){416, NULL};
    if (req->uri.scheme == SCHEME_SIPS && !flow_is_secure(&req->flow)) /* 26.2.2 */
        return (struct fault){403, "SIPS Without TLS"};
    if (req->uri.headers.len) /* 19.1.1: not in a Request-URI */
        return (struct fault){400, "Headers In Request-URI"};
    return NO_FAULT;
}

/* 16.3, before anything is spent. */
static enum verdict check_request(struct core *core, struct request *req, struct actions *out)
{
    const struct message *m = &req->message;
    bool is_spiral = false;
    struct fault fault = proxy_check_uri(req);

    if (fault.status)
        return refuse(core, req, fault.status, fault.reason, out);
    if (!req->from.uri.len)
        return refuse(core, req, 400, "Bad From", out);
    if (!req->to.uri.len)
        return refuse(core, req, 400, "Bad To", out);
    fault = request_limits(req);
    if (fault.status)
        return refuse(core, req, fault.status, fault.reason, out);
    if (check_loop(core, req, &is_spiral, out) == FINISH)
        return FINISH;
    if (m->first[HEADER_PROXY_REQUIRE] &&
        refuse_extensions(core, req, HEADER_PROXY_REQUIRE, no_options, out) == FINISH)
        return FINISH;
    if (message_count(m, HEADER_ASSERTION) > ASSERTION_LIMIT)
        return refuse(core, req, 400, "Too Many Asserted Identities", out);
    if (session_is_too_short(core, m))
        return refuse_session(core, req, out);
    if (!is_answered_statelessly(core, req) && context_is_merged(core, req) && !req->to_tag.len &&
        !is_spiral)
        return refuse(core, req, 482, "Request Merged", out);
    return PASS;
}

/* Whoever is said to be of this domain must prove it, whatever port he names. */
static bool is_claimed(const struct core *core, const struct uri *from)
{
    return from->scheme <= SCHEME_SIPS && host_is_claimed(core, from->host);
}

static bool from_is_local(const struct core *core, const struct request *req)
{
    struct uri uri;

    return uri_parse(req->from.uri, &uri) && is_claimed(core, &uri);
}

/* It claims to be of our own users, or would be asked to. */
static bool is_of_our_own(const struct core *core, const struct request *req)
{
    const struct message *m = &req->message;

    return m->first[HEADER_AUTHORIZATION] || m->first[HEADER_PROXY_AUTHORIZATION] ||
           (m->method == METHOD_REGISTER && uri_is_local(core, &req->uri)) ||
           (!req->to_tag.len && !is_for_server(core, req) && from_is_local(core, req));
}

struct fault proxy_check_source(const struct core *core, struct request *req)
{
    const struct settings *settings = core->settings;
    const struct subnet *network;

    if (!settings->network_count && !settings->is_restricted)
        return NO_FAULT;
    network = access_find(settings->networks, settings->network_count, req->flow.is_v6,
                          req->flow.address);
    req->access = network ? network->access : 0;
    if (req->access & (ACCESS_DECLINED | ACCESS_REJECTED)) {
        why_step(req, S("access"), network->written,
                 "it comes from a network from which nobody is served", NO_SLICE, NO_SLICE);
        return (struct fault){req->access & ACCESS_DECLINED ? 603 : 503, NULL};
    }
    if (settings->is_restricted && !(req->access & ACCESS_ALLOWED) && is_of_our_own(core, req)) {
        why_step(req, S("access"), settings->written[SETTING_RESTRICTED],
                 "it comes from outside the networks that our own users are restricted to",
                 NO_SLICE, NO_SLICE);
        return (struct fault){403, NULL};
    }
    return NO_FAULT;
}

/* The access lists, before anything costly. */
static enum verdict admit_source(struct core *core, struct request *req, struct actions *out)
{
    struct fault fault = proxy_check_source(core, req);

    return fault.status ? refuse(core, req, fault.status, fault.reason, out) : PASS;
}

/* 16.4 */
static enum verdict strip_own_routes(struct core *core, struct request *req, struct actions *out)
{
    struct fault fault = request_routes(core, req);

    return fault.status ? refuse(core, req, fault.status, fault.reason, out) : PASS;
}

/* A phone whose stream has ended comes back by another, before it has registered anew. */
static bool is_back(const struct core *core, const struct flow *bound, const struct flow *flow)
{
    return flow_is_reliable(bound) && bound->transport == flow->transport &&
           memcmp(bound->address, flow->address, sizeof flow->address) == 0 &&
           !connection_stands(core, bound);
}

/* A request in a dialog came by the flow of the end that its tags say it is from. */
static bool comes_from_its_end(const struct core *core, const struct request *req)
{
    const struct end *end = inside_from(req);
    const struct binding *binding = end->binding ? location_binding(core, end->binding) : NULL;
    const struct flow *flow = binding ? &binding->flow : &end->flow;

    if (!end->binding) /* who had to prove itself by TLS does not go on without */
        return memcmp(end->flow.address, req->flow.address, 16) == 0 &&
               (end->policy < POLICY_VERIFIED || flow_is_secure(&req->flow));
    return flow_equal(flow, &req->flow) || is_back(core, flow, &req->flow) ||
           (binding && instance_has_flow(core, binding, &req->flow));
}

static enum verdict demand_proof(struct core *core, struct request *req, enum header header,
                                 struct actions *out)
{
    enum proof proof = realm_check(core, req, header, out);

    if (proof == PROOF_GIVEN || proof == PROOF_REPEATED)
        return PASS;
    if (proof == PROOF_REFUSED)
        return refuse(core, req, req->sender->status, NULL, out);
    if (proof != PROOF_IGNORED)
        realm_challenge(core, req, header, proof == PROOF_STALE, out);
    return FINISH;
}

/* In a dialog: the end whose flow it is needs no proof, another must give it. */
static enum verdict authenticate_in_dialog(struct core *core, struct request *req,
                                           struct actions *out)
{
    const struct end *end = inside_from(req);
    const struct binding *binding;

    req->caller = end->binding;
    if (req->message.method == METHOD_ACK || comes_from_its_end(core, req))
        return PASS;
    if (!end->binding)
        return refuse(core, req, 403, NULL, out);
    if (demand_proof(core, req, HEADER_PROXY_AUTHORIZATION, out) == FINISH)
        return FINISH;
    binding = location_binding(core, end->binding);
    if (binding ? location_user(core, binding) != req->sender
                : !realm_names(core, &req->from, req->sender))
        return refuse(core, req, 403, NULL, out);
    return PASS;
}

/* A gateway calls in the name of a number behind it, which is none of ours. */
static bool speaks_for_outside(const struct core *core, const struct request *req)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);
    struct uri uri;

    if (req->sender->kind != USER_GATEWAY || !uri_parse(req->from.uri, &uri))
        return false;
    uri_unescape(&w, uri.user);
    return !w.failed && !location_find(core, writer_slice(&w));
}

/* From a trusted network the flow of a live binding is proof enough, for its user alone. */
static bool is_from_own_phone(struct core *core, struct request *req)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);
    struct uri uri;

    if (!uri_parse(req->from.uri, &uri))
        return false;
    uri_unescape(&w, uri.user);
    req->sender = w.failed ? NULL : location_find(core, writer_slice(&w));
    req->caller = realm_sender_binding(core, req);
    if (!req->caller)
        req->sender = NULL;
    return req->caller != 0;
}

/* Another node vouches for it.  Who is a user here, too, has its rights; others of that node reach
 * our users, and nobody else. */
static enum verdict admit_from_node(struct core *core, struct request *req, bool is_own,
                                    struct actions *out)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);
    struct uri from;

    req->proof = CALLER_NODE | caller_prove(core, req);
    if (!is_own)
        return request_is_ours(core, req) ? PASS : refuse(core, req, 403, NULL, out);
    if (!uri_parse(req->from.uri, &from))
        return refuse(core, req, 400, "Bad From", out);
    uri_unescape(&w, from.user);
    req->sender = w.failed ? NULL : location_find(core, writer_slice(&w));
    if (req->sender && req->sender->kind == USER_REJECT)
        return refuse(core, req, req->sender->status, NULL, out);
    return PASS;
}

/* Who claims to be of this domain. */
static enum verdict authenticate_own(struct core *core, struct request *req, struct actions *out)
{
    if (fellow_vouches(core, req))
        return admit_from_node(core, req, true, out);
    req->proof = CALLER_OWN;
    if (req->access & ACCESS_TRUSTED && is_from_own_phone(core, req))
        return PASS;
    if (demand_proof(core, req, HEADER_PROXY_AUTHORIZATION, out) == FINISH)
        return FINISH;
    if (!realm_names(core, &req->from, req->sender) && !speaks_for_outside(core, req))
        return refuse(core, req, 403, NULL, out);
    req->caller = realm_sender_binding(core, req);
    return PASS;
}

/* Its source has come as often as it may. */
static enum verdict refuse_by_pace(struct core *core, struct request *req, unsigned delay,
                                   struct actions *out)
{
    load_note(core, req);
    return refuse_for_now(core, req, delay, out);
}

/* Somebody of another domain. */
static enum verdict admit_stranger(struct core *core, struct request *req, struct actions *out)
{
    struct fault fault;
    unsigned delay;

    if (fellow_vouches(core, req))
        return admit_from_node(core, req, false, out);
    fault = admission_fault(core, req);
    if (fault.status)
        return refuse(core, req, fault.status, fault.reason, out);
    req->proof = caller_prove(core, req);
    delay = req->is_counted && !req->proof ? 0 : admission_delay(core, req);
    return delay ? refuse_by_pace(core, req, delay, out) : PASS;
}

/* Who may be let in from another domain, and shows a certificate that may be that domain's: in
 * whose name it calls, or, if it is a node that speaks for another, its own. */
static struct slice claim_of(const struct core *core, const struct request *req)
{
    struct address_bytes address;
    struct uri from;

    if (!flow_is_secure(&req->flow) || req->direction != COOKIE_INVALID || req->to_tag.len ||
        req->message.method == METHOD_ACK || is_for_server(core, req) ||
        !connection_credential(core, &req->flow).len || !uri_parse(req->from.uri, &from) ||
        from.scheme > SCHEME_SIPS)
        return NO_SLICE;
    if (is_claimed(core, &from) || admission_fault(core, req).status)
        return fellow_claimed(core, req, &from);
    return from.host.len > NAME_LIMIT || host_numeric(from.host, &address) ? NO_SLICE : from.host;
}

/* False, and it goes on unproven, if there is no room to wait. */
static bool hold_for_proof(struct core *core, struct request *req, struct slice domain,
                           struct actions *out)
{
    struct slice credential = connection_credential(core, &req->flow);
    struct context *context =
        context_has_room(core, req, req->message.bytes.len) ? context_hold(core, req) : NULL;
    struct server_transaction *server;

    if (!context)
        return false;
    server = pool_at(&core->servers, context->server);
    if (!claims_await(core, credential, domain, context, out)) {
        server_close(core, server);
        return false;
    }
    if (req->message.method == METHOD_INVITE)
        context_say_trying(core, server, req->now.boot, out);
    return true;
}

/* RFC 7673: a caller who has not proven its domain by a CA may have by what DNS says.  It is
 * counted before that is asked, so that nobody has us look up without end. */
static enum verdict prove_caller(struct core *core, struct request *req, struct actions *out)
{
    struct slice domain = claim_of(core, req);
    unsigned delay;

    if (!domain.len)
        return PASS;
    if (connection_proves(core, &req->flow, domain)) {
        /* its server is there by TLS: from now on no less will do (RFC 5923 5) */
        if (connection_alias_proven(core, &req->flow, &req->via))
            policy_note(core, policy_hash(core, domain), false, req->now, out);
        return PASS;
    }
    if (claims_look(core, connection_credential(core, &req->flow), domain) != CLAIM_UNKNOWN)
        return PASS;
    delay = req->is_counted ? 0 : admission_delay(core, req);
    if (delay)
        return refuse_by_pace(core, req, delay, out);
    req->is_counted = true;
    return hold_for_proof(core, req, domain, out) ? FINISH : PASS;
}

/* 22: our own users prove who they are; others reach our users only, if the settings say so. */
static enum verdict authenticate_sender(struct core *core, struct request *req, struct actions *out)
{
    enum method method = req->message.method;
    struct uri from;

    if (req->direction != COOKIE_INVALID)
        return authenticate_in_dialog(core, req, out);
    if (method == METHOD_ACK)
        return FINISH; /* neither a transaction nor a cookie knows it */
    if (req->to_tag.len)
        return refuse(core, req, 481, NULL, out);
    if (method == METHOD_REGISTER && request_is_ours(core, req))
        return demand_proof(core, req, HEADER_AUTHORIZATION, out);
    if (is_for_server(core, req))
        return PASS;
    if (!uri_parse(req->from.uri, &from))
        return refuse(core, req, 400, "Bad From", out);
    return is_claimed(core, &from) ? authenticate_own(core, req, out)
                                   : admit_stranger(core, req, out);
}

/* A refusal that depends on what may change within seconds: an INVITE gets it from a transaction of
 * its own, so that a late copy of it is not answered otherwise. */
static enum verdict refuse_firmly(struct core *core, struct request *req, unsigned status,
                                  const char *reason, struct actions *out)
{
    if (req->message.method == METHOD_INVITE && context_has_room(core, req, 0))
        context_refuse(core, req, (struct fault){(uint16_t)status, reason}, out);
    else
        refuse(core, req, status, reason, out);
    return FINISH;
}

/* Who signs from elsewhere says nothing of a request that we have asked for a proof, or that ends
 * here. */
static bool may_be_vouched_for(const struct core *core, const struct request *req)
{
    return core->es256 && !req->sender && req->direction == COOKIE_INVALID &&
           req->message.method != METHOD_REGISTER && !is_for_server(core, req);
}

/* It waits for a certificate, and its copies with it. */
static enum verdict hold(struct core *core, struct request *req,
                         const struct certificate_search *search, struct actions *out)
{
    struct context *context =
        context_has_room(core, req, req->message.bytes.len) ? context_hold(core, req) : NULL;

    if (!context)
        return refuse_for_now(core, req, RETRY_SOON, out);
    if (certificates_await(core, search, context, out))
        return FINISH;
    server_close(core, pool_at(&core->servers, context->server));
    return refuse_for_now(core, req, RETRY_SOON, out);
}

/* What a signature says that has no fault, or lacks a certificate. */
static struct vouch_verdict check_vouchers(struct core *core, const struct request *req,
                                           struct certificate_search *search)
{
    struct address_bytes source = flow_address(&req->flow);
    struct vouch_verdict verdict;

    *search = (struct certificate_search){.core = core, .widest = address_seclusion(&source)};
    if (req->access & ACCESS_TRUSTED)
        search->widest = SECLUSION_LOOPBACK;
    verdict = vouch_verify(&req->message, certificates_look, search, core->es256, req->now.wall);
    if (verdict.kind == VERDICT_REFUSED && search->relied &&
        certificates_forget(core, search->relied)) /* it may have been replaced */
        verdict =
            vouch_verify(&req->message, certificates_look, search, core->es256, req->now.wall);
    return verdict;
}

/* The administrator trusts this domain to sign all that is its own. */
static bool must_be_signed(const struct core *core, const struct request *req)
{
    const struct settings *settings = core->settings;
    struct uri from;

    if (!settings->domain_count || !uri_parse(req->from.uri, &from) || from.scheme > SCHEME_SIPS)
        return false;
    for (unsigned i = 0; i < settings->domain_count; i++)
        if (slice_equal_nocase(settings->domains[i].name, from.host))
            return settings->domains[i].must_sign;
    return false;
}

/* To names one of ours: whoever it asks for by now, it was signed for us. */
static bool is_to_ours(const struct core *core, const struct request *req)
{
    struct uri to;

    return uri_parse(req->to.uri, &to) && to.scheme <= SCHEME_SIPS &&
           host_is_claimed(core, to.host);
}

/* RFC 8224 6.2, before any edit, and before it is known whether there is such a callee. */
static enum verdict verify_identity(struct core *core, struct request *req, struct actions *out)
{
    struct certificate_search search;
    struct vouch_verdict verdict = {.kind = VERDICT_NONE};

    if (!may_be_vouched_for(core, req))
        return PASS;
    if (req->message.first[HEADER_IDENTITY])
        verdict = check_vouchers(core, req, &search);
    switch (verdict.kind) {
    case VERDICT_NONE:
        return must_be_signed(core, req) ? refuse_firmly(core, req, 428, NULL, out) : PASS;
    case VERDICT_WAITING: return hold(core, req, &search, out);
    case VERDICT_REFUSED:
        return refuse_firmly(core, req, verdict.fault.status, verdict.fault.reason, out);
    case VERDICT_PROVEN: break;
    }
    if (!verdict.leads_here && !is_to_ours(core, req))
        return must_be_signed(core, req) ? refuse_firmly(core, req, 428, NULL, out) : PASS;
    req->proof |= CALLER_SIGNATURE | (verdict.covers_media ? CALLER_OFFER : 0);
    return PASS;
}

/* RFC 5627 6: the phone is asked by its own URI.  A GRUU of another user leads out of the dialog,
 * and counts for nothing. */
static struct binding *follow_gruu(const struct core *core, const struct request *req,
                                   struct binding *binding, bool *is_gruu)
{
    unsigned status;
    struct binding *named = uri_is_gruu(&req->uri) && request_is_ours(core, req)
                                ? gruu_find(core, &req->uri, &status)
                                : NULL;

    *is_gruu = named && named->user == binding->user;
    return *is_gruu ? named : binding;
}

/* The flows of a phone that is in a dialog. */
static void add_flows(const struct core *core, struct request *req, struct binding *binding)
{
    struct binding *flows[BINDINGS_PER_AOR];
    bool is_gruu;
    unsigned count = instance_flows(core, follow_gruu(core, req, binding, &is_gruu), flows);

    for (unsigned i = 0; i < count; i++) {
        struct target target = {
            .binding = flows[i]->id,
            .flow = location_flow(core, flows[i]),
            .q = 1000,
            .is_next_flow = req->targets.count > 0,
        };
        if (flow_find_socket(core, &target.flow))
            target_add(req, &target, is_gruu ? binding_contact(flows[i]) : NO_SLICE, NO_SLICE);
    }
}

/* The other end of the dialog, wherever it is now; one that has unregistered, where it was. */
static enum verdict target_other_end(struct core *core, struct request *req, struct actions *out)
{
    const struct end *end = inside_to(req);
    struct binding *binding = end->binding ? location_binding(core, end->binding) : NULL;

    if (binding)
        add_flows(core, req, binding);
    else
        inside_target(core, req);
    if (!req->targets.count)
        return refuse(core, req, 480, req->has_unfit_target ? FAULT_SIPS_NOT_ALLOWED.reason : NULL,
                      out);
    if (req->message.method != METHOD_ACK) {
        req->dialog = dialog_find(core, req->call_id, req->from_tag, req->to_tag);
        dialog_request(core, req, out);
    }
    return PASS;
}

/* The caller shall ask elsewhere (21.3.3). */
static enum verdict refer_elsewhere(struct core *core, const struct request *req, struct slice uri,
                                    struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 302, NO_SLICE, out);

    write_slice(w, S("Contact: <"));
    write_slice(w, uri);
    write_slice(w, S(">\r\n"));
    reply_send(req, reply_end(out, w, start), out);
    return FINISH;
}

/* What begins something goes where the dial plan says, or to another domain. */
static enum verdict target_dialed(struct core *core, struct request *req, struct actions *out)
{
    bool is_ours = request_is_ours(core, req);
    struct slice elsewhere = NO_SLICE;
    struct fault fault;

    fault = dial_request(core, req, &out->bytes, &elsewhere);
    if (caller_is_stranger(req) && admission_is_too_many(core, req))
        return refuse_firmly(core, req, 480, NULL, out);
    if (!fault.status)
        return PASS;
    if (fault.status == 302 && elsewhere.len)
        return refer_elsewhere(core, req, elsewhere, out);
    return is_ours ? refuse_firmly(core, req, fault.status, fault.reason, out)
                   : refuse(core, req, fault.status, fault.reason, out);
}

#define ALLOW                                                                                      \
    S("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, PRACK, UPDATE, REFER, "  \
      "SUBSCRIBE, NOTIFY, PUBLISH\r\n")

static enum verdict answer_options(struct core *core, struct request *req, struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 200, NO_SLICE, out);

    write_slice(w, ALLOW);
    write_slice(w, S("Accept: application/sdp\r\nSupported: path, outbound, gruu\r\n"));
    reply_finish(core, req, 200, start, out);
    return FINISH;
}

/* 8.2.1: a method that nobody knows, or one that is for phones. */
static enum verdict refuse_method(struct core *core, const struct request *req, struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w;

    if (req->message.method == METHOD_OTHER)
        return refuse(core, req, 501, NULL, out);
    w = reply_begin(core, req, 405, NO_SLICE, out);
    write_slice(w, S("Allow: OPTIONS, REGISTER\r\n")); /* of the server itself, whom it named */
    reply_finish(core, req, 405, start, out);
    return FINISH;
}

/* Requests that end here. */
static enum verdict answer_for_server(struct core *core, struct request *req, struct actions *out)
{
    if (req->message.first[HEADER_REQUIRE] &&
        refuse_extensions(core, req, HEADER_REQUIRE, own_options, out) == FINISH)
        return FINISH;
    if (req->message.method == METHOD_OPTIONS)
        return answer_options(core, req, out);
    if (req->message.method != METHOD_REGISTER)
        return refuse_method(core, req, out);
    registrar_register(core, req, out);
    return FINISH;
}

/* 16.5 */
static enum verdict find_target_set(struct core *core, struct request *req, struct actions *out)
{
    if (req->direction != COOKIE_INVALID)
        return target_other_end(core, req, out);
    if (is_for_server(core, req) ||
        (req->message.method == METHOD_REGISTER && request_is_ours(core, req)))
        return answer_for_server(core, req, out);
    if (req->foreign_route.len)
        return refuse(core, req, 403, "Preloaded Route", out);
    return target_dialed(core, req, out);
}

/* To another domain's server, as soon as it is known what a connection there must match. */
static void forward_when_proven(struct core *core, const struct request *req, struct actions *out)
{
    const struct target *target = &req->targets.at[0];
    struct forwarding to = {.flow = target->flow, .uri = req->targets.uris[0]};
    uint8_t policy = POLICY_OPPORTUNISTIC;
    struct slice domain = NO_SLICE;
    struct client_transaction *client;

    if (inside_is_to_outside(req, target) && flow_is_secure(&target->flow))
        domain = inside_domain(core, req, target, &policy);
    client = domain.len && policy == POLICY_DANE ? client_open(core, METHOD_ACK, &to.flow) : NULL;
    if (!client)
        return; /* the callee's 2xx will come again, and so will this */
    anchor_ack(core, req, &to.description, out);
    if (!courier_await(core, client, domain, forward_request(core, req, &to, out), req->now.boot,
                       out))
        client_close(core, client);
}

/* An ACK makes no transaction: it is sent on, once for each time it came (16.11). */
static enum verdict forward_statelessly(struct core *core, struct request *req, struct actions *out)
{
    struct forwarding to = {0};
    struct slice bytes;
    unsigned i = 0;

    while (i < req->targets.count && !context_find_way(core, req, i, &to.flow, out))
        i++;
    if (i == req->targets.count) {
        forward_when_proven(core, req, out);
        return FINISH;
    }
    connection_keep(core, &to.flow);
    to.uri = req->targets.uris[i];
    anchor_ack(core, req, &to.description, out);
    bytes = forward_request(core, req, &to, out);
    actions_push(out, (struct action){.kind = ACTION_SEND, .flow = to.flow, .bytes = bytes});
    return FINISH;
}

/* Where its server must be looked for, there is room to do so. */
static bool has_lookup(const struct core *core, const struct request *req)
{
    return req->targets.at[0].way != WAY_SOUGHT || locate_has_room(core, !req->to_tag.len);
}

/* 16.6: here the request is copied, and everything is spent that a request costs. */
static enum verdict forward(struct core *core, struct request *req, struct actions *out)
{
    if (!req->max_forwards)
        return refuse(core, req, 483, NULL, out);
    if (req->message.field_count > MESSAGE_FIELDS - FORWARD_FIELDS)
        return refuse(core, req, 513, "Too Many Header Fields", out);
    if (req->message.method == METHOD_ACK)
        return forward_statelessly(core, req, out);
    if (!req->max_breadth)
        return refuse(core, req, 440, NULL, out);
    if (!context_has_room(core, req, req->message.bytes.len) || !has_lookup(core, req))
        return refuse_for_now(core, req, RETRY_SOON, out);
    context_open(core, req, out);
    return FINISH;
}

static stage *const request_path[] = {
    absorb_retransmission, /* 17.2.3 a known transaction answers for itself */
    shed_load,             /*        while more comes than can be served */
    check_request,         /* 16.3   URI, Max-Forwards, loops, Proxy-Require, merged requests */
    admit_source,          /*        access lists */
    strip_own_routes,      /* 16.4   reads the cookie */
    prove_caller,          /*        whose certificate it shows, by DNS (RFC 7673) */
    authenticate_sender,   /* 22     our own users; others as strangers under policy */
    verify_identity,       /*        what another domain has signed (RFC 8224) */
    find_target_set,       /* 16.5   the other end, a user's bindings, another domain */
    forward,               /* 16.6 */
};

void proxy_request(struct core *core, struct request *req, struct actions *out)
{
    for (unsigned i = 0; i < COUNT_OF(request_path); i++)
        if (request_path[i](core, req, out) == FINISH)
            return;
}

/* All but what was done before it was held: its bytes are those that came. */
static bool read_again(struct core *core, struct slice bytes, const struct flow *flow,
                       struct request *req)
{
    const struct settings *settings = core->settings;

    if (message_parse(bytes, &req->message).status)
        return false;
    request_read(req, flow);
    request_limits(req);
    request_key(core, req);
    request_routes(core, req); /* they found no fault when it came */
    context_is_merged(core, req);
    req->access =
        access_of(settings->networks, settings->network_count, flow->is_v6, flow->address);
    return true;
}

static void resume_from(struct core *core, struct context *context, stage *from, struct moment now,
                        struct actions *out)
{
    struct block bytes = context->request;
    struct flow flow = context->flow;
    uint8_t proof = context->proof;
    struct request req;
    unsigned i = 0;

    context->request = (struct block){0};
    server_close(core, pool_at(&core->servers, context->server));
    req.now = now;
    if (read_again(core, block_slice(&bytes), &flow, &req)) {
        req.proof = proof;
        req.is_counted = from == prove_caller;
        while (request_path[i] != from)
            i++;
        while (request_path[i](core, &req, out) != FINISH)
            i++;
    }
    slab_give(&core->slab, &bytes);
}

void proxy_proven(struct core *core, struct context *context, struct moment now,
                  struct actions *out)
{
    resume_from(core, context, prove_caller, now, out);
}

void proxy_resume(struct core *core, struct context *context, struct moment now,
                  struct actions *out)
{
    resume_from(core, context, verify_identity, now, out);
}

static struct context *context_of(const struct core *core, const struct server_transaction *server)
{
    return server && server->context ? pool_at(&core->contexts, server->context) : NULL;
}

/* A 2xx that is not the first: from another phone downstream, or the same again. */
static void accept_late(struct core *core, struct server_transaction *server,
                        const struct message *response, struct moment now, struct actions *out)
{
    uint8_t answers = server->answer_count;

    dialog_accept(core, server, response, now, out);
    if (server->answer_count > answers)
        pending_put(core, server, out);
}

/* What ended was a request of our own: a BYE. */
static void hang_up(struct core *core, const struct message *m, struct actions *out)
{
    dialog_hung_up(core, message_first(m, HEADER_CALL_ID),
                   address_tag(message_first(m, HEADER_FROM)),
                   address_tag(message_first(m, HEADER_TO)), out);
}

/* How long a server that says 503 wants to be left alone (21.5.4). */
static duration retry_after(const struct message *response)
{
    struct slice value = message_first(response, HEADER_RETRY_AFTER);
    size_t digits = 0;
    uint64_t seconds;

    while (digits < value.len && value.at[digits] >= '0' && value.at[digits] <= '9')
        digits++;
    if (!slice_number(slice_until(value, digits), UINT32_MAX, &seconds))
        return PENALTY;
    return min_u64(SECONDS(seconds), PENALTY_LONGEST);
}

/* The branch ends, for what came of it was changed on its way. */
static void fail_changed(struct core *core, struct context *context,
                         struct client_transaction *client, struct moment now, struct actions *out)
{
    locate_end(core, client);
    context_decide(core, context, client, NULL, FAULT_CHANGED, now, out);
}

/* A final response decides its branch, unless its server is not the only one.  A phone that was
 * cancelled because it rang too long says 487, but its caller did not give up: it counts as a
 * time-out (16.8). */
static void decide(struct core *core, struct context *context, struct client_transaction *client,
                   const struct message *response, struct moment now, struct actions *out)
{
    bool has_run_out = client->has_run_out && response->status == 487;

    if (client->has_changed && response->status >= 300) {
        fail_changed(core, context, client, now, out);
        return;
    }
    if (response->status == 503 &&
        failover_next(core, context, client, 503, retry_after(response), now, out))
        return;
    locate_end(core, client);
    context_decide(core, context, client, has_run_out ? NULL : response,
                   (struct fault){has_run_out ? 408 : response->status, NULL}, now, out);
}

/* A 100 is of this hop alone (16.7 step 5), and to a request other than INVITE no other
 * provisional response may be sent (RFC 4320 4.1). */
static bool goes_no_further(const struct client_transaction *client, const struct message *response)
{
    return response->status == 100 || (response->status < 200 && client->method != METHOD_INVITE);
}

static void pass_on(struct core *core, struct server_transaction *server,
                    const struct client_transaction *client, const struct message *response,
                    struct moment now, struct actions *out)
{
    struct description description = AS_IT_CAME;
    char text[HEARING_LINE];
    struct writer line = writer_over(text, sizeof text);
    struct slice bytes;
    bool has_sound;
    size_t start;

    hearing_write_line(&line, core, server, client, response, now.wall);
    has_sound = anchor_response(core, server, context_of(core, server), client, response,
                                &description, out);
    if (response->status >= 200)
        accept_late(core, server, response, now, out);
    if (!has_sound)
        dialog_break(core, response, now, out);
    start = out->bytes.len;
    bytes = forward_response(response, &description, server->session, writer_slice(&line), out);
    if (!server_respond(core, server, response->status, bytes, now.boot, out))
        out->bytes.len = start;
}

/* What a place that was left says of the call: that it is answered, after all. */
static void hear_left(struct core *core, struct context *context, struct server_transaction *server,
                      struct client_transaction *client, const struct message *response,
                      struct moment now, struct actions *out)
{
    bool is_first = context && !(context->flags & CONTEXT_ACCEPTED);

    if (response->status < 200 || response->status >= 300)
        return;
    if (is_first)
        context_accept_left(core, context, client, response, now, out);
    else if (client->method == METHOD_INVITE)
        pass_on(core, server, client, response, now, out);
}

/* An answer that is not as it was signed goes no further.  Whoever accepted believes in a call: it
 * is acknowledged, as it would have been, and hung up. */
static bool refuse_changed(struct core *core, struct context *context,
                           struct client_transaction *client, const struct message *response,
                           struct moment now, struct actions *out)
{
    if (client->heard != HEARD_CHANGED)
        return false;
    if (response->status < 200) {
        client_cancel(core, client, now.boot, out);
        return true;
    }
    hangup_refuse(core, response, &client->flow, now, out);
    if (!client->is_decided && !client->is_left && context) {
        client->is_decided = true;
        fail_changed(core, context, client, now, out);
    }
    return true;
}

/* 16.7: provisional responses and repeated 2xx pass; a final one decides its branch. */
void proxy_response(struct core *core, struct client_transaction *client,
                    const struct message *response, struct moment now, struct actions *out)
{
    struct server_transaction *server = pool_get(&core->servers, client->server);
    struct context *context = context_of(core, server);

    if (!client->server.generation && response->status >= 200)
        hang_up(core, response, out);
    if (!server || refuse_changed(core, context, client, response, now, out))
        return;
    if (client->is_left) {
        hear_left(core, context, server, client, response, now, out);
        return;
    }
    failover_heard(core, context, client, response->status, now.boot);
    if (goes_no_further(client, response))
        return;
    if (response->status >= 200 && !client->is_decided) {
        client->is_decided = true;
        if (context) {
            decide(core, context, client, response, now, out);
            return;
        }
    }
    if (response->status < 300)
        pass_on(core, server, client, response, now, out);
}

/* Why nobody could be asked. */
static struct fault explain(struct core *core, const struct client_transaction *client, instant now,
                            struct actions *out)
{
    if (locate_is_withheld(core, client))
        policy_tell(core, locate_domain(core, client), now, out);
    return locate_fault(core, client);
}

void proxy_timeout(struct core *core, struct client_transaction *client, unsigned status,
                   struct moment now, struct actions *out)
{
    struct context *context = context_of(core, pool_get(&core->servers, client->server));
    struct fault fault = {(uint16_t)status, NULL};
    struct message request;

    if (!client->server.generation &&
        !message_parse(block_slice(&client->request), &request).status)
        hang_up(core, &request, out);
    if (client->is_decided || !context)
        return;
    client->is_decided = true;
    if (client->has_changed) {
        fail_changed(core, context, client, now, out);
        return;
    }
    if (client->is_unproven)
        fault = FAULT_UNPROVEN;
    if (!client->lacks_relay &&
        failover_next(core, context, client, fault.status, PENALTY, now, out))
        return;
    if (client->lookup && !client->lacks_relay &&
        (!client->request.at || locate_is_narrow(core, client)) && !client->is_unproven &&
        !context_is_over(context))
        fault = explain(core, client, now.boot, out);
    locate_end(core, client);
    context_decide(core, context, client, NULL, fault, now, out);
}

struct slice proxy_cancel_reason(const struct core *core, const struct client_transaction *client)
{
    const struct context *context = context_of(core, pool_get(&core->servers, client->server));

    if (!context)
        return NO_SLICE;
    if (context->flags & CONTEXT_ACCEPTED)
        return S("SIP;cause=200;text=\"Call completed elsewhere\"");
    return block_slice(&context->reason);
}
