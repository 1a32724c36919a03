#include "core/registrar.h"

#include "core/fault.h"
#include "core/location.h"
#include "core/realm.h"
#include "core/reply.h"
#include "sip/address.h"

#define STORE_FAILED_EXPIRES 60u /* so that a promise that cannot be kept is short */

/* One Contact of the request, checked before anything is changed. */
struct wish {
    struct slice uri_text;
    struct uri uri;
    uint32_t expires; /* seconds, 0 = remove */
    uint16_t q;
    bool keeps_itself;       /* its flow, by keep-alives of its own (RFC 5626) */
    struct binding *binding; /* the one it names, if there is one */
};

struct wishes {
    struct wish at[BINDINGS_PER_AOR];
    unsigned count;
    bool all; /* Contact: * */
};

static const struct fault too_many = {403, "Too Many Contacts"};

static struct binding *find_binding(struct core *core, const struct user *user,
                                    const struct uri *uri)
{
    for (struct binding *b = location_first(core, user); b; b = location_next(core, b)) {
        struct uri bound;
        if (uri_parse(binding_contact(b), &bound) && uri_equal(&bound, uri))
            return b;
    }
    return NULL;
}

/* 10.3 step 7: the Contact's expires, or the Expires field, or our own default. A value that is no
 * number means the default (20.10, 20.19). */
static uint32_t wished_expires(const struct core *core, const struct request *req,
                               const struct address *contact)
{
    struct slice text;
    uint64_t seconds;

    if (param_find(contact->params, S("expires"), &text)) {
        if (slice_number(text, UINT32_MAX, &seconds))
            return (uint32_t)seconds;
        return core->settings->expires;
    }
    if (slice_number(request_header(req, HEADER_EXPIRES), UINT32_MAX, &seconds))
        return (uint32_t)seconds;
    return core->settings->expires;
}

static struct fault read_contact(struct core *core, const struct request *req,
                                 const struct address *contact, struct wish *wish)
{
    const struct settings *settings = core->settings;
    struct slice q_text;
    unsigned q = 1000;

    wish->uri_text = contact->uri;
    if (contact->uri.len > CONTACT_LIMIT || req->call_id.len > CONTACT_LIMIT)
        return (struct fault){400, "Contact Too Long"};
    if (!uri_parse(contact->uri, &wish->uri))
        return (struct fault){400, "Bad Contact"};
    if (wish->uri.scheme > SCHEME_SIPS)
        return (struct fault){416, "Unsupported Contact Scheme"};
    if (uri_is_local(core, &wish->uri))
        return (struct fault){403, "Contact Is This Server"};
    if (param_find(contact->params, S("q"), &q_text) && !qvalue_parse(q_text, &q))
        return (struct fault){400, "Bad q Value"};
    wish->q = (uint16_t)q;
    wish->expires = wished_expires(core, req, contact);
    wish->keeps_itself = param_find(contact->params, S("reg-id"), &q_text);
    if (wish->expires && wish->expires < settings->expires_shortest && wish->expires < 3600)
        return (struct fault){423, NULL};
    if (wish->expires > settings->expires_longest)
        wish->expires = settings->expires_longest;
    if (core->store_failed && wish->expires > STORE_FAILED_EXPIRES)
        wish->expires = STORE_FAILED_EXPIRES;
    wish->binding = find_binding(core, req->sender, &wish->uri);
    return NO_FAULT;
}

/* Contact: * stands alone, with Expires: 0 (10.2.2). */
static struct fault read_star(const struct request *req, struct wishes *wishes)
{
    const struct message *m = &req->message;
    uint64_t seconds;

    if (m->fields[m->first[HEADER_CONTACT]].next ||
        !slice_number(request_header(req, HEADER_EXPIRES), UINT32_MAX, &seconds) || seconds)
        return (struct fault){400, "Bad Contact"};
    wishes->all = true;
    return NO_FAULT;
}

static struct fault read_wishes(struct core *core, const struct request *req, struct wishes *wishes)
{
    const struct message *m = &req->message;

    *wishes = (struct wishes){.count = 0};
    if (slice_equal(request_header(req, HEADER_CONTACT), S("*")))
        return read_star(req, wishes);
    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        while (rest.len) {
            struct address contact;
            struct fault fault;
            if (!address_next(&rest, &contact))
                return (struct fault){400, "Bad Contact"};
            if (wishes->count == BINDINGS_PER_AOR)
                return too_many;
            fault = read_contact(core, req, &contact, &wishes->at[wishes->count++]);
            if (fault.status)
                return fault;
        }
    }
    return NO_FAULT;
}

/* 10.3 step 7: from the same Call-ID, a lower CSeq comes too late.  The same CSeq again is a copy
 * of what was already done, and doing it again changes nothing. */
static bool is_late(const struct request *req, const struct binding *binding)
{
    return binding && slice_equal(binding_call_id(binding), req->call_id) &&
           req->cseq.number < binding->cseq;
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

static struct fault check_order(struct core *core, const struct request *req,
                                const struct wishes *wishes)
{
    const struct fault late = {500, "Out Of Order"};
    unsigned added = 0;

    if (core->is_recovering && has_removal(wishes))
        return (struct fault){503, NULL};
    if (wishes->all)
        for (struct binding *b = location_first(core, req->sender); b; b = location_next(core, b))
            if (is_late(req, b))
                return late;
    for (unsigned i = 0; i < wishes->count; i++) {
        if (is_late(req, wishes->at[i].binding))
            return late;
        added += !wishes->at[i].binding && wishes->at[i].expires;
    }
    if (req->sender->binding_count + added > BINDINGS_PER_AOR)
        return too_many;
    if (core->bindings.live + added > core->limits.bindings)
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
        const struct binding *binding = find_binding(core, req->sender, &wishes->at[i].uri);
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

/* The same REGISTER again: what it asks for has been done, but it may come from where the phone is
 * now. */
static bool is_copy(const struct request *req, const struct binding *binding)
{
    return slice_equal(binding_call_id(binding), req->call_id) && req->cseq.number == binding->cseq;
}

/* What the phone wrote into its Via is not where it came from: NAT lies between. */
static bool via_is_elsewhere(const struct request *req)
{
    struct address_bytes address;

    return !host_numeric(req->via.host, &address) || address.is_v6 != req->flow.is_v6 ||
           memcmp(address.at, req->flow.address, sizeof address.at) != 0 ||
           (req->via.port ? req->via.port : 5060) != req->flow.port;
}

static bool apply(struct core *core, const struct request *req, const struct wish *wish,
                  struct actions *out)
{
    /* Looked up anew: two Contacts of one request may be the same URI. */
    struct binding *binding = find_binding(core, req->sender, &wish->uri);

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
                             .flow = req->flow,
                             .expires = wish->expires,
                             .is_behind_nat = via_is_elsewhere(req),
                             .keeps_itself = wish->keeps_itself,
                         },
                         req->now, out);
}

static void write_contacts(struct core *core, const struct request *req, struct writer *w)
{
    for (const struct binding *b = location_first(core, req->sender); b;
         b = location_next(core, b)) {
        duration left = b->expires > req->now.boot ? b->expires - req->now.boot : 0;
        if (core->store_failed) /* it may live longer, but not more is promised */
            left = min_u64(left, SECONDS(STORE_FAILED_EXPIRES));
        write_slice(w, S("Contact: <"));
        write_slice(w, binding_contact(b));
        write_slice(w, S(">;expires="));
        write_number(w, min_u64((left + SECONDS(1) - 1) / SECONDS(1), UINT32_MAX));
        if (b->q != 1000) {
            write_slice(w, S(";q=0."));
            write_number(w, b->q / 100u);
            write_number(w, b->q / 10u % 10);
            write_number(w, b->q % 10u);
        }
        write_slice(w, S("\r\n"));
    }
}

static void write_date(struct writer *w, int64_t wall)
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t second = wall > 0 ? (uint64_t)wall : 0;
    uint64_t day = second / 86400;
    /* Days since 0000-03-01, so that the leap day ends a year (H. Hinnant, 2013). */
    uint64_t shifted = day + 719468;
    uint64_t era = shifted / 146097;
    uint64_t of_era = shifted % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * of_year + 2) / 153;
    uint64_t of_month = of_year - (153 * month + 2) / 5 + 1;
    uint64_t calendar_month = (month + 2) % 12;
    uint64_t clock[3] = {second / 3600 % 24, second / 60 % 60, second % 60};

    write_slice(w, S("Date: "));
    write_bytes(w, days + 3 * (day % 7), 3);
    write_slice(w, S(", "));
    write_number(w, of_month / 10);
    write_number(w, of_month % 10);
    write_char(w, ' ');
    write_bytes(w, months + 3 * calendar_month, 3);
    write_char(w, ' ');
    write_number(w, year_of_era + era * 400 + (calendar_month < 2));
    for (unsigned i = 0; i < 3; i++) {
        write_char(w, i ? ':' : ' ');
        write_number(w, clock[i] / 10);
        write_number(w, clock[i] % 10);
    }
    write_slice(w, S(" GMT\r\n"));
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
    } else if (fault.status == 503) {
        write_slice(w, S("Retry-After: 10\r\n"));
    }
    reply_send(req, reply_end(out, w, start), out);
}

static void accept(struct core *core, const struct request *req, struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 200, NO_SLICE, out);

    write_contacts(core, req, w);
    write_date(w, req->now.wall);
    reply_send(req, reply_end(out, w, start), out);
    out->at[out->count - 1].promises = true;
}

/* The fault for the simulator: the answer overtakes what it promises. */
static void send_first(struct actions *out, uint32_t from)
{
    struct action answer = out->at[out->count - 1];

    memmove(&out->at[from + 1], &out->at[from], (out->count - 1 - from) * sizeof answer);
    out->at[from] = answer;
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
    fault = read_wishes(core, req, &wishes);
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
        if (!apply(core, req, &wishes.at[i], out)) {
            refuse(core, req, (struct fault){503, NULL}, out);
            return;
        }
    accept(core, req, out);
    if (fault_is(FAULT_SEND_BEFORE_PERSIST))
        send_first(out, from);
}
