#include "core/hearing.h"

#include "core/answer.h"
#include "core/awaited.h"
#include "core/caller.h"
#include "core/certificates.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/oddity.h"
#include "core/transaction.h"

static struct context *context_of(const struct core *core, const struct server_transaction *server)
{
    return server && server->context ? pool_at(&core->contexts, server->context) : NULL;
}

/* ---- checking */

/* The domain that a branch asked, while that is known. */
static struct slice asked_domain(const struct core *core, const struct context *context,
                                 const struct client_transaction *client)
{
    struct uri uri;

    return context && uri_parse(context_branch_uri(core, client), &uri) ? uri.host : NO_SLICE;
}

/* A certificate on which a bad verdict relies may have been replaced. */
static enum answer_verdict check(struct core *core, const struct message *response,
                                 struct slice asked, struct certificate_search *search)
{
    enum answer_verdict verdict =
        answer_check(response, asked, certificates_look, search, core->es256, core->now.wall);

    if (verdict == ANSWER_CHANGED && search->relied && certificates_forget(core, search->relied))
        verdict =
            answer_check(response, asked, certificates_look, search, core->es256, core->now.wall);
    return verdict;
}

/* Kept until its certificate is there; without room it is dropped: a 2xx comes again, and it is
 * heard then. */
static void keep(struct core *core, struct context *context,
                 const struct certificate_search *search, const struct message *response,
                 const struct flow *flow, struct actions *out)
{
    if (context && context->held_by)
        awaited_leave(core, context);
    if (context) {
        slab_give(&core->slab, &context->answer);
        context->answer_flow = *flow;
        if (!slab_copy(&core->slab, response->bytes, &context->answer))
            context = NULL;
    }
    if (!certificates_await(core, search, context, out) && context)
        slab_give(&core->slab, &context->answer);
}

static void note(struct context *context, struct client_transaction *client,
                 enum answer_verdict verdict)
{
    static const uint8_t heard[] = {
        [ANSWER_NOTHING] = HEARD_NOTHING,
        [ANSWER_UNSIGNED] = HEARD_UNSIGNED,
        [ANSWER_PROVEN] = HEARD_PROVEN,
        [ANSWER_CHANGED] = HEARD_CHANGED,
    };

    client->heard = heard[verdict];
    client->has_changed |= verdict == ANSWER_CHANGED;
    if (context && verdict == ANSWER_PROVEN)
        context->proof |= CALLER_ANSWER;
    if (context && verdict == ANSWER_UNSIGNED)
        context->proof &= (uint8_t)~CALLER_ANSWER;
}

bool hearing_admits(struct core *core, struct client_transaction *client,
                    const struct message *response, const struct flow *flow, struct actions *out)
{
    struct server_transaction *server = pool_get(&core->servers, client->server);
    struct context *context = context_of(core, server);
    struct address_bytes peer = flow_address(&client->flow);
    struct certificate_search search = {.core = core, .widest = address_seclusion(&peer)};
    enum answer_verdict verdict;

    client->heard = HEARD_NOTHING;
    if (!client->is_signed || !core->es256 || !server || response->status <= 100 ||
        response->status >= 300 || client->method != METHOD_INVITE)
        return true;
    server->checks_answers = true;
    verdict = check(core, response, asked_domain(core, context, client), &search);
    if (verdict == ANSWER_WAITING) {
        keep(core, context, &search, response, flow, out);
        return false;
    }
    note(context, client, verdict);
    if (client->heard == HEARD_CHANGED && client->restored)
        client->flow = *flow; /* of an accepted one that is not remembered (core/pending) */
    return true;
}

void hearing_resume(struct core *core, struct context *context, struct moment now,
                    struct actions *out)
{
    struct block bytes = context->answer;
    struct flow flow = context->answer_flow;
    struct message m;

    context->answer = (struct block){0};
    if (!message_parse(block_slice(&bytes), &m).status)
        client_receive(core, &m, &flow, now, out);
    slab_give(&core->slab, &bytes);
}

/* ---- what is added */

/* Ours for the domain that was called, or for the one that we serve. */
static const struct voucher *voucher_for(const struct core *core, const struct message *response)
{
    const struct settings *settings = core->settings;
    const struct voucher *chosen = NULL;
    struct address to;
    struct slice tag;
    struct uri uri = {.host = NO_SLICE};

    if (address_parse(message_first(response, HEADER_TO), &to, &tag))
        uri_parse(to.uri, &uri);
    for (unsigned i = 0; i < settings->voucher_count; i++) {
        if (slice_equal_nocase(settings->vouchers[i].domain, uri.host))
            return &settings->vouchers[i];
        if (slice_equal_nocase(settings->vouchers[i].domain, settings->realm))
            chosen = &settings->vouchers[i];
    }
    return chosen;
}

/* Its domain has signed who calls, and the phone that answers is ours. */
static bool signs(const struct context *context, const struct client_transaction *client)
{
    const struct target *target = &context_targets(context)[client->branch];

    return context->proof & CALLER_SIGNATURE && (target->binding || target->is_ours);
}

static void sign(struct writer *w, const struct core *core, struct context *context,
                 const struct message *response, int64_t wall)
{
    const struct voucher *voucher = core->es256 ? voucher_for(core, response) : NULL;
    size_t start = w->len;

    if (!voucher || response->bytes.len + HEARING_LINE > MESSAGE_LIMIT ||
        response->field_count >= MESSAGE_FIELDS)
        return;
    if (answer_sign(response, voucher, core->es256, wall, w) != VOUCHED) {
        *w = writer_over(w->at, w->limit);
        w->len = start;
    } else if (context) {
        context->proof |= CALLER_ANSWER;
    }
}

/* One of our own calls another domain by TLS, as far as that is known yet. */
static bool leaves_by_tls(const struct context *context, const struct server_transaction *server,
                          const struct client_transaction *client)
{
    const struct target *target = context ? &context_targets(context)[client->branch] : NULL;

    return target && server->is_initial && context->proof & CALLER_OWN && !target->binding &&
           !target->is_ours && flow_is_secure(&client->flow);
}

/* What the phone is told of who answers it; nothing where nobody could have proven anything. */
static void tell(struct writer *w, const struct core *core, const struct context *context,
                 const struct server_transaction *server, const struct client_transaction *client)
{
    bool is_by_tls = leaves_by_tls(context, server, client), is_certified, has_signed;
    struct slice asked;

    if (!is_by_tls && client->heard != HEARD_PROVEN && client->heard != HEARD_UNSIGNED)
        return;
    asked = asked_domain(core, context, client);
    if (asked.len > NAME_LIMIT)
        asked = NO_SLICE;
    is_certified = is_by_tls && connection_proves(core, &client->flow, asked);
    has_signed = client->heard == HEARD_PROVEN && asked.len;
    if (is_certified || has_signed) {
        write_slice(w, S("P-SIPWITCH-Callee: verified;domain="));
        write_slice(w, asked);
        write_slice(w, !has_signed    ? S(";by=tls")
                       : is_certified ? S(";by=tls+signature")
                                      : S(";by=signature"));
    } else if (is_by_tls || client->heard == HEARD_UNSIGNED) {
        write_slice(w, S("P-SIPWITCH-Callee: unverified"));
    } else {
        return; /* what was signed is not known any more */
    }
    if (has_signed && context->flags & CONTEXT_OFFERED)
        write_slice(w, S(";media=offer+answer"));
    else if (has_signed || client->heard == HEARD_UNSIGNED) /* what an ACK answers nobody signs */
        write_slice(w, S(";media=offer-only"));
    write_slice(w, S("\r\n"));
}

void hearing_write_line(struct writer *w, struct core *core, struct server_transaction *server,
                        const struct client_transaction *client, const struct message *response,
                        int64_t wall)
{
    struct context *context = context_of(core, server);

    if (context && client->method == METHOD_INVITE && server->is_initial)
        server->signs_answers = signs(context, client);
    if (server->signs_answers && client->method == METHOD_INVITE) {
        sign(w, core, context, response, wall);
        return;
    }
    if (client->method == METHOD_INVITE && response->status > 100 &&
        response->bytes.len + HEARING_LINE <= MESSAGE_LIMIT &&
        response->field_count < MESSAGE_FIELDS)
        tell(w, core, context, server, client);
}
