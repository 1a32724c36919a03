#include "sim/exchange.h"

#include "core/strans.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sip/address.h"

#define LONG (64 * T1)
/* After a CANCEL 64 T1 would do (9.1); but a branch where nobody is may take that long itself, and
 * begins anew when the server does. */
#define PATIENCE (3 * LONG)

/* -- own requests -- */

static bool flow_is_stream(const struct flow *flow)
{
    return flow->transport && flow_is_reliable(flow);
}

struct exchange *exchange_begin(struct sim *sim, struct phone *phone, enum purpose purpose,
                                const struct letter *letter, uint32_t call, unsigned tries)
{
    static char bytes[LETTER_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct exchange *e = take(1, sizeof *e);
    bool is_reliable = phone_is_by_stream(phone) || flow_is_stream(&letter->flow);

    letter_write(&w, letter);
    assert(!w.failed);
    *e = (struct exchange){.next = phone->exchanges,
                           .purpose = purpose,
                           .method = letter->method,
                           .call = call,
                           .tries = tries,
                           .cseq = letter->cseq,
                           .bytes = copy_slice(writer_slice(&w)),
                           .began = sim->now,
                           .flow = letter->flow,
                           .resend_at = is_reliable ? NEVER : sim->now + T1,
                           .resend_after = T1,
                           .end_at = sim->now + LONG,
                           .is_unsent = phone->connect_at != NEVER};
    copy_text(e->branch, sizeof e->branch, letter->branch);
    phone->exchanges = e;
    phone_send_by(sim, phone, &e->flow, e->bytes);
    return e;
}

struct exchange *exchange_of_call(struct phone *phone, uint32_t call, enum purpose purpose)
{
    for (struct exchange *e = phone->exchanges; e; e = e->next)
        if (e->call == call && e->purpose == purpose)
            return e;
    return NULL;
}

static struct exchange *find_exchange(struct phone *phone, const struct message *response)
{
    struct via via;
    struct cseq cseq;

    if (!letter_via(response, &via) || !cseq_parse(message_first(response, HEADER_CSEQ), &cseq))
        return NULL;
    for (struct exchange *e = phone->exchanges; e; e = e->next)
        if (e->method == cseq.method && slice_equal(slice_text(e->branch), via.branch))
            return e;
    return NULL;
}

/* The ACK for a failure is part of the transaction (17.1.1.3). */
static void acknowledge_failure(struct sim *sim, struct phone *phone, struct exchange *e,
                                const struct message *response)
{
    static struct message request;
    char routes[1024], bytes[LETTER_LIMIT];
    struct writer kept = writer_over(routes, sizeof routes), w = writer_over(bytes, sizeof bytes);
    struct letter letter;

    if (phone->traits & TRAIT_NEVER_ACKS)
        return;
    message_parse(e->bytes, &request);
    letter_read(&letter, &request, &kept);
    letter.method = METHOD_ACK;
    letter.to = message_first(response, HEADER_TO);
    letter.contact = letter.body = NO_SLICE;
    letter.knows_timers = false;
    letter.session = 0;
    letter_write(&w, &letter);
    phone_renew_flow(sim, phone, &e->flow);
    phone_send_by(sim, phone, &e->flow, writer_slice(&w));
}

void exchange_cancel(struct sim *sim, struct phone *phone, struct exchange *e)
{
    static struct message request;
    char routes[1024];
    struct writer kept = writer_over(routes, sizeof routes);
    struct letter letter;

    message_parse(e->bytes, &request);
    letter_read(&letter, &request, &kept);
    letter.method = METHOD_CANCEL;
    letter.contact = letter.body = NO_SLICE;
    letter.knows_timers = false;
    letter.session = 0;
    phone_renew_flow(sim, phone, &e->flow);
    letter.flow = e->flow;
    e->is_cancelled = true;
    e->end_at = sim->now + PATIENCE;
    exchange_begin(sim, phone, FOR_CANCEL, &letter, e->call, 0);
}

static void receive_invite_response(struct sim *sim, struct phone *phone, struct exchange *e,
                                    const struct message *response)
{
    bool is_first = e->state == EXCHANGE_CALLING || e->state == EXCHANGE_PROCEEDING;

    zone_check_callee(sim, response);
    if (response->status < 200) {
        if (!is_first)
            return;
        e->state = EXCHANGE_PROCEEDING;
        e->resend_at = NEVER;
        if (!e->is_cancelled)
            e->end_at = NEVER;
        call_progress(sim, phone, e, response);
        return;
    }
    if (response->status < 300) {
        if (e->state == EXCHANGE_COMPLETED)
            return; /* the judge has seen it */
        if (is_first)
            e->end_at = sim->now + LONG;
        e->state = EXCHANGE_ACCEPTED;
        e->resend_at = NEVER;
        call_accepted(sim, phone, e, response);
        return;
    }
    if (e->state == EXCHANGE_ACCEPTED)
        return;
    acknowledge_failure(sim, phone, e, response);
    if (!is_first)
        return;
    e->state = EXCHANGE_COMPLETED;
    e->resend_at = NEVER;
    e->end_at = sim->now + LONG;
    phone_finished(sim, phone, e, response);
}

void exchange_receive(struct sim *sim, struct phone *phone, const struct message *response)
{
    struct exchange *e = find_exchange(phone, response);

    if (!e)
        return;
    if (response->status >= 200)
        judge_final(sim, phone, e, response);
    if (e->method == METHOD_INVITE) {
        receive_invite_response(sim, phone, e, response);
        return;
    }
    if (e->state == EXCHANGE_COMPLETED)
        return;
    if (response->status < 200) {
        e->state = EXCHANGE_PROCEEDING;
        e->resend_after = T2;
        return;
    }
    e->state = EXCHANGE_COMPLETED;
    e->resend_at = NEVER;
    e->end_at = sim->now + T4;
    phone_finished(sim, phone, e, response);
}

static void expire_exchange(struct sim *sim, struct phone *phone, struct exchange *e)
{
    if (sim->now >= e->resend_at) {
        phone_send(sim, phone, e->bytes);
        e->resend_after =
            e->method == METHOD_INVITE ? 2 * e->resend_after : min_u64(2 * e->resend_after, T2);
        e->resend_at = sim->now + e->resend_after;
    }
}

/* -- others' requests -- */

struct answer *answer_find(struct phone *phone, const struct message *request, enum method method)
{
    struct via via;

    if (!letter_via(request, &via))
        return NULL;
    for (struct answer *a = phone->answers; a; a = a->next)
        if (a->method == method && slice_equal(slice_text(a->branch), via.branch))
            return a;
    return NULL;
}

struct answer *answer_begin(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct answer *a = take(1, sizeof *a);
    struct via via = {0};

    letter_via(request, &via);
    *a = (struct answer){.next = phone->answers,
                         .method = request->method,
                         .request = copy_slice(request->bytes),
                         .flow = phone->heard_by,
                         .resend_at = NEVER,
                         .end_at = request->method == METHOD_INVITE ? NEVER : sim->now + LONG,
                         .reply_at = NEVER,
                         .is_strict = judge_is_strict(sim)};
    copy_text(a->branch, sizeof a->branch, via.branch);
    phone->answers = a;
    return a;
}

void answer_send(struct sim *sim, struct phone *phone, struct answer *a, const struct reply *reply)
{
    static struct message request;
    static const struct flow server_v4 = {
        .transport = TRANSPORT_UDP, .port = 5060, .address = {198, 51, 100, 1}};
    char bytes[LETTER_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);

    message_parse(a->request, &request);
    reply_write(&w, &request, &server_v4, reply);
    assert(!w.failed);
    copy_replace(&a->response, writer_slice(&w));
    a->status = reply->status;
    a->is_unsent = phone->connect_at != NEVER;
    phone_renew_flow(sim, phone, &a->flow);
    phone_send_by(sim, phone, &a->flow, a->response);
    if (a->method == METHOD_INVITE && reply->status >= 200) {
        a->resend_after = T1;
        a->resend_at = sim->now + T1;
        a->end_at = sim->now + LONG;
        if (flow_is_reliable(&a->flow) && reply->status >= 300)
            a->resend_at = NEVER; /* timer G (17.2.1); a 2xx is repeated all the same (13.3.1.4) */
    }
}

static void expire_answer(struct sim *sim, struct phone *phone, struct answer *a)
{
    if (sim->now >= a->reply_at) {
        a->reply_at = NEVER;
        answer_send(sim, phone, a, &(struct reply){.status = 200, .to_tag = S("slow")});
    }
    if (sim->now >= a->resend_at && sim->now < a->end_at) {
        phone_renew_flow(sim, phone, &a->flow);
        phone_send_by(sim, phone, &a->flow, a->response);
        a->resend_after = min_u64(2 * a->resend_after, T2);
        a->resend_at = sim->now + a->resend_after;
    }
    if (sim->now >= a->end_at && a->method == METHOD_INVITE && !a->is_acknowledged) {
        a->is_acknowledged = true;
        judge_unacknowledged(sim, phone, a);
        if (a->status < 300)
            call_unacknowledged(sim, phone, a);
    }
}

/* -- timers of both -- */

void exchange_expire(struct sim *sim, struct phone *phone)
{
    for (struct exchange *e = phone->exchanges; e; e = e->next)
        if (sim->now < e->end_at)
            expire_exchange(sim, phone, e);
    for (struct exchange **link = &phone->exchanges; *link;) {
        struct exchange *e = *link;
        if (sim->now < e->end_at) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        if (e->state == EXCHANGE_CALLING || e->state == EXCHANGE_PROCEEDING) {
            judge_unanswered(sim, phone, e);
            phone_finished(sim, phone, e, NULL);
            link = &phone->exchanges; /* what followed may stand in front of it */
        }
        copy_free(&e->bytes);
        free(e);
    }
    for (struct answer *a = phone->answers; a; a = a->next)
        expire_answer(sim, phone, a);
    for (struct answer **link = &phone->answers; *link;) {
        struct answer *a = *link;
        if (sim->now < a->end_at) {
            link = &a->next;
            continue;
        }
        *link = a->next;
        copy_free(&a->request);
        copy_free(&a->response);
        free(a);
    }
}

instant exchange_deadline(const struct phone *phone)
{
    instant first = NEVER;

    for (const struct exchange *e = phone->exchanges; e; e = e->next)
        first = min_u64(first, min_u64(e->resend_at, e->end_at));
    for (const struct answer *a = phone->answers; a; a = a->next)
        first = min_u64(first, min_u64(a->reply_at, min_u64(a->resend_at, a->end_at)));
    return first;
}

void exchange_resume(struct sim *sim, struct phone *phone)
{
    for (struct exchange *e = phone->exchanges; e; e = e->next) {
        if (e->is_unsent && e->end_at > sim->now)
            phone_send(sim, phone, e->bytes);
        e->is_unsent = false;
    }
    for (struct answer *a = phone->answers; a; a = a->next) {
        if (a->is_unsent && a->end_at > sim->now)
            phone_send_by(sim, phone, &a->flow, a->response);
        a->is_unsent = false;
    }
}

void exchange_break(struct sim *sim, struct phone *phone)
{
    for (struct exchange *e = phone->exchanges; e; e = e->next)
        if ((e->state == EXCHANGE_CALLING || e->state == EXCHANGE_PROCEEDING) &&
            (!phone->door.transport || e->purpose == FOR_REGISTRATION))
            e->end_at = sim->now;
}

void exchange_forget(struct phone *phone)
{
    while (phone->exchanges) {
        struct exchange *e = phone->exchanges;
        phone->exchanges = e->next;
        copy_free(&e->bytes);
        free(e);
    }
    while (phone->answers) {
        struct answer *a = phone->answers;
        phone->answers = a->next;
        copy_free(&a->request);
        copy_free(&a->response);
        free(a);
    }
}
