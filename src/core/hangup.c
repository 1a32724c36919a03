#include "core/hangup.h"

#include "core/connection.h"
#include "core/courier.h"
#include "core/dialog.h"
#include "core/forward.h"
#include "core/inside.h"
#include "core/location.h"
#include "core/peer.h"
#include "core/policy.h"
#include "core/transaction.h"

#define CSEQ_LEAP 1000u        /* requests that were seen only after the record was written */
#define CSEQ_LIMIT 2147483647u /* 8.1.1.5 */

/* The record's routes: the values before the first of ours lead to the callee, the nearest last;
 * those behind the last of ours to the caller, the nearest first. */
struct route_set {
    struct slice values[VIA_LIMIT];
    unsigned count;
    unsigned first_own, end_own;
    struct cookie cookie;
};

static bool is_own(struct core *core, const struct dialog *dialog, struct slice text,
                   struct cookie *cookie)
{
    struct uri uri;

    return uri_parse(text, &uri) && route_is_own(core, &uri) &&
           cookie_read(uri.user, &core->key_cookie, dialog_part(dialog, DIALOG_CALL_ID),
                       dialog_part(dialog, DIALOG_CALLER_TAG),
                       dialog_part(dialog, DIALOG_CALLEE_TAG), cookie) == COOKIE_TO_CALLEE;
}

/* False if our own value is not among them: nobody could be reached in such a dialog. */
static bool read_routes(struct core *core, const struct dialog *dialog, struct route_set *set)
{
    struct slice rest = dialog_part(dialog, DIALOG_ROUTES);
    bool is_found = false;

    for (set->count = 0; rest.len; set->count++) {
        struct address route;
        struct cookie cookie;
        if (set->count == VIA_LIMIT || !address_next(&rest, &route))
            return false;
        set->values[set->count] = route.text;
        if (!is_own(core, dialog, route.uri, &cookie))
            continue;
        if (!is_found) {
            set->first_own = set->count;
            set->cookie = cookie;
        }
        is_found = true;
        set->end_own = set->count + 1;
    }
    return is_found;
}

static unsigned count_routes(const struct route_set *set, bool to_callee)
{
    return to_callee ? set->first_own : set->count - set->end_own;
}

/* The n-th on the way to an end, the nearest first. */
static struct slice route_at(const struct route_set *set, bool to_callee, unsigned n)
{
    return set->values[to_callee ? set->first_own - 1 - n : set->end_own + n];
}

/* Where what is sent to an end goes (12.2.1.1): to the nearest proxy on the way, or to itself. */
static struct slice hop_text(const struct dialog *dialog, const struct route_set *set,
                             bool to_callee)
{
    struct slice value = count_routes(set, to_callee) ? route_at(set, to_callee, 0) : NO_SLICE;
    struct address route;

    if (value.len && address_next(&value, &route))
        return route.uri;
    return dialog_part(dialog, to_callee ? DIALOG_CALLEE_CONTACT : DIALOG_CALLER_CONTACT);
}

static bool read_hop(const struct dialog *dialog, const struct route_set *set, bool to_callee,
                     struct uri *hop)
{
    return uri_parse(hop_text(dialog, set, to_callee), hop);
}

/* The nearest proxy is a strict router: it wants to be the Request-URI (12.2.1.1). */
static bool is_strict(const struct dialog *dialog, const struct route_set *set, bool to_callee)
{
    struct slice lr;
    struct uri hop;

    return count_routes(set, to_callee) && read_hop(dialog, set, to_callee, &hop) &&
           !uri_param(&hop, S("lr"), &lr);
}

static void write_routes(struct writer *w, const struct dialog *dialog, const struct route_set *set,
                         bool to_callee)
{
    bool before_strict = is_strict(dialog, set, to_callee);

    for (unsigned i = before_strict; i < count_routes(set, to_callee); i++) {
        write_slice(w, S("Route: "));
        write_slice(w, route_at(set, to_callee, i));
        write_slice(w, S("\r\n"));
    }
    if (!before_strict)
        return;
    write_slice(w, S("Route: <"));
    write_slice(w, dialog_part(dialog, to_callee ? DIALOG_CALLEE_CONTACT : DIALOG_CALLER_CONTACT));
    write_slice(w, S(">\r\n"));
}

/* Where an end is now, and what must be proven there; `plan->domain` is empty if nothing must. */
static bool find_target(const struct core *core, const struct end *end, const struct uri *hop,
                        struct target *target, struct peer_plan *plan)
{
    const struct binding *binding = end->binding ? location_binding(core, end->binding) : NULL;

    *target = (struct target){.binding = binding ? end->binding : 0};
    *plan = (struct peer_plan){.domain = end->domain, .policy = end->policy};
    if (binding)
        target->flow = location_flow(core, binding);
    else
        inside_flow(core, end, hop, &target->flow);
    if (end->domain.len && plan->policy < policy_of(core, end->domain, core->now.wall))
        plan->policy = policy_of(core, end->domain, core->now.wall);
    return flow_find_socket(core, &target->flow);
}

static void write_line(struct writer *w, const char *name, struct slice value)
{
    write_slice(w, slice_text(name));
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

/* A request of ours to one end: its method, its CSeq number, and why, or empty. */
struct own_request {
    enum method method;
    uint32_t cseq;
    bool to_callee;
    struct slice reason;
};

static struct slice write_own(struct core *core, const struct dialog *dialog,
                              const struct route_set *set, const struct own_request *own,
                              const struct flow *flow, uint64_t transaction, struct actions *out)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;
    bool to_callee = own->to_callee;
    struct branch branch = {.transaction = transaction};

    write_slice(w, method_name(own->method));
    write_char(w, ' ');
    write_slice(
        w, is_strict(dialog, set, to_callee)
               ? hop_text(dialog, set, to_callee)
               : dialog_part(dialog, to_callee ? DIALOG_CALLEE_CONTACT : DIALOG_CALLER_CONTACT));
    write_slice(w, S(" SIP/2.0\r\n"));
    forward_via(w, core, flow, &branch);
    write_routes(w, dialog, set, to_callee);
    write_slice(w, S("Max-Forwards: 70\r\n"));
    write_line(w, "From: ", dialog_part(dialog, to_callee ? DIALOG_FROM : DIALOG_TO));
    write_line(w, "To: ", dialog_part(dialog, to_callee ? DIALOG_TO : DIALOG_FROM));
    write_line(w, "Call-ID: ", dialog_part(dialog, DIALOG_CALL_ID));
    write_slice(w, S("CSeq: "));
    write_number(w, own->cseq);
    write_char(w, ' ');
    write_slice(w, method_name(own->method));
    write_slice(w, S("\r\n"));
    if (own->reason.len)
        write_line(w, "Reason: ", own->reason);
    write_slice(w, S("Content-Length: 0\r\n\r\n"));
    return slice_of(w->at + start, w->len - start);
}

static bool has_contact(const struct dialog *dialog, bool to_callee)
{
    struct uri contact;

    return uri_parse(dialog_part(dialog, to_callee ? DIALOG_CALLEE_CONTACT : DIALOG_CALLER_CONTACT),
                     &contact);
}

/* The way to an end, and what must be proven there; NULL if nothing must. */
struct bye_way {
    const struct target *target;
    const struct peer_plan *plan;
};

static bool send_bye_by(struct core *core, const struct dialog *dialog, const struct route_set *set,
                        bool to_callee, const struct bye_way *way, struct slice reason, instant now,
                        struct actions *out)
{
    const struct flow *flow = &way->target->flow;
    uint32_t seen = to_callee ? dialog->caller_cseq : dialog->callee_cseq;
    struct own_request own = {
        .method = METHOD_BYE,
        .cseq = seen < CSEQ_LIMIT - CSEQ_LEAP ? seen + CSEQ_LEAP : CSEQ_LIMIT,
        .to_callee = to_callee,
        .reason = reason,
    };
    struct client_transaction *client = client_open(core, METHOD_BYE, flow);
    struct slice bye;

    if (!client)
        return false;
    bye = write_own(core, dialog, set, &own, flow, client_branch(core, client), out);
    if (courier_send(core, client, way->target, way->plan, bye, now, out))
        return true;
    client_close(core, client);
    return false;
}

/* Where it goes: `target` and `plan` become that. */
static bool find_bye_way(const struct core *core, const struct dialog *dialog,
                         const struct route_set *set, bool to_callee, struct target *target,
                         struct peer_plan *plan, struct bye_way *way)
{
    const struct end *end = to_callee ? &set->cookie.callee : &set->cookie.caller;
    struct uri hop;
    bool has_hop = read_hop(dialog, set, to_callee, &hop);

    *way = (struct bye_way){target, end->domain.len ? plan : NULL};
    return find_target(core, end, has_hop ? &hop : NULL, target, plan);
}

static bool send_bye(struct core *core, const struct dialog *dialog, const struct route_set *set,
                     bool to_callee, struct slice reason, instant now, struct actions *out)
{
    struct target target;
    struct peer_plan plan;
    struct bye_way way;

    return has_contact(dialog, to_callee) &&
           find_bye_way(core, dialog, set, to_callee, &target, &plan, &way) &&
           send_bye_by(core, dialog, set, to_callee, &way, reason, now, out);
}

bool hangup_again(struct core *core, struct client_transaction *client, instant now,
                  struct actions *out)
{
    size_t start = out->bytes.len;
    struct slice to_tag;
    const struct dialog *dialog;
    struct target target;
    struct peer_plan plan;
    struct bye_way way;
    struct route_set set;
    struct message bye;

    if (client->method != METHOD_BYE || client->server.generation || client->has_dialled ||
        message_parse(block_slice(&client->request), &bye).status)
        return false;
    client->has_dialled = true;
    to_tag = address_tag(message_first(&bye, HEADER_TO));
    dialog = pool_get(&core->dialogs, dialog_find(core, message_first(&bye, HEADER_CALL_ID), to_tag,
                                                  address_tag(message_first(&bye, HEADER_FROM))));
    if (!dialog || !read_routes(core, dialog, &set) ||
        !find_bye_way(core, dialog, &set,
                      slice_equal(to_tag, dialog_part(dialog, DIALOG_CALLEE_TAG)), &target, &plan,
                      &way))
        return false;
    write_slice(&out->bytes, bye.bytes);
    return courier_send(core, client, way.target, way.plan,
                        slice_of(out->bytes.at + start, bye.bytes.len), now, out);
}

void hangup_refuse(struct core *core, const struct message *response, const struct flow *flow,
                   struct moment now, struct actions *out)
{
    const struct target target = {.flow = *flow};
    const struct bye_way way = {&target, NULL};
    struct own_request ack = {METHOD_ACK, response->cseq.number, true, NO_SLICE};
    char text[DIALOG_SKETCH];
    struct dialog dialog;
    struct route_set set;

    if (!dialog_sketch(response, text, &dialog) || !has_contact(&dialog, true) ||
        !read_routes(core, &dialog, &set))
        return;
    actions_push(out, (struct action){
                          .kind = ACTION_SEND,
                          .flow = *flow,
                          .bytes = write_own(core, &dialog, &set, &ack, flow, 0, out),
                      });
    send_bye_by(core, &dialog, &set, true, &way, S("SIP;cause=502;text=\"Answer was changed\""),
                now.boot, out);
}

unsigned hangup_send(struct core *core, const struct dialog *dialog, struct slice reason,
                     struct moment now, struct actions *out)
{
    struct route_set set;

    if (!read_routes(core, dialog, &set))
        return 0;
    return (unsigned)send_bye(core, dialog, &set, true, reason, now.boot, out) +
           send_bye(core, dialog, &set, false, reason, now.boot, out);
}
